/* SPDX-License-Identifier: MIT
 *
 * One call of the application: the Python side of a struct cg_exchange (its app_state), from begin
 * to end, and the objects that are lent to the application meanwhile.
 *
 * Ownership: a lent object belongs to its call and points back to it. At the end the pointer is
 * cut, so an object that the application kept is harmless: it reads as empty or raises. Objects
 * that nobody kept stay with the record, and the record goes to the spare list: a request in the
 * steady state allocates none of them.
 */
#ifndef CG_PYEXT_CALL_H
#define CG_PYEXT_CALL_H

#include "pyext/py.h"
#include "pyext/state.h"
#include "pyext/turn.h"

#include "server/http/exchange.h"

struct cg_wsgi;
struct cg_call;

enum cg_lent_kind {
    CG_LENT_INPUT,
    CG_LENT_START_RESPONSE,
    CG_LENT_WRITE,
    CG_LENT_EARLY_HINTS,
    CG_LENT_CLIENT_GONE,
    CG_LENT_CLIENT_SOCKET,
    CG_LENT_REQUEST_VIEW,
    CG_LENT_RESPONSE_VIEW,
    CG_LENT_N
};

/* What every lent object begins with. The pointer is cut in a critical section of the object: who
 * is in one, and does not wait there, may use what it leads to. */
struct cg_lent {
    PyObject_HEAD struct cg_call *call; /* NULL outside an exchange */
};

struct cg_call {
    struct cg_state *state; /* borrowed */
    struct cg_exchange *ex; /* borrowed, from take to give_back */
    struct cg_turn turn;    /* whose it is to use *ex */
    struct cg_call *next_spare;
    cg_py_lock lock;                 /* of lent */
    struct cg_lent *lent[CG_LENT_N]; /* strong, made when first asked for */
    /* The rest is app_wsgi.c's; strong references, NULL when there is nothing. */
    PyObject *context;  /* contextvars of this request */
    PyObject *iterable; /* what the application returned */
    PyObject *iterator; /* NULL for a list, a tuple or a file */
    PyObject *chunk;    /* the bytes that the connection borrows */
    Py_ssize_t at;      /* the next item of a list or tuple */
    PyObject *environ;  /* only when somebody wants it after the call */
    PyObject *request;  /* messages.c's, made when asked for */
    PyObject *response;
};

/* Spare records are a thread's own. */

/* A record for this exchange, from *spare if there is one. NULL with MemoryError. */
struct cg_call *cg_call_take(struct cg_call **spare, struct cg_state *state,
                             struct cg_exchange *ex);

/* For whoever has the turn: cuts the lent objects off and puts the record into *spare. */
void cg_call_give_back(struct cg_call **spare, struct cg_call *call);

void cg_call_free_spare(struct cg_call **spare);

/* The call's object of this kind, borrowed. NULL with an exception. */
PyObject *cg_call_lend(struct cg_call *call, enum cg_lent_kind kind);

/* Makers of the lent objects, each in the file that implements it. New references or NULL. */
PyObject *cg_input_new(struct cg_state *state);
PyObject *cg_callable_new(struct cg_state *state, const char *name, vectorcallfunc function);
PyObject *cg_client_socket_new(struct cg_state *state);
PyObject *cg_request_view_new(struct cg_state *state);
PyObject *cg_response_view_new(struct cg_state *state);

/* tp_dealloc of lent objects that own nothing. */
void cg_lent_dealloc(PyObject *self);

/* The exchange has ended, and the object is cut off from it: closes the Python socket, if one was
 * made, and sees to it that client_fd is as it was. */
void cg_client_socket_close(struct cg_lent *lent, int client_fd);

/* What the callables do; `self` is the lent object. */
PyObject *cg_start_response(PyObject *self, PyObject *const *args, size_t nargsf,
                            PyObject *kwnames);
PyObject *cg_write(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames);
PyObject *cg_early_hints(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames);
PyObject *cg_client_gone(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames);

/* The call behind a callable, with its turn taken: the caller releases it, and runs no code of the
 * application's before. NULL with RuntimeError when the response is over, at the latest when it
 * would have been the caller's turn. */
struct cg_call *cg_callable_take(PyObject *self);
/* The RuntimeError of a callable whose request is over. */
void cg_callable_refuse(PyObject *self);

enum { CG_PARAMETERS_MAX = 3 };

/* What a callable takes, positional or by these names. */
struct cg_parameters {
    const char *text; /* as they are shown */
    Py_ssize_t min, max;
    const char *names[CG_PARAMETERS_MAX];
};

/* ret_values has place for max values, borrowed; those not given are NULL. -1 with TypeError. Runs
 * no code of the application's. */
int cg_callable_parse(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames,
                      const struct cg_parameters *parameters, PyObject **ret_values);

#endif
