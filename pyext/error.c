/* SPDX-License-Identifier: MIT
 *
 * Rendering of tracebacks for the error log. No state.
 */
#include "pyext/error.h"

PyObject *cg_error_take(void) {
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback)
        PyException_SetTraceback(value, traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
#endif
}

/* The lines of traceback.format_exception() as one str, or NULL. */
static PyObject *render(const struct cg_state *state, PyObject *exception) {
    PyObject *traceback = PyException_GetTraceback(exception);
    PyObject *lines =
        PyObject_CallFunctionObjArgs(state->format_exception, (PyObject *)Py_TYPE(exception),
                                     exception, traceback ? traceback : Py_None, NULL);
    Py_XDECREF(traceback);
    if (!lines)
        return NULL;
    PyObject *text = PyUnicode_Join(state->name[CG_NAME_EMPTY], lines);
    Py_DECREF(lines);
    return text;
}

/* Whether a log's own lines begin like the one that begins at i. */
static bool is_stamp_like(const char *at, size_t i) {
    return i > 0 && at[i - 1] == '\n' && at[i] == '[';
}

/* A copy that cannot be taken for several entries of the log: an exception's text may be a
 * client's. Lines that begin like an entry get a space in front, control characters become "?". */
static PyObject *tame(PyObject *bytes) {
    const char *at = PyBytes_AS_STRING(bytes);
    size_t len = (size_t)PyBytes_GET_SIZE(bytes), spaces_n = 0;
    for (size_t i = 0; i < len; i++)
        spaces_n += is_stamp_like(at, i);
    PyObject *tamed = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(len + spaces_n));
    if (!tamed)
        return NULL;
    char *to = PyBytes_AS_STRING(tamed);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)at[i];
        if (is_stamp_like(at, i))
            *to++ = ' ';
        *to++ = (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f ? '?' : (char)c;
    }
    return tamed;
}

/* UTF-8, fit for the log; NULL with an exception. */
static PyObject *encode(PyObject *headline, PyObject *text) {
    PyObject *whole = PyUnicode_FromFormat("%U\n%U", headline, text);
    if (!whole)
        return NULL;
    PyObject *bytes = PyUnicode_AsEncodedString(whole, "utf-8", "backslashreplace");
    Py_DECREF(whole);
    PyObject *tamed = bytes ? tame(bytes) : NULL;
    Py_XDECREF(bytes);
    return tamed;
}

void cg_error_log(const struct cg_state *state, enum cg_log_level level, PyObject *headline,
                  PyObject *exception) {
    PyErr_Clear();
    if (!headline)
        headline = PyUnicode_FromString("Error");
    PyObject *text = headline ? render(state, exception) : NULL;
    PyObject *bytes = text ? encode(headline, text) : NULL;
    if (bytes) {
        struct cg_slice s = {PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes)};
        while (s.len > 0 && s.at[s.len - 1] == '\n')
            s.len--;
        cg_log_text(level, s);
    } else {
        PyErr_Clear();
        cg_log(level, "Error handling request: %s, whose traceback cannot be shown",
               Py_TYPE(exception)->tp_name);
    }
    Py_XDECREF(bytes);
    Py_XDECREF(text);
    Py_XDECREF(headline);
}

enum cg_log_level cg_error_level(int level) {
    if (level >= 50)
        return CG_LOG_CRITICAL;
    if (level >= 40)
        return CG_LOG_ERROR;
    if (level >= 30)
        return CG_LOG_WARNING;
    return level >= 20 ? CG_LOG_INFO : CG_LOG_DEBUG;
}
