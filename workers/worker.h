/* SPDX-License-Identifier: MIT
 *
 * The frame of every worker class: signals, boot, heartbeat, the parent's life line, max_requests,
 * and the choice of the driver. Runs in the child.
 */
#ifndef CG_WORKERS_WORKER_H
#define CG_WORKERS_WORKER_H

#include "server/arbiter/child.h"
#include "server/http/conn.h"

/* How a worker was told to stop. */
enum cg_stop {
    CG_STOP_NO,
    CG_STOP_GRACEFUL, /* TERM, parent gone: finish what has begun */
    CG_STOP_QUICK,    /* INT, QUIT: leave now */
};

struct cg_worker {
    struct cg_child *child;
    const struct cg_settings *settings;
    const struct cg_app *app;
    void *app_ctx;
    int wake_fd; /* readable when a signal was noted */
    int poll_fd; /* readable when the host wants cg_worker_poll_host() */
    enum cg_stop stop;
    bool orphan; /* the arbiter is gone, and the log says so */
    /* With a graceful stop: what waits in the listeners' queues is this worker's to serve, since
     * nobody may come after it. False when the arbiter says that others serve them. */
    bool stop_takes_queue;
    uint64_t stop_deadline_us; /* when a graceful stop becomes a quick one */
    uint64_t requests_n;       /* begun */
    uint64_t requests_max;     /* with this one it is spent; 0 = never */
};

/* What cg_child.ctx must point to. */
struct cg_worker_app {
    const struct cg_app *app;
    void *ctx;
};

/* "1.44.2": the libuv that is linked. */
const char *cg_worker_libuv_version(void);

/* The cg_worker_main_fn and the cg_lost_fn of this server. */
int cg_worker_main(struct cg_child *child);
void cg_worker_lost(const struct cg_lost *lost, uint64_t now_us);

/* Drivers call it when wake_fd is readable, and once a turn: takes noted signals into w->stop,
 * reopens logs, and turns a graceful stop whose time is over into a quick one. Cheap when there is
 * nothing. */
void cg_worker_take_signals(struct cg_worker *w, uint64_t now_us);

/* The main thread calls it, with the host, when it has drained poll_fd, when its wait was
 * interrupted, and as often as it likes: the host handles what is pending. Costs next to nothing
 * then. */
void cg_worker_poll_host(struct cg_worker *w);

/* As if the signal had come, which the caller, the host's handler, has handled otherwise. In a copy
 * it takes its default action, outside of a worker nothing happens. Async-signal-safe. */
void cg_worker_note(int number);

/* Has INT or QUIT come, even if it is not taken yet? For any thread. What the application says then
 * was broken off and is not for the client. */
bool cg_worker_is_quick(void);

/* Drivers call it when child->parent_fd is readable: a graceful stop. */
void cg_worker_parent_gone(struct cg_worker *w, uint64_t now_us);

/* An application call has taken longer than `timeout` and cannot be ended: the arbiter shall send
 * another worker at once, this one finishes what else it does. */
void cg_worker_give_up(struct cg_worker *w, uint64_t now_us);

/* The driver has finished, but some of its threads have not, and may never give the host back: the
 * process ends, if need be without the host. For the main thread. */
void cg_worker_bound_exit(const struct cg_worker *w);

/* Once a turn, and the longest time that a driver may wait before the next (-1: for ever). The
 * arbiter kills who does not beat for `timeout`. */
void cg_worker_beat(struct cg_worker *w, uint64_t now_us);
int cg_worker_beat_ms(const struct cg_worker *w);

/* Around each exchange, by one thread at a time. begin counts it. The one that reaches requests_max
 * makes the worker ask for a successor; it goes on until the arbiter says TERM. */
void cg_worker_begin_request(struct cg_worker *w, const struct cg_exchange *ex, uint64_t now_us);
void cg_worker_end_request(struct cg_worker *w, uint64_t now_us);
/* begin's counting alone, for a driver that keeps the slot itself. */
void cg_worker_count_request(struct cg_worker *w, uint64_t now_us);

/* Around each call that may run the application's code: only in between does a quick stop interrupt
 * it. */
void cg_worker_enter_app(struct cg_worker *w);
void cg_worker_leave_app(struct cg_worker *w);

/* A driver: serves until w->stop says to leave and everything is finished. */
typedef int (*cg_driver_fn)(struct cg_worker *w);
int cg_sync_run(struct cg_worker *w);
int cg_async_run(struct cg_worker *w);

#endif
