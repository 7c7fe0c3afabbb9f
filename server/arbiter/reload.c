/* SPDX-License-Identifier: MIT
 *
 * A reload in order: settings, logs, listeners, workers; the old generation is told to leave when
 * all of that has worked, and has lost nothing when it has not.
 *
 * With rolling_reload the old generation shrinks while the new one grows. If that fails halfway,
 * the old one is filled up again, and the new workers that are ready serve until it is: an old
 * worker forked now loads the application that is there now, which may be the broken one. No state
 * of its own.
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

/* New workers that are ready go on until the old generation is complete again; but when they have
 * other addresses, they are not of its kind. */
static void give_up(struct cg_pool *p, const char *why) {
    struct cg_generation *g = p->pending;
    bool shared = cg_listening_same(&g->listeners, &p->current->listeners);
    p->pending = NULL;
    p->pending_refused = false;
    p->current->wanted_n = p->current->full_n;
    fail(p, why);
    cg_moments_tell_given_up(p, g);
    if (shared)
        cg_pool_freeze(p, g, cg_clock_us());
    else
        cg_pool_retire(p, g, cg_clock_us());
}

/* The next batch of new workers, on top of those there are. */
static void grow(struct cg_generation *g, int from_n) {
    int64_t step_n = g->settings->rolling_reload;
    g->wanted_n = step_n > 0 && step_n < g->full_n - from_n ? from_n + (int)step_n : g->full_n;
}

/* When the present batch is ready, as many old workers leave; when they have left, the next batch
 * is begun. So there is never more than one batch too many. */
static void roll(struct cg_pool *p) {
    struct cg_generation *old = p->current, *new = p->pending;
    old->wanted_n = old->full_n > new->wanted_n ? old->full_n - new->wanted_n : 0;
    if (old->procs_n <= old->wanted_n)
        grow(new, new->wanted_n);
}

static void take_over(struct cg_pool *p, uint64_t now_us) {
    struct cg_generation *old = p->current;
    /* Who is left of a failed reload first: it shares its listeners with the old generation. */
    cg_pool_retire_others(p, now_us);
    p->current = p->pending;
    p->pending = NULL;
    cg_log(CG_LOG_INFO, "Reloaded: the new workers are ready, the old ones are told to leave");
    cg_pool_retire(p, old, now_us);
}

static void begin(struct cg_pool *p) {
    const struct cg_settings *settings = p->runtime->reload(p->rt);
    cg_pool_distrust(p);
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
    if (p->pending && !moved)
        grow(p->pending, 0);
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
    bool ready = p->pending && cg_pool_is_ready(p, p->pending);
    if (ready && p->pending->wanted_n < p->pending->full_n)
        roll(p);
    else if (ready)
        take_over(p, now_us);
    else if (cg_pool_is_ready(p, p->current))
        cg_pool_retire_others(p, now_us);
    if (p->pending && r->again && cg_pool_hangs(p, now_us))
        give_up(p, "another one was asked for, and its workers hang while they boot");
    if (!p->pending && r->again) {
        r->again = false;
        begin(p);
    }
}

void cg_reload_give_up(struct cg_pool *p) {
    give_up(p, p->pending_refused ? "a hook refused it" : "a new worker ended before it was ready");
}
