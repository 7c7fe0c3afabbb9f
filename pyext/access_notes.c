/* SPDX-License-Identifier: MIT
 *
 * The functions of access_notes.h. No state but the struct.
 */
#include "pyext/access_notes.h"

#include "pyext/text.h"

#include "server/base/log.h"
#include "server/http/access.h"
#include "server/http/access_note.h"

/* Keys of an environ are ASCII; a name that is not finds nothing. */
static void add_name(void *ctx, struct cg_slice name) {
    PyObject *names = ctx;
    PyObject *text = PyErr_Occurred() ? NULL : cg_text_new(name);
    PyObject *upper = text ? PyObject_CallMethod(text, "upper", NULL) : NULL;
    if (upper) {
        PyUnicode_InternInPlace(&text);
        PyUnicode_InternInPlace(&upper);
        if (PyList_Append(names, text) == 0)
            PyList_Append(names, upper);
    }
    Py_XDECREF(upper);
    Py_XDECREF(text);
}

int cg_access_notes_init(struct cg_access_notes *n, const struct cg_settings *settings) {
    if (!cg_log_access_enabled())
        return 0;
    n->names = PyList_New(0);
    if (n->names && cg_access_each_key(settings->access_log_format, add_name, n->names) < 0)
        PyErr_NoMemory();
    return PyErr_Occurred() ? -1 : 0;
}

void cg_access_notes_done(struct cg_access_notes *n) {
    Py_CLEAR(n->names);
}

/* A new reference, or NULL, also with an exception. */
static PyObject *find(PyObject *env, PyObject *names, Py_ssize_t n) {
    PyObject *value = NULL;
    for (Py_ssize_t i = 2 * n; !value && i < 2 * n + 2 && !PyErr_Occurred(); i++)
        value = cg_py_get(env, PyList_GET_ITEM(names, i));
    PyObject *text = value ? PyObject_Str(value) : NULL;
    Py_XDECREF(value);
    return text;
}

/* Latin-1 as it is, which is what WSGI's strings are; anything else as UTF-8. Borrowed; without
 * text when there is none. */
static struct cg_slice text_of(PyObject *text) {
    if (PyUnicode_KIND(text) == PyUnicode_1BYTE_KIND)
        return cg_slice_of((const char *)PyUnicode_1BYTE_DATA(text),
                           (size_t)PyUnicode_GET_LENGTH(text));
    Py_ssize_t len = 0;
    const char *at = PyUnicode_AsUTF8AndSize(text, &len);
    return cg_slice_of(at, (size_t)len);
}

void cg_access_notes_take(const struct cg_access_notes *n, PyObject *env, struct cg_exchange *ex) {
    int rc = 0;
    for (Py_ssize_t i = 0; rc == 0 && 2 * i < PyList_GET_SIZE(n->names); i++) {
        PyObject *text = find(env, n->names, i);
        rc = cg_access_note(ex, text ? text_of(text) : cg_slice_of(NULL, 0));
        Py_XDECREF(text);
        PyErr_Clear();
    }
}
