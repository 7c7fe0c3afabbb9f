/* SPDX-License-Identifier: MIT
 *
 * Hot: it runs once per request, and most of the binding's time goes by here. Owns the template,
 * the texts of three endpoints and the keys of fields.
 */
#include "pyext/environ.h"

#include "pyext/text.h"

#include "server/base/num.h"

/* The template has the constant keys, and the keys that every request sets, with an empty value:
 * setting those replaces a value instead of inserting, and the copied table already has room for
 * the fields. */
static const enum cg_name replaced[] = {
    CG_NAME_REQUEST_METHOD,      CG_NAME_PATH_INFO,
    CG_NAME_QUERY_STRING,        CG_NAME_RAW_URI,
    CG_NAME_SERVER_PROTOCOL,     CG_NAME_SERVER_NAME,
    CG_NAME_SERVER_PORT,         CG_NAME_REMOTE_ADDR,
    CG_NAME_WSGI_INPUT,          CG_NAME_WSGI_EARLY_HINTS,
    CG_NAME_GUNICORN_SOCKET,     CG_NAME_CGUNICORN_SOCKET,
    CG_NAME_CLIENT_DISCONNECTED,
};

static int fill_constants(struct cg_environ *e, const struct cg_settings *settings) {
    const struct cg_state *s = e->state;
    const struct {
        enum cg_name key;
        PyObject *value; /* a new reference, or NULL with an exception */
    } rows[] = {
        {CG_NAME_SCRIPT_NAME, cg_py_ref(s->name[CG_NAME_EMPTY])},
        {CG_NAME_SERVER_SOFTWARE, PyUnicode_FromString("cgunicorn/" CG_VERSION)},
        {CG_NAME_WSGI_VERSION, Py_BuildValue("(ii)", 1, 0)},
        {CG_NAME_WSGI_URL_SCHEME, cg_py_ref(s->name[CG_NAME_HTTP])},
        {CG_NAME_WSGI_INPUT_TERMINATED, PyBool_FromLong(true)},
        {CG_NAME_WSGI_ERRORS, PyObject_CallNoArgs(s->error_stream_type)},
        {CG_NAME_WSGI_MULTITHREAD, PyBool_FromLong(settings->threads > 1)},
        {CG_NAME_WSGI_MULTIPROCESS, PyBool_FromLong(settings->workers > 1)},
        {CG_NAME_WSGI_RUN_ONCE, PyBool_FromLong(false)},
        {CG_NAME_WSGI_FILE_WRAPPER, cg_py_ref(s->file_wrapper_type)},
    };
    int rc = 0;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (cg_py_put(e->template, s->name[rows[i].key], rows[i].value) < 0)
            rc = -1;
    return rc;
}

int cg_environ_init(struct cg_environ *e, struct cg_state *state,
                    const struct cg_settings *settings) {
    *e = (struct cg_environ){.state = state};
    e->template = PyDict_New();
    e->empty_input = e->template ? cg_input_new(state) : NULL;
    if (!e->empty_input)
        return -1;
    for (size_t i = 0; i < sizeof(replaced) / sizeof(replaced[0]); i++)
        if (PyDict_SetItem(e->template, state->name[replaced[i]], state->name[CG_NAME_EMPTY]) < 0)
            return -1;
    return fill_constants(e, settings);
}

static void endpoint_text_done(struct cg_endpoint_text *t) {
    Py_CLEAR(t->host);
    Py_CLEAR(t->port);
}

void cg_environ_done(struct cg_environ *e) {
    endpoint_text_done(&e->local);
    endpoint_text_done(&e->client);
    endpoint_text_done(&e->destination);
    cg_header_keys_done(&e->header_keys);
    cg_header_keys_done(&e->variable_keys);
    Py_CLEAR(e->empty_input);
    Py_CLEAR(e->template);
}

/* The interned text if it is one of those, else a new one. A new reference or NULL. */
static PyObject *method_text(const struct cg_state *state, struct cg_slice method) {
    static const struct {
        struct cg_slice text;
        enum cg_name name;
    } common[] = {
        {{"GET", 3}, CG_NAME_GET},         {{"POST", 4}, CG_NAME_POST},
        {{"HEAD", 4}, CG_NAME_HEAD},       {{"PUT", 3}, CG_NAME_PUT},
        {{"PATCH", 5}, CG_NAME_PATCH},     {{"DELETE", 6}, CG_NAME_DELETE},
        {{"OPTIONS", 7}, CG_NAME_OPTIONS},
    };
    for (size_t i = 0; i < sizeof(common) / sizeof(common[0]); i++)
        if (cg_slice_eq(method, common[i].text))
            return cg_py_ref(state->name[common[i].name]);
    return cg_text_new(method);
}

static PyObject *protocol_text(const struct cg_state *state, const struct cg_request *r) {
    if (r->version_major == 1 && r->version_minor <= 1)
        return cg_py_ref(state->name[r->version_minor ? CG_NAME_HTTP_1_1 : CG_NAME_HTTP_1_0]);
    return PyUnicode_FromFormat("HTTP/%d.%d", r->version_major, r->version_minor);
}

static PyObject *path_text(const struct cg_state *state, const struct cg_request *r) {
    if (cg_slice_eq(r->path_info, CG_SLICE("/")))
        return cg_py_ref(state->name[CG_NAME_SLASH]);
    return r->path_is_decoded ? cg_text_new(r->path_info) : cg_text_unquote(r->path_info);
}

/* What the template has right for most requests. */
static int set_unusual(const struct cg_state *s, PyObject *env, const struct cg_request *r) {
    if (r->query.len > 0 &&
        cg_py_put(env, s->name[CG_NAME_QUERY_STRING], cg_text_new(r->query)) < 0)
        return -1;
    if (r->script_name.len > 0 &&
        cg_py_put(env, s->name[CG_NAME_SCRIPT_NAME], cg_text_new(r->script_name)) < 0)
        return -1;
    if (r->scheme != CG_SCHEME_HTTPS)
        return 0;
    return PyDict_SetItem(env, s->name[CG_NAME_WSGI_URL_SCHEME], s->name[CG_NAME_HTTPS]);
}

static int set_request(const struct cg_environ *e, PyObject *env, const struct cg_request *r) {
    const struct cg_state *s = e->state;
    if (cg_py_put(env, s->name[CG_NAME_REQUEST_METHOD], method_text(s, r->method)) < 0 ||
        cg_py_put(env, s->name[CG_NAME_PATH_INFO], path_text(s, r)) < 0 ||
        cg_py_put(env, s->name[CG_NAME_RAW_URI], cg_text_new(r->target)) < 0 ||
        cg_py_put(env, s->name[CG_NAME_SERVER_PROTOCOL], protocol_text(s, r)) < 0)
        return -1;
    return set_unusual(s, env, r);
}

static PyObject *number_text(uint64_t n) {
    char digits[CG_NUM_U64_MAX_LEN];
    return cg_text_new(cg_slice_of(digits, cg_num_format_u64(digits, n)));
}

/* Makes t the text of this endpoint. 0 or -1. */
static int update_text(struct cg_endpoint_text *t, const struct cg_endpoint *of) {
    bool same_host = t->host && cg_slice_eq(cg_endpoint_host(&t->of), cg_endpoint_host(of));
    bool same_port = t->port && t->of.port == of->port;
    if (same_host && same_port)
        return 0;
    PyObject *host = same_host ? cg_py_ref(t->host) : cg_text_new(cg_endpoint_host(of));
    PyObject *port = same_port ? cg_py_ref(t->port) : number_text(of->port);
    if (!host || !port) {
        Py_XDECREF(host);
        Py_XDECREF(port);
        return -1;
    }
    Py_XSETREF(t->host, host);
    Py_XSETREF(t->port, port);
    t->of = *of;
    return 0;
}

/* For a listener that has no name or port of its own: the Host field says, and without one the
 * socket's path stands in. */
static int set_named_server(const struct cg_environ *e, PyObject *env,
                            const struct cg_exchange *ex) {
    const struct cg_state *s = e->state;
    bool is_https = ex->request.scheme == CG_SCHEME_HTTPS;
    struct cg_slice host = ex->request.host;
    struct cg_slice port = is_https ? CG_SLICE("443") : CG_SLICE("80");
    if (host.len == 0) {
        host = cg_endpoint_host(ex->local);
        port = CG_SLICE("");
    } else {
        size_t end = host.len;
        while (end > 0 && host.at[end - 1] >= '0' && host.at[end - 1] <= '9')
            end--;
        if (end > 0 && host.at[end - 1] == ':') { /* "[::1]" ends in "]" */
            if (end < host.len)
                port = cg_slice_of(host.at + end, host.len - end);
            host.len = end - 1;
        }
    }
    if (cg_py_put(env, s->name[CG_NAME_SERVER_NAME], cg_text_new(host)) < 0)
        return -1;
    return cg_py_put(env, s->name[CG_NAME_SERVER_PORT], cg_text_new(port));
}

static int set_server(struct cg_environ *e, PyObject *env, const struct cg_exchange *ex) {
    PyObject *const *name = e->state->name;
    bool host_says = ex->request.is_uwsgi && ex->request.host.len > 0;
    if (ex->local->family == CG_FAMILY_UNIX || host_says)
        return set_named_server(e, env, ex);
    if (update_text(&e->local, ex->local) < 0 ||
        PyDict_SetItem(env, name[CG_NAME_SERVER_NAME], e->local.host) < 0)
        return -1;
    return PyDict_SetItem(env, name[CG_NAME_SERVER_PORT], e->local.port);
}

static int set_client(struct cg_environ *e, PyObject *env, const struct cg_exchange *ex) {
    PyObject *const *name = e->state->name;
    if (ex->client->family == CG_FAMILY_UNIX) /* REMOTE_ADDR is "", as the template has it */
        return 0;
    if (update_text(&e->client, ex->client) < 0 ||
        PyDict_SetItem(env, name[CG_NAME_REMOTE_ADDR], e->client.host) < 0)
        return -1;
    return PyDict_SetItem(env, name[CG_NAME_REMOTE_PORT], e->client.port);
}

static int set_endpoints(struct cg_environ *e, PyObject *env, const struct cg_exchange *ex) {
    return set_server(e, env, ex) < 0 ? -1 : set_client(e, env, ex);
}

/* What a gateway says stands as it is, also in the place of what was found here. */
static int set_variables(struct cg_environ *e, PyObject *env, const struct cg_request *r) {
    for (size_t i = 0; i < r->variables_n; i++) {
        PyObject *key = cg_header_keys_get_verbatim(&e->variable_keys, r->variables[i].name);
        int rc = key ? cg_py_put(env, key, cg_text_new(r->variables[i].value)) : -1;
        Py_XDECREF(key);
        if (rc < 0)
            return -1;
    }
    return 0;
}

/* What a PROXY header says besides the client. The address is the one that the client connected to,
 * whatever Gunicorn's name for it suggests. */
static int set_proxy(struct cg_environ *e, PyObject *env, const struct cg_proxy *proxy) {
    PyObject *const *name = e->state->name;
    struct cg_slice kind = cg_slice_str(cg_proxy_kind_name(proxy->kind));
    if (cg_py_put(env, name[CG_NAME_PROXY_PROTOCOL], cg_text_new(kind)) < 0)
        return -1;
    if (!cg_proxy_has_addresses(proxy))
        return 0;
    bool is_unix = proxy->destination.family == CG_FAMILY_UNIX;
    if (update_text(&e->destination, &proxy->destination) < 0 ||
        PyDict_SetItem(env, name[CG_NAME_PROXY_ADDR], e->destination.host) < 0)
        return -1;
    return PyDict_SetItem(env, name[CG_NAME_PROXY_PORT],
                          is_unix ? name[CG_NAME_EMPTY] : e->destination.port);
}

/* A field that came before gets this value joined to its own (RFC 9110 section 5.3; cookies as in
 * RFC 6265 section 5.4), over uwsgi as newer versions of nginx do it themselves. `before` is
 * borrowed from the dict. */
static int join_value(PyObject *env, PyObject *key, PyObject *before, PyObject *value,
                      enum cg_field_id id, bool is_uwsgi) {
    const char *separator = id == CG_FIELD_COOKIE ? "; " : is_uwsgi ? ", " : ",";
    return cg_py_put(env, key, PyUnicode_FromFormat("%U%s%U", before, separator, value));
}

static int set_field(PyObject *env, PyObject *key, const struct cg_field *f, bool is_uwsgi) {
    PyObject *value = cg_text_new(f->value);
    if (!value)
        return -1;
    Py_ssize_t before_n = PyDict_Size(env);
    PyObject *there = PyDict_SetDefault(env, key, value); /* borrowed */
    int rc = there ? 0 : -1;
    /* The size tells, not identity: equal short values may be one object. */
    if (there && PyDict_Size(env) == before_n)
        rc = join_value(env, key, there, value, f->id, is_uwsgi);
    Py_DECREF(value);
    return rc;
}

/* The application gets a body that is decoded and whole, and is told so as RFC 9112 section 7.1.3
 * has it: with its length, and without a coding that frameworks would look for in vain. */
static int set_decoded_length(struct cg_state *state, PyObject *env, const struct cg_body *body) {
    char digits[CG_NUM_U64_MAX_LEN];
    PyObject *text = cg_text_new(cg_slice_of(digits, cg_num_format_u64(digits, body->size)));
    int rc = text ? PyDict_SetItem(env, state->field_key[CG_FIELD_CONTENT_LENGTH], text) : -1;
    Py_XDECREF(text);
    return rc;
}

static int set_one(struct cg_environ *e, PyObject *env, const struct cg_exchange *ex,
                   const struct cg_field *f) {
    if (f->id == CG_FIELD_TRANSFER_ENCODING && ex->request.framing == CG_FRAMING_CHUNKED)
        return set_decoded_length(e->state, env, &ex->body);
    if (f->id != CG_FIELD_OTHER)
        return set_field(env, e->state->field_key[f->id], f, ex->request.is_uwsgi);
    PyObject *key = cg_header_keys_get(&e->header_keys, f->name);
    int rc = key ? set_field(env, key, f, ex->request.is_uwsgi) : -1;
    Py_XDECREF(key);
    return rc;
}

static int set_fields(struct cg_environ *e, PyObject *env, const struct cg_exchange *ex) {
    for (size_t i = 0; i < ex->request.fields_n; i++)
        if (set_one(e, env, ex, &ex->request.fields[i]) < 0)
            return -1;
    return 0;
}

static int set_lent(struct cg_call *call, PyObject *env, enum cg_name name,
                    enum cg_lent_kind kind) {
    PyObject *lent = cg_call_lend(call, kind);
    return lent ? PyDict_SetItem(env, call->state->name[name], lent) : -1;
}

static int set_input(const struct cg_environ *e, struct cg_call *call, PyObject *env) {
    if (call->ex->body.size > 0)
        return set_lent(call, env, CG_NAME_WSGI_INPUT, CG_LENT_INPUT);
    return PyDict_SetItem(env, e->state->name[CG_NAME_WSGI_INPUT], e->empty_input);
}

static int set_objects(const struct cg_environ *e, struct cg_call *call, PyObject *env) {
    if (set_input(e, call, env) < 0 ||
        set_lent(call, env, CG_NAME_WSGI_EARLY_HINTS, CG_LENT_EARLY_HINTS) < 0 ||
        set_lent(call, env, CG_NAME_CLIENT_DISCONNECTED, CG_LENT_CLIENT_GONE) < 0 ||
        set_lent(call, env, CG_NAME_GUNICORN_SOCKET, CG_LENT_CLIENT_SOCKET) < 0)
        return -1;
    return set_lent(call, env, CG_NAME_CGUNICORN_SOCKET, CG_LENT_CLIENT_SOCKET);
}

PyObject *cg_environ_new(struct cg_environ *e, struct cg_call *call) {
    PyObject *env = PyDict_Copy(e->template);
    if (!env)
        return NULL;
    const struct cg_exchange *ex = call->ex;
    if (set_request(e, env, &ex->request) < 0 || set_endpoints(e, env, ex) < 0 ||
        (ex->proxy && set_proxy(e, env, ex->proxy) < 0) ||
        set_variables(e, env, &ex->request) < 0 || set_fields(e, env, ex) < 0 ||
        set_objects(e, call, env) < 0) {
        Py_DECREF(env);
        return NULL;
    }
    return env;
}
