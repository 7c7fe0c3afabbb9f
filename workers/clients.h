/* SPDX-License-Identifier: MIT
 *
 * The clients of a sync worker: one of them in the application at a time, all others parked in the
 * wait set, where they cost nothing. This is where a cg_conn's wishes become system calls; the loop
 * around it is sync.c's. Used by one thread.
 *
 * A client is always in one of three places. While it is being pumped, its connection's wishes are
 * followed until one has to wait. Parked, it is in the wait set and in the heap of deadlines, and
 * in the list `idle` too when nothing has begun. In the list `ready` it has had its share of this
 * turn and goes on in the next.
 */
#ifndef CG_WORKERS_CLIENTS_H
#define CG_WORKERS_CLIENTS_H

#include "workers/deadline.h"
#include "workers/waitset.h"
#include "workers/worker.h"

/* What the tokens in the wait set point to. */
enum cg_source_kind {
    CG_SOURCE_WAKE,
    CG_SOURCE_POLL,
    CG_SOURCE_PARENT,
    CG_SOURCE_LISTENER,
    CG_SOURCE_CLIENT
};

struct cg_source {
    enum cg_source_kind kind;
    int fd;
};

struct cg_clients {
    struct cg_worker *worker;
    struct cg_waitset *waits; /* borrowed */
    struct cg_http http;
    struct cg_deadlines deadlines;
    struct cg_list all;
    struct cg_list idle; /* the longest idle first */
    struct cg_list ready;
    size_t n;        /* in all */
    bool in_request; /* the slot shows the request of the client being pumped */
};

/* 0 or -errno. */
int cg_clients_init(struct cg_clients *s, struct cg_worker *w, struct cg_waitset *waits);
/* Lets go of everybody at once; an exchange under way is ended. */
void cg_clients_done(struct cg_clients *s);

/* Until at_us (UINT64_MAX: for ever), in ms for a wait, but no longer than until the next beat; -1:
 * for ever. */
int cg_clients_wait_ms(const struct cg_clients *s, uint64_t at_us);

/* May one more come? With worker_connections clients only if one of them is idle: it is closed
 * then. */
bool cg_clients_have_room(const struct cg_clients *s);
/* The same, right before one is accepted: it has been looked whether those who seem idle are. */
bool cg_clients_find_room(struct cg_clients *s);

/* A client that was just accepted, which is served at once as far as it goes. Takes fd. */
void cg_clients_admit(struct cg_clients *s, int fd, const struct cg_endpoint *peer,
                      const struct cg_listener *listener);
/* The same, but its first turn comes with cg_clients_serve_ready(). */
void cg_clients_admit_later(struct cg_clients *s, int fd, const struct cg_endpoint *peer,
                            const struct cg_listener *listener);
/* The wait set's event for a client. */
void cg_clients_event(struct cg_clients *s, struct cg_source *source, int events);
/* One turn for those that are ready. */
void cg_clients_serve_ready(struct cg_clients *s);
void cg_clients_expire(struct cg_clients *s);
/* When cg_clients_expire() is due, UINT64_MAX for never. It may find nothing to do. */
uint64_t cg_clients_expire_us(const struct cg_clients *s);

/* The worker stops: responses say close from now on. */
void cg_clients_drain(struct cg_clients *s);
/* Those go who have not begun a request, nor sent one that has not been read yet. */
void cg_clients_close_idle(struct cg_clients *s);

#endif
