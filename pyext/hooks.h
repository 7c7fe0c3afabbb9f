/* SPDX-License-Identifier: MIT
 *
 * The server hooks, whose Python side is cgunicorn.hooks.Hooks: the arbiter's moments on their way
 * there, and the two hooks around a request. What is not set costs a request one test of a pointer.
 */
#ifndef CG_PYEXT_HOOKS_H
#define CG_PYEXT_HOOKS_H

#include "pyext/call.h"

#include "server/arbiter/runtime.h"

struct cg_wsgi;

/* Passes a moment on to hooks.moment(name, config, details). The runtime table's answer. */
int cg_hooks_moment(const struct cg_state *state, PyObject *hooks, const struct cg_moment *m);

/* Takes over what hooks have changed of the settings; a failure is logged. For a process with one
 * thread. */
void cg_hooks_follow(const struct cg_state *state, const struct cg_settings *settings);

/* pre_request and post_request of one worker. Embedded: zeroed, init, done; strong references. */
struct cg_request_hooks {
    PyObject *worker; /* what they get first */
    PyObject *pre, *post;
    Py_ssize_t post_args_n; /* 2, 3 or 4 */
};

/* From hooks.of_requests(). 0 or -1 with an exception. */
int cg_request_hooks_init(struct cg_request_hooks *h, PyObject *hooks);
void cg_request_hooks_done(struct cg_request_hooks *h);

/* Only when it is set: within the request's context. 0 or -1 with an exception. After pre, which
 * raises for the client to see; and after post, whose exceptions are for the log. */
int cg_request_hooks_pre(const struct cg_request_hooks *h, struct cg_call *call);
int cg_request_hooks_post(const struct cg_request_hooks *h, struct cg_call *call);

/* The scoreboard's slot of a worker, for its Python object. A new reference or NULL. */
PyObject *cg_slot_object_new(const struct cg_state *state, struct cg_slot *slot);

#endif
