/* SPDX-License-Identifier: MIT
 *
 * gunicorn.socket: stands for the client's connection and becomes a socket.socket on a duplicate of
 * its descriptor when an attribute is first asked for. The object owns that socket and closes it
 * at the end of the exchange; the connection's own descriptor stays the driver's.
 */
#include "pyext/call.h"

#include "server/base/copy.h"
#include "server/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

struct client_socket {
    struct cg_lent lent;
    PyObject *socket; /* strong; NULL until asked for */
};

/* The connection is non-blocking for the driver's sake and the mode is shared with every duplicate.
 * With a time-out Python waits for readiness itself, so the application sees a blocking socket. */
static const double as_good_as_blocking_s = 365.0 * 24 * 3600;

PyObject *cg_client_socket_new(struct cg_state *state) {
    struct client_socket *s =
        PyObject_New(struct client_socket, (PyTypeObject *)state->client_socket_type);
    if (!s)
        return NULL;
    s->lent.call = NULL;
    s->socket = NULL;
    return (PyObject *)s;
}

/* socket.socket(fileno=fd), which then owns fd. NULL with an exception. */
static PyObject *socket_from(int fd) {
    PyObject *module = PyImport_ImportModule("socket");
    PyObject *class = module ? PyObject_GetAttrString(module, "socket") : NULL;
    PyObject *args = class ? PyTuple_New(0) : NULL;
    PyObject *kwargs = args ? Py_BuildValue("{si}", "fileno", fd) : NULL;
    PyObject *socket = kwargs ? PyObject_Call(class, args, kwargs) : NULL;
    Py_XDECREF(kwargs);
    Py_XDECREF(args);
    Py_XDECREF(class);
    Py_XDECREF(module);
    return socket;
}

/* A socket.socket that owns fd, or NULL. */
static PyObject *socket_on(int fd) {
    PyObject *socket = socket_from(fd);
    if (!socket) {
        cg_fd_close(&fd);
        return NULL;
    }
    PyObject *done = PyObject_CallMethod(socket, "settimeout", "d", as_good_as_blocking_s);
    if (!done)
        Py_CLEAR(socket);
    Py_XDECREF(done);
    return socket;
}

static void close_socket(PyObject *socket) {
    PyObject *closed = PyObject_CallMethod(socket, "close", NULL);
    if (!closed)
        PyErr_WriteUnraisable(socket);
    Py_XDECREF(closed);
}

/* The request is over. */
static PyObject *refuse(void) {
    errno = EBADF;
    return PyErr_SetFromErrno(PyExc_OSError);
}

/* The descriptor again, the caller's; -1 with errno, and when the request is over. */
static int duplicate(struct client_socket *s) {
    int fd = -1, error = EBADF;
    Py_BEGIN_CRITICAL_SECTION(s);
    if (s->lent.call) {
        fd = fcntl(s->lent.call->ex->fd, F_DUPFD_CLOEXEC, 0);
        error = errno;
    }
    Py_END_CRITICAL_SECTION();
    errno = error; /* what guards the section may have changed it */
    return fd;
}

/* The socket, if it is made: a new reference, or NULL without an exception. */
static PyObject *socket_of(struct client_socket *s) {
    PyObject *socket;
    Py_BEGIN_CRITICAL_SECTION(s);
    socket = s->lent.call ? s->socket : NULL;
    Py_XINCREF(socket);
    Py_END_CRITICAL_SECTION();
    return socket;
}

/* Whether the object has it now. */
static bool keep(struct client_socket *s, PyObject *socket) {
    bool kept;
    Py_BEGIN_CRITICAL_SECTION(s);
    kept = s->lent.call && !s->socket;
    if (kept)
        s->socket = cg_py_ref(socket);
    Py_END_CRITICAL_SECTION();
    return kept;
}

/* Makes the socket: a new reference, or NULL with OSError. That runs code of Python's: meanwhile
 * another thread may have made it, or ended the request. */
static PyObject *materialise(struct client_socket *s) {
    int fd = duplicate(s);
    PyObject *socket = fd < 0 ? PyErr_SetFromErrno(PyExc_OSError) : socket_on(fd);
    if (!socket || keep(s, socket))
        return socket;
    close_socket(socket);
    Py_DECREF(socket);
    socket = socket_of(s);
    return socket ? socket : refuse();
}

static bool is_dunder(PyObject *name) {
    return PyUnicode_GET_LENGTH(name) > 2 && PyUnicode_READ_CHAR(name, 0) == '_' &&
           PyUnicode_READ_CHAR(name, 1) == '_';
}

static PyObject *socket_getattro(PyObject *self, PyObject *name) {
    struct client_socket *s = (struct client_socket *)self;
    /* isinstance() and the like ask for these, of every object: that alone must not cost a socket.
     */
    if (is_dunder(name))
        return PyObject_GenericGetAttr(self, name);
    PyObject *socket = socket_of(s); /* it may be closed meanwhile */
    if (!socket)
        socket = cg_is_copy() ? refuse() : materialise(s);
    if (!socket)
        return NULL;
    PyObject *value = PyObject_GetAttr(socket, name);
    Py_DECREF(socket);
    return value;
}

void cg_client_socket_close(struct cg_lent *lent, int client_fd) {
    struct client_socket *s = (struct client_socket *)lent;
    PyObject *socket;
    Py_BEGIN_CRITICAL_SECTION(s);
    socket = s->socket;
    s->socket = NULL;
    Py_END_CRITICAL_SECTION();
    if (!socket)
        return;
    close_socket(socket);
    Py_DECREF(socket);
    cg_fd_set_nonblocking(client_fd, true); /* in case the application changed it */
}

static void socket_dealloc(PyObject *self) {
    Py_CLEAR(((struct client_socket *)self)->socket);
    cg_lent_dealloc(self);
}

static PyObject *socket_repr(PyObject *self) {
    PyObject *socket = socket_of((struct client_socket *)self);
    if (!socket)
        return PyUnicode_FromFormat("<cgunicorn client socket at %p>", (void *)self);
    PyObject *text = PyObject_Repr(socket);
    Py_DECREF(socket);
    return text;
}

PyObject *cg_client_socket_type_new(PyObject *module) {
    static PyType_Slot slots[] = {
        {Py_tp_doc, "The client's connection; every attribute is that of a socket.socket."},
        {Py_tp_new, cg_type_refuse_new},
        {Py_tp_dealloc, socket_dealloc},
        {Py_tp_repr, socket_repr},
        {Py_tp_getattro, socket_getattro},
        {0, NULL},
    };
    static PyType_Spec spec = {
        .name = "cgunicorn._cgunicorn.ClientSocket",
        .basicsize = sizeof(struct client_socket),
        .flags = CG_TYPE_FLAGS,
        .slots = slots,
    };
    return PyType_FromModuleAndSpec(module, &spec, NULL);
}
