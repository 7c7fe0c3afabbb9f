/* SPDX-License-Identifier: MIT
 *
 * The access line: a Gunicorn access_log_format compiled once into a list of pieces, rendered per
 * exchange without Python. Values are escaped so that no client can forge a line: '"' and '\' get a
 * backslash, bytes outside 0x20..0x7e become \xHH. The format "json" makes each line an object.
 *
 * The atoms are Gunicorn's, and {x}x our own (access_atom.def). Differences: %(h)s of a Unix
 * socket's client is "-" instead of nothing, and a conversion's flags and width ("%(D)06d") are
 * accepted without effect. Of the application's environ lines show only %(h)s and %({x}e)s, by its
 * notes (access_note.h); without these they know the variables that follow from the request:
 * HTTP_*, CONTENT_*, REQUEST_METHOD, RAW_URI, PATH_INFO, QUERY_STRING, SERVER_PROTOCOL,
 * REMOTE_ADDR.
 */
#ifndef CG_HTTP_ACCESS_H
#define CG_HTTP_ACCESS_H

#include "server/base/buf.h"
#include "server/http/exchange.h"

#include <time.h>

/* Caches the rendered time and the process id: make it after the fork, use it from one thread. */
struct cg_access;

/* Compiles "%(h)s ... %({x}i)s"; unknown atoms render as "-", "%%" is a percent sign, and what is
 * no conversion is copied. NULL when there is no memory. */
struct cg_access *cg_access_new(const char *format);
/* Renders an object of JSON with all atoms instead, their names as in a format, for a logging
 * framework that does the rest: strings have a character for each byte (as WSGI has it), T, M, D,
 * B, b and s are numbers; what is absent is left out. With the format "json" its line is the member
 * "line". */
struct cg_access *cg_access_new_record(const char *format);
void cg_access_free(struct cg_access *a);

/* The process that the lines are about, when it is not this one. */
void cg_access_set_pid(struct cg_access *a, pid_t pid);

/* Tells the names of the variables that an application is to note for lines of this format, in the
 * order of their numbers, as the format has them: it may mean the same in upper case. 0 or
 * -ENOMEM. */
typedef void (*cg_access_key_fn)(void *ctx, struct cg_slice name);
int cg_access_each_key(const char *format, cg_access_key_fn each, void *ctx);

/* Appends the line for a finished exchange to out. now_us: monotonic; wall_s: for %(t)s.
 * 0 or -ENOMEM. */
int cg_access_render(struct cg_access *a, const struct cg_exchange *ex, uint64_t now_us,
                     time_t wall_s, struct cg_buf *out);

#endif
