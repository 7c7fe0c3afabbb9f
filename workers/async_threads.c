/* SPDX-License-Identifier: MIT
 *
 * What the threads of an async worker do, and the baton between them; async.h has the drawing. Owns
 * the baton and the way to finish. It touches no client: what a thread does with one is in
 * async_calls.c.
 */
#include "workers/async.h"

#include "server/base/fd.h"
#include "workers/core.h"

#include <signal.h>
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
    /* Who has had the host for so long should give way to others, if there were any in the last
     * second, which is when to get it took so long. CPython's switch interval is 5 ms. */
    HAD_HOST_US = 4000,
    CROWDED_US = 1000 * 1000,
    OTHERS_HAD_IT_US = 500,
    /* How long a thread keeps the host for the keeper to have it lead. */
    KEEP_HOST_US = 1000,
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
    if (!atomic_compare_exchange_strong(&e->baton, &lies, lies + 1))
        return false;
    cg_async_calls_push(e); /* whoever is calling is looked after no more */
    return true;
}

/* Whoever has laid it down. */
static bool pick_up_if_it_lies(struct cg_async *e) {
    uint64_t baton = atomic_load_explicit(&e->baton, memory_order_relaxed);
    return baton % 2 == 1 && pick_up(e, baton);
}

/* Nobody calls the application, so the keeper has nothing to look at. */
static void stop_ticking(struct cg_async *e) {
    if (atomic_exchange(&e->ticking, false))
        cg_tick_set(e->tick, 0);
}

/* Threads that wait; all with the lock held */

static void give_task(struct cg_async_thread *t, enum cg_async_task task) {
    t->task = task;
    uv_cond_signal(&t->woken);
}

static void take_from_idle(struct cg_async *e, size_t at) {
    e->idle_threads_n--;
    for (size_t i = at; i < e->idle_threads_n; i++)
        e->idle_threads[i] = e->idle_threads[i + 1];
}

static bool offers_host(const struct cg_async_thread *t) {
    return t->offers_host;
}

/* It has no exchange of its own: the next of that would wait for a new request to be over. */
static bool is_free(const struct cg_async_thread *t) {
    return t->exchanges_n == 0;
}

static bool is_there(const struct cg_async_thread *t) {
    (void)t;
    return true;
}

/* Has the one lead that has waited least, of those that suit. False when there is none. */
static bool promote(struct cg_async *e, bool (*suits)(const struct cg_async_thread *)) {
    for (size_t at = e->idle_threads_n; at-- > 0;) {
        struct cg_async_thread *t = e->idle_threads[at];
        if (!suits(t))
            continue;
        take_from_idle(e, at);
        give_task(t, CG_ASYNC_LEAD);
        return true;
    }
    return false;
}

static struct cg_async_client *take_first(struct cg_list *list) {
    struct cg_async_client *c = CG_LIST_ENTRY(list->next, struct cg_async_client, place);
    cg_list_remove(&c->place);
    return c;
}

/* The leader */

void cg_async_finish(struct cg_async *e) {
    uv_mutex_lock(&e->lock);
    e->finished = true;
    for (size_t i = 0; i < e->threads_n; i++)
        uv_cond_signal(&e->threads[i].woken);
    ssize_t ignored =
        write(e->finish_fds[1], "", 1); /* wakes the main thread and wait_writable() */
    (void)ignored;
    uv_mutex_unlock(&e->lock);
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
        uv_mutex_lock(&e->lock);
        for (size_t at = e->idle_threads_n; at-- > 0;) {
            if (e->idle_threads[at] != t)
                continue;
            take_from_idle(e, at);
            cg_async_client_enter(e, t, take_first(&t->inbox));
            give_task(t, CG_ASYNC_CALL);
        }
        uv_mutex_unlock(&e->lock);
    }
}

/* New requests and exchanges that go on take turns: who has waited while a new one was begun comes
 * before the next new one. Else a worker with enough of those would never end a slow one. NULL when
 * there are none for t. */
static struct cg_list *next_list(struct cg_async *e, struct cg_async_thread *t) {
    struct cg_list *lists[] = {&t->inbox, &e->ready};
    for (int i = 0; i < 2; i++) {
        struct cg_list *list = lists[t->goes_on ^ i];
        if (may_take(e, list))
            return list;
    }
    return NULL;
}

static void push_done(struct cg_async *e, struct cg_async_client *c) {
    c->next_done = atomic_load_explicit(&e->done, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&e->done, &c->next_done, c, memory_order_release,
                                                  memory_order_relaxed))
        ;
}

/* For a thread that is not the leader: it is idle, and its client, if it had one, the leader's
 * again. A keeper who minds the loop needs somebody with the host, which is long in coming when
 * somebody computes, so t keeps its own for that. */
static void stand_by(struct cg_async_thread *t, struct cg_async_client *client) {
    struct cg_async *e = t->engine;
    if (!atomic_load_explicit(&e->minded, memory_order_relaxed))
        cg_async_thread_give_host(t);
    uv_mutex_lock(&e->lock);
    if (client)
        push_done(e, client);
    if (!e->finished) {
        t->offers_host = t->has_host;
        e->idle_threads[e->idle_threads_n++] = t;
        uv_async_send(&e->posted);
    }
    uv_mutex_unlock(&e->lock);
}

/* t, which laid the baton down at begun_us to get the host, has it. True when t is still the leader
 * afterwards. */
static bool lead_on(struct cg_async *e, struct cg_async_thread *t, uint64_t begun_us) {
    if (!pick_up_if_it_lies(e)) {
        stand_by(t, NULL);
        return false;
    }
    cg_http_tick(&e->http);
    if (e->http.now_us - begun_us > OTHERS_HAD_IT_US)
        e->crowded_us = t->had_us = e->http.now_us;
    return true;
}

/* The host is waited for with the baton laid down, and without a client: whoever has both first may
 * call for all of them. True when t is still the leader afterwards. */
static bool lead_take_host(struct cg_async *e, struct cg_async_thread *t) {
    uint64_t begun_us = e->http.now_us;
    t->had_us = begun_us;
    lay_down(e);
    cg_async_thread_take_host(t);
    return lead_on(e, t, begun_us);
}

/* Somebody computes, and will ask for the host again: what an interpreter grants after some
 * milliseconds. That should be between two calls, not in the middle of one, whose client would wait
 * until all the others have had theirs. */
static bool should_give_way(const struct cg_async *e, const struct cg_async_thread *t) {
    uint64_t now_us = e->http.now_us;
    return t->has_host && now_us - e->crowded_us < CROWDED_US && now_us - t->had_us > HAD_HOST_US;
}

/* True when t is still the leader afterwards. */
static bool lead_give_way(struct cg_async *e, struct cg_async_thread *t) {
    const struct cg_child *child = e->worker->child;
    uint64_t begun_us = e->http.now_us;
    lay_down(e);
    atomic_fetch_add(&e->waiting_n, 1);
    child->runtime->give_way(child->rt);
    atomic_fetch_sub(&e->waiting_n, 1);
    return lead_on(e, t, begun_us);
}

/* The clock is read once after a call. Another leader may have read it later. */
static void catch_up(struct cg_async *e, const struct cg_async_thread *t) {
    if (t->http.now_us < e->http.now_us)
        return;
    e->http.now_us = t->http.now_us;
    e->http.wall_s = t->http.wall_s;
}

/* Calls the application for t's client. True when t is the leader afterwards: also when another one
 * was meanwhile, and does not have the baton in hand. */
static bool call(struct cg_async *e, struct cg_async_thread *t) {
    cg_async_thread_call(t);
    if (!pick_up_if_it_lies(e)) {
        stand_by(t, t->client);
        return false;
    }
    catch_up(e, t);
    cg_async_client_settle(e, t->client);
    return true;
}

static bool lead_call(struct cg_async *e, struct cg_async_thread *t, struct cg_async_client *c) {
    cg_async_client_enter(e, t, c);
    t->lies = lay_down(e);
    return call(e, t);
}

/* Before the loop waits. It does not wait for whoever reads the log. */
static void flush_log(struct cg_async *e) {
    e->log_waits = !cg_log_try_flush();
}

/* Looks before it waits, because to give the host away may cost its switch interval. */
static void lead_turn(struct cg_async *e, struct cg_async_thread *t, bool may_wait) {
    bool wait = may_wait && (!t->has_host || t->looked);
    if (wait) {
        flush_log(e);
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
    uv_mutex_lock(&e->lock);
    bool handed = promote(e, is_free);
    if (handed)
        e->idle_threads[e->idle_threads_n++] = t;
    uv_mutex_unlock(&e->lock);
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
        if (should_give_way(e, t) && !lead_give_way(e, t))
            return;
        struct cg_list *list = next_list(e, t);
        if (!list) {
            lead_turn(e, t, true);
            continue;
        }
        t->looked = false;
        if (!t->has_host) {
            if (!lead_take_host(e, t))
                return;
            continue; /* another one may have led meanwhile */
        }
        if (!lead_call(e, t, take_first(list)))
            return;
    }
    cg_async_finish(e);
}

/* An application thread */

/* With the lock held. */
static bool is_waiting(const struct cg_async_thread *t) {
    return t->task == CG_ASYNC_NOTHING && !t->engine->finished;
}

/* What it is to do; NOTHING when it shall leave. */
static enum cg_async_task wait_task(struct cg_async_thread *t) {
    struct cg_async *e = t->engine;
    uv_mutex_lock(&e->lock);
    if (t->offers_host && is_waiting(t))
        uv_cond_timedwait(&t->woken, &e->lock, KEEP_HOST_US * UINT64_C(1000));
    if (is_waiting(t)) {
        t->offers_host = false;
        uv_mutex_unlock(&e->lock);
        cg_async_thread_give_host(t);
        uv_mutex_lock(&e->lock);
    }
    while (is_waiting(t))
        uv_cond_wait(&t->woken, &e->lock);
    enum cg_async_task task = e->finished ? CG_ASYNC_NOTHING : t->task;
    t->task = CG_ASYNC_NOTHING;
    t->offers_host = false;
    uv_mutex_unlock(&e->lock);
    return task;
}

void cg_async_leave(struct cg_async *e) {
    uv_mutex_lock(&e->lock);
    if (--e->alive_n == 0)
        uv_cond_signal(&e->left);
    uv_mutex_unlock(&e->lock);
}

void *cg_async_run_thread(void *arg) {
    struct cg_async_thread *t = arg;
    const struct cg_child *child = t->engine->worker->child;
    pthread_sigmask(SIG_SETMASK, &t->engine->signals, NULL); /* the keeper may have started it */
    child->runtime->thread_begin(child->rt);
    t->has_host = true;
    /* Not before it has had the host: somebody who is stuck may have it, and who waits for it must
     * not be made the leader. */
    cg_async_thread_give_host(t);
    stand_by(t, NULL);
    for (enum cg_async_task task; (task = wait_task(t)) != CG_ASYNC_NOTHING;) {
        t->lies = 0;
        if (task == CG_ASYNC_LEAD || call(t->engine, t))
            lead(t);
    }
    cg_async_thread_take_host(t);
    child->runtime->thread_end(child->rt);
    cg_async_leave(t->engine);
    return NULL;
}

/* The keeper */

/* Whoever leads needs the host to call the application, so it is of no use to have a second one
 * wait for that: the first, when it has had it, leads. */
static bool stop_minding(struct cg_async *e) {
    e->minded = false; /* before somebody else leads */
    uv_mutex_lock(&e->lock);
    bool stopped = promote(e, offers_host) || (atomic_load(&e->waiting_n) == 0 &&
                                               (promote(e, is_free) || promote(e, is_there)));
    uv_mutex_unlock(&e->lock);
    return stopped;
}

/* Until an application thread leads again, or the driver is finished. */
static void mind(struct cg_async *e) {
    cg_http_tick(&e->http);
    while (!stop_minding(e)) {
        e->minded = true;
        if (!cg_async_upkeep(e)) {
            cg_async_finish(e);
            return;
        }
        flush_log(e);
        cg_async_turn(e, true);
    }
}

static bool is_finished(struct cg_async *e) {
    uv_mutex_lock(&e->lock);
    bool finished = e->finished;
    uv_mutex_unlock(&e->lock);
    return finished;
}

void *cg_async_run_keeper(void *arg) {
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
    cg_async_leave(e);
    return NULL;
}
