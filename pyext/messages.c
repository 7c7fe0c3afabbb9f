/* SPDX-License-Identifier: MIT
 *
 * What the objects of cgunicorn/messages.py read: two views of an exchange, lent like everything
 * else that points into one. No state; each getter makes its value anew.
 */
#include "pyext/messages.h"

#include "pyext/text.h"

#include "server/base/num.h"

static const struct cg_exchange *exchange_of(PyObject *self) {
    const struct cg_lent *lent = (const struct cg_lent *)self;
    if (!lent->call)
        PyErr_SetString(PyExc_RuntimeError, "the request is over");
    return lent->call ? lent->call->ex : NULL;
}

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

static PyObject *request_method(PyObject *self, void *unused) {
    const struct cg_exchange *ex = exchange_of(self);
    return ex ? cg_text_new(ex->request.method) : NULL;
}

static PyObject *request_uri(PyObject *self, void *unused) {
    const struct cg_exchange *ex = exchange_of(self);
    return ex ? cg_text_new(ex->request.target) : NULL;
}

static PyObject *request_path(PyObject *self, void *unused) {
    const struct cg_exchange *ex = exchange_of(self);
    return ex ? cg_text_new(ex->request.path) : NULL;
}

static PyObject *request_query(PyObject *self, void *unused) {
    const struct cg_exchange *ex = exchange_of(self);
    return ex ? cg_text_new(ex->request.query) : NULL;
}

/* No client should send one, and it is no part of path or query. */
static PyObject *request_fragment(PyObject *self, void *unused) {
    const struct cg_exchange *ex = exchange_of(self);
    if (!ex)
        return NULL;
    struct cg_slice target = ex->request.target;
    const char *hash = memchr(target.at, '#', target.len);
    if (!hash)
        return PyUnicode_New(0, 0);
    return cg_text_new(cg_slice_of(hash + 1, (size_t)(target.at + target.len - hash - 1)));
}

static PyObject *request_version(PyObject *self, void *unused) {
    const struct cg_exchange *ex = exchange_of(self);
    return ex ? Py_BuildValue("(ii)", ex->request.version_major, ex->request.version_minor) : NULL;
}

static PyObject *request_headers(PyObject *self, void *unused) {
    PyObject *list = PyList_New(0);
    const struct cg_exchange *ex = exchange_of(self);
    for (size_t i = 0; list && ex && i < ex->request.fields_n; i++) {
        const struct cg_field *f = &ex->request.fields[i];
        if (append_field(list, upper_text(f->name), f->value) < 0)
            Py_CLEAR(list);
        else
            ex = exchange_of(self); /* see field_lines() */
    }
    if (!ex)
        Py_CLEAR(list);
    return list;
}

static PyObject *request_trailers(PyObject *self, void *unused) {
    const struct cg_exchange *ex = exchange_of(self);
    if (!ex)
        return NULL;
    if (ex->request.framing != CG_FRAMING_CHUNKED)
        return PyList_New(0);
    return field_lines(cg_buf_slice(&ex->body.chunked.trailers), upper_text);
}

static PyObject *request_body(PyObject *self, void *unused) {
    struct cg_call *call = ((const struct cg_lent *)self)->call;
    if (!exchange_of(self))
        return NULL;
    if (call->ex->body.size == 0)
        return cg_py_ref(call->state->empty_input);
    PyObject *input = cg_call_lend(call, CG_LENT_INPUT);
    Py_XINCREF(input);
    return input;
}

static PyObject *request_scheme(PyObject *self, void *unused) {
    const struct cg_exchange *ex = exchange_of(self);
    if (!ex)
        return NULL;
    return PyUnicode_FromString(ex->request.scheme == CG_SCHEME_HTTPS ? "https" : "http");
}

static PyObject *request_peer_addr(PyObject *self, void *unused) {
    const struct cg_exchange *ex = exchange_of(self);
    return ex ? address(ex->peer) : NULL;
}

static PyObject *request_remote_addr(PyObject *self, void *unused) {
    const struct cg_exchange *ex = exchange_of(self);
    return ex ? address(ex->client) : NULL;
}

static PyObject *request_number(PyObject *self, void *unused) {
    const struct cg_exchange *ex = exchange_of(self);
    return ex ? PyLong_FromUnsignedLong(ex->number) : NULL;
}

static PyObject *request_proxy_info(PyObject *self, void *unused) {
    const struct cg_exchange *ex = exchange_of(self);
    if (!ex)
        return NULL;
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

static PyObject *request_socket(PyObject *self, void *unused) {
    if (!exchange_of(self))
        return NULL;
    PyObject *socket = cg_call_lend(((const struct cg_lent *)self)->call, CG_LENT_CLIENT_SOCKET);
    Py_XINCREF(socket);
    return socket;
}

static PyObject *request_keep_alive(PyObject *self, void *unused) {
    const struct cg_exchange *ex = exchange_of(self);
    return ex ? PyBool_FromLong(ex->request.keep_alive) : NULL;
}

/* The response's attributes */

static PyObject *response_status(PyObject *self, void *unused) {
    const struct cg_exchange *ex = exchange_of(self);
    if (!ex)
        return NULL;
    if (!ex->response.started)
        Py_RETURN_NONE;
    return cg_text_new(cg_buf_slice(&ex->response.status_line_rest));
}

static PyObject *response_status_code(PyObject *self, void *unused) {
    const struct cg_exchange *ex = exchange_of(self);
    if (!ex)
        return NULL;
    if (!ex->response.started)
        Py_RETURN_NONE;
    return PyLong_FromLong(ex->response.status);
}

static PyObject *response_headers(PyObject *self, void *unused) {
    const struct cg_exchange *ex = exchange_of(self);
    return ex ? field_lines(cg_buf_slice(&ex->response.fields), cg_text_new) : NULL;
}

static PyObject *response_sent(PyObject *self, void *unused) {
    const struct cg_exchange *ex = exchange_of(self);
    return ex ? PyLong_FromUnsignedLongLong(ex->response.body_bytes) : NULL;
}

static PyObject *response_length(PyObject *self, void *unused) {
    const struct cg_exchange *ex = exchange_of(self);
    if (!ex)
        return NULL;
    const struct cg_response *r = &ex->response;
    if (!r->has_length && !(r->head_sent && r->framing == CG_RESPONSE_LENGTH))
        Py_RETURN_NONE;
    return PyLong_FromUnsignedLongLong(r->length);
}

static PyObject *response_headers_sent(PyObject *self, void *unused) {
    const struct cg_exchange *ex = exchange_of(self);
    return ex ? PyBool_FromLong(ex->response.head_sent) : NULL;
}

static PyObject *response_chunked(PyObject *self, void *unused) {
    const struct cg_exchange *ex = exchange_of(self);
    if (!ex)
        return NULL;
    const struct cg_response *r = &ex->response;
    return PyBool_FromLong(r->head_sent && r->framing == CG_RESPONSE_CHUNKED);
}

static PyObject *response_keep_alive(PyObject *self, void *unused) {
    const struct cg_exchange *ex = exchange_of(self);
    return ex ? PyBool_FromLong(ex->response.head_sent && ex->response.keep_alive) : NULL;
}

/* The types */

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
    static PyGetSetDef getters[] = {
        {"method", request_method, NULL, NULL, NULL},
        {"uri", request_uri, NULL, NULL, NULL},
        {"path", request_path, NULL, NULL, NULL},
        {"query", request_query, NULL, NULL, NULL},
        {"fragment", request_fragment, NULL, NULL, NULL},
        {"version", request_version, NULL, NULL, NULL},
        {"headers", request_headers, NULL, NULL, NULL},
        {"trailers", request_trailers, NULL, NULL, NULL},
        {"body", request_body, NULL, NULL, NULL},
        {"scheme", request_scheme, NULL, NULL, NULL},
        {"peer_addr", request_peer_addr, NULL, NULL, NULL},
        {"remote_addr", request_remote_addr, NULL, NULL, NULL},
        {"req_number", request_number, NULL, NULL, NULL},
        {"proxy_protocol_info", request_proxy_info, NULL, NULL, NULL},
        {"socket", request_socket, NULL, NULL, NULL},
        {"keep_alive", request_keep_alive, NULL, NULL, NULL},
        {0},
    };
    return type_new(module, "cgunicorn._cgunicorn.RequestView", getters);
}

PyObject *cg_response_view_type_new(PyObject *module) {
    static PyGetSetDef getters[] = {
        {"status", response_status, NULL, NULL, NULL},
        {"status_code", response_status_code, NULL, NULL, NULL},
        {"headers", response_headers, NULL, NULL, NULL},
        {"sent", response_sent, NULL, NULL, NULL},
        {"response_length", response_length, NULL, NULL, NULL},
        {"headers_sent", response_headers_sent, NULL, NULL, NULL},
        {"chunked", response_chunked, NULL, NULL, NULL},
        {"keep_alive", response_keep_alive, NULL, NULL, NULL},
        {0},
    };
    return type_new(module, "cgunicorn._cgunicorn.ResponseView", getters);
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
    if (Py_REFCNT(*message) > 1) {
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
