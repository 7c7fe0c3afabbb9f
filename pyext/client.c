/* SPDX-License-Identifier: MIT
 *
 * What the application may do with its client beside answering: send early hints, and ask whether
 * the client is still there. No state.
 */
#include "pyext/call.h"
#include "pyext/headers.h"

#include <errno.h>

static int inform(struct cg_exchange *ex, PyObject *pairs) {
    /* A response of its own checks and collects the fields; it is never sent as one. */
    struct cg_response hints;
    cg_response_init(&hints);
    enum cg_response_error error = cg_response_start(&hints, CG_SLICE("200 OK"));
    int rc = error ? cg_headers_refuse(error, "status", Py_None) : cg_headers_add(&hints, pairs);
    if (rc == 0 && hints.fields.len > 0 && !ex->response.head_sent &&
        cg_exchange_inform(ex, 103, cg_buf_slice(&hints.fields)) == -ENOMEM) {
        PyErr_NoMemory();
        rc = -1;
    }
    cg_response_done(&hints);
    return rc;
}

/* Hints are no promise: too late, or to a client that is gone, they are not sent. */
PyObject *cg_early_hints(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames) {
    struct cg_call *call = cg_callable_call(self);
    if (!call || cg_callable_check_args(self, nargsf, kwnames, 1, 1) < 0)
        return NULL;
    PyObject *pairs = cg_headers_pairs(args[0]);
    if (!pairs)
        return NULL;
    int rc = inform(call->ex, pairs);
    Py_DECREF(pairs);
    if (rc < 0)
        return NULL;
    Py_RETURN_NONE;
}

PyObject *cg_client_gone(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames) {
    struct cg_call *call = cg_callable_call(self);
    if (!call || cg_callable_check_args(self, nargsf, kwnames, 0, 0) < 0)
        return NULL;
    return PyBool_FromLong(cg_exchange_client_gone(call->ex));
}
