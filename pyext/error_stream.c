/* SPDX-License-Identifier: MIT
 *
 * wsgi.errors: text to the error log's descriptor, unbuffered, without a stamp. Holds no state; the
 * log sink owns the descriptor and keeps its number for ever.
 */
#include "pyext/state.h"

#include "server/base/fd.h"
#include "server/base/log.h"

/* Whatever the log cannot take is dropped, as the log sink does with lines of our own. */
static int write_text(PyObject *text) {
    if (!PyUnicode_Check(text)) {
        PyErr_Format(PyExc_TypeError, "wsgi.errors takes str, not %.100s", Py_TYPE(text)->tp_name);
        return -1;
    }
    PyObject *bytes = PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace");
    if (!bytes)
        return -1;
    Py_BEGIN_ALLOW_THREADS;
    cg_fd_write_all(cg_log_error_fd(), PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
    Py_END_ALLOW_THREADS;
    Py_DECREF(bytes);
    return 0;
}

static PyObject *stream_write(PyObject *self, PyObject *text) {
    if (write_text(text) < 0)
        return NULL;
    return PyLong_FromSsize_t(PyUnicode_GET_LENGTH(text));
}

static PyObject *stream_writelines(PyObject *self, PyObject *lines) {
    PyObject *iterator = PyObject_GetIter(lines);
    if (!iterator)
        return NULL;
    PyObject *line;
    while ((line = PyIter_Next(iterator))) {
        int rc = write_text(line);
        Py_DECREF(line);
        if (rc < 0)
            break;
    }
    Py_DECREF(iterator);
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *stream_flush(PyObject *self, PyObject *unused) {
    Py_RETURN_NONE;
}

/* What code asks a stream that it is given as a file. */

static PyObject *answer_true(PyObject *self, PyObject *unused) {
    Py_RETURN_TRUE;
}

static PyObject *answer_false(PyObject *self, PyObject *unused) {
    Py_RETURN_FALSE;
}

static PyObject *stream_fileno(PyObject *self, PyObject *unused) {
    return PyLong_FromLong(cg_log_error_fd());
}

static PyObject *stream_closed(PyObject *self, void *unused) {
    Py_RETURN_FALSE;
}

static PyObject *stream_text(PyObject *self, void *text) {
    return PyUnicode_FromString(text);
}

PyObject *cg_error_stream_type_new(PyObject *module) {
    static PyMethodDef methods[] = {
        {"write", stream_write, METH_O, "write(text, /) -> int: to the error log, at once."},
        {"writelines", stream_writelines, METH_O, "writelines(lines, /): each as write() does."},
        {"flush", stream_flush, METH_NOARGS, "flush(): nothing is ever held back."},
        {"close", stream_flush, METH_NOARGS, "close(): it is the server's, and stays open."},
        {"fileno", stream_fileno, METH_NOARGS, "fileno() -> int: the error log's descriptor."},
        {"isatty", answer_false, METH_NOARGS, "isatty() -> False."},
        {"readable", answer_false, METH_NOARGS, "readable() -> False."},
        {"seekable", answer_false, METH_NOARGS, "seekable() -> False."},
        {"writable", answer_true, METH_NOARGS, "writable() -> True."},
        {0},
    };
    static char utf_8[] = "utf-8", backslashreplace[] = "backslashreplace";
    static PyGetSetDef getters[] = {
        {"closed", stream_closed, NULL, NULL, NULL},
        {"encoding", stream_text, NULL, NULL, utf_8},
        {"errors", stream_text, NULL, NULL, backslashreplace},
        {0},
    };
    static PyType_Slot slots[] = {
        {Py_tp_doc, "A text stream into the server's error log (wsgi.errors)."},
        {Py_tp_methods, methods},
        {Py_tp_getset, getters},
        {0, NULL},
    };
    static PyType_Spec spec = {
        .name = "cgunicorn._cgunicorn.ErrorStream",
        .basicsize = sizeof(PyObject),
        .flags = CG_TYPE_FLAGS,
        .slots = slots,
    };
    return PyType_FromModuleAndSpec(module, &spec, NULL);
}
