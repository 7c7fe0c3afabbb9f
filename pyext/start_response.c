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

/* What sys.exc_info() returns, also where nothing is being handled. 1, 0 when there is none, or -1.
 */
static int has_exc_info(PyObject *exc_info) {
    int given = exc_info ? PyObject_IsTrue(exc_info) : 0;
    if (given <= 0)
        return given;
    if (PyTuple_Check(exc_info) && PyTuple_GET_SIZE(exc_info) == 3 &&
        (PyTuple_GET_ITEM(exc_info, 1) == Py_None ||
         PyExceptionInstance_Check(PyTuple_GET_ITEM(exc_info, 1))))
        return 1;
    PyErr_Format(PyExc_TypeError, "exc_info must be what sys.exc_info() returns, not %R", exc_info);
    return -1;
}

/* May a head be given now? exc_info is NULL when there is none. 0 or -1. */
static int check_order(const struct cg_response *r, PyObject *exc_info) {
    if (!r->started || (exc_info && !r->head_sent))
        return 0;
    if (exc_info && PyTuple_GET_ITEM(exc_info, 1) != Py_None)
        raise_again(exc_info);
    else
        PyErr_SetString(PyExc_AssertionError,
                        exc_info ? "start_response() was called when the head had left"
                                 : "start_response() was called a second time without exc_info");
    return -1;
}

/* A new reference to write(), or NULL. */
static PyObject *set_head(PyObject *self, PyObject *status, PyObject *pairs, PyObject *exc_info) {
    struct cg_call *call = cg_callable_take(self);
    if (!call)
        return NULL;
    struct cg_complaint complaint = {.type = NULL};
    PyObject *write = NULL;
    if (check_order(&call->ex->response, exc_info) == 0)
        write = cg_call_lend(call, CG_LENT_WRITE);
    Py_XINCREF(write);
    if (write && cg_headers_give(&call->ex->response, status, pairs, &complaint) < 0)
        Py_CLEAR(write);
    cg_turn_release(&call->turn);
    if (complaint.type)
        cg_headers_complain(&complaint);
    return write;
}

/* What runs code of the application's, that of lazy headers above all, comes first: the request may
 * be over behind it. */
PyObject *cg_start_response(PyObject *self, PyObject *const *args, size_t nargsf,
                            PyObject *kwnames) {
    static const struct cg_parameters parameters = {
        "status, headers, exc_info=None", 2, 3, {"status", "headers", "exc_info"}};
    PyObject *values[3];
    if (cg_callable_parse(self, args, nargsf, kwnames, &parameters, values) < 0)
        return NULL;
    int replaces = has_exc_info(values[2]);
    PyObject *pairs = replaces < 0 ? NULL : cg_headers_pairs(values[1]);
    if (!pairs)
        return NULL;
    PyObject *write = set_head(self, values[0], pairs, replaces ? values[2] : NULL);
    Py_DECREF(pairs);
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

/* What write() returns: None, or NULL with an exception. */
static PyObject *answer_push(const struct cg_state *state, int rc) {
    switch (rc) {
    case 0:
        Py_RETURN_NONE;
    case -ENOMEM:
        return PyErr_NoMemory();
    case -EINVAL: /* a start_response() after the one that gave write() failed */
        PyErr_SetString(PyExc_AssertionError, "write() was called before start_response()");
        return NULL;
    case -ESHUTDOWN:
        PyErr_SetString(PyExc_RuntimeError, "write() was called after the end of the body");
        return NULL;
    default:
        raise_disconnected(state, -rc);
        return NULL;
    }
}

PyObject *cg_write(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames) {
    static const struct cg_parameters parameters = {"data", 1, 1, {"data"}};
    PyObject *data;
    if (cg_callable_parse(self, args, nargsf, kwnames, &parameters, &data) < 0)
        return NULL;
    if (!PyBytes_Check(data)) {
        PyErr_Format(PyExc_TypeError, "write() takes bytes, not %.100s", Py_TYPE(data)->tp_name);
        return NULL;
    }
    struct cg_call *call = cg_callable_take(self);
    if (!call)
        return NULL;
    const struct cg_state *state = call->state;
    struct cg_slice bytes = {PyBytes_AS_STRING(data), (size_t)PyBytes_GET_SIZE(data)};
    int rc = cg_exchange_push(call->ex, bytes);
    cg_turn_release(&call->turn);
    return answer_push(state, rc);
}
