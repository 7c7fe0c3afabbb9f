/* SPDX-License-Identifier: MIT
 *
 * What the objects of cgunicorn/messages.py read: two views of an exchange, lent like everything
 * else that points into one. No state; each getter makes its value anew.
 */
#include "pyext/messages.h"

#include "pyext/text.h"

#include "server/base/num.h"

/* How an attribute is read: a new reference, or NULL with an exception. The exchange is there. */
struct attribute {
    PyObject *(*read)(const struct cg_lent *view);
};

static PyObject *over(void) {
    PyErr_SetString(PyExc_RuntimeError, "the request is over");
    return NULL;
}

static PyObject *get_request(PyObject *self, void *of) {
    const struct cg_lent *view = (const struct cg_lent *)self;
    const struct attribute *attribute = of;
    PyObject *value;
    Py_BEGIN_CRITICAL_SECTION(self);
    value = view->call ? attribute->read(view) : over();
    Py_END_CRITICAL_SECTION();
    return value;
}

#ifdef Py_GIL_DISABLED
/* In turn, as another thread may be writing the response. */
static PyObject *get_response(PyObject *self, void *of) {
    const struct cg_lent *view = (const struct cg_lent *)self;
    const struct attribute *attribute = of;
    PyObject *value;
    Py_BEGIN_CRITICAL_SECTION(self);
    struct cg_call *call = view->call;
    bool has_turn = call && cg_turn_ask(&call->turn);
    value = view->call ? attribute->read(view) : over();
    if (has_turn)
        cg_turn_release(&call->turn);
    Py_END_CRITICAL_SECTION();
    return value;
}
#else
#define get_response get_request
#endif

/* Values */

/* As Gunicorn has them in its lists: upper case. The name is a token, which is ASCII. */
static PyObject *upper_text(struct cg_slice name) {
    PyObject *text = PyUnicode_New((Py_ssize_t)name.len, 0x7f);
    if (!text || name.len == 0)
        return text;
    Py_UCS1 *at = PyUnicode_1BYTE_DATA(text);
    for (size_t i = 0; i < name.len; i++)
        at[i] = (Py_UCS1)Py_TOUPPER(Py_CHARMASK(name.at[i]));
    return text;
}

/* Appends (name, value), giving up the reference to name. 0 or -1; a NULL name is an error already
 * set. */
static int append_field(PyObject *list, PyObject *name, struct cg_slice value) {
    PyObject *text = name ? cg_text_new(value) : NULL;
    PyObject *pair = text ? PyTuple_Pack(2, name, text) : NULL;
    int rc = pair ? PyList_Append(list, pair) : -1;
    Py_XDECREF(pair);
    Py_XDECREF(text);
    Py_XDECREF(name);
    return rc;
}

/* A list of the fields in "Name: value\r\n" lines that stay where they are. */
static PyObject *list_fields(struct cg_slice lines, PyObject *(*name_text)(struct cg_slice)) {
    PyObject *list = PyList_New(0);
    int rc = list ? 0 : -1;
    const char *end = lines.at + lines.len;
    for (const char *at = lines.at, *next; rc == 0 && at < end; at = next + 1) {
        next = memchr(at, '\n', (size_t)(end - at));
        const char *colon = next ? memchr(at, ':', (size_t)(next - at)) : NULL;
        if (!colon)
            break; /* the empty line behind trailers */
        struct cg_slice value = cg_slice_of(colon + 1, (size_t)(next - colon - 1));
        if (value.len && value.at[value.len - 1] == '\r')
            value.len--;
        struct cg_slice name = cg_slice_of(at, (size_t)(colon - at));
        rc = append_field(list, name_text(name), cg_slice_trim(value));
    }
    if (rc < 0)
        Py_CLEAR(list);
    return list;
}

/* The same of lines that have been checked, and are the exchange's: to make objects may collect
 * garbage, which may run code of the application's, and the exchange may end meanwhile. */
static PyObject *field_lines(struct cg_slice lines, PyObject *(*name_text)(struct cg_slice)) {
    PyObject *copy = PyBytes_FromStringAndSize(lines.at, (Py_ssize_t)lines.len);
    if (!copy)
        return NULL;
    PyObject *list = list_fields(cg_slice_of(PyBytes_AS_STRING(copy), lines.len), name_text);
    Py_DECREF(copy);
    return list;
}

/* What accept() returns for a peer in Python. */
static PyObject *address(const struct cg_endpoint *e) {
    PyObject *host = cg_text_new(cg_endpoint_host(e));
    if (!host || e->family == CG_FAMILY_UNIX)
        return host;
    if (e->family == CG_FAMILY_IPV6)
        return Py_BuildValue("(NHii)", host, e->port, 0, 0);
    return Py_BuildValue("(NH)", host, e->port);
}

/* The request's attributes */

static PyObject *request_method(const struct cg_lent *view) {
    return cg_text_new(view->call->ex->request.method);
}

static PyObject *request_uri(const struct cg_lent *view) {
    return cg_text_new(view->call->ex->request.target);
}

static PyObject *request_path(const struct cg_lent *view) {
    return cg_text_new(view->call->ex->request.path);
}

static PyObject *request_query(const struct cg_lent *view) {
    return cg_text_new(view->call->ex->request.query);
}

/* No client should send one, and it is no part of path or query. */
static PyObject *request_fragment(const struct cg_lent *view) {
    const struct cg_exchange *ex = view->call->ex;
    struct cg_slice target = ex->request.target;
    const char *hash = memchr(target.at, '#', target.len);
    if (!hash)
        return PyUnicode_New(0, 0);
    return cg_text_new(cg_slice_of(hash + 1, (size_t)(target.at + target.len - hash - 1)));
}

static PyObject *request_version(const struct cg_lent *view) {
    const struct cg_exchange *ex = view->call->ex;
    return Py_BuildValue("(ii)", ex->request.version_major, ex->request.version_minor);
}

static PyObject *request_headers(const struct cg_lent *view) {
    PyObject *list = PyList_New(0);
    /* It may end meanwhile: see field_lines(). */
    for (size_t i = 0; list && view->call && i < view->call->ex->request.fields_n; i++) {
        const struct cg_field *f = &view->call->ex->request.fields[i];
        if (append_field(list, upper_text(f->name), f->value) < 0)
            Py_CLEAR(list);
    }
    if (list && !view->call) {
        Py_DECREF(list);
        return over();
    }
    return list;
}

static PyObject *request_trailers(const struct cg_lent *view) {
    const struct cg_exchange *ex = view->call->ex;
    if (ex->request.framing != CG_FRAMING_CHUNKED)
        return PyList_New(0);
    return field_lines(cg_buf_slice(&ex->body.chunked.trailers), upper_text);
}

static PyObject *request_body(const struct cg_lent *view) {
    PyObject *input = cg_call_lend(view->call, CG_LENT_INPUT);
    Py_XINCREF(input);
    return input;
}

static PyObject *request_scheme(const struct cg_lent *view) {
    const struct cg_exchange *ex = view->call->ex;
    return PyUnicode_FromString(ex->request.scheme == CG_SCHEME_HTTPS ? "https" : "http");
}

static PyObject *request_peer_addr(const struct cg_lent *view) {
    return address(view->call->ex->peer);
}

static PyObject *request_remote_addr(const struct cg_lent *view) {
    return address(view->call->ex->client);
}

static PyObject *request_number(const struct cg_lent *view) {
    return PyLong_FromUnsignedLong(view->call->ex->number);
}

static PyObject *request_proxy_info(const struct cg_lent *view) {
    const struct cg_exchange *ex = view->call->ex;
    const struct cg_proxy *proxy = ex->proxy;
    if (!proxy)
        Py_RETURN_NONE;
    const char *kind = cg_proxy_kind_name(proxy->kind);
    if (!cg_proxy_has_addresses(proxy))
        return Py_BuildValue("{sssOsOsOsO}", "proxy_protocol", kind, "client_addr", Py_None,
                             "client_port", Py_None, "proxy_addr", Py_None, "proxy_port", Py_None);
    return Py_BuildValue("{sssNsHsNsH}", "proxy_protocol", kind, "client_addr",
                         cg_text_new(cg_endpoint_host(&proxy->source)), "client_port",
                         proxy->source.port, "proxy_addr",
                         cg_text_new(cg_endpoint_host(&proxy->destination)), "proxy_port",
                         proxy->destination.port);
}

static PyObject *request_socket(const struct cg_lent *view) {
    PyObject *socket = cg_call_lend(view->call, CG_LENT_CLIENT_SOCKET);
    Py_XINCREF(socket);
    return socket;
}

static PyObject *request_keep_alive(const struct cg_lent *view) {
    const struct cg_exchange *ex = view->call->ex;
    return PyBool_FromLong(ex->request.keep_alive);
}

/* The response's attributes */

static PyObject *response_status(const struct cg_lent *view) {
    const struct cg_exchange *ex = view->call->ex;
    if (!ex->response.started)
        Py_RETURN_NONE;
    return cg_text_new(cg_buf_slice(&ex->response.status_line_rest));
}

static PyObject *response_status_code(const struct cg_lent *view) {
    const struct cg_exchange *ex = view->call->ex;
    if (!ex->response.started)
        Py_RETURN_NONE;
    return PyLong_FromLong(ex->response.status);
}

static PyObject *response_headers(const struct cg_lent *view) {
    const struct cg_exchange *ex = view->call->ex;
    return field_lines(cg_buf_slice(&ex->response.fields), cg_text_new);
}

static PyObject *response_sent(const struct cg_lent *view) {
    const struct cg_exchange *ex = view->call->ex;
    return PyLong_FromUnsignedLongLong(ex->response.body_bytes);
}

static PyObject *response_length(const struct cg_lent *view) {
    const struct cg_exchange *ex = view->call->ex;
    const struct cg_response *r = &ex->response;
    if (!r->has_length && !(r->head_sent && r->framing == CG_RESPONSE_LENGTH))
        Py_RETURN_NONE;
    return PyLong_FromUnsignedLongLong(r->length);
}

static PyObject *response_headers_sent(const struct cg_lent *view) {
    const struct cg_exchange *ex = view->call->ex;
    return PyBool_FromLong(ex->response.head_sent);
}

static PyObject *response_chunked(const struct cg_lent *view) {
    const struct cg_exchange *ex = view->call->ex;
    const struct cg_response *r = &ex->response;
    return PyBool_FromLong(r->head_sent && r->framing == CG_RESPONSE_CHUNKED);
}

static PyObject *response_keep_alive(const struct cg_lent *view) {
    const struct cg_exchange *ex = view->call->ex;
    return PyBool_FromLong(ex->response.head_sent && ex->response.keep_alive);
}

/* The types */

static PyGetSetDef request_getters[] = {
    {"method", get_request, NULL, NULL, &(struct attribute){request_method}},
    {"uri", get_request, NULL, NULL, &(struct attribute){request_uri}},
    {"path", get_request, NULL, NULL, &(struct attribute){request_path}},
    {"query", get_request, NULL, NULL, &(struct attribute){request_query}},
    {"fragment", get_request, NULL, NULL, &(struct attribute){request_fragment}},
    {"version", get_request, NULL, NULL, &(struct attribute){request_version}},
    {"headers", get_request, NULL, NULL, &(struct attribute){request_headers}},
    {"trailers", get_request, NULL, NULL, &(struct attribute){request_trailers}},
    {"body", get_request, NULL, NULL, &(struct attribute){request_body}},
    {"scheme", get_request, NULL, NULL, &(struct attribute){request_scheme}},
    {"peer_addr", get_request, NULL, NULL, &(struct attribute){request_peer_addr}},
    {"remote_addr", get_request, NULL, NULL, &(struct attribute){request_remote_addr}},
    {"req_number", get_request, NULL, NULL, &(struct attribute){request_number}},
    {"proxy_protocol_info", get_request, NULL, NULL, &(struct attribute){request_proxy_info}},
    {"socket", get_request, NULL, NULL, &(struct attribute){request_socket}},
    {"keep_alive", get_request, NULL, NULL, &(struct attribute){request_keep_alive}},
    {0},
};

static PyGetSetDef response_getters[] = {
    {"status", get_response, NULL, NULL, &(struct attribute){response_status}},
    {"status_code", get_response, NULL, NULL, &(struct attribute){response_status_code}},
    {"headers", get_response, NULL, NULL, &(struct attribute){response_headers}},
    {"sent", get_response, NULL, NULL, &(struct attribute){response_sent}},
    {"response_length", get_response, NULL, NULL, &(struct attribute){response_length}},
    {"headers_sent", get_response, NULL, NULL, &(struct attribute){response_headers_sent}},
    {"chunked", get_response, NULL, NULL, &(struct attribute){response_chunked}},
    {"keep_alive", get_response, NULL, NULL, &(struct attribute){response_keep_alive}},
    {0},
};

static PyObject *view_new(PyObject *type) {
    struct cg_lent *view = PyObject_New(struct cg_lent, (PyTypeObject *)type);
    if (view)
        view->call = NULL;
    return (PyObject *)view;
}

PyObject *cg_request_view_new(struct cg_state *state) {
    return view_new(state->request_view_type);
}

PyObject *cg_response_view_new(struct cg_state *state) {
    return view_new(state->response_view_type);
}

static PyObject *type_new(PyObject *module, const char *name, PyGetSetDef *getters) {
    PyType_Slot slots[] = {
        {Py_tp_doc, "An exchange that is under way, for cgunicorn.messages."},
        {Py_tp_new, cg_type_refuse_new},
        {Py_tp_dealloc, cg_lent_dealloc},
        {Py_tp_getset, getters},
        {0, NULL},
    };
    PyType_Spec spec = {
        .name = name,
        .basicsize = sizeof(struct cg_lent),
        .flags = CG_TYPE_FLAGS,
        .slots = slots,
    };
    return PyType_FromModuleAndSpec(module, &spec, NULL);
}

PyObject *cg_request_view_type_new(PyObject *module) {
    return type_new(module, "cgunicorn._cgunicorn.RequestView", request_getters);
}

PyObject *cg_response_view_type_new(PyObject *module) {
    return type_new(module, "cgunicorn._cgunicorn.ResponseView", response_getters);
}

/* The objects that the user sees */

static PyObject *message(struct cg_call *call, PyObject **at, PyObject *class,
                         enum cg_lent_kind kind) {
    if (*at)
        return *at;
    PyObject *view = cg_call_lend(call, kind);
    if (view)
        *at = PyObject_CallFunctionObjArgs(class, view, NULL);
    return *at;
}

PyObject *cg_messages_request(struct cg_call *call) {
    return message(call, &call->request, call->state->request_class, CG_LENT_REQUEST_VIEW);
}

PyObject *cg_messages_response(struct cg_call *call) {
    return message(call, &call->response, call->state->response_class, CG_LENT_RESPONSE_VIEW);
}

int cg_messages_change_environ(struct cg_call *call, PyObject *env) {
    PyObject *request = cg_messages_request(call);
    PyObject *done = request ? PyObject_CallMethod(request, "change_environ", "O", env) : NULL;
    Py_XDECREF(done);
    return done ? 0 : -1;
}

static void settle(PyObject **message) {
    if (!*message)
        return;
    if (!cg_py_is_unique(*message)) {
        PyObject *done = PyObject_CallMethod(*message, "settle", NULL);
        if (!done)
            PyErr_WriteUnraisable(*message);
        Py_XDECREF(done);
    }
    Py_CLEAR(*message);
}

void cg_messages_end(struct cg_call *call) {
    settle(&call->request);
    settle(&call->response);
}
