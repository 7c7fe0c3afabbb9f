/* SPDX-License-Identifier: MIT
 *
 * Log lines on their way from C to Python's loggers. Lines come from any thread, with the GIL or
 * without, and wait in a queue; whoever puts one there with the GIL also hands it on, unless a
 * thread of Python's does nothing else, which is so in workers whose loop must never wait for the
 * GIL. One per process, because the log is.
 */
#ifndef CG_PYEXT_LOG_RELAY_H
#define CG_PYEXT_LOG_RELAY_H

#include "pyext/py.h"
#include "pyext/state.h"

/* divert(errors, access, level, emit): lines of these logs are given to emit(kind, level, text), a
 * callable. kind is "error" or "access" or, after cg_log_relay_reopen(), "reopen". */
PyObject *cg_log_relay_divert(struct cg_state *state, PyObject *args);

/* Hands lines on until cg_log_relay_stop(), in a thread of Python's. None. */
PyObject *cg_log_relay_pump(struct cg_state *state);

/* Python's log files shall be opened anew. From any thread. */
void cg_log_relay_reopen(void);

/* With the GIL: everything in the queue is handed on, and the thread is done. */
void cg_log_relay_stop(void);

#endif
