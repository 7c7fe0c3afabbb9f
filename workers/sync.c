/* SPDX-License-Identifier: MIT
 *
 * The sync driver: one loop that waits, serves whoever is there, and waits again. One request is in
 * the application at a time; no client that is slow, silent or leaving is ever waited for
 * (clients.h). Owns the wait set and the decision whether to accept; HTTP is the core's, the
 * clients' I/O clients.c's.
 *
 * While the worker serves it does not wait, so it is no candidate for new connections: they wake
 * another worker, or stay in the listener's queue.
 *
 * One accept for each event of a listener. Trying again before waiting looks cheaper and is not: an
 * accept4 that finds nobody costs 4 us, a wait that finds somebody 0.2 us (measured, Linux 6.18).
 */
#include "server/base/fd.h"
#include "workers/clients.h"

#include <errno.h>
#include <stdlib.h>

enum {
    EVENTS_MAX = 64,
    /* No descriptor or no memory for a new client: how long at most to leave it in the queue. */
    ACCEPT_PAUSE_US = 20 * 1000,
    /* That is logged again when there was none of it for so long. */
    SHORTAGE_OVER_US = 1000 * 1000,
    /* How long idle clients are waited for when the worker stops: those who have just connected,
     * and those who are kept alive, whose next request may be on its way. */
    STOP_SILENT_US = 500 * 1000,
};

struct listener {
    struct cg_source source; /* first: the wait set's token */
    const struct cg_listener *of;
    bool ready;        /* somebody may be in its queue; when not stopping, only within a turn */
    int64_t waiting_n; /* when stopping: how many of the queue are still to be served */
};

struct sync {
    struct cg_worker *worker;
    struct cg_clients clients;
    struct cg_waitset *waits;
    struct cg_source wake, poll, parent;
    struct listener *listeners;
    size_t listeners_n;
    bool listening;          /* they are in the wait set */
    uint64_t pause_until_us; /* no accept before; 0 = no pause */
    size_t paused_n;         /* or before there are fewer clients */
    uint64_t short_us;       /* when an accept has failed; 0 = never */
    bool stopping;
    bool released;            /* stopping, and the listeners' queues are no longer ours */
    uint64_t silent_until_us; /* stopping: from then on, idle clients are closed */
};

static bool may_accept(const struct sync *s, const struct listener *l) {
    return l->ready && (s->stopping ? l->waiting_n > 0 : s->worker->stop == CG_STOP_NO);
}

static bool may_accept_any(const struct sync *s) {
    for (size_t i = 0; i < s->listeners_n; i++)
        if (may_accept(s, &s->listeners[i]))
            return true;
    return false;
}

static void set_all_ready(struct sync *s, bool ready) {
    for (size_t i = 0; i < s->listeners_n; i++)
        s->listeners[i].ready = ready;
}

static int set_listening(struct sync *s, bool on) {
    int rc = 0;
    if (on == s->listening)
        return 0;
    for (size_t i = 0; i < s->listeners_n && rc == 0; i++) {
        struct listener *l = &s->listeners[i];
        if (on)
            rc = cg_waitset_add(s->waits, l->source.fd, CG_WAIT_READ | CG_WAIT_EXCLUSIVE, l);
        else
            cg_waitset_remove(s->waits, l->source.fd);
    }
    s->listening = on;
    return rc;
}

static void pause_accepting(struct sync *s, int rc) {
    uint64_t now_us = s->clients.http.now_us;
    if (s->short_us == 0 || now_us - s->short_us > SHORTAGE_OVER_US)
        cg_log(CG_LOG_ERROR, "Cannot accept clients, trying on: %s", strerror(-rc));
    s->short_us = now_us;
    s->pause_until_us = now_us + ACCEPT_PAUSE_US;
    s->paused_n = s->clients.n;
}

static void accept_one(struct sync *s, struct listener *l) {
    struct cg_endpoint peer;
    if (!cg_clients_find_room(&s->clients))
        return;
    int fd = cg_listener_accept(l->of, &peer);
    if (fd < 0) {
        l->ready = false;
        if (fd != -EAGAIN)
            pause_accepting(s, fd);
        return;
    }
    l->waiting_n--;
    if (s->stopping)
        cg_clients_admit_later(&s->clients, fd, &peer, l->of);
    else
        cg_clients_admit(&s->clients, fd, &peer, l->of);
}

/* One from each listener, so that the clients who are here already get their turn. */
static void accept_ready(struct sync *s) {
    for (size_t i = 0; i < s->listeners_n; i++) {
        struct listener *l = &s->listeners[i];
        if (may_accept(s, l))
            accept_one(s, l);
        l->ready = l->ready && s->stopping; /* otherwise waiting will tell */
    }
}

/* A graceful stop, once. Only who waits already is served, so that new clients cannot keep us. The
 * queue of a unix socket cannot be measured, but grows no more: its file is gone. From a queue that
 * is left to others we take one: we may have been the one whom its connection woke. */
static void begin_stop(struct sync *s) {
    s->stopping = true;
    set_listening(s, false);
    for (size_t i = 0; i < s->listeners_n; i++) {
        struct listener *l = &s->listeners[i];
        l->waiting_n = s->worker->stop_takes_queue
                           ? cg_listener_waiting(l->of, s->worker->settings->backlog)
                           : 1;
    }
    s->silent_until_us = s->clients.http.now_us + STOP_SILENT_US;
    set_all_ready(s, true);
    cg_clients_drain(&s->clients);
}

/* Who has come since the stop began, in one go: what the last worker leaves behind is reset. */
static void accept_rest(struct sync *s) {
    for (size_t i = 0; i < s->listeners_n; i++)
        while (s->listeners[i].ready && cg_clients_have_room(&s->clients))
            accept_one(s, &s->listeners[i]);
}

/* The queues are empty, or not ours: our copies of the listeners are closed, so that new clients
 * are refused at once when no other process holds them. The numbers stay taken: they are the
 * arbiter's to close. */
static void release_listeners(struct sync *s) {
    if (s->worker->stop_takes_queue)
        accept_rest(s);
    set_all_ready(s, false);
    for (size_t i = 0; i < s->listeners_n; i++)
        cg_fd_replace(s->listeners[i].source.fd, s->wake.fd);
    s->released = true;
}

static void follow_stop(struct sync *s) {
    if (s->worker->stop == CG_STOP_NO)
        return;
    if (!s->stopping)
        begin_stop(s);
    if (!s->released && !may_accept_any(s))
        release_listeners(s);
    if (s->clients.http.now_us >= s->silent_until_us)
        cg_clients_close_idle(&s->clients);
}

static int follow_room(struct sync *s) {
    if (s->clients.http.now_us >= s->pause_until_us || s->clients.n < s->paused_n)
        s->pause_until_us = 0;
    bool room = cg_clients_have_room(&s->clients);
    return set_listening(s, room && !s->stopping && !s->pause_until_us);
}

static uint64_t earlier(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* Until the next thing that is due without an event; -1: for ever. */
static int wait_ms(const struct sync *s) {
    const struct cg_clients *clients = &s->clients;
    uint64_t at_us = cg_clients_expire_us(clients);
    if (s->pause_until_us)
        at_us = earlier(at_us, s->pause_until_us);
    if (s->stopping)
        at_us = earlier(at_us, s->worker->stop_deadline_us);
    if (s->stopping && clients->http.now_us < s->silent_until_us)
        at_us = earlier(at_us, s->silent_until_us);
    return cg_clients_wait_ms(clients, at_us);
}

static bool has_work(const struct sync *s) {
    return !cg_list_empty(&s->clients.ready) ||
           (may_accept_any(s) && cg_clients_have_room(&s->clients));
}

/* Looks before it waits: the interpreter is given away, which may cost its switch interval to get
 * back, only if there is nothing to do. */
static int wait(struct sync *s, struct cg_wait_event *ret_events) {
    const struct cg_child *child = s->worker->child;
    int n = cg_waitset_wait(s->waits, ret_events, EVENTS_MAX, 0);
    int timeout_ms = wait_ms(s);
    if (n != 0 || timeout_ms == 0 || has_work(s))
        return n;
    cg_log_flush();
    child->runtime->wait_begin(child->rt);
    n = cg_waitset_wait(s->waits, ret_events, EVENTS_MAX, timeout_ms);
    child->runtime->wait_end(child->rt);
    return n;
}

/* Frees at most the client of the event itself, so the events of one wait stay valid together:
 * accept, which may close an idle client for the new one, comes after them. */
static void dispatch(struct sync *s, const struct cg_wait_event *event) {
    struct cg_source *source = event->token;
    switch (source->kind) {
    case CG_SOURCE_WAKE:
        break; /* each turn takes the signals */
    case CG_SOURCE_POLL:
        cg_fd_drain(source->fd); /* first: what comes later wakes again */
        cg_worker_poll_host(s->worker);
        break;
    case CG_SOURCE_PARENT:
        cg_waitset_remove(s->waits, source->fd);
        cg_worker_parent_gone(s->worker, s->clients.http.now_us);
        break;
    case CG_SOURCE_LISTENER:
        ((struct listener *)source)->ready = true;
        break;
    case CG_SOURCE_CLIENT:
        cg_clients_event(&s->clients, source, event->events);
        break;
    }
}

static int turn(struct sync *s) {
    struct cg_worker *w = s->worker;
    struct cg_wait_event events[EVENTS_MAX];
    int n = wait(s, events);
    cg_http_tick(&s->clients.http);
    cg_worker_beat(w, s->clients.http.now_us);
    cg_worker_take_signals(w, s->clients.http.now_us);
    cg_worker_poll_host(w);
    for (int i = 0; i < n && w->stop != CG_STOP_QUICK; i++)
        dispatch(s, &events[i]);
    cg_clients_serve_ready(&s->clients);
    accept_ready(s);
    cg_clients_expire(&s->clients);
    return n < 0 ? n : 0;
}

static int init_listeners(struct sync *s, const struct cg_listeners *listeners) {
    s->listeners = calloc(listeners->n ? listeners->n : 1, sizeof(*s->listeners));
    if (!s->listeners)
        return -ENOMEM;
    for (size_t i = 0; i < listeners->n; i++) {
        const struct cg_listener *of = &listeners->at[i];
        s->listeners[i] = (struct listener){{CG_SOURCE_LISTENER, of->fd}, of, false, 0};
    }
    s->listeners_n = listeners->n;
    return 0;
}

/* After fork and boot, so that nothing of the parent's is in the wait set. */
static int init(struct sync *s, struct cg_worker *w) {
    *s = (struct sync){
        .worker = w,
        .wake = {CG_SOURCE_WAKE, w->wake_fd},
        .poll = {CG_SOURCE_POLL, w->poll_fd},
        .parent = {CG_SOURCE_PARENT, w->child->parent_fd},
        .waits = cg_waitset_new(),
    };
    if (!s->waits)
        return -errno;
    int rc = cg_clients_init(&s->clients, w, s->waits);
    if (rc == 0)
        rc = init_listeners(s, w->child->listeners);
    if (rc == 0)
        rc = cg_waitset_add(s->waits, s->wake.fd, CG_WAIT_READ, &s->wake);
    if (rc == 0)
        rc = cg_waitset_add(s->waits, s->poll.fd, CG_WAIT_READ, &s->poll);
    if (rc == 0)
        rc = cg_waitset_add(s->waits, s->parent.fd, CG_WAIT_READ, &s->parent);
    return rc;
}

static void done(struct sync *s) {
    if (s->waits)
        cg_clients_done(&s->clients);
    cg_waitset_free(s->waits);
    free(s->listeners);
}

static bool is_finished(const struct sync *s) {
    return s->worker->stop == CG_STOP_QUICK || (s->released && s->clients.n == 0);
}

static int loop(struct sync *s) {
    for (;;) {
        follow_stop(s);
        if (is_finished(s))
            return 0;
        int rc = follow_room(s);
        if (rc == 0)
            rc = turn(s);
        if (rc < 0)
            return rc;
    }
}

int cg_sync_run(struct cg_worker *w) {
    struct sync s;
    int rc = init(&s, w);
    if (rc == 0)
        rc = loop(&s);
    if (rc < 0)
        cg_log(CG_LOG_CRITICAL, "The worker cannot wait for clients: %s", strerror(-rc));
    done(&s);
    return rc;
}
