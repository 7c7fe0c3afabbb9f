/* SPDX-License-Identifier: MIT
 *
 * The type of everything callable that is lent to the application: start_response, its write(),
 * wsgi.early_hints and cgunicorn.client_disconnected differ only in the C function behind them.
 */
#include "pyext/call.h"

struct callable {
    struct cg_lent lent;
    vectorcallfunc function;
    const char *name; /* static */
};

PyObject *cg_callable_new(struct cg_state *state, const char *name, vectorcallfunc function) {
    struct callable *c = PyObject_New(struct callable, (PyTypeObject *)state->callable_type);
    if (!c)
        return NULL;
    c->lent.call = NULL;
    c->function = function;
    c->name = name;
    return (PyObject *)c;
}

struct cg_call *cg_callable_call(PyObject *self) {
    const struct callable *c = (const struct callable *)self;
    if (!c->lent.call)
        PyErr_Format(PyExc_RuntimeError, "%s() was called after the end of its request", c->name);
    return c->lent.call;
}

int cg_callable_check_args(PyObject *self, size_t nargsf, PyObject *kwnames, Py_ssize_t min,
                           Py_ssize_t max) {
    Py_ssize_t n = PyVectorcall_NARGS(nargsf);
    if (n >= min && n <= max && (!kwnames || PyTuple_GET_SIZE(kwnames) == 0))
        return 0;
    const char *name = ((const struct callable *)self)->name;
    if (min == max)
        PyErr_Format(PyExc_TypeError, "%s() takes %zd positional arguments", name, min);
    else
        PyErr_Format(PyExc_TypeError, "%s() takes %zd to %zd positional arguments", name, min, max);
    return -1;
}

static PyObject *callable_repr(PyObject *self) {
    return PyUnicode_FromFormat("<cgunicorn %s at %p>", ((const struct callable *)self)->name,
                                (void *)self);
}

PyObject *cg_callable_type_new(PyObject *module) {
    static PyMemberDef members[] = {
        {"__vectorcalloffset__", T_PYSSIZET, offsetof(struct callable, function), READONLY, NULL},
        {0},
    };
    static PyType_Slot slots[] = {
        {Py_tp_doc, "A function of the server for the request that is being answered."},
        {Py_tp_new, cg_type_refuse_new},
        {Py_tp_dealloc, cg_lent_dealloc},
        {Py_tp_repr, callable_repr},
        {Py_tp_call, PyVectorcall_Call},
        {Py_tp_members, members},
        {0, NULL},
    };
    static PyType_Spec spec = {
        .name = "cgunicorn._cgunicorn.Callable",
        .basicsize = sizeof(struct callable),
        .flags = CG_TYPE_FLAGS | Py_TPFLAGS_HAVE_VECTORCALL,
        .slots = slots,
    };
    return PyType_FromModuleAndSpec(module, &spec, NULL);
}
