/* SPDX-License-Identifier: MIT
 *
 * Notes for the access line (server/http/access_note.h) out of an application's environ.
 */
#ifndef CG_PYEXT_ACCESS_NOTES_H
#define CG_PYEXT_ACCESS_NOTES_H

#include "pyext/py.h"

#include "server/http/exchange.h"
#include "server/settings/settings.h"

/* The variables that lines show. NULL: there are no lines, and nothing is noted. */
struct cg_access_notes {
    PyObject *names; /* strong: a list of each name as the format has it, and in upper case */
};

/* Embedded, zeroed: init, done. 0 or -1 with an exception. */
int cg_access_notes_init(struct cg_access_notes *n, const struct cg_settings *settings);
void cg_access_notes_done(struct cg_access_notes *n);

/* Takes the values out of the environ. What has no text, or raises instead, counts as missing. */
void cg_access_notes_take(const struct cg_access_notes *n, PyObject *env, struct cg_exchange *ex);

#endif
