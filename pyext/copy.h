/* SPDX-License-Identifier: MIT
 *
 * The end of copies (server/base/copy.h): processes that the application or a hook has forked,
 * where they come back from the user's code. With the GIL held.
 */
#ifndef CG_PYEXT_COPY_H
#define CG_PYEXT_COPY_H

#include "pyext/py.h"
#include "pyext/state.h"

#include "server/base/copy.h"

/* The user's code has returned, or raised the exception that is set. In a copy this does not
 * return: the process ends as sys.exit() would have it end, but runs nothing of this process's own
 * exit; with 1 and a line in the log after another exception, and with 0 and one when it has just
 * come back. Elsewhere it costs a load. */
void cg_copy_check(const struct cg_state *state);

/* _cgunicorn.end_copy(exception): the same from Python. */
PyObject *cg_copy_end(const struct cg_state *state, PyObject *exception);

#endif
