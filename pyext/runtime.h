/* SPDX-License-Identifier: MIT
 *
 * The runtime table (server/arbiter/runtime.h) filled with CPython.
 */
#ifndef CG_PYEXT_RUNTIME_H
#define CG_PYEXT_RUNTIME_H

#include "pyext/app_wsgi.h"
#include "pyext/py.h"
#include "pyext/state.h"

#include "server/arbiter/runtime.h"

/* What the table's functions get: one per _cgunicorn.run(), on its stack. */
struct cg_host {
    struct cg_state *state; /* borrowed */
    PyObject *runtime;      /* borrowed: the Python Runtime object */
    PyObject *hooks;        /* strong: its hooks */
    PyObject *nothing;      /* strong: a function that does nothing */
    struct cg_wsgi wsgi;    /* empty until boot, and in the arbiter for ever */
};

extern const struct cg_runtime cg_python_runtime;
/* The interpreter lock, while a log file is waited for; also for threads that do not have it. */
extern const struct cg_log_host cg_python_log_host;

/* What Python's own buffers hold goes out, so that a fork does not double it. */
void cg_host_flush(void);

/* Before the arbiter runs. 0 or -1 with an exception. */
int cg_host_init(struct cg_host *h, struct cg_state *state, PyObject *runtime);

/* In a worker: as if the signal had come, which Python's handler has got instead. */
void cg_host_note(struct cg_host *h, int number);

/* After the arbiter has returned, in both processes. */
void cg_host_done(struct cg_host *h);

#endif
