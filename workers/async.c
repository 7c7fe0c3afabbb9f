/* SPDX-License-Identifier: MIT
 *
 * The async driver's loop: what it watches, when it accepts, when it stops. Owns the libuv loop and
 * all its handles but the clients'. Everything here is done by the leader (async.h), whichever
 * thread that is.
 *
 * While every application thread is busy the listeners are left alone, so a new request goes to
 * another worker, or waits in the queue where any worker may take it. libuv knows no
 * EPOLLEXCLUSIVE: a connection wakes every worker that waits, and the first one has it.
 */
#include "workers/async.h"

#include "server/base/fd.h"

#include <errno.h>
#include <stdlib.h>

enum {
    /* No descriptor or no memory for a new client: how long at most to leave it in the queue. */
    ACCEPT_PAUSE_US = 20 * 1000,
    /* That is logged again when there was none of it for so long. */
    SHORTAGE_OVER_US = 1000 * 1000,
    /* How long idle clients are waited for when the worker stops. Those who are kept alive too:
     * their next request may be on its way, and is answered with Connection: close. */
    STOP_SILENT_US = 500 * 1000,
    /* When to try again to write what the log did not take. */
    LOG_PAUSE_US = 50 * 1000,
    /* Whoever comes so much later than he was expected was held up by the machine. */
    LATE_US = 1000 * 1000,
};

void cg_async_tick(struct cg_async *e) {
    if (!e->ticked)
        cg_http_tick(&e->http);
    e->ticked = true;
}

/* Accepting */

static void pause_accepting(struct cg_async *e, int rc) {
    uint64_t now_us = e->http.now_us;
    if (e->short_us == 0 || now_us - e->short_us > SHORTAGE_OVER_US)
        cg_log(CG_LOG_ERROR, "Cannot accept clients, trying on: %s", strerror(-rc));
    e->short_us = now_us;
    e->pause_until_us = now_us + ACCEPT_PAUSE_US;
    e->paused_n = e->n;
}

static bool may_accept(struct cg_async *e) {
    return !e->pause_until_us && cg_async_clients_find_room(e);
}

static void accept_one(struct cg_async *e, struct cg_async_listener *l) {
    struct cg_endpoint peer;
    int fd = cg_listener_accept(l->of, &peer);
    if (fd < 0) {
        l->ready = false;
        if (fd != -EAGAIN)
            pause_accepting(e, fd);
        return;
    }
    e->queue_left--;
    cg_async_clients_admit(e, fd, &peer, l->of);
}

/* One accept for each event: another one that finds nobody costs more than another event. */
static void on_listener(uv_poll_t *poll, int status, int events) {
    struct cg_async_listener *l = poll->data;
    (void)status;
    (void)events;
    cg_async_tick(l->engine);
    if (l->engine->listening && l->engine->worker->stop == CG_STOP_NO && may_accept(l->engine))
        accept_one(l->engine, l);
}

static int set_listening(struct cg_async *e, bool on) {
    int rc = 0;
    if (on == e->listening)
        return 0;
    for (size_t i = 0; i < e->listeners_n && rc == 0; i++)
        rc = on ? uv_poll_start(&e->listeners[i].poll, UV_READABLE, on_listener)
                : uv_poll_stop(&e->listeners[i].poll);
    e->listening = on;
    return rc;
}

static void follow_room(struct cg_async *e) {
    if (e->http.now_us >= e->pause_until_us || e->n < e->paused_n)
        e->pause_until_us = 0;
    bool room = cg_async_clients_have_room(e) && cg_async_calls_have_room(e) && !e->minded;
    int rc = set_listening(e, room && !e->stopping && !e->pause_until_us);
    if (rc < 0)
        pause_accepting(e, rc);
}

/* Stopping */

static bool any_ready(const struct cg_async *e) {
    for (size_t i = 0; i < e->listeners_n; i++)
        if (e->listeners[i].ready)
            return true;
    return false;
}

static void set_all_ready(struct cg_async *e, bool ready) {
    for (size_t i = 0; i < e->listeners_n; i++)
        e->listeners[i].ready = ready;
}

static bool may_take_queue(const struct cg_async *e) {
    return any_ready(e) && e->queue_left > 0;
}

/* A graceful stop, once. Only who waits already is waited for, so that new clients cannot keep us.
 */
static void begin_stop(struct cg_async *e) {
    e->stopping = true;
    set_listening(e, false);
    e->queue_left = 0;
    for (size_t i = 0; i < e->listeners_n; i++)
        e->queue_left += cg_listener_waiting(e->listeners[i].of, e->worker->settings->backlog);
    e->silent_until_us = e->http.now_us + STOP_SILENT_US;
    set_all_ready(e, e->worker->stop_takes_queue);
    e->http.draining = true;
    cg_async_threads_drain(e);
}

/* Admitting a client calls no application, so all are taken who find room. */
static void accept_queued(struct cg_async *e) {
    for (size_t i = 0; i < e->listeners_n; i++)
        while (e->listeners[i].ready && may_accept(e))
            accept_one(e, &e->listeners[i]);
}

/* Our copies of the listeners are closed, see sync.c. */
static void release_listeners(struct cg_async *e) {
    set_all_ready(e, false);
    for (size_t i = 0; i < e->listeners_n; i++)
        cg_fd_replace(e->listeners[i].of->fd, e->worker->wake_fd);
    e->released = true;
}

static void follow_stop(struct cg_async *e) {
    if (e->worker->stop == CG_STOP_NO)
        return;
    if (!e->stopping)
        begin_stop(e);
    accept_queued(e);
    if (!e->released && !may_take_queue(e))
        release_listeners(e);
    if (e->http.now_us >= e->silent_until_us) {
        cg_async_clients_close_idle(e);
        e->silent_until_us = UINT64_MAX;
    }
}

static bool is_finished(const struct cg_async *e) {
    return e->worker->stop == CG_STOP_QUICK || (e->released && e->n == e->calls_n[CG_ASYNC_STUCK]);
}

/* A turn */

bool cg_async_upkeep(struct cg_async *e) {
    struct cg_worker *w = e->worker;
    uint64_t now_us = e->http.now_us;
    cg_async_threads_collect(e);
    cg_worker_beat(w, now_us);
    cg_worker_take_signals(w, now_us);
    if (w->stop == CG_STOP_QUICK) {
        cg_async_clients_decline(e);
        return false;
    }
    if (e->expected_us < now_us && now_us - e->expected_us > LATE_US)
        cg_async_calls_excuse(e, now_us - e->expected_us);
    e->expected_us = now_us;
    cg_async_calls_expire(e);
    cg_async_threads_follow(e);
    follow_stop(e);
    cg_async_clients_expire(e);
    follow_room(e);
    return !is_finished(e);
}

static uint64_t earlier(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* When the next thing is due without an event; UINT64_MAX for never. */
static uint64_t due_us(const struct cg_async *e) {
    const struct cg_deadline *first = cg_deadlines_first(&e->deadlines);
    uint64_t at_us = first ? first->at_us : UINT64_MAX;
    int beat_ms = cg_worker_beat_ms(e->worker);
    if (beat_ms >= 0)
        at_us = earlier(at_us, e->http.now_us + (uint64_t)beat_ms * 1000);
    at_us = earlier(at_us, cg_async_calls_due_us(e));
    if (e->log_waits)
        at_us = earlier(at_us, e->http.now_us + LOG_PAUSE_US);
    if (e->pause_until_us)
        at_us = earlier(at_us, e->pause_until_us);
    if (e->stopping)
        at_us = earlier(at_us, earlier(e->silent_until_us, e->worker->stop_deadline_us));
    return at_us;
}

static void on_alarm(uv_timer_t *alarm) {
    cg_async_tick(alarm->loop->data);
}

static void set_alarm(struct cg_async *e) {
    uint64_t at_us = due_us(e);
    e->expected_us = at_us;
    if (at_us == UINT64_MAX) {
        uv_timer_stop(&e->alarm);
        return;
    }
    uint64_t now_us = e->http.now_us;
    uv_update_time(&e->loop); /* it is as old as the last turn */
    uv_timer_start(&e->alarm, on_alarm, at_us > now_us ? (at_us - now_us + 999) / 1000 : 0, 0);
}

void cg_async_turn(struct cg_async *e, bool may_wait) {
    bool wait = may_wait && !(may_take_queue(e) && cg_async_clients_have_room(e));
    if (wait)
        set_alarm(e);
    e->ticked = false;
    uv_run(&e->loop, wait ? UV_RUN_ONCE : UV_RUN_NOWAIT);
    cg_async_tick(e);
}

/* Life */

static void on_posted(uv_async_t *posted) {
    cg_async_tick(posted->loop->data);
}

static void on_wake(uv_poll_t *poll, int status, int events) {
    (void)status;
    (void)events;
    cg_async_tick(poll->loop->data); /* each turn takes the signals */
}

static void on_parent(uv_poll_t *poll, int status, int events) {
    struct cg_async *e = poll->loop->data;
    (void)status;
    (void)events;
    uv_poll_stop(poll);
    cg_async_tick(e);
    cg_worker_parent_gone(e->worker, e->http.now_us);
}

static int watch_fd(struct cg_async *e, uv_poll_t *poll, int fd, uv_poll_cb callback) {
    int rc = uv_poll_init(&e->loop, poll, fd);
    return rc < 0 ? rc : uv_poll_start(poll, UV_READABLE, callback);
}

static int open_handles(struct cg_async *e) {
    int rc = uv_async_init(&e->loop, &e->posted, on_posted);
    if (rc == 0)
        rc = uv_timer_init(&e->loop, &e->alarm);
    if (rc == 0)
        rc = watch_fd(e, &e->wake, e->worker->wake_fd, on_wake);
    if (rc == 0)
        rc = watch_fd(e, &e->parent, e->worker->child->parent_fd, on_parent);
    return rc;
}

static int open_listeners(struct cg_async *e, const struct cg_listeners *listeners) {
    e->listeners = calloc(listeners->n ? listeners->n : 1, sizeof(*e->listeners));
    if (!e->listeners)
        return -ENOMEM;
    for (size_t i = 0; i < listeners->n; i++) {
        struct cg_async_listener *l = &e->listeners[i];
        *l = (struct cg_async_listener){.engine = e, .of = &listeners->at[i]};
        int rc = uv_poll_init(&e->loop, &l->poll, l->of->fd);
        if (rc < 0)
            return rc;
        l->poll.data = l;
        e->listeners_n++;
    }
    return 0;
}

static int init(struct cg_async *e) {
    int rc = cg_async_clients_init(e);
    if (rc == 0)
        rc = open_handles(e);
    if (rc == 0)
        rc = open_listeners(e, e->worker->child->listeners);
    if (rc == 0)
        rc = cg_async_threads_init(e);
    return rc;
}

static void close_handle(uv_handle_t *handle, void *unused) {
    (void)unused;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void engine_free(struct cg_async *e) {
    uv_cond_destroy(&e->left);
    uv_mutex_destroy(&e->lock);
    free(e->listeners);
    free(e);
}

static void done(struct cg_async *e) {
    cg_worker_enter_app(e->worker); /* an exchange under way gets its end here */
    cg_async_clients_done(e);
    cg_worker_leave_app(e->worker);
    cg_async_threads_done(e);
    uv_walk(&e->loop, close_handle, NULL);
    uv_run(&e->loop, UV_RUN_DEFAULT);
    uv_loop_close(&e->loop);
    engine_free(e);
}

/* After fork and boot: a loop must not be inherited. */
static struct cg_async *engine_new(struct cg_worker *w) {
    struct cg_async *e = calloc(1, sizeof(*e));
    if (!e)
        return NULL;
    uv_mutex_init(&e->lock);
    uv_cond_init(&e->left);
    if (uv_loop_init(&e->loop) < 0) {
        engine_free(e);
        return NULL;
    }
    e->worker = w;
    e->expected_us = UINT64_MAX;
    e->loop.data = e;
    e->finish_fds[0] = e->finish_fds[1] = -1;
    return e;
}

int cg_async_run(struct cg_worker *w) {
    struct cg_async *e = engine_new(w);
    int rc = e ? init(e) : -ENOMEM;
    bool all_back = true;
    if (rc == 0)
        rc = cg_async_threads_serve(e, &all_back);
    if (rc < 0)
        cg_log(CG_LOG_CRITICAL, "The worker cannot begin to serve: %s", strerror(-rc));
    if (e && all_back)
        done(e);
    return rc;
}
