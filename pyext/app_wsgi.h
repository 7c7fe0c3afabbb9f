/* SPDX-License-Identifier: MIT
 *
 * The application table (server/http/app.h) filled with a WSGI callable.
 */
#ifndef CG_PYEXT_APP_WSGI_H
#define CG_PYEXT_APP_WSGI_H

#include "pyext/access_notes.h"
#include "pyext/call.h"
#include "pyext/hooks.h"
#include "pyext/py.h"
#include "pyext/state.h"

#include "server/http/app.h"

#include <stdatomic.h>

/* The application context of a worker: what cg_wsgi_app's functions get. Embedded: zeroed, init in
 * the worker, done. */
struct cg_wsgi {
    struct cg_state *state; /* borrowed; NULL before init */
    PyObject *application;  /* strong */
    PyObject *context;      /* strong: contextvars as they were when the application was loaded */
    const struct cg_settings *settings; /* borrowed */
    struct cg_request_hooks hooks;
    struct cg_access_notes notes;
    bool logs_exchanges;         /* a logger class is told about them */
    _Atomic uint64_t requests_n; /* that have reached the application */
    _Atomic bool interrupted;    /* a quick stop: SystemExit is ours, not the application's */
};

/* 0 or -1 with an exception. The settings are borrowed until done. */
int cg_wsgi_init(struct cg_wsgi *w, struct cg_state *state, PyObject *application, PyObject *hooks,
                 const struct cg_settings *settings);
void cg_wsgi_done(struct cg_wsgi *w);

/* At the end of a thread that may have run requests, while it has its thread state. */
void cg_wsgi_thread_done(void);

/* Whether an exception is the end that a quick stop asked for, and nothing to log. */
bool cg_wsgi_told_to_leave(const struct cg_wsgi *w, PyObject *exception);

/* All of its functions are called with a thread state. */
extern const struct cg_app cg_wsgi_app;

#endif
