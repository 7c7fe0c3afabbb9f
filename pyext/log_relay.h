/* SPDX-License-Identifier: MIT
 *
 * Log lines on their way from C to Python's loggers. Lines come from any thread, with the GIL or
 * without, and wait in a queue; whoever puts one there with the GIL also hands it on, unless a
 * thread of Python's does nothing else, which is so in workers whose loop must never wait for the
 * GIL. One per process, because the log is.
 *
 * An access line may take what a logger class is told about it along: app_wsgi.c parks that when
 * the exchange ends, and the line that the same thread logs next is the exchange's.
 */
#ifndef CG_PYEXT_LOG_RELAY_H
#define CG_PYEXT_LOG_RELAY_H

#include "pyext/py.h"
#include "pyext/state.h"

/* divert(errors, access, level, emit, exchanges): lines of these logs are given to emit(kind,
 * level, text, exchange), a callable. kind is "error" or "access" or, after cg_log_relay_reopen(),
 * "reopen". exchange is what was parked for an access line, or None. */
PyObject *cg_log_relay_divert(struct cg_state *state, PyObject *args);

/* Whether emit wants something to be parked for the exchanges of the application. */
bool cg_log_relay_wants_exchanges(void);

/* With the GIL: this thread's next access line takes `exchange` along, which is taken over; NULL:
 * nothing. What nobody took is dropped. */
void cg_log_relay_park(PyObject *exchange);

/* Hands lines on until cg_log_relay_stop(), in a thread of Python's. None. */
PyObject *cg_log_relay_pump(struct cg_state *state);

/* Python's log files shall be opened anew. From any thread. */
void cg_log_relay_reopen(void);

/* With the GIL: everything in the queue is handed on, and the thread is done. */
void cg_log_relay_stop(void);

#endif
