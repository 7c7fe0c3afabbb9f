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
    cg_py_lock_take(&t->lock);
    t->holder = PyThread_get_thread_ident();
    t->is_over = false;
    cg_py_lock_give(&t->lock);
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

/* Comes back when the waiter may be gone. */
static void wake(struct cg_turn_waiter *w, bool has_turn) {
    pthread_mutex_lock(&w->lock);
    w->is_woken = true;
    w->has_turn = has_turn;
    pthread_cond_signal(&w->woken);
    pthread_mutex_unlock(&w->lock);
}

static void sleep_until_woken(struct cg_turn_waiter *w) {
    Py_BEGIN_ALLOW_THREADS;
    pthread_mutex_lock(&w->lock);
    while (!w->is_woken)
        pthread_cond_wait(&w->woken, &w->lock);
    pthread_mutex_unlock(&w->lock);
    Py_END_ALLOW_THREADS;
}

/* For who has the lock, and has it no longer then. */
static bool wait_for_it(struct cg_turn *t, unsigned long thread) {
    struct cg_turn_waiter w = {
        .thread = thread,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .woken = PTHREAD_COND_INITIALIZER,
    };
    append(t, &w);
    cg_py_lock_give(&t->lock);
    sleep_until_woken(&w);
    pthread_cond_destroy(&w.woken);
    pthread_mutex_destroy(&w.lock);
    return w.has_turn;
}

bool cg_turn_try(struct cg_turn *t) {
    cg_py_lock_take(&t->lock);
    bool is_free = t->holder == 0;
    if (is_free)
        t->holder = PyThread_get_thread_ident();
    cg_py_lock_give(&t->lock);
    return is_free;
}

static bool take(struct cg_turn *t, bool even_if_over) {
    unsigned long thread = PyThread_get_thread_ident();
    cg_py_lock_take(&t->lock);
    bool may = even_if_over || !t->is_over;
    bool has = may && t->holder == 0;
    if (has)
        t->holder = thread;
    /* In a copy the holder is a thread that is not there. */
    if (may && !has && t->holder != thread && !cg_is_copy())
        return wait_for_it(t, thread);
    cg_py_lock_give(&t->lock);
    return has;
}

bool cg_turn_take(struct cg_turn *t) {
    return take(t, true);
}

bool cg_turn_ask(struct cg_turn *t) {
    return take(t, false);
}

bool cg_turn_is_over(struct cg_turn *t) {
    cg_py_lock_take(&t->lock);
    bool is_over = t->is_over;
    cg_py_lock_give(&t->lock);
    return is_over;
}

/* Handed on directly, so that nobody who comes later is faster. */
void cg_turn_release(struct cg_turn *t) {
    cg_py_lock_take(&t->lock);
    CG_ASSERT(t->holder == PyThread_get_thread_ident());
    struct cg_turn_waiter *w = take_first(t);
    t->holder = w ? w->thread : 0;
    cg_py_lock_give(&t->lock);
    if (w)
        wake(w, true);
}

void cg_turn_end(struct cg_turn *t) {
    cg_py_lock_take(&t->lock);
    t->is_over = true;
    struct cg_turn_waiter *w = t->first;
    t->first = NULL;
    cg_py_lock_give(&t->lock);
    while (w) {
        struct cg_turn_waiter *next = w->next;
        wake(w, false);
        w = next;
    }
}
