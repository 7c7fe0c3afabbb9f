/* SPDX-License-Identifier: MIT
 *
 * Python exceptions on their way to the error log.
 */
#ifndef CG_PYEXT_ERROR_H
#define CG_PYEXT_ERROR_H

#include "pyext/py.h"
#include "pyext/state.h"

#include "server/base/log.h"

/* Takes the exception that is set, as an instance with its traceback attached: a new reference. One
 * must be set. */
PyObject *cg_error_take(void);

/* Logs "<headline>\n<traceback>". headline is a new reference that is given up; NULL (an error
 * while it was made) is replaced by a plain one. Leaves no exception set, whatever happens. */
void cg_error_log(const struct cg_state *state, enum cg_log_level level, PyObject *headline,
                  PyObject *exception);

/* The level of the log for one of Python's logging. */
enum cg_log_level cg_error_level(int level);

#endif
