/* SPDX-License-Identifier: MIT
 *
 * Settings: a configuration's dict to a struct and back to nothing. The table settings.def drives
 * it; what the values mean and whether they are in range was checked by
 * pyext/cgunicorn/settings/. No state.
 */
#include "pyext/settings.h"

enum type { TYPE_int, TYPE_bool, TYPE_str, TYPE_list };

static const struct row {
    const char *name;
    const char *type_name;
    enum type type;
    size_t offset;
} rows[] = {
#define CG_SETTING(type, name) {#name, #type, TYPE_##type, offsetof(struct cg_settings, name)},
#include "server/settings/settings.def"
#undef CG_SETTING
};

enum { ROWS_N = sizeof(rows) / sizeof(rows[0]) };

/* All settings that the arbiter and the workers of this extension see are made here. */
struct settings {
    struct cg_settings c;    /* first: what is handed out */
    PyObject *config;        /* strong */
    struct settings *before; /* owned: without config, what c was until it followed, or NULL */
};

/* A C string of one's own, in the file system's encoding, since most of them are paths. */
static char *copy_text(PyObject *text) {
    PyObject *bytes = NULL;
    if (!PyUnicode_FSConverter(text, &bytes)) /* refuses embedded NULs */
        return NULL;
    size_t size = (size_t)PyBytes_GET_SIZE(bytes) + 1;
    char *copy = PyMem_Malloc(size);
    if (copy)
        memcpy(copy, PyBytes_AS_STRING(bytes), size);
    else
        PyErr_NoMemory();
    Py_DECREF(bytes);
    return copy;
}

static void free_list(char **list) {
    for (char **at = list; at && *at; at++)
        PyMem_Free(*at);
    PyMem_Free(list);
}

/* NULL-terminated. */
static char **copy_list(PyObject *values) {
    Py_ssize_t n = PyList_GET_SIZE(values);
    char **list = PyMem_Calloc((size_t)n + 1, sizeof(*list));
    if (!list) {
        PyErr_NoMemory();
        return NULL;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *item = PyList_GET_ITEM(values, i);
        if (PyUnicode_Check(item))
            list[i] = copy_text(item);
        else
            PyErr_SetString(PyExc_TypeError, "expected a list of str");
        if (!list[i]) {
            free_list(list);
            return NULL;
        }
    }
    return list;
}

static bool has_type(PyObject *value, enum type type) {
    switch (type) {
    case TYPE_int:
        return PyLong_Check(value) && !PyBool_Check(value);
    case TYPE_bool:
        return PyBool_Check(value);
    case TYPE_str:
        return value == Py_None || PyUnicode_Check(value);
    case TYPE_list:
        return PyList_Check(value);
    }
    Py_UNREACHABLE();
}

/* Copies a value of the right type into its member. 0 or -1 with an exception. */
static int copy_value(PyObject *value, enum type type, void *member) {
    switch (type) {
    case TYPE_int:
        *(int64_t *)member = PyLong_AsLongLong(value);
        return PyErr_Occurred() ? -1 : 0;
    case TYPE_bool:
        *(bool *)member = value == Py_True;
        return 0;
    case TYPE_str:
        if (value == Py_None)
            return 0;
        *(const char **)member = copy_text(value);
        return *(const char **)member ? 0 : -1;
    case TYPE_list:
        *(char ***)member = copy_list(value);
        return *(char ***)member ? 0 : -1;
    }
    Py_UNREACHABLE();
}

static int copy_row(PyObject *values, const struct row *row, struct cg_settings *settings) {
    PyObject *value = PyDict_GetItemString(values, row->name); /* borrowed */
    if (!value) {
        PyErr_Format(PyExc_ValueError, "setting '%s' is missing", row->name);
        return -1;
    }
    if (!has_type(value, row->type)) {
        PyErr_Format(PyExc_ValueError, "setting '%s' must be of type %s, not %.100s", row->name,
                     row->type_name, Py_TYPE(value)->tp_name);
        return -1;
    }
    if (copy_value(value, row->type, (char *)settings + row->offset) == 0)
        return 0;
    if (!PyErr_ExceptionMatches(PyExc_MemoryError))
        PyErr_Format(PyExc_ValueError, "setting '%s' cannot be used: %R", row->name, value);
    return -1;
}

static int copy_rows(PyObject *values, struct cg_settings *settings) {
    if (!PyDict_Check(values)) {
        PyErr_Format(PyExc_ValueError, "for_c() returned %.100s, not a dict",
                     Py_TYPE(values)->tp_name);
        return -1;
    }
    for (size_t i = 0; i < ROWS_N; i++)
        if (copy_row(values, &rows[i], settings) < 0)
            return -1;
    return 0;
}

/* Frees what the members own. */
static void free_members(struct cg_settings *settings) {
    for (size_t i = 0; i < ROWS_N; i++) {
        void *member = (char *)settings + rows[i].offset;
        if (rows[i].type == TYPE_str)
            PyMem_Free(*(char **)member);
        else if (rows[i].type == TYPE_list)
            free_list(*(char ***)member);
    }
}

/* Takes values, which may be NULL with an exception. NULL with an exception. */
static struct settings *new_settings(PyObject *values) {
    struct settings *made = values ? PyMem_Calloc(1, sizeof(*made)) : NULL;
    if (values && !made)
        PyErr_NoMemory();
    if (made && copy_rows(values, &made->c) < 0) {
        cg_settings_free(&made->c);
        made = NULL;
    }
    Py_XDECREF(values);
    return made;
}

struct cg_settings *cg_settings_new(PyObject *config) {
    struct settings *made = new_settings(PyObject_CallMethod(config, "for_c", NULL));
    if (!made)
        return NULL;
    made->config = cg_py_ref(config);
    return &made->c;
}

void cg_settings_free(struct cg_settings *settings) {
    for (struct settings *at = (struct settings *)settings, *before; at; at = before) {
        before = at->before;
        free_members(&at->c);
        Py_XDECREF(at->config);
        PyMem_Free(at);
    }
}

int cg_settings_follow(const struct cg_settings *settings) {
    struct settings *now = (struct settings *)settings; /* made here, and not const */
    PyObject *values = PyObject_CallMethod(now->config, "changes_for_c", NULL);
    if (values == Py_None) {
        Py_DECREF(values);
        return 0;
    }
    struct settings *made = new_settings(values);
    if (!made)
        return -1;
    struct cg_settings changed = made->c;
    made->c = now->c;
    made->before = now->before;
    now->c = changed;
    now->before = made;
    return 0;
}

PyObject *cg_settings_config(const struct cg_settings *settings) {
    return ((const struct settings *)settings)->config;
}

PyObject *cg_settings_fields(void) {
    PyObject *fields = PyTuple_New(ROWS_N);
    for (Py_ssize_t i = 0; fields && i < ROWS_N; i++) {
        PyObject *field = Py_BuildValue("(ss)", rows[i].name, rows[i].type_name);
        if (field)
            PyTuple_SET_ITEM(fields, i, field);
        else
            Py_CLEAR(fields);
    }
    return fields;
}
