/* SPDX-License-Identifier: MIT
 *
 * The door to CPython: every file of this folder gets Python.h through here, before any other
 * header. Only public API of CPython 3.9; what is newer, or had no public name then, stands behind
 * a version guard in this file.
 */
#ifndef CG_PYEXT_PY_H
#define CG_PYEXT_PY_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <stdbool.h>

#if PY_VERSION_HEX < 0x03090000
#error "cgunicorn needs CPython 3.9 or later"
#endif

/* Flags of all our types: heap types whose attributes nobody may exchange. */
#if PY_VERSION_HEX >= 0x030A0000
#define CG_TYPE_FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE)
#else
#define CG_TYPE_FLAGS Py_TPFLAGS_DEFAULT
#endif

/* A METH_FASTCALL function where a PyCFunction is wanted. */
#define CG_METHOD(function) ((PyCFunction)(void (*)(void))(function))

/* A new reference to what the caller has a borrowed one of. */
static inline PyObject *cg_py_ref(PyObject *o) {
    Py_INCREF(o);
    return o;
}

/* Whether this thread has the interpreter lock, as far as it has a thread state of the main
 * interpreter. PyGILState_Check() says yes to all threads once there have been other interpreters,
 * and at the end of Python. */
static inline bool cg_py_has_gil(void) {
    const PyThreadState *own = PyGILState_GetThisThreadState();
#if PY_VERSION_HEX >= 0x030D0000
    return own && own == PyThreadState_GetUnchecked();
#else
    return own && own == _PyThreadState_UncheckedGet();
#endif
}

/* dict[key] = value, taking over the reference to value. A NULL value stands for an error that is
 * set already and is passed on, so that calls can be nested. 0 or -1. */
static inline int cg_py_put(PyObject *dict, PyObject *key, PyObject *value) {
    if (!value)
        return -1;
    int rc = PyDict_SetItem(dict, key, value);
    Py_DECREF(value);
    return rc;
}

#endif
