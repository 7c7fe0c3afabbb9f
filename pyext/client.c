/* SPDX-License-Identifier: MIT
 *
 * What the application may do with its client beside answering: send early hints, and ask whether
 * the client is still there. No state.
 */
#include "pyext/call.h"
#include "pyext/headers.h"

#include "workers/io_socket.h"

#include <errno.h>

static int inform(PyObject *self, PyObject *pairs) {
    struct cg_response hints;
    struct cg_complaint complaint;
    cg_response_init(&hints);
    int rc = cg_headers_hint(&hints, pairs, &complaint);
    if (rc < 0)
        cg_headers_complain(&complaint);
    struct cg_call *call = rc == 0 ? cg_callable_take(self) : NULL;
    if (call) {
        if (hints.fields.len > 0 && !call->ex->response.head_sent)
            rc = cg_exchange_inform(call->ex, 103, cg_buf_slice(&hints.fields));
        cg_turn_release(&call->turn);
        if (rc == -ENOMEM)
            PyErr_NoMemory();
    }
    cg_response_done(&hints);
    return PyErr_Occurred() ? -1 : 0;
}

/* Hints are no promise: too late, or to a client that is gone, they are not sent. */
PyObject *cg_early_hints(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames) {
    static const struct cg_parameters one = {"headers", 1, 1, {"headers"}};
    PyObject *headers;
    if (cg_callable_parse(self, args, nargsf, kwnames, &one, &headers) < 0)
        return NULL;
    PyObject *pairs = cg_headers_pairs(headers);
    if (!pairs)
        return NULL;
    int rc = inform(self, pairs);
    Py_DECREF(pairs);
    if (rc < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* While the connection is somebody else's, its socket can be asked: that stays as long as the call.
 */
static bool is_gone(struct cg_call *call) {
    if (!cg_turn_try(&call->turn))
        return cg_socket_gone(call->ex->fd, true);
    bool gone = cg_exchange_client_gone(call->ex);
    cg_turn_release(&call->turn);
    return gone;
}

PyObject *cg_client_gone(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames) {
    static const struct cg_parameters none = {.text = ""};
    if (cg_callable_parse(self, args, nargsf, kwnames, &none, NULL) < 0)
        return NULL;
    struct cg_call *call;
    bool gone = false;
    Py_BEGIN_CRITICAL_SECTION(self);
    call = ((const struct cg_lent *)self)->call;
    if (call)
        gone = is_gone(call);
    Py_END_CRITICAL_SECTION();
    if (call)
        return PyBool_FromLong(gone);
    cg_callable_refuse(self);
    return NULL;
}
