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

#if PY_VERSION_HEX < 0x030D0000
#define Py_BEGIN_CRITICAL_SECTION(op) {
#define Py_END_CRITICAL_SECTION() }
#endif

/* What the interpreter lock guards where there is one, and nothing has to wait long for: no code of
 * the application's runs, and no wait begins, while one of these is held. Zeroed: free. */
#ifdef Py_GIL_DISABLED
typedef PyMutex cg_py_lock;
static inline void cg_py_lock_take(cg_py_lock *lock) {
    PyMutex_Lock(lock);
}
static inline void cg_py_lock_give(cg_py_lock *lock) {
    PyMutex_Unlock(lock);
}
#else
typedef struct {
    char nothing;
} cg_py_lock;
static inline void cg_py_lock_take(cg_py_lock *lock) {
    (void)lock;
}
static inline void cg_py_lock_give(cg_py_lock *lock) {
    (void)lock;
}
#endif

/* Whether nobody but the caller has a reference; it may be said of less. */
static inline bool cg_py_is_unique(PyObject *o) {
#if PY_VERSION_HEX >= 0x030E0000
    return PyUnstable_Object_IsUniquelyReferenced(o);
#elif defined(Py_GIL_DISABLED)
    return false; /* a count is read in two parts */
#else
    return Py_REFCNT(o) == 1;
#endif
}

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

/* An item of a list or a tuple: a new reference, or NULL without an exception when there is none,
 * as another thread may shorten the list meanwhile. */
static inline PyObject *cg_py_item(PyObject *sequence, Py_ssize_t i) {
#ifdef Py_GIL_DISABLED
    if (PyList_Check(sequence)) {
        PyObject *item = PyList_GetItemRef(sequence, i);
        if (!item)
            PyErr_Clear();
        return item;
    }
#endif
    return i < PySequence_Fast_GET_SIZE(sequence) ? cg_py_ref(PySequence_Fast_GET_ITEM(sequence, i))
                                                  : NULL;
}

/* dict[key]: a new reference, or NULL, also with an exception. */
static inline PyObject *cg_py_get(PyObject *dict, PyObject *key) {
#if PY_VERSION_HEX >= 0x030D0000
    PyObject *value;
    PyDict_GetItemRef(dict, key, &value);
    return value;
#else
    PyObject *value = PyDict_GetItemWithError(dict, key);
    Py_XINCREF(value);
    return value;
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
