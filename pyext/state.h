/* SPDX-License-Identifier: MIT
 *
 * The module's state: everything of Python that outlives a request. One per module object, owned by
 * it; there is no static PyObject anywhere.
 */
#ifndef CG_PYEXT_STATE_H
#define CG_PYEXT_STATE_H

#include "pyext/py.h"

#include "server/http/field.h"

struct cg_host;

enum cg_name {
#define CG_NAME(id, text) CG_NAME_##id,
#include "pyext/names.def"
#undef CG_NAME
    CG_NAME_N
};

/* Objects that the state holds a strong reference to, each once, for traverse and clear. */
#define CG_STATE_OBJECTS(OBJECT)                                                                   \
    OBJECT(input_type)          /* input.c */                                                      \
    OBJECT(callable_type)       /* callable.c */                                                   \
    OBJECT(client_socket_type)  /* client_socket.c */                                              \
    OBJECT(error_stream_type)   /* error_stream.c */                                               \
    OBJECT(file_wrapper_type)   /* file_wrapper.c */                                               \
    OBJECT(slot_type)           /* slot_object.c */                                                \
    OBJECT(request_view_type)   /* messages.c */                                                   \
    OBJECT(response_view_type)  /* messages.c */                                                   \
    OBJECT(client_disconnected) /* the exception that write() raises */                            \
    OBJECT(format_exception)    /* traceback.format_exception */                                   \
    OBJECT(request_class)       /* cgunicorn.messages.Request */                                   \
    OBJECT(response_class)      /* cgunicorn.messages.Response */                                  \
    OBJECT(log_emit)            /* log_relay.c; NULL before divert */                              \
    OBJECT(io_base)             /* io.IOBase */                                                    \
    OBJECT(file_io)             /* io.FileIO */

struct cg_state {
#define CG_STATE_OBJECT(name) PyObject *name;
    CG_STATE_OBJECTS(CG_STATE_OBJECT)
#undef CG_STATE_OBJECT
    PyObject *name[CG_NAME_N];       /* interned */
    PyObject *field_key[CG_FIELD_N]; /* interned; NULL for CG_FIELD_OTHER */
    struct cg_host *host;            /* borrowed: of the run() that is under way, else NULL */
};

/* Fills a zeroed state. 0 or -1 with an exception; a half-filled state may be cleared. */
int cg_state_init(struct cg_state *state, PyObject *module);
int cg_state_traverse(struct cg_state *state, visitproc visit, void *arg);
void cg_state_clear(struct cg_state *state);

/* The types, one function each, in the file named in the list above. A new reference or NULL. */
PyObject *cg_input_type_new(PyObject *module);
PyObject *cg_callable_type_new(PyObject *module);
PyObject *cg_client_socket_type_new(PyObject *module);
PyObject *cg_error_stream_type_new(PyObject *module);
PyObject *cg_file_wrapper_type_new(PyObject *module);
PyObject *cg_slot_type_new(PyObject *module);
PyObject *cg_request_view_type_new(PyObject *module);
PyObject *cg_response_view_type_new(PyObject *module);

/* tp_new of the types that only the server makes. */
PyObject *cg_type_refuse_new(PyTypeObject *type, PyObject *args, PyObject *kwargs);

#endif
