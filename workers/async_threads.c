/* SPDX-License-Identifier: MIT
 *
 * The threads of an async worker and the baton between them; async.h has the drawing. Owns the
 * threads, the baton and the way to finish. It touches no client: what a thread does with one is in
 * async_calls.c.
 */
#include "workers/async.h"

#include "server/base/fd.h"
#include "workers/core.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* The keeper's look: a call that lasts from one look to the next costs the leader the baton. Tests
 * look more often, so that the baton changes hands more often. */
#ifndef CG_ASYNC_TICK_US
#define CG_ASYNC_TICK_US 1000
#endif

enum {
    TICK_US = CG_ASYNC_TICK_US,
    /* With calls that are short, but many, the loop is turned at least so often. */
    TURN_US = 1000,
    /* How long a quick stop waits for threads in the application. */
    LEAVE_MS = 500,
    /* The C library's default is too small for Python with some (musl), and only what is used
     * becomes resident. */
    STACK_BYTES = 8 * 1024 * 1024,
};

/* The baton */

/* The value that says it lies. */
static uint64_t lay_down(struct cg_async *e) {
    uint64_t lies = atomic_load_explicit(&e->baton, memory_order_relaxed) + 1;
    atomic_store_explicit(&e->baton, lies, memory_order_release);
    if (!atomic_exchange(&e->ticking, true))
        cg_tick_set(e->tick, TICK_US);
    return lies;
}

static bool pick_up(struct cg_async *e, uint64_t lies) {
    return atomic_compare_exchange_strong_explicit(&e->baton, &lies, lies + 1, memory_order_acquire,
                                                   memory_order_relaxed);
}

/* Nobody calls the application, so the keeper has nothing to look at. */
static void stop_ticking(struct cg_async *e) {
    if (atomic_exchange(&e->ticking, false))
        cg_tick_set(e->tick, 0);
}

/* Threads that wait; all with the lock held */

static void give_task(struct cg_async_thread *t, enum cg_async_task task) {
    t->task = task;
    pthread_cond_signal(&t->woken);
}

static void take_from_idle(struct cg_async *e, size_t at) {
    e->idle_threads_n--;
    for (size_t i = at; i < e->idle_threads_n; i++)
        e->idle_threads[i] = e->idle_threads[i + 1];
}

/* Has the one that has waited least lead, of those with no exchange of their own if there is one:
 * the next of that would wait for a new request to be over. False when none waits. */
static bool promote(struct cg_async *e, bool only_free) {
    for (size_t at = e->idle_threads_n; at-- > 0;) {
        struct cg_async_thread *t = e->idle_threads[at];
        if (t->exchanges_n > 0)
            continue;
        take_from_idle(e, at);
        give_task(t, CG_ASYNC_LEAD);
        return true;
    }
    if (only_free || e->idle_threads_n == 0)
        return false;
    give_task(e->idle_threads[--e->idle_threads_n], CG_ASYNC_LEAD);
    return true;
}

static struct cg_async_client *take_first(struct cg_list *list) {
    struct cg_async_client *c = CG_LIST_ENTRY(list->next, struct cg_async_client, place);
    cg_list_remove(&c->place);
    return c;
}

/* The leader */

/* What the driver ends with: everybody who waits goes home, everybody else does when he is back. */
static void finish(struct cg_async *e) {
    pthread_mutex_lock(&e->lock);
    e->finished = true;
    for (size_t i = 0; i < e->threads_n; i++)
        pthread_cond_signal(&e->threads[i].woken);
    ssize_t ignored =
        write(e->finish_fds[1], "", 1); /* wakes the main thread and wait_writable() */
    (void)ignored;
    pthread_mutex_unlock(&e->lock);
    cg_tick_set(e->tick, 1); /* and the keeper */
}

void cg_async_threads_collect(struct cg_async *e) {
    if (!atomic_load_explicit(&e->done, memory_order_relaxed))
        return;
    struct cg_async_client *c = atomic_exchange_explicit(&e->done, NULL, memory_order_acquire);
    while (c) {
        struct cg_async_client *next = c->next_done;
        cg_async_client_settle(e, c);
        c = next;
    }
}

static bool may_take(const struct cg_async *e, const struct cg_list *list) {
    return !cg_list_empty(list) &&
           cg_async_calls_have_place(e, CG_LIST_ENTRY(list->next, struct cg_async_client, place));
}

/* Exchanges that go on on threads which are idle. A thread that has just become idle may still be
 * in `calling`: whom it has posted is settled first, in the next turn. */
static void distribute(struct cg_async *e, const struct cg_async_thread *leader) {
    for (size_t i = 0; i < e->threads_n; i++) {
        struct cg_async_thread *t = &e->threads[i];
        if (t == leader || !cg_list_empty(&t->calling) || !may_take(e, &t->inbox))
            continue;
        pthread_mutex_lock(&e->lock);
        for (size_t at = e->idle_threads_n; at-- > 0;) {
            if (e->idle_threads[at] != t)
                continue;
            take_from_idle(e, at);
            cg_async_client_enter(e, t, take_first(&t->inbox));
            give_task(t, CG_ASYNC_CALL);
        }
        pthread_mutex_unlock(&e->lock);
    }
}

/* New requests and exchanges that go on take turns: who has waited while a new one was begun comes
 * before the next new one. Else a worker with enough of those would never end a slow one. NULL when
 * there are none for t. */
static struct cg_async_client *next_client(struct cg_async *e, struct cg_async_thread *t) {
    struct cg_list *lists[] = {&t->inbox, &e->ready};
    for (int i = 0; i < 2; i++) {
        struct cg_list *list = lists[t->goes_on ^ i];
        if (may_take(e, list))
            return take_first(list);
    }
    return NULL;
}

/* For a thread that is not the leader: c is the leader's again. t waits before the leader learns of
 * it, so that the keeper finds it there. */
static void post(struct cg_async_thread *t) {
    struct cg_async *e = t->engine;
    struct cg_async_client *c = t->client;
    pthread_mutex_lock(&e->lock);
    c->next_done = atomic_load_explicit(&e->done, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&e->done, &c->next_done, c, memory_order_release,
                                                  memory_order_relaxed))
        ;
    if (!e->finished) {
        e->idle_threads[e->idle_threads_n++] = t;
        uv_async_send(&e->posted);
    }
    pthread_mutex_unlock(&e->lock);
}

/* True when t is still the leader afterwards. */
static bool lead_call(struct cg_async *e, struct cg_async_thread *t, struct cg_async_client *c) {
    cg_async_client_enter(e, t, c);
    uint64_t lies = lay_down(e);
    cg_async_thread_call(t);
    if (!pick_up(e, lies)) {
        cg_async_thread_give_host(t);
        post(t);
        return false;
    }
    e->http.now_us = t->http.now_us;
    e->http.wall_s = t->http.wall_s;
    cg_async_client_settle(e, c);
    return true;
}

/* Looks before it waits, because to give the host away may cost its switch interval. */
static void lead_turn(struct cg_async *e, struct cg_async_thread *t, bool may_wait) {
    bool wait = may_wait && (!t->has_host || t->looked);
    if (wait) {
        cg_log_flush();
        stop_ticking(e);
        cg_async_thread_give_host(t);
    }
    t->looked = !wait && may_wait;
    cg_async_turn(e, wait);
    t->turned_us = e->http.now_us;
}

void cg_async_threads_drain(struct cg_async *e) {
    for (size_t i = 0; i < e->threads_n; i++)
        e->threads[i].http.draining = true;
}

/* A new request is for a thread that has no exchange of its own, if one is idle: it leads then. */
static bool hand_on(struct cg_async *e, struct cg_async_thread *t) {
    if (t->exchanges_n == 0 || cg_list_empty(&e->ready))
        return false;
    pthread_mutex_lock(&e->lock);
    bool handed = promote(e, true);
    if (handed)
        e->idle_threads[e->idle_threads_n++] = t;
    pthread_mutex_unlock(&e->lock);
    if (handed)
        cg_async_thread_give_host(t);
    return handed;
}

/* Until the baton is lost or handed on, or the driver finished. */
static void lead(struct cg_async_thread *t) {
    struct cg_async *e = t->engine;
    t->looked = false;
    while (cg_async_upkeep(e)) {
        if (e->http.now_us - t->turned_us > TURN_US) {
            lead_turn(e, t, false);
            continue; /* what it has brought may be for others */
        }
        if (e->threads_n > 1) {
            distribute(e, t);
            if (hand_on(e, t))
                return;
        }
        struct cg_async_client *c = next_client(e, t);
        if (!c) {
            lead_turn(e, t, true);
            continue;
        }
        t->looked = false;
        if (!lead_call(e, t, c))
            return;
    }
    finish(e);
}

/* An application thread */

/* What it is to do; NOTHING when it shall leave. */
static enum cg_async_task wait_task(struct cg_async_thread *t) {
    struct cg_async *e = t->engine;
    pthread_mutex_lock(&e->lock);
    while (t->task == CG_ASYNC_NOTHING && !e->finished)
        pthread_cond_wait(&t->woken, &e->lock);
    enum cg_async_task task = e->finished ? CG_ASYNC_NOTHING : t->task;
    t->task = CG_ASYNC_NOTHING;
    pthread_mutex_unlock(&e->lock);
    return task;
}

static void leave(struct cg_async *e) {
    pthread_mutex_lock(&e->lock);
    if (--e->alive_n == 0)
        pthread_cond_signal(&e->left);
    pthread_mutex_unlock(&e->lock);
}

/* Not before it has had the host: somebody who is stuck may have it, and who waits for it must not
 * be made the leader. */
static void enlist(struct cg_async_thread *t) {
    struct cg_async *e = t->engine;
    pthread_mutex_lock(&e->lock);
    if (!e->finished) {
        e->idle_threads[e->idle_threads_n++] = t;
        uv_async_send(&e->posted);
    }
    pthread_mutex_unlock(&e->lock);
}

static void *run_thread(void *arg) {
    struct cg_async_thread *t = arg;
    const struct cg_child *child = t->engine->worker->child;
    pthread_sigmask(SIG_SETMASK, &t->engine->signals, NULL); /* the keeper may have started it */
    child->runtime->thread_begin(child->rt);
    t->has_host = true;
    cg_async_thread_give_host(t);
    enlist(t);
    for (enum cg_async_task task; (task = wait_task(t)) != CG_ASYNC_NOTHING;) {
        if (task == CG_ASYNC_LEAD) {
            lead(t);
        } else {
            cg_async_thread_call(t);
            cg_async_thread_give_host(t);
            post(t);
        }
    }
    cg_async_thread_take_host(t);
    child->runtime->thread_end(child->rt);
    leave(t->engine);
    return NULL;
}

/* The keeper */

static bool stop_minding(struct cg_async *e) {
    e->minded = false; /* before somebody else leads */
    pthread_mutex_lock(&e->lock);
    bool stopped = promote(e, false);
    pthread_mutex_unlock(&e->lock);
    return stopped;
}

/* Until an application thread leads again, or the driver is finished. */
static void mind(struct cg_async *e) {
    cg_http_tick(&e->http);
    while (!stop_minding(e)) {
        e->minded = true;
        if (!cg_async_upkeep(e)) {
            finish(e);
            return;
        }
        cg_log_flush();
        cg_async_turn(e, true);
    }
}

static bool is_finished(struct cg_async *e) {
    pthread_mutex_lock(&e->lock);
    bool finished = e->finished;
    pthread_mutex_unlock(&e->lock);
    return finished;
}

static void *run_keeper(void *arg) {
    struct cg_async *e = arg;
    uint64_t seen = 0; /* a value that says somebody holds it */
    mind(e);
    for (;;) {
        cg_tick_wait(e->tick);
        if (is_finished(e))
            break;
        uint64_t baton = atomic_load_explicit(&e->baton, memory_order_relaxed);
        bool lies = baton % 2 == 1;
        if (lies && baton == seen && pick_up(e, baton)) {
            stop_ticking(e);
            mind(e);
        }
        seen = baton;
        if (atomic_load(&e->ticking))
            cg_tick_set(e->tick, TICK_US);
    }
    leave(e);
    return NULL;
}

/* The main thread */

static int add_thread(struct cg_async *e) {
    struct cg_async_thread *t = &e->threads[e->threads_n++];
    t->engine = e;
    cg_list_init(&t->inbox);
    cg_list_init(&t->calling);
    pthread_cond_init(&t->woken, NULL);
    return cg_async_http_init(e, &t->http, t);
}

int cg_async_threads_init(struct cg_async *e) {
    const struct cg_settings *s = e->worker->settings;
    size_t n = (size_t)s->threads;
    e->threads_max = 2 * (n + (size_t)s->max_streams);
    cg_list_init(&e->calling);
    e->threads = calloc(e->threads_max, sizeof(*e->threads));
    e->idle_threads = calloc(e->threads_max, sizeof(struct cg_async_thread *));
    e->tick = cg_tick_new();
    if (!e->threads || !e->idle_threads || !e->tick)
        return e->threads && e->idle_threads ? -errno : -ENOMEM;
    while (e->threads_n < n) {
        int rc = add_thread(e);
        if (rc < 0)
            return rc;
    }
    return cg_fd_wake_pipe(e->finish_fds);
}

void cg_async_threads_done(struct cg_async *e) {
    for (size_t i = 0; i < e->threads_n; i++) {
        pthread_cond_destroy(&e->threads[i].woken);
        cg_core_done(&e->threads[i].http);
    }
    free(e->threads);
    free(e->idle_threads);
    cg_tick_free(e->tick);
    for (int i = 0; i < 2; i++)
        cg_fd_close(&e->finish_fds[i]);
}

static int start_thread(struct cg_async *e, pthread_t *ret_id, void *(*run)(void *), void *arg) {
    pthread_attr_t attr;
    pthread_mutex_lock(&e->lock);
    e->alive_n++;
    pthread_mutex_unlock(&e->lock);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    int rc = -pthread_create(ret_id, &attr, run, arg);
    pthread_attr_destroy(&attr);
    if (rc < 0)
        leave(e);
    return rc;
}

/* The keeper takes no signal but those of its own crash: it must not be held up by a handler. The
 * others may, and what the application executes in them must not inherit blocked ones. */
static int start_keeper(struct cg_async *e) {
    static const int of_crashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    sigset_t others;
    sigfillset(&others);
    for (size_t i = 0; i < sizeof(of_crashes) / sizeof(of_crashes[0]); i++)
        sigdelset(&others, of_crashes[i]);
    pthread_sigmask(SIG_SETMASK, &others, NULL);
    int rc = start_thread(e, &e->keeper, run_keeper, e);
    pthread_sigmask(SIG_SETMASK, &e->signals, NULL);
    e->keeper_started = rc == 0;
    return rc;
}

static int start_next(struct cg_async *e) {
    struct cg_async_thread *t = &e->threads[e->started_n];
    int rc = start_thread(e, &t->id, run_thread, t);
    e->started_n += rc == 0;
    return rc;
}

/* The keeper last: it begins to lead. */
static int start(struct cg_async *e) {
    int rc = 0;
    pthread_sigmask(SIG_SETMASK, NULL, &e->signals);
    while (rc == 0 && e->started_n < e->threads_n)
        rc = start_next(e);
    return rc < 0 ? rc : start_keeper(e);
}

void cg_async_threads_follow(struct cg_async *e) {
    while (e->threads_n < cg_async_calls_want_threads(e) && e->threads_n < e->threads_max) {
        int rc = add_thread(e);
        if (rc == 0)
            rc = start_next(e);
        if (rc < 0) {
            cg_log(CG_LOG_ERROR, "Cannot start a thread, going on with those there are: %s",
                   strerror(-rc));
            e->threads_max = e->threads_n;
        }
    }
}

/* Without the host. */
static void wait_finished(struct cg_async *e) {
    const struct cg_child *child = e->worker->child;
    struct pollfd p = {.fd = e->finish_fds[0], .events = POLLIN};
    while (poll(&p, 1, -1) < 0) {
        child->runtime->wait_end(child->rt);
        child->runtime->poll(child->rt);
        child->runtime->wait_begin(child->rt);
    }
}

/* Have all left in time? Only a quick stop finds some that have not. */
static bool wait_left(struct cg_async *e) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += LEAVE_MS * 1000L * 1000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&e->lock);
    int rc = 0;
    while (e->alive_n > 0 && rc == 0)
        rc = pthread_cond_timedwait(&e->left, &e->lock, &until);
    bool all = e->alive_n == 0;
    pthread_mutex_unlock(&e->lock);
    return all;
}

static void join(struct cg_async *e) {
    for (size_t i = 0; i < e->started_n; i++)
        pthread_join(e->threads[i].id, NULL);
    if (e->keeper_started)
        pthread_join(e->keeper, NULL);
}

int cg_async_threads_serve(struct cg_async *e, bool *ret_all_back) {
    const struct cg_child *child = e->worker->child;
    child->runtime->wait_begin(child->rt);
    int rc = start(e);
    if (rc == 0)
        wait_finished(e);
    else
        finish(e);
    *ret_all_back = wait_left(e);
    if (*ret_all_back)
        join(e);
    else
        cg_worker_bound_exit(e->worker); /* somebody may have the host for ever */
    child->runtime->wait_end(child->rt);
    return rc;
}
