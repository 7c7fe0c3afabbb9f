/* SPDX-License-Identifier: MIT
 *
 * A request and its response as hooks and logger classes see them: objects of
 * cgunicorn.messages.Request and Response, which read an attribute out of the exchange when it is
 * first asked for. Nothing here costs a request for which nobody asks.
 */
#ifndef CG_PYEXT_MESSAGES_H
#define CG_PYEXT_MESSAGES_H

#include "pyext/call.h"

/* The call's objects, borrowed, made when first asked for. NULL with an exception. The response is
 * to be asked for when it is over only: what it says is read once. */
PyObject *cg_messages_request(struct cg_call *call);
PyObject *cg_messages_response(struct cg_call *call);

/* Brings what pre_request has changed of the request into its environ. 0, or -1 with an exception.
 */
int cg_messages_change_environ(struct cg_call *call, PyObject *environ);

/* The exchange ends. An object that somebody keeps reads what it has not read yet. Leaves no
 * exception set. */
void cg_messages_end(struct cg_call *call);

#endif
