/* SPDX-License-Identifier: MIT
 *
 * Checks of types only: what may stand in a head is server/http/response.c's to say. No state.
 */
#include "pyext/headers.h"

#include "pyext/text.h"

int cg_headers_refuse(enum cg_response_error error, const char *what, PyObject *about) {
    if (error == CG_RESPONSE_NO_MEMORY)
        PyErr_NoMemory();
    else
        PyErr_Format(PyExc_ValueError, "the application %s: %s %R", cg_response_error_text(error),
                     what, about);
    return -1;
}

static int add_pair(struct cg_response *r, PyObject *pair) {
    if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
        PyErr_Format(PyExc_TypeError, "a header must be a tuple (name, value), not %R", pair);
        return -1;
    }
    PyObject *name_text = PyTuple_GET_ITEM(pair, 0), *value_text = PyTuple_GET_ITEM(pair, 1);
    struct cg_slice name, value;
    if (cg_text_slice(name_text, "header name", &name) < 0)
        return -1;
    if (!PyUnicode_Check(value_text)) {
        PyErr_Format(PyExc_TypeError, "the value of header %R must be a str, not %.100s", name_text,
                     Py_TYPE(value_text)->tp_name);
        return -1;
    }
    if (cg_text_slice(value_text, "header value", &value) < 0) {
        if (PyErr_ExceptionMatches(PyExc_ValueError))
            PyErr_Format(PyExc_ValueError,
                         "the value of header %R has characters that are not in latin-1",
                         name_text);
        return -1;
    }
    enum cg_response_error error = cg_response_add_field(r, name, value);
    return error ? cg_headers_refuse(error, "header", name_text) : 0;
}

PyObject *cg_headers_pairs(PyObject *headers) {
    return PySequence_Fast(headers, "headers must be a list of (name, value) tuples");
}

int cg_headers_add(struct cg_response *r, PyObject *pairs) {
    int rc = 0;
    for (Py_ssize_t i = 0; rc == 0 && i < PySequence_Fast_GET_SIZE(pairs); i++)
        rc = add_pair(r, PySequence_Fast_GET_ITEM(pairs, i));
    enum cg_response_error error = rc == 0 ? cg_response_check_fields(r) : CG_RESPONSE_OK;
    if (error) {
        PyErr_Format(PyExc_ValueError,
                     "the application %s: header 'Upgrade' without 'Connection: upgrade'",
                     cg_response_error_text(error));
        rc = -1;
    }
    return rc;
}
