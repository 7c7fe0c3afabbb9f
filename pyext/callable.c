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

/* Why there is no turn: who waited for it may find that the call has ended meanwhile. */
static const char *why_not(struct cg_call *call) {
    if (!call)
        return "after the end of its request";
    return cg_turn_is_over(&call->turn) ? "after the end of its response"
                                        : "by the server's own thread, outside of the application";
}

static void refuse(PyObject *self, const char *why) {
    PyErr_Format(PyExc_RuntimeError, "%s() was called %s", ((const struct callable *)self)->name,
                 why);
}

void cg_callable_refuse(PyObject *self) {
    refuse(self, why_not(NULL));
}

struct cg_call *cg_callable_take(PyObject *self) {
    const struct cg_lent *lent = (const struct cg_lent *)self;
    struct cg_call *call;
    const char *why = NULL;
    Py_BEGIN_CRITICAL_SECTION(self);
    call = lent->call;
    if (!call || !cg_turn_ask(&call->turn))
        why = why_not(lent->call);
    Py_END_CRITICAL_SECTION();
    if (!why)
        return call;
    refuse(self, why);
    return NULL;
}

/* Which parameter has this name; -1: none. */
static Py_ssize_t find(const struct cg_parameters *parameters, PyObject *name) {
    for (Py_ssize_t i = 0; i < parameters->max; i++)
        if (PyUnicode_CompareWithASCIIString(name, parameters->names[i]) == 0)
            return i;
    return -1;
}

/* Values given by name lie behind the n positional ones. False when one of them has no place. */
static bool take_named(PyObject *const *args, Py_ssize_t n, PyObject *kwnames,
                       const struct cg_parameters *parameters, PyObject **values) {
    for (Py_ssize_t i = 0; kwnames && i < PyTuple_GET_SIZE(kwnames); i++) {
        Py_ssize_t at = find(parameters, PyTuple_GET_ITEM(kwnames, i));
        if (at < 0 || values[at])
            return false;
        values[at] = args[n + i];
    }
    return true;
}

static int refuse_args(PyObject *self, const struct cg_parameters *parameters) {
    const char *name = ((const struct callable *)self)->name;
    PyErr_Format(PyExc_TypeError, "%s() takes (%s)", name, parameters->text);
    return -1;
}

int cg_callable_parse(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames,
                      const struct cg_parameters *parameters, PyObject **ret_values) {
    Py_ssize_t n = PyVectorcall_NARGS(nargsf);
    if (n > parameters->max)
        return refuse_args(self, parameters);
    for (Py_ssize_t i = 0; i < parameters->max; i++)
        ret_values[i] = i < n ? args[i] : NULL;
    if (!take_named(args, n, kwnames, parameters, ret_values))
        return refuse_args(self, parameters);
    for (Py_ssize_t i = 0; i < parameters->min; i++)
        if (!ret_values[i])
            return refuse_args(self, parameters);
    return 0;
}

static PyObject *callable_repr(PyObject *self) {
    return PyUnicode_FromFormat("<cgunicorn %s at %p>", ((const struct callable *)self)->name,
                                (void *)self);
}

PyObject *cg_callable_type_new(PyObject *module) {
    static PyMemberDef members[] = {
        {"__vectorcalloffset__", T_PYSSIZET, offsetof(struct callable, function), READONLY, NULL},
        {"__name__", T_STRING, offsetof(struct callable, name), READONLY, NULL},
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
