/* SPDX-License-Identifier: MIT
 *
 * What an application says of a head, status and list of (name, value) pairs, into a response.
 */
#ifndef CG_PYEXT_HEADERS_H
#define CG_PYEXT_HEADERS_H

#include "pyext/py.h"

#include "server/http/response.h"

/* What is wrong with a head. To raise it shows objects of the application's, and so runs code of
 * the application's, which may use the same response: hence not while a head is half given. */
struct cg_complaint {
    PyObject *type;   /* of the exception, borrowed */
    const char *text; /* completes "the application ..." */
    const char *part; /* which part is at fault */
    PyObject *about;  /* strong: that part; NULL with MemoryError */
};

/* The application's iterable of pairs as a list or tuple: a new reference, or NULL with an
 * exception. This runs code of the application's. */
PyObject *cg_headers_pairs(PyObject *headers);

/* Gives r this head, whole or, after a mistake, none at all. Runs no code of the application's and
 * raises nothing. 0, or -1 with a complaint. */
int cg_headers_give(struct cg_response *r, PyObject *status, PyObject *pairs,
                    struct cg_complaint *ret_complaint);

/* The same of fields for an early hint, which may be bytes too, as Gunicorn takes them. r collects
 * them and is never sent itself. */
int cg_headers_hint(struct cg_response *r, PyObject *pairs, struct cg_complaint *ret_complaint);

/* Raises it and is done with it. Always returns -1. */
int cg_headers_complain(struct cg_complaint *complaint);

#endif
