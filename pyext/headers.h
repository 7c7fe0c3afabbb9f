/* SPDX-License-Identifier: MIT
 *
 * A Python list of (name, value) pairs into a response head.
 */
#ifndef CG_PYEXT_HEADERS_H
#define CG_PYEXT_HEADERS_H

#include "pyext/py.h"

#include "server/http/response.h"

/* The application's iterable of pairs as a list or tuple: a new reference, or NULL with TypeError.
 * This is the part that may run code of the application's; no head may be half given meanwhile. */
PyObject *cg_headers_pairs(PyObject *headers);

/* Adds every pair of it and checks them together. 0, or -1 with an exception that names the header
 * at fault. */
int cg_headers_add(struct cg_response *r, PyObject *pairs);

/* What the application did wrong, as a Python exception; `what` and `about` name the part at fault:
 * "header", its name. Always returns -1. */
int cg_headers_refuse(enum cg_response_error error, const char *what, PyObject *about);

#endif
