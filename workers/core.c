/* SPDX-License-Identifier: MIT
 *
 * The functions of core.h, between server/http and the log.
 */
#include "workers/core.h"

#include "server/base/statsd.h"
#include "server/http/access.h"

#include <errno.h>
#include <stdio.h>

int cg_core_init(struct cg_http *http, const struct cg_worker *w, const struct cg_io *io,
                 void *io_ctx) {
    int rc = cg_http_init(http, w->settings, w->app, w->app_ctx, io, io_ctx);
    http->measures = cg_statsd_enabled();
    if (rc < 0 || !cg_log_access_enabled())
        return rc;
    http->access = cg_core_access_new(w->settings);
    return http->access ? 0 : -ENOMEM;
}

struct cg_access *cg_core_access_new(const struct cg_settings *settings) {
    const char *format = settings->access_log_format;
    return cg_log_access_diverted() ? cg_access_new_record(format) : cg_access_new(format);
}

void cg_core_done(struct cg_http *http) {
    cg_access_free(http->access);
    cg_http_done(http);
}

/* The text names the client where that matters. */
void cg_core_report(void *io, struct cg_conn *conn, enum cg_log_level level, const char *text) {
    (void)io;
    (void)conn;
    cg_log(level, "%s", text);
}

void cg_core_access(void *io, struct cg_slice line) {
    (void)io;
    cg_log_access(line);
}

void cg_core_measure(void *io, int status, uint64_t took_us) {
    char name[64];
    (void)io;
    cg_statsd_time("gunicorn.request.duration", took_us);
    cg_statsd_count("gunicorn.requests", 1);
    snprintf(name, sizeof(name), "gunicorn.request.status.%d", status);
    cg_statsd_count(name, 1);
}
