/* SPDX-License-Identifier: MIT
 *
 * The turns of turn.h. A waiter is on the stack of the thread that waits, and the list's until it
 * is woken.
 */
#include "pyext/turn.h"

#include "server/base/assert.h"
#include "server/base/copy.h"

#include <pthread.h>

struct cg_turn_waiter {
    struct cg_turn_waiter *next;
    unsigned long thread;
    pthread_mutex_t lock; /* of the rest */
    pthread_cond_t woken;
    bool is_woken, has_turn;
};

void cg_turn_begin(struct cg_turn *t) {
    t->holder = PyThread_get_thread_ident();
    t->is_over = false;
}

static void append(struct cg_turn *t, struct cg_turn_waiter *w) {
    *(t->first ? &t->last->next : &t->first) = w;
    t->last = w;
}

static struct cg_turn_waiter *take_first(struct cg_turn *t) {
    struct cg_turn_waiter *w = t->first;
    if (w)
        t->first = w->next;
    return w;
}

static void wake(struct cg_turn_waiter *w, bool has_turn) {
    pthread_mutex_lock(&w->lock);
    w->is_woken = true;
    w->has_turn = has_turn;
    pthread_cond_signal(&w->woken);
    pthread_mutex_unlock(&w->lock);
}

/* Comes back with the interpreter lock, so whoever has woken it is done with *w. */
static void sleep_until_woken(struct cg_turn_waiter *w) {
    Py_BEGIN_ALLOW_THREADS;
    pthread_mutex_lock(&w->lock);
    while (!w->is_woken)
        pthread_cond_wait(&w->woken, &w->lock);
    pthread_mutex_unlock(&w->lock);
    Py_END_ALLOW_THREADS;
}

static bool wait_for_it(struct cg_turn *t, unsigned long thread) {
    struct cg_turn_waiter w = {
        .thread = thread,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .woken = PTHREAD_COND_INITIALIZER,
    };
    append(t, &w);
    sleep_until_woken(&w);
    pthread_cond_destroy(&w.woken);
    pthread_mutex_destroy(&w.lock);
    return w.has_turn;
}

bool cg_turn_try(struct cg_turn *t) {
    if (t->holder != 0)
        return false;
    t->holder = PyThread_get_thread_ident();
    return true;
}

bool cg_turn_take(struct cg_turn *t) {
    if (cg_turn_try(t))
        return true;
    unsigned long thread = PyThread_get_thread_ident();
    /* In a copy the holder is a thread that is not there. */
    return t->holder != thread && !cg_is_copy() && wait_for_it(t, thread);
}

/* Handed on directly, so that nobody who comes later is faster. */
void cg_turn_release(struct cg_turn *t) {
    CG_ASSERT(t->holder == PyThread_get_thread_ident());
    struct cg_turn_waiter *w = take_first(t);
    t->holder = w ? w->thread : 0;
    if (w)
        wake(w, true);
}

void cg_turn_end(struct cg_turn *t) {
    struct cg_turn_waiter *w;
    t->is_over = true;
    while ((w = take_first(t)))
        wake(w, false);
}
