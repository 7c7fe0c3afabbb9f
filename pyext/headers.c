/* SPDX-License-Identifier: MIT
 *
 * Checks of types only: what may stand in a head is server/http/response.c's to say. No state.
 */
#include "pyext/headers.h"

#include "pyext/text.h"

#include <errno.h>

enum part { STATUS, NAME, VALUE };

static const struct {
    const char *no_str, *no_latin_1;
} texts[] = {
    [STATUS] = {"gave a status that is not a str", "gave a status that is not in latin-1"},
    [NAME] = {"gave a header name that is not a str", "gave a header name that is not in latin-1"},
    [VALUE] = {"gave a header value that is not a str",
               "gave a header value that is not in latin-1"},
};

static int complain(struct cg_complaint *ret, PyObject *type, const char *text, const char *part,
                    PyObject *about) {
    *ret = (struct cg_complaint){type, text, part, cg_py_ref(about)};
    return -1;
}

static int out_of_memory(struct cg_complaint *ret) {
    *ret = (struct cg_complaint){.type = PyExc_MemoryError};
    return -1;
}

static int refuse(struct cg_complaint *ret, enum cg_response_error error, const char *part,
                  PyObject *about) {
    return error == CG_RESPONSE_NO_MEMORY
               ? out_of_memory(ret)
               : complain(ret, PyExc_ValueError, cg_response_error_text(error), part, about);
}

/* rc is what came of reading that part. 0, or -1 with a complaint. */
static int judge(int rc, enum part part, PyObject *about, struct cg_complaint *ret) {
    if (rc == 0)
        return 0;
    if (rc == -ENOMEM)
        return out_of_memory(ret);
    return complain(ret, rc == -EINVAL ? PyExc_TypeError : PyExc_ValueError,
                    rc == -EINVAL ? texts[part].no_str : texts[part].no_latin_1,
                    part == STATUS ? "status" : "header", about);
}

static int slice_of(PyObject *o, bool takes_bytes, struct cg_slice *ret_bytes) {
    if (!takes_bytes || !PyBytes_Check(o))
        return cg_text_slice(o, ret_bytes);
    *ret_bytes = cg_slice_of(PyBytes_AS_STRING(o), (size_t)PyBytes_GET_SIZE(o));
    return 0;
}

/* A tuple, or, as Gunicorn takes it, a list. */
static bool is_pair(PyObject *o) {
    return (PyTuple_Check(o) || PyList_Check(o)) && PySequence_Fast_GET_SIZE(o) == 2;
}

static int add_field(struct cg_response *r, PyObject *name_is, PyObject *value_is, bool takes_bytes,
                     struct cg_complaint *ret) {
    struct cg_slice name, value;
    if (judge(slice_of(name_is, takes_bytes, &name), NAME, name_is, ret) < 0 ||
        judge(slice_of(value_is, takes_bytes, &value), VALUE, name_is, ret) < 0)
        return -1;
    enum cg_response_error error = cg_response_add_field(r, name, value);
    return error ? refuse(ret, error, "header", name_is) : 0;
}

static int add_pair(struct cg_response *r, PyObject *pair, bool takes_bytes,
                    struct cg_complaint *ret) {
    PyObject *name = is_pair(pair) ? cg_py_item(pair, 0) : NULL;
    PyObject *value = name ? cg_py_item(pair, 1) : NULL;
    int rc = value ? add_field(r, name, value, takes_bytes, ret)
                   : complain(ret, PyExc_TypeError,
                              "gave a header that is not a pair (name, value)", "header", pair);
    Py_XDECREF(value);
    Py_XDECREF(name);
    return rc;
}

static int add_pairs(struct cg_response *r, PyObject *pairs, bool takes_bytes,
                     struct cg_complaint *ret) {
    PyObject *pair;
    int rc = 0;
    for (Py_ssize_t i = 0; rc == 0 && (pair = cg_py_item(pairs, i)); i++) {
        rc = add_pair(r, pair, takes_bytes, ret);
        Py_DECREF(pair);
    }
    if (rc < 0)
        return -1;
    enum cg_response_error error = cg_response_check_fields(r);
    return error ? refuse(ret, error, "Upgrade without Connection: upgrade in", pairs) : 0;
}

static int give(struct cg_response *r, PyObject *status, PyObject *pairs,
                struct cg_complaint *ret) {
    struct cg_slice line;
    if (judge(cg_text_slice(status, &line), STATUS, status, ret) < 0)
        return -1;
    enum cg_response_error error = cg_response_start(r, line);
    return error ? refuse(ret, error, "status", status) : add_pairs(r, pairs, false, ret);
}

int cg_headers_give(struct cg_response *r, PyObject *status, PyObject *pairs,
                    struct cg_complaint *ret_complaint) {
    int rc = give(r, status, pairs, ret_complaint);
    if (rc < 0)
        cg_response_reset(r);
    return rc;
}

int cg_headers_hint(struct cg_response *r, PyObject *pairs, struct cg_complaint *ret_complaint) {
    enum cg_response_error error = cg_response_start(r, CG_SLICE("200 OK"));
    return error ? refuse(ret_complaint, error, "status", Py_None)
                 : add_pairs(r, pairs, true, ret_complaint);
}

int cg_headers_complain(struct cg_complaint *complaint) {
    if (complaint->about)
        PyErr_Format(complaint->type, "the application %s: %s %R", complaint->text, complaint->part,
                     complaint->about);
    else
        PyErr_NoMemory();
    Py_CLEAR(complaint->about);
    return -1;
}

/* A subclass may have an order of its own. */
PyObject *cg_headers_pairs(PyObject *headers) {
    if (PyList_Check(headers) && !PyList_CheckExact(headers))
        return PySequence_List(headers);
    return PySequence_Fast(headers, "headers must be a list of (name, value) tuples");
}
