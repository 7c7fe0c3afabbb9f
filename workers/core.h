/* SPDX-License-Identifier: MIT
 *
 * The HTTP core as every driver sets it up: its access log, and the rows of struct cg_io that are
 * the same whoever waits. No state of its own.
 */
#ifndef CG_WORKERS_CORE_H
#define CG_WORKERS_CORE_H

#include "workers/worker.h"

/* Surroundings of connections for one thread. 0 or -errno; done accepts what a failed init left. */
int cg_core_init(struct cg_http *http, const struct cg_worker *w, const struct cg_io *io,
                 void *io_ctx);
void cg_core_done(struct cg_http *http);

/* Access lines as the settings and whoever takes them want them. NULL without memory. */
struct cg_access *cg_core_access_new(const struct cg_settings *settings);

/* cg_io.report and cg_io.access: to the logs; cg_io.measure: to statsd. */
void cg_core_report(void *io, struct cg_conn *conn, enum cg_log_level level, const char *text);
void cg_core_access(void *io, struct cg_slice line);
void cg_core_measure(void *io, int status, uint64_t took_us);

#endif
