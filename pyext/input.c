/* SPDX-License-Identifier: MIT
 *
 * wsgi.input: reads a complete body out of the core. It holds no bytes itself; outside an exchange,
 * and for a request without a body, it is simply at its end.
 *
 * What reads is in a critical section of the object, and keeps the interpreter lock, also while a
 * body is read back from its temporary file: the pages are in the cache as a rule, and meanwhile no
 * other thread can end the exchange or read the same body.
 */
#include "pyext/call.h"

#include <errno.h>

PyObject *cg_input_new(struct cg_state *state) {
    struct cg_lent *input = PyObject_New(struct cg_lent, (PyTypeObject *)state->input_type);
    if (input)
        input->call = NULL;
    return (PyObject *)input;
}

static struct cg_body *body_of(PyObject *self) {
    const struct cg_lent *input = (const struct cg_lent *)self;
    return input->call ? &input->call->ex->body : NULL;
}

/* How many bytes a reader with this limit may get; a negative limit is none. */
static Py_ssize_t available(const struct cg_body *body, Py_ssize_t limit) {
    uint64_t left = body ? body->size - body->taken : 0;
    if (limit >= 0 && (uint64_t)limit < left)
        return limit;
    return left < PY_SSIZE_T_MAX ? (Py_ssize_t)left : PY_SSIZE_T_MAX;
}

/* The body's next bytes, at most `max` and at least one. 0 or -1 with OSError. */
static int next_bytes(struct cg_body *body, Py_ssize_t max, struct cg_slice *ret_bytes) {
    struct cg_slice window;
    int rc = cg_body_window(body, &window);
    if (rc == 0 && window.len == 0)
        rc = -EIO; /* the temporary file is shorter than what was written to it */
    if (rc < 0) {
        errno = -rc;
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    if (window.len > (size_t)max)
        window.len = (size_t)max;
    *ret_bytes = window;
    return 0;
}

/* The size argument of read() and its kin: absent, None and negative mean no limit. */
static int parse_size(PyObject *const *args, Py_ssize_t nargs, Py_ssize_t *ret_size) {
    if (nargs > 1) {
        PyErr_Format(PyExc_TypeError, "expected at most 1 argument, got %zd", nargs);
        return -1;
    }
    if (nargs == 0 || args[0] == Py_None) {
        *ret_size = -1;
        return 0;
    }
    Py_ssize_t size = PyNumber_AsSsize_t(args[0], PyExc_OverflowError);
    if (size == -1 && PyErr_Occurred())
        return -1;
    *ret_size = size;
    return 0;
}

static PyObject *read_bytes(struct cg_body *body, Py_ssize_t size) {
    Py_ssize_t left = available(body, size);
    PyObject *data = PyBytes_FromStringAndSize(NULL, left);
    if (!data)
        return NULL;
    for (char *out = PyBytes_AS_STRING(data); left > 0;) {
        struct cg_slice bytes;
        if (next_bytes(body, left, &bytes) < 0) {
            Py_DECREF(data);
            return NULL;
        }
        memcpy(out, bytes.at, bytes.len);
        cg_body_consume(body, bytes.len);
        out += bytes.len;
        left -= (Py_ssize_t)bytes.len;
    }
    return data;
}

static PyObject *input_read(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    Py_ssize_t size;
    if (parse_size(args, nargs, &size) < 0)
        return NULL;
    PyObject *data;
    Py_BEGIN_CRITICAL_SECTION(self);
    data = read_bytes(body_of(self), size);
    Py_END_CRITICAL_SECTION();
    return data;
}

/* A line that goes on past the first window is gathered in `line`. */
static int gather_line(struct cg_body *body, Py_ssize_t left, struct cg_buf *line) {
    for (bool ended = false; left > 0 && !ended;) {
        struct cg_slice bytes;
        if (next_bytes(body, left, &bytes) < 0)
            return -1;
        const char *newline = memchr(bytes.at, '\n', bytes.len);
        if (newline) {
            bytes.len = (size_t)(newline - bytes.at) + 1;
            ended = true;
        }
        if (cg_buf_append(line, bytes) < 0) {
            PyErr_NoMemory();
            return -1;
        }
        cg_body_consume(body, bytes.len);
        left -= (Py_ssize_t)bytes.len;
    }
    return 0;
}

/* Empty bytes at the end of the body. */
static PyObject *read_line_of(struct cg_body *body, Py_ssize_t size) {
    Py_ssize_t left = available(body, size);
    if (left == 0)
        return PyBytes_FromStringAndSize(NULL, 0);
    struct cg_slice bytes;
    if (next_bytes(body, left, &bytes) < 0)
        return NULL;
    const char *newline = memchr(bytes.at, '\n', bytes.len);
    if (newline || bytes.len == (size_t)left) {
        size_t n = newline ? (size_t)(newline - bytes.at) + 1 : bytes.len;
        PyObject *whole = PyBytes_FromStringAndSize(bytes.at, (Py_ssize_t)n);
        if (whole)
            cg_body_consume(body, n);
        return whole;
    }
    struct cg_buf line = CG_BUF_INIT;
    PyObject *gathered = NULL;
    if (gather_line(body, left, &line) == 0)
        gathered = PyBytes_FromStringAndSize(line.at, (Py_ssize_t)line.len);
    cg_buf_done(&line);
    return gathered;
}

static PyObject *read_line(PyObject *self, Py_ssize_t size) {
    PyObject *line;
    Py_BEGIN_CRITICAL_SECTION(self);
    line = read_line_of(body_of(self), size);
    Py_END_CRITICAL_SECTION();
    return line;
}

static PyObject *input_readline(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    Py_ssize_t size;
    if (parse_size(args, nargs, &size) < 0)
        return NULL;
    return read_line(self, size);
}

static PyObject *input_readlines(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
    Py_ssize_t hint;
    if (parse_size(args, nargs, &hint) < 0)
        return NULL;
    PyObject *lines = PyList_New(0);
    Py_ssize_t total = 0;
    while (lines && (hint <= 0 || total < hint)) {
        PyObject *line = read_line(self, -1);
        Py_ssize_t len = line ? PyBytes_GET_SIZE(line) : -1;
        if (len < 0 || (len > 0 && PyList_Append(lines, line) < 0))
            Py_CLEAR(lines);
        Py_XDECREF(line);
        if (len <= 0)
            break;
        total += len;
    }
    return lines;
}

static PyObject *input_next(PyObject *self) {
    PyObject *line = read_line(self, -1);
    if (line && PyBytes_GET_SIZE(line) == 0)
        Py_CLEAR(line);
    return line;
}

PyObject *cg_input_type_new(PyObject *module) {
    static PyMethodDef methods[] = {
        {"read", CG_METHOD(input_read), METH_FASTCALL,
         "read(size=-1, /) -> bytes: at most size bytes, or all that are left."},
        {"readline", CG_METHOD(input_readline), METH_FASTCALL,
         "readline(size=-1, /) -> bytes: the next line, at most size bytes of it."},
        {"readlines", CG_METHOD(input_readlines), METH_FASTCALL,
         "readlines(hint=-1, /) -> list[bytes]: lines until hint bytes are reached, or all."},
        {0},
    };
    static PyType_Slot slots[] = {
        {Py_tp_doc, "The body of a request, for reading (wsgi.input)."},
        {Py_tp_new, cg_type_refuse_new},
        {Py_tp_dealloc, cg_lent_dealloc},
        {Py_tp_methods, methods},
        {Py_tp_iter, PyObject_SelfIter},
        {Py_tp_iternext, input_next},
        {0, NULL},
    };
    static PyType_Spec spec = {
        .name = "cgunicorn._cgunicorn.Input",
        .basicsize = sizeof(struct cg_lent),
        .flags = CG_TYPE_FLAGS,
        .slots = slots,
    };
    return PyType_FromModuleAndSpec(module, &spec, NULL);
}
