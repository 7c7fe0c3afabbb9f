/* SPDX-License-Identifier: MIT
 *
 * A dict of texts to the struct that the arbiter reads. What the texts mean is the arbiter's. No
 * state.
 */
#include "pyext/heritage.h"

static const struct row {
    const char *name;
    bool stays;
    size_t offset;
} rows[] = {
#define CG_HERITAGE(field, name, stays) {name, stays, offsetof(struct cg_heritage_text, field)},
#include "server/arbiter/heritage.def"
#undef CG_HERITAGE
};

enum { ROWS_N = sizeof(rows) / sizeof(rows[0]) };

PyObject *cg_heritage_variables(void) {
    PyObject *all = PyTuple_New(ROWS_N);
    for (Py_ssize_t i = 0; all && i < ROWS_N; i++) {
        PyObject *pair = Py_BuildValue("(sO)", rows[i].name, rows[i].stays ? Py_True : Py_False);
        if (pair)
            PyTuple_SET_ITEM(all, i, pair);
        else
            Py_CLEAR(all);
    }
    return all;
}

/* The value as bytes, kept in the list; NULL with an exception. */
static const char *keep(PyObject *value, PyObject *list) {
    PyObject *bytes;
    if (!PyUnicode_FSConverter(value, &bytes))
        return NULL;
    int rc = PyList_Append(list, bytes);
    Py_DECREF(bytes);
    return rc < 0 ? NULL : PyBytes_AS_STRING(bytes);
}

int cg_heritage_read(PyObject *inherited, struct cg_heritage_text *ret_text, PyObject **ret_owner) {
    struct cg_heritage_text text = {0};
    PyObject *owner = PyList_New(0);
    if (!owner)
        return -1;
    for (size_t i = 0; i < ROWS_N; i++) {
        PyObject *value = PyDict_GetItemString(inherited, rows[i].name); /* borrowed */
        if (!value)
            continue;
        const char *bytes = keep(value, owner);
        if (!bytes) {
            Py_DECREF(owner);
            return -1;
        }
        *(const char **)((char *)&text + rows[i].offset) = bytes;
    }
    *ret_text = text;
    *ret_owner = owner;
    return 0;
}
