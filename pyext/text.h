/* SPDX-License-Identifier: MIT
 *
 * Between wire bytes and WSGI's native strings: latin-1 both ways (PEP 3333, "Unicode Issues").
 */
#ifndef CG_PYEXT_TEXT_H
#define CG_PYEXT_TEXT_H

#include "pyext/py.h"

#include "server/base/slice.h"

/* A new str with one code point per byte. NULL with an exception. */
static inline PyObject *cg_text_new(struct cg_slice s) {
    return PyUnicode_DecodeLatin1(s.at, (Py_ssize_t)s.len, NULL);
}

/* The same of a percent-encoded path; what is no valid escape stays as it is. */
PyObject *cg_text_unquote(struct cg_slice s);

/* The bytes of a str, borrowed for as long as the str lives. Runs no code of the application's and
 * raises nothing. 0, -EINVAL when it is no str, -ERANGE when it does not fit in latin-1, -ENOMEM.
 */
int cg_text_slice(PyObject *text, struct cg_slice *ret_bytes);

#endif
