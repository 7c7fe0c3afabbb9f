/* SPDX-License-Identifier: MIT
 *
 * start_response() and the write() that it returns (PEP 3333, "The start_response() Callable"). All
 * state is the exchange's.
 */
#include "pyext/call.h"
#include "pyext/headers.h"
#include "pyext/text.h"

#include <errno.h>

/* Raises the exception of sys.exc_info() again: the head is out and cannot be replaced. */
static void raise_again(PyObject *exc_info) {
    PyObject *value = PyTuple_GET_ITEM(exc_info, 1), *traceback = PyTuple_GET_ITEM(exc_info, 2);
    if (PyException_SetTraceback(value, traceback) == 0)
        PyErr_SetObject((PyObject *)Py_TYPE(value), value);
}

/* May a head be given now? exc_info is NULL when there is none. 0 or -1. */
static int check_order(const struct cg_response *r, PyObject *exc_info) {
    if (!exc_info) {
        if (!r->started)
            return 0;
        PyErr_SetString(PyExc_AssertionError,
                        "start_response() was called a second time without exc_info");
        return -1;
    }
    if (!PyTuple_Check(exc_info) || PyTuple_GET_SIZE(exc_info) != 3 ||
        !PyExceptionInstance_Check(PyTuple_GET_ITEM(exc_info, 1))) {
        PyErr_Format(PyExc_TypeError, "exc_info must be what sys.exc_info() returns, not %R",
                     exc_info);
        return -1;
    }
    if (!r->head_sent)
        return 0;
    raise_again(exc_info);
    return -1;
}

static int give_head(struct cg_response *r, PyObject *status_text, PyObject *pairs) {
    struct cg_slice status;
    if (cg_text_slice(status_text, "status", &status) < 0)
        return -1;
    enum cg_response_error error = cg_response_start(r, status);
    if (error)
        return cg_headers_refuse(error, "status", status_text);
    return cg_headers_add(r, pairs);
}

/* Half a head must not get out, whatever the application makes of the exception. */
static int set_head(struct cg_response *r, PyObject *status_text, PyObject *headers,
                    PyObject *exc_info) {
    PyObject *pairs = cg_headers_pairs(headers);
    if (!pairs)
        return -1;
    int rc = check_order(r, exc_info);
    if (rc == 0) {
        rc = give_head(r, status_text, pairs);
        if (rc < 0)
            cg_response_reset(r);
    }
    Py_DECREF(pairs);
    return rc;
}

/* exc_info is the one argument that middleware is seen to give by name. */
static bool is_by_name(const struct cg_state *state, Py_ssize_t n, PyObject *kwnames) {
    return n == 2 && kwnames && PyTuple_GET_SIZE(kwnames) == 1 &&
           PyUnicode_Compare(PyTuple_GET_ITEM(kwnames, 0), state->name[CG_NAME_EXC_INFO]) == 0;
}

PyObject *cg_start_response(PyObject *self, PyObject *const *args, size_t nargsf,
                            PyObject *kwnames) {
    struct cg_call *call = cg_callable_call(self);
    if (!call)
        return NULL;
    Py_ssize_t n = PyVectorcall_NARGS(nargsf);
    bool by_name = is_by_name(call->state, n, kwnames);
    if (cg_callable_check_args(self, nargsf, by_name ? NULL : kwnames, 2, 3) < 0)
        return NULL;
    /* A value given by name lies behind the positional ones. */
    PyObject *exc_info = n == 3 || by_name ? args[2] : Py_None;
    if (exc_info == Py_None)
        exc_info = NULL;
    if (set_head(&call->ex->response, args[0], args[1], exc_info) < 0)
        return NULL;
    PyObject *write = cg_call_lend(call, CG_LENT_WRITE);
    Py_XINCREF(write);
    return write;
}

/* The client is gone: an error of its own, so that it can be told from the application's. */
static void raise_disconnected(const struct cg_state *state, int error) {
    PyObject *e = PyObject_CallFunction(state->client_disconnected, "is", error, strerror(error));
    if (!e)
        return;
    PyErr_SetObject(state->client_disconnected, e);
    Py_DECREF(e);
}

PyObject *cg_write(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames) {
    struct cg_call *call = cg_callable_call(self);
    if (!call || cg_callable_check_args(self, nargsf, kwnames, 1, 1) < 0)
        return NULL;
    PyObject *data = args[0];
    if (!PyBytes_Check(data)) {
        PyErr_Format(PyExc_TypeError, "write() takes bytes, not %.100s", Py_TYPE(data)->tp_name);
        return NULL;
    }
    if (!call->ex->response
             .started) { /* a start_response() after the one that gave write() failed */
        PyErr_SetString(PyExc_AssertionError, "write() was called before start_response()");
        return NULL;
    }
    struct cg_slice bytes = {PyBytes_AS_STRING(data), (size_t)PyBytes_GET_SIZE(data)};
    int rc = cg_exchange_push(call->ex, bytes);
    if (rc == -ENOMEM)
        return PyErr_NoMemory();
    if (rc < 0) {
        raise_disconnected(call->state, -rc);
        return NULL;
    }
    Py_RETURN_NONE;
}
