/* SPDX-License-Identifier: MIT
 *
 * A reload in order: settings, logs, listeners, workers; the old generation is told to leave when
 * all of that has worked, and has lost nothing when it has not. No state of its own.
 */
#include "server/arbiter/reload.h"

#include "server/arbiter/arbiter.h"
#include "server/arbiter/listening.h"
#include "server/arbiter/moments.h"
#include "server/base/clock.h"
#include "server/base/log.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

static void open_logs(const struct cg_settings *settings) {
    const char *path;
    int rc = cg_log_open(settings->errorlog, settings->accesslog, settings->loglevel, &path);
    if (rc < 0)
        cg_log(CG_LOG_ERROR, "Can't open the log %s, the old logs stay in use: %s", path,
               strerror(-rc));
    cg_arbiter_open_outputs(settings);
}

static void fail(const struct cg_pool *p, const char *why) {
    open_logs(p->current->settings);
    cg_log(CG_LOG_ERROR, "Reload failed, the old workers go on: %s", why);
}

static void give_up(struct cg_pool *p, const char *why) {
    struct cg_generation *g = p->pending;
    p->pending = NULL;
    p->pending_refused = false;
    fail(p, why);
    cg_moments_tell_given_up(p, g);
    cg_pool_retire(p, g, cg_clock_us());
}

static void begin(struct cg_pool *p) {
    const struct cg_settings *settings = p->runtime->reload(p->rt);
    if (!settings) {
        fail(p, "the configuration is broken");
        return;
    }
    open_logs(settings);
    struct cg_listeners listeners;
    if (cg_listening_renew(settings, p->current->settings, &p->current->listeners, &listeners) <
        0) {
        fail(p, "the new addresses can't be had");
        goto give_back;
    }
    bool moved = !cg_listening_same(&listeners, &p->current->listeners);
    p->pending = cg_pool_add(p, settings, true, listeners);
    if (!p->pending) {
        fail(p, strerror(ENOMEM));
        cg_listening_close(&listeners, &p->current->listeners);
        goto give_back;
    }
    if (moved)
        cg_listening_log(&p->pending->listeners);
    /* Whoever reloads may have mended what workers crashed of. */
    p->throttle = (struct cg_throttle){0, 0, 0};
    if (!cg_moments_tell_reload(p))
        give_up(p, "a hook refused it");
    return;
give_back:
    p->runtime->free_settings(p->rt, settings);
}

void cg_reload_ask(struct cg_reload *r, struct cg_pool *p) {
    if (p->pending)
        r->again = true;
    else
        begin(p);
}

void cg_reload_turn(struct cg_reload *r, struct cg_pool *p, uint64_t now_us) {
    if (p->pending && cg_pool_is_ready(p, p->pending)) {
        struct cg_generation *old = p->current;
        p->current = p->pending;
        p->pending = NULL;
        cg_log(CG_LOG_INFO, "Reloaded: the new workers are ready, the old ones are told to leave");
        cg_pool_retire(p, old, now_us);
    }
    if (!p->pending && r->again) {
        r->again = false;
        begin(p);
    }
}

void cg_reload_give_up(struct cg_pool *p) {
    give_up(p, p->pending_refused ? "a hook refused it" : "a new worker ended before it was ready");
}
