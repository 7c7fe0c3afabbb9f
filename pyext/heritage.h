/* SPDX-License-Identifier: MIT
 *
 * The variables of server/arbiter/heritage.def between Python's environment and C.
 */
#ifndef CG_PYEXT_HERITAGE_H
#define CG_PYEXT_HERITAGE_H

#include "pyext/py.h"

#include "server/arbiter/heritage.h"

/* Their names and whether they stay in the environment: a tuple of pairs, a new reference. */
PyObject *cg_heritage_variables(void);

/* From a dict of those that are set. The texts live as long as *ret_owner, a new reference. 0 or
 * -1. */
int cg_heritage_read(PyObject *inherited, struct cg_heritage_text *ret_text, PyObject **ret_owner);

#endif
