/* SPDX-License-Identifier: MIT
 *
 * The threads of an async worker from their start to their end, as the main thread sees to it. Owns
 * them and their memory. What they do is in async_threads.c.
 */
#include "workers/async.h"

#include "server/base/fd.h"
#include "workers/core.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

enum {
    /* How long a quick stop waits for threads in the application. */
    LEAVE_MS = 500,
    /* The C library's default is too small for Python with some (musl), and only what is used
     * becomes resident. */
    STACK_BYTES = 8 * 1024 * 1024,
};

static int add_thread(struct cg_async *e) {
    struct cg_async_thread *t = &e->threads[e->threads_n++];
    t->engine = e;
    cg_list_init(&t->inbox);
    cg_list_init(&t->calling);
    uv_cond_init(&t->woken);
    return cg_async_http_init(e, &t->http, t);
}

/* glibc gives each thread memory of its own to allocate from, where what one has freed is of no use
 * to the next that leads. They share it: one at a time does nearly all, as the host has it. Unless
 * the operator has said otherwise. */
static void share_memory(size_t threads_n) {
#ifdef M_ARENA_MAX
    const char *tunables = getenv("GLIBC_TUNABLES");
    if (!getenv("MALLOC_ARENA_MAX") && !(tunables && strstr(tunables, "arena_max")))
        mallopt(M_ARENA_MAX, threads_n > 1 ? 2 : 1);
#else
    (void)threads_n;
#endif
}

int cg_async_threads_init(struct cg_async *e) {
    const struct cg_settings *s = e->worker->settings;
    size_t n = (size_t)s->threads;
    share_memory(n);
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
        uv_cond_destroy(&e->threads[i].woken);
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
    uv_mutex_lock(&e->lock);
    e->alive_n++;
    uv_mutex_unlock(&e->lock);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    int rc = -pthread_create(ret_id, &attr, run, arg);
    pthread_attr_destroy(&attr);
    if (rc < 0)
        cg_async_leave(e);
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
    int rc = start_thread(e, &e->keeper, cg_async_run_keeper, e);
    pthread_sigmask(SIG_SETMASK, &e->signals, NULL);
    e->keeper_started = rc == 0;
    return rc;
}

static int start_next(struct cg_async *e) {
    struct cg_async_thread *t = &e->threads[e->started_n];
    int rc = start_thread(e, &t->id, cg_async_run_thread, t);
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

/* Without the host, which is given its time whenever it wants it. */
static void wait_finished(struct cg_async *e) {
    const struct cg_child *child = e->worker->child;
    struct pollfd fds[] = {{.fd = e->finish_fds[0], .events = POLLIN},
                           {.fd = e->worker->poll_fd, .events = POLLIN}};
    while (poll(fds, 2, -1) < 0 || !fds[0].revents) {
        cg_fd_drain(e->worker->poll_fd); /* first: what comes later wakes again */
        child->runtime->wait_end(child->rt);
        cg_worker_poll_host(e->worker);
        child->runtime->wait_begin(child->rt);
    }
}

/* Have all left in time? Only a quick stop finds some that have not. */
static bool wait_left(struct cg_async *e) {
    uint64_t until_ns = uv_hrtime() + LEAVE_MS * UINT64_C(1000000);
    uv_mutex_lock(&e->lock);
    for (uint64_t now_ns; e->alive_n > 0 && (now_ns = uv_hrtime()) < until_ns;)
        uv_cond_timedwait(&e->left, &e->lock, until_ns - now_ns);
    bool all = e->alive_n == 0;
    uv_mutex_unlock(&e->lock);
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
        cg_async_finish(e);
    *ret_all_back = wait_left(e);
    if (*ret_all_back)
        join(e);
    else
        cg_worker_bound_exit(e->worker); /* somebody may have the host for ever */
    child->runtime->wait_end(child->rt);
    return rc;
}
