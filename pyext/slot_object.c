/* SPDX-License-Identifier: MIT
 *
 * A worker's slot of the scoreboard as a Python object: signs of life and counts, for the worker
 * objects of hooks, on both sides of the fork. It points into the scoreboard, and reads as empty
 * when the server has returned, for which the module's state has the host.
 */
#include "pyext/hooks.h"

#include "pyext/copy.h"
#include "pyext/runtime.h"

#include "server/arbiter/slot.h"
#include "server/base/clock.h"

struct slot_object {
    PyObject_HEAD struct cg_slot *slot;
};

PyObject *cg_slot_object_new(const struct cg_state *state, struct cg_slot *slot) {
    struct slot_object *o = PyObject_New(struct slot_object, (PyTypeObject *)state->slot_type);
    if (o)
        o->slot = slot;
    return (PyObject *)o;
}

/* The running server, NULL when there is none any more. */
static const struct cg_host *host_of(PyObject *self) {
    const struct cg_state *state = PyType_GetModuleState(Py_TYPE(self));
    return state->host;
}

static struct cg_slot *slot_of(PyObject *self) {
    return host_of(self) ? ((const struct slot_object *)self)->slot : NULL;
}

static PyObject *slot_requests(PyObject *self, void *unused) {
    const struct cg_host *host = host_of(self);
    uint64_t n = host ? atomic_load_explicit(&host->wsgi.requests_n, memory_order_relaxed) : 0;
    return PyLong_FromUnsignedLongLong(n);
}

static PyObject *slot_is_leaving(PyObject *self, void *unused) {
    const struct cg_slot *slot = slot_of(self);
    return PyBool_FromLong(!slot || atomic_load(&slot->state) > CG_SLOT_READY);
}

static PyObject *slot_is_timed_out(PyObject *self, void *unused) {
    const struct cg_slot *slot = slot_of(self);
    return PyBool_FromLong(slot && atomic_load(&slot->timed_out));
}

static PyObject *slot_beat(PyObject *self, PyObject *unused) {
    struct cg_slot *slot = slot_of(self);
    if (slot && !cg_is_copy())
        cg_slot_beat(slot, cg_clock_us());
    Py_RETURN_NONE;
}

static PyObject *slot_last_beat(PyObject *self, PyObject *unused) {
    const struct cg_slot *slot = slot_of(self);
    return PyFloat_FromDouble(slot ? (double)atomic_load(&slot->beat_us) / 1e6 : 0.0);
}

static void slot_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

PyObject *cg_slot_type_new(PyObject *module) {
    static PyMethodDef methods[] = {
        {"beat", slot_beat, METH_NOARGS, "beat(): a sign of life."},
        {"last_beat", slot_last_beat, METH_NOARGS,
         "last_beat() -> float: when the last one was, in seconds of time.monotonic()."},
        {0},
    };
    static PyGetSetDef getters[] = {
        {"requests", slot_requests, NULL, "Requests that this process has begun.", NULL},
        {"is_leaving", slot_is_leaving, NULL, "Whether the worker finishes its last ones.", NULL},
        {"is_timed_out", slot_is_timed_out, NULL, "Whether it leaves for a request's timeout.",
         NULL},
        {0},
    };
    static PyType_Slot slots[] = {
        {Py_tp_doc, "What the server's processes know of a worker."},
        {Py_tp_new, cg_type_refuse_new},
        {Py_tp_dealloc, slot_dealloc},
        {Py_tp_methods, methods},
        {Py_tp_getset, getters},
        {0, NULL},
    };
    static PyType_Spec spec = {
        .name = "cgunicorn._cgunicorn.Slot",
        .basicsize = sizeof(struct slot_object),
        .flags = CG_TYPE_FLAGS,
        .slots = slots,
    };
    return PyType_FromModuleAndSpec(module, &spec, NULL);
}
