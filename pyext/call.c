/* SPDX-License-Identifier: MIT
 *
 * Records of application calls and the lending of objects. Owns nothing itself: records belong to
 * whoever took them, spare ones to the list given.
 */
#include "pyext/call.h"

struct cg_call *cg_call_take(struct cg_call **spare, struct cg_state *state,
                             struct cg_exchange *ex) {
    struct cg_call *call = *spare;
    if (call) {
        *spare = call->next_spare;
    } else {
        call = PyMem_Calloc(1, sizeof(*call));
        if (!call) {
            PyErr_NoMemory();
            return NULL;
        }
    }
    call->next_spare = NULL;
    call->state = state;
    call->ex = ex;
    call->at = 0;
    cg_turn_begin(&call->turn);
    return call;
}

static void point(struct cg_lent *lent, struct cg_call *call) {
    Py_BEGIN_CRITICAL_SECTION(lent);
    lent->call = call;
    Py_END_CRITICAL_SECTION();
}

/* From here on nothing that was lent leads to the call. What others are lent by, which are the
 * views, comes first. */
static void cut_off(struct cg_call *call) {
    for (int kind = CG_LENT_N - 1; kind >= 0; kind--)
        if (call->lent[kind])
            point(call->lent[kind], NULL);
}

/* An object that only the record still holds is used again; one that the application kept is left
 * to it. */
static void leave_kept(struct cg_call *call) {
    for (int kind = 0; kind < CG_LENT_N; kind++)
        if (call->lent[kind] && !cg_py_is_unique((PyObject *)call->lent[kind]))
            Py_CLEAR(call->lent[kind]);
}

void cg_call_give_back(struct cg_call **spare, struct cg_call *call) {
    cut_off(call);
    if (call->lent[CG_LENT_CLIENT_SOCKET])
        cg_client_socket_close(call->lent[CG_LENT_CLIENT_SOCKET], call->ex->fd);
    leave_kept(call);
    call->ex = NULL;
    call->next_spare = *spare;
    *spare = call;
}

void cg_call_free_spare(struct cg_call **spare) {
    while (*spare) {
        struct cg_call *call = *spare;
        *spare = call->next_spare;
        for (int kind = 0; kind < CG_LENT_N; kind++)
            Py_CLEAR(call->lent[kind]);
        PyMem_Free(call);
    }
}

static PyObject *make(struct cg_state *state, enum cg_lent_kind kind) {
    switch (kind) {
    case CG_LENT_INPUT:
        return cg_input_new(state);
    case CG_LENT_START_RESPONSE:
        return cg_callable_new(state, "start_response", cg_start_response);
    case CG_LENT_WRITE:
        return cg_callable_new(state, "write", cg_write);
    case CG_LENT_EARLY_HINTS:
        return cg_callable_new(state, "early_hints", cg_early_hints);
    case CG_LENT_CLIENT_GONE:
        return cg_callable_new(state, "client_disconnected", cg_client_gone);
    case CG_LENT_CLIENT_SOCKET:
        return cg_client_socket_new(state);
    case CG_LENT_REQUEST_VIEW:
        return cg_request_view_new(state);
    case CG_LENT_RESPONSE_VIEW:
        return cg_response_view_new(state);
    case CG_LENT_N:
        break;
    }
    Py_UNREACHABLE();
}

PyObject *cg_call_lend(struct cg_call *call, enum cg_lent_kind kind) {
    cg_py_lock_take(&call->lock);
    if (!call->lent[kind])
        call->lent[kind] = (struct cg_lent *)make(call->state, kind);
    struct cg_lent *lent = call->lent[kind];
    if (lent)
        point(lent, call);
    cg_py_lock_give(&call->lock);
    return (PyObject *)lent;
}

void cg_lent_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}
