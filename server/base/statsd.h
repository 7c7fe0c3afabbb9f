/* SPDX-License-Identifier: MIT
 *
 * Metrics in the statsd form, a datagram each, as Gunicorn sends them. One sink per process, set
 * once and inherited over fork; any thread may send. Nothing here waits: what the network does not
 * take at once is lost.
 */
#ifndef CG_BASE_STATSD_H
#define CG_BASE_STATSD_H

#include <stdbool.h>
#include <stdint.h>

/* "HOST", "HOST:PORT" or "unix://PATH". prefix goes in front of names, tags (of dogstatsd) behind
 * each metric; all may be empty, and address NULL, for no metrics. Resolves the host's name, which
 * may take as long as that takes. 0 or -errno, -ENXIO for a name that has no address. While no
 * other thread sends. */
int cg_statsd_open(const char *address, const char *prefix, const char *tags);

bool cg_statsd_enabled(void);

void cg_statsd_count(const char *name, int64_t by);
void cg_statsd_gauge(const char *name, uint64_t value);
void cg_statsd_histogram(const char *name, uint64_t value);
void cg_statsd_time(const char *name, uint64_t us);
/* "NAME:VALUE|TYPE", without prefix and tags. */
void cg_statsd_send(const char *metric);

#endif
