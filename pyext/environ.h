/* SPDX-License-Identifier: MIT
 *
 * The environ of a request (PEP 3333, "environ Variables"): a copy of a template that was filled at
 * boot, and the keys of the request.
 */
#ifndef CG_PYEXT_ENVIRON_H
#define CG_PYEXT_ENVIRON_H

#include "pyext/call.h"
#include "pyext/header_key.h"
#include "pyext/py.h"
#include "pyext/state.h"

#include "server/base/endpoint.h"
#include "server/settings/settings.h"

/* An endpoint and its texts, kept while the next request has the same: listeners do not change, and
 * clients behind a proxy share its address. */
struct cg_endpoint_text {
    struct cg_endpoint of;
    PyObject *host, *port; /* strong */
};

/* What a thread makes its environs from. None is shared: the counts of references alone would hold
 * up threads that run at the same time. */
struct cg_environ {
    struct cg_state *state; /* borrowed */
    PyObject *template;     /* strong; never handed out itself */
    PyObject *empty_input;  /* strong: wsgi.input of every request without a body */
    struct cg_endpoint_text local, client, destination;
    struct cg_header_keys header_keys, variable_keys;
};

/* Embedded in its owner. 0 or -1 with an exception; done accepts what init left. */
int cg_environ_init(struct cg_environ *e, struct cg_state *state,
                    const struct cg_settings *settings);
void cg_environ_done(struct cg_environ *e);

/* A new dict for the call's request, or NULL with an exception. */
PyObject *cg_environ_new(struct cg_environ *e, struct cg_call *call);

#endif
