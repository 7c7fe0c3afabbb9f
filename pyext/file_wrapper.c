/* SPDX-License-Identifier: MIT
 *
 * FileWrapper: an iterator of blocks, which the server recognises and turns into a file range when
 * a plain file lies behind it. A wrapper owns a reference to its file and closes it when asked to.
 */
#include "pyext/file_wrapper.h"

#include <sys/stat.h>

enum { DEFAULT_BLOCK = 8192 };

struct file_wrapper {
    PyObject_HEAD PyObject *filelike; /* strong; NULL before __init__ and after clear */
    Py_ssize_t blksize;
};

static int wrapper_init(PyObject *self, PyObject *args, PyObject *kwargs) {
    static char *keywords[] = {"filelike", "blksize", NULL};
    struct file_wrapper *w = (struct file_wrapper *)self;
    PyObject *filelike;
    Py_ssize_t blksize = DEFAULT_BLOCK;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|n:FileWrapper", keywords, &filelike,
                                     &blksize))
        return -1;
    if (blksize < 1) {
        PyErr_SetString(PyExc_ValueError, "blksize must be positive");
        return -1;
    }
    PyObject *before;
    Py_BEGIN_CRITICAL_SECTION(self);
    before = w->filelike;
    w->filelike = cg_py_ref(filelike);
    w->blksize = blksize;
    Py_END_CRITICAL_SECTION();
    Py_XDECREF(before);
    return 0;
}

static int wrapper_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(((struct file_wrapper *)self)->filelike);
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static int wrapper_clear(PyObject *self) {
    Py_CLEAR(((struct file_wrapper *)self)->filelike);
    return 0;
}

static void wrapper_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    wrapper_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

/* The file: a new reference, as the wrapper may be given another one while this one is asked; or
 * NULL. */
static PyObject *find_filelike(PyObject *self) {
    PyObject *filelike;
    Py_BEGIN_CRITICAL_SECTION(self);
    filelike = ((struct file_wrapper *)self)->filelike;
    Py_XINCREF(filelike);
    Py_END_CRITICAL_SECTION();
    return filelike;
}

/* The same, with ValueError when there is none. */
static PyObject *filelike_of(PyObject *self) {
    PyObject *filelike = find_filelike(self);
    if (!filelike)
        PyErr_SetString(PyExc_ValueError, "FileWrapper without a file");
    return filelike;
}

static PyObject *wrapper_next(PyObject *self) {
    PyObject *filelike = filelike_of(self);
    if (!filelike)
        return NULL;
    PyObject *block =
        PyObject_CallMethod(filelike, "read", "n", ((struct file_wrapper *)self)->blksize);
    Py_DECREF(filelike);
    if (!block)
        return NULL;
    int more = PyObject_IsTrue(block);
    if (more <= 0)
        Py_CLEAR(block);
    return block;
}

static PyObject *wrapper_close(PyObject *self, PyObject *unused) {
    PyObject *filelike = find_filelike(self);
    if (!filelike)
        Py_RETURN_NONE;
    PyObject *close = PyObject_GetAttrString(filelike, "close");
    Py_DECREF(filelike);
    if (!close) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError))
            return NULL;
        PyErr_Clear();
        Py_RETURN_NONE;
    }
    PyObject *result = PyObject_CallNoArgs(close);
    Py_DECREF(close);
    return result;
}

PyObject *cg_file_wrapper_type_new(PyObject *module) {
    static PyMethodDef methods[] = {
        {"close", wrapper_close, METH_NOARGS, "close(): closes the file, if it can be closed."},
        {0},
    };
    static PyMemberDef members[] = {
        {"filelike", T_OBJECT_EX, offsetof(struct file_wrapper, filelike), READONLY, NULL},
        {"blksize", T_PYSSIZET, offsetof(struct file_wrapper, blksize), READONLY, NULL},
        {0},
    };
    static PyType_Slot slots[] = {
        {Py_tp_doc, "FileWrapper(filelike, blksize=8192): a file as a response body "
                    "(wsgi.file_wrapper)."},
        {Py_tp_init, wrapper_init},
        {Py_tp_dealloc, wrapper_dealloc},
        {Py_tp_traverse, wrapper_traverse},
        {Py_tp_clear, wrapper_clear},
        {Py_tp_iter, PyObject_SelfIter},
        {Py_tp_iternext, wrapper_next},
        {Py_tp_methods, methods},
        {Py_tp_members, members},
        {0, NULL},
    };
    static PyType_Spec spec = {
        .name = "cgunicorn._cgunicorn.FileWrapper",
        .basicsize = sizeof(struct file_wrapper),
        .flags = CG_TYPE_FLAGS | Py_TPFLAGS_HAVE_GC,
        .slots = slots,
    };
    return PyType_FromModuleAndSpec(module, &spec, NULL);
}

/* An object of the io module is a plain file only with a FileIO at its bottom: a GzipFile has a
 * fileno() too, but other bytes. What is not of the io module is taken at its word. 1, 0 or -1. */
static int is_plain(const struct cg_state *state, PyObject *filelike) {
    int is_io = PyObject_IsInstance(filelike, state->io_base);
    if (is_io <= 0)
        return is_io < 0 ? -1 : 1;
    PyObject *raw = PyObject_GetAttr(filelike, state->name[CG_NAME_RAW]);
    if (!raw) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError))
            return -1;
        PyErr_Clear();
        return PyObject_IsInstance(filelike, state->file_io);
    }
    int plain = PyObject_IsInstance(raw, state->file_io);
    Py_DECREF(raw);
    return plain;
}

/* filelike.method() as a number that is not negative; -1 with an exception. */
static long long ask_number(PyObject *filelike, PyObject *method) {
    PyObject *answer = PyObject_CallMethodNoArgs(filelike, method);
    if (!answer)
        return -1;
    long long n = PyLong_AsLongLong(answer);
    Py_DECREF(answer);
    if (n < 0 && !PyErr_Occurred())
        PyErr_SetString(PyExc_ValueError, "negative answer");
    return n;
}

static int range_of(const struct cg_state *state, PyObject *filelike, int *ret_fd,
                    uint64_t *ret_offset, uint64_t *ret_len) {
    int plain = is_plain(state, filelike);
    if (plain <= 0)
        return plain;
    long long fd = ask_number(filelike, state->name[CG_NAME_FILENO]);
    long long offset = fd < 0 ? -1 : ask_number(filelike, state->name[CG_NAME_TELL]);
    if (offset < 0) { /* no descriptor, or no position: then it is read */
        if (!PyErr_ExceptionMatches(PyExc_Exception))
            return -1;
        PyErr_Clear();
        return 0;
    }
    struct stat st;
    if (fd > INT_MAX || fstat((int)fd, &st) < 0 || !S_ISREG(st.st_mode) || offset > st.st_size)
        return 0;
    *ret_fd = (int)fd;
    *ret_offset = (uint64_t)offset;
    *ret_len = (uint64_t)(st.st_size - offset);
    return 1;
}

int cg_file_wrapper_range(const struct cg_state *state, PyObject *wrapper, int *ret_fd,
                          uint64_t *ret_offset, uint64_t *ret_len) {
    PyObject *filelike = filelike_of(wrapper);
    if (!filelike)
        return -1;
    int rc = range_of(state, filelike, ret_fd, ret_offset, ret_len);
    Py_DECREF(filelike);
    return rc;
}
