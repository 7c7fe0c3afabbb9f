/* SPDX-License-Identifier: MIT
 *
 * What access lines show of an application's environ, as the application has left it: middleware
 * that believes a proxy's headers puts the client into REMOTE_ADDR. The format names the variables
 * (cg_access_each_key); the application notes the value of each when its exchange ends. Of an
 * exchange without notes, which no application was called for, lines show what was received.
 */
#ifndef CG_HTTP_ACCESS_NOTE_H
#define CG_HTTP_ACCESS_NOTE_H

#include "server/http/exchange.h"

/* Notes the value of the next variable; one without text (at == NULL) says that it is missing. 0 or
 * -ENOMEM: then it and those behind it stay unnoted. */
int cg_access_note(struct cg_exchange *ex, struct cg_slice value);

/* The note of the variable with this number, from 0; false when there is none. Borrowed from the
 * exchange. */
bool cg_access_noted(const struct cg_exchange *ex, size_t n, struct cg_slice *ret_value);

#endif
