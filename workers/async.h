/* SPDX-License-Identifier: MIT
 *
 * Inside of the async driver: what its files say to each other. async.c has the loop, the listeners
 * and the stop; async_clients.c the clients' I/O; async_threads.c what threads do, and the baton;
 * async_life.c their start and end; async_calls.c what a thread does with a client. Nobody else
 * includes it.
 *
 * One libuv loop owns all clients. Applications run on N application threads. Whoever holds the
 * baton is the leader: it alone touches the loop, libuv's handles, and every client that is not
 * away. An application thread that leads calls the application itself, between two turns of the
 * loop, so a quick request costs no hop between threads. It lays the baton down for the call. If
 * the call lasts, or waits for the interpreter, the keeper, a thread that never runs any of the
 * application's code, picks the baton up: reads, writes and timers of all others go on.
 *
 *                     no client wants the application
 *                      .-- turns the loop (waits only --.
 *                      |    with the host released)     |
 *                      |                                v
 *   IDLE -- promoted --+----------------------------> LEADING
 *    ^ |  (by a keeper who holds the baton)            |   ^
 *    | |                            lays the baton down|   |picks it up, if it lies
 *    | | given the client whose                        v   |
 *    | | exchange began here              CALLING, or WAITING for the host
 *    | '---------------> CALLING                       |
 *    |                       |                         | somebody has it in hand
 *    '--- posts the client to the leader, wakes it ----'
 *
 *   keeper: SLEEPING -- tick --> LOOKING -- baton lies as at the last look --> MINDING the loop
 *              ^                   |  ^                                            |
 *              '-- nobody calls ---'  '-- an application thread is idle, and has the --'
 *                                         host, or nobody waits for it: it is promoted
 *
 * At first the keeper minds. A thread that has begun is idle once it has had the host, not before:
 * who may wait for it for long must not lead.
 *
 * The baton is one counter: even, somebody holds it; odd, it lies. Laying it down and picking it up
 * each add one, so a pick-up is a compare-and-swap with the value seen, which fails if the call is
 * not the same any more. It is handed on directly (keeper to application thread) while held.
 * Whoever comes back, from a call or with the host, picks it up if it lies, whoever laid it down.
 *
 * Where a thread computes, the host is what is short. So a leader without it waits for it with the
 * baton laid down and with no client in hand; one who comes back while the keeper minds keeps it
 * for a moment, to be promoted; and one who has had it for long gives way between two calls, lest
 * it be taken away in the middle of one.
 *
 * Who owns a client: the leader, or, while it is away, the thread that calls its application, from
 * cg_async_client_enter() to cg_async_client_settle(), both of which only the leader calls. A
 * thread that has lost the baton posts the client into `done`, from where the leader settles it.
 * While away the client's cg_conn has that thread's struct cg_http for its surroundings. An
 * exchange stays on the thread where it began, close() included, because an application may keep
 * things that are bound to a thread.
 *
 * The main thread is the interpreter's: it waits without the host, lets it handle signals, and ends
 * the driver. Handlers wake the loop through the worker's wake pipe.
 *
 * `lock` guards only what says so. Everything else of struct cg_async is the leader's.
 */
#ifndef CG_WORKERS_ASYNC_H
#define CG_WORKERS_ASYNC_H

#include "server/arbiter/slot.h"
#include "workers/async_tick.h"
#include "workers/deadline.h"
#include "workers/worker.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <uv.h>

/* Who may let something of a call out: to its client, or into the access log. An application that
 * is stuck cannot be broken off, but nobody need wait for it. The thread and the leader settle it
 * by compare-and-swap from INSIDE, so that there is one answer and one access line. */
enum cg_async_hold {
    CG_ASYNC_INSIDE,   /* nobody, just now: the application has the thread */
    CG_ASYNC_OUTSIDE,  /* the thread */
    CG_ASYNC_GIVEN_UP, /* the leader, for ever: `timeout` is over */
};

/* What a call is counted as. `threads` bounds the requests; a stream, a response of which a part
 * has left and which is not over soon, is given a thread beyond them, up to `max_streams`. */
enum cg_async_kind {
    CG_ASYNC_REQUEST,
    CG_ASYNC_STREAM,
    CG_ASYNC_STUCK, /* given up */
    CG_ASYNC_KINDS_N,
};

struct cg_async_client {
    uv_poll_t poll;
    int fd;
    int events;      /* what poll watches; 0 = nothing */
    bool has_handle; /* poll is open */
    bool away;       /* queued for, or in, the application: the loop leaves it alone */
    bool readable;   /* receiving is worth a try */
    struct cg_conn *conn;
    struct cg_deadline deadline;
    struct cg_list all, place;         /* place: in idle, ready, an inbox, or nowhere */
    struct cg_async_thread *thread;    /* where its exchange began; NULL = none under way */
    uint64_t entered_us;               /* when that was */
    struct cg_async_client *next_done; /* in cg_async.done */
};

enum cg_async_task {
    CG_ASYNC_NOTHING,
    CG_ASYNC_LEAD,
    CG_ASYNC_CALL, /* `client`'s application, without being the leader */
};

/* An application thread. */
struct cg_async_thread {
    struct cg_async *engine;
    pthread_t id;
    uv_cond_t woken;
    enum cg_async_task task;        /* under lock */
    struct cg_async_client *client; /* whom it calls the application for */
    bool has_host;                  /* its own, or, in drain, of the thread that writes for it */
    bool offers_host;    /* under lock: it is idle, has the host, and keeps it a moment */
    struct cg_http http; /* the surroundings of the connection that it runs */

    /* The leader's: */
    struct cg_list inbox; /* clients whose exchange goes on here */
    size_t exchanges_n;   /* that have begun here and are not over */
    bool goes_on;         /* one of them has just had its turn: a new request comes first */
    bool looked;          /* a turn without waiting has found nothing to do */
    uint64_t turned_us;   /* when it last turned the loop */
    uint64_t had_us;      /* since when it has had the host, if nobody else has had it */

    /* What it calls. */
    _Atomic int hold;          /* enum cg_async_hold */
    _Atomic int status_left;   /* of what has left, 0 = nothing; written outside only */
    uint64_t body_left_bytes;  /* the same; read only when the call is given up */
    struct cg_list calling;    /* in cg_async.calling */
    enum cg_async_kind kind;   /* the leader's; of the call */
    bool counts;               /* the call began a request */
    uint64_t lies;             /* its own: the baton as it laid it down for the call; 0 = not */
    _Atomic bool holds;        /* the kernel may wait for more of what it sends */
    _Atomic uint64_t since_us; /* UINT64_MAX: it waits for its client, which `timeout` allows */
    struct cg_slot_view shown;
};

struct cg_async_listener {
    uv_poll_t poll;
    struct cg_async *engine;
    const struct cg_listener *of;
    bool ready; /* somebody may be in its queue; only when stopping */
};

struct cg_async {
    struct cg_worker *worker;

    /* async.c */
    uv_loop_t loop;
    uv_async_t posted; /* wakes the loop: something is in `done` */
    uv_timer_t alarm;
    uv_poll_t wake, parent;
    bool ticked; /* the clock was read in this turn */
    struct cg_async_listener *listeners;
    size_t listeners_n;
    bool listening;          /* their queues are watched */
    uint64_t pause_until_us; /* no accept before; 0 = no pause */
    size_t paused_n;         /* or before there are fewer clients */
    uint64_t short_us;       /* when an accept has failed; 0 = never */
    bool stopping;
    bool released; /* stopping, and the listeners' queues are no longer ours */
    int64_t queue_left;
    uint64_t silent_until_us; /* UINT64_MAX: they have been closed */
    uint64_t expected_us;     /* when at the latest the next upkeep was to be */
    bool log_waits;           /* access lines are left, whose reader is slow */

    /* async_clients.c */
    struct cg_http http;
    struct cg_deadlines deadlines;
    struct cg_list all;
    struct cg_list idle;  /* the longest idle first */
    struct cg_list ready; /* new requests, for whoever leads */
    size_t n;             /* in all */
    bool silence_over;    /* stopping, and nobody may be idle any more */

    /* async_threads.c */
    _Atomic uint64_t baton;
    struct cg_tick *tick;  /* wakes the keeper */
    _Atomic bool ticking;  /* the keeper shall set it again */
    _Atomic bool minded;   /* the keeper leads: nobody is there to call the application */
    _Atomic int waiting_n; /* threads that wait for the host */
    uint64_t crowded_us;   /* when somebody last was long in getting it */
    _Atomic(struct cg_async_client *) done;
    struct cg_async_thread *threads; /* room for twice as many: each may be replaced once */
    size_t threads_n, threads_max;
    size_t started_n; /* of the threads */
    sigset_t signals; /* that application threads leave blocked: those of the main thread */
    pthread_t keeper;
    bool keeper_started;
    int finish_fds[2]; /* readable for ever once `finished` is set */
    uv_mutex_t lock;
    uv_cond_t left;                        /* signalled by the last thread that leaves */
    struct cg_async_thread **idle_threads; /* under lock: a stack, so that warm ones are used */
    size_t idle_threads_n;                 /* under lock */
    size_t alive_n; /* under lock: threads that have not left, the keeper too */
    bool finished;  /* under lock */

    /* async_calls.c */
    struct cg_list calling;           /* threads */
    size_t calls_n[CG_ASYNC_KINDS_N]; /* of them; clients of stuck ones are not waited for */
};

/* async.c, all for the leader */

/* What is due between two turns. False when the driver is finished. */
bool cg_async_upkeep(struct cg_async *e);
/* Turns the loop once; waits for something to happen if may_wait. */
void cg_async_turn(struct cg_async *e, bool may_wait);
/* Reads the clock once a turn, in the turn's first callback. */
void cg_async_tick(struct cg_async *e);

/* async_clients.c, all for the leader but cg_async_client_send() */

int cg_async_clients_init(struct cg_async *e); /* 0 or -errno */
void cg_async_clients_done(struct cg_async *e);
/* May one more come? With worker_connections clients only if one of them is idle. */
bool cg_async_clients_have_room(const struct cg_async *e);
/* The same, right before one is accepted: it has been looked whether those who seem idle are. */
bool cg_async_clients_find_room(struct cg_async *e);
/* A client that was just accepted. Takes fd. */
void cg_async_clients_admit(struct cg_async *e, int fd, const struct cg_endpoint *peer,
                            const struct cg_listener *listener);
void cg_async_clients_expire(struct cg_async *e);
/* Another thread is stuck with c in the application: the client gets an answer, unless a part of
 * the application's has left already, and an end. c stays, with its descriptor, for its thread. */
void cg_async_client_answer_in_place(struct cg_async *e, const struct cg_async_client *c,
                                     bool has_begun);
/* The worker ends: requests that no thread has come to are told so. */
void cg_async_clients_decline(struct cg_async *e);
/* The worker stops: who is idle goes, unless something has come that has not been read yet. */
void cg_async_clients_close_idle(struct cg_async *e);
/* What is sent of a client's output by one attempt: 0 or -errno. For the client's owner; may_hold
 * as in cg_socket_send(). */
int cg_async_client_send(const struct cg_settings *settings, struct cg_async_client *c,
                         bool may_hold);
/* It is t's to run; and it is the leader's again, who does what it wants. */
void cg_async_client_enter(struct cg_async *e, struct cg_async_thread *t,
                           struct cg_async_client *c);
void cg_async_client_settle(struct cg_async *e, struct cg_async_client *c);

/* The surroundings of connections that t has, or, with NULL, the loop. 0 or -errno; its end is
 * cg_core_done(). For the main thread. */
int cg_async_http_init(struct cg_async *e, struct cg_http *http, struct cg_async_thread *t);

/* async_threads.c */

/* What an application thread, struct cg_async_thread, and the keeper, struct cg_async, do. */
void *cg_async_run_thread(void *thread);
void *cg_async_run_keeper(void *engine);
/* What the driver ends with: everybody who waits goes home, everybody else does when he is back.
 * For the leader, or when nobody leads. */
void cg_async_finish(struct cg_async *e);
/* The thread that calls it, or was to be, is no more. */
void cg_async_leave(struct cg_async *e);
/* For the leader: settles whom others have posted. */
void cg_async_threads_collect(struct cg_async *e);
/* For the leader: responses say close from now on, also those of calls that are running. */
void cg_async_threads_drain(struct cg_async *e);

/* async_life.c, for the main thread unless it says so */

int cg_async_threads_init(struct cg_async *e); /* 0 or -errno */
/* Serves until the driver is finished. 0 or -errno. Not all are back when a thread is still in the
 * application, which a quick stop does not wait for: it may go on to use all of *e. */
int cg_async_threads_serve(struct cg_async *e, bool *ret_all_back);
void cg_async_threads_done(struct cg_async *e);
/* For the leader: starts those that are missing. */
void cg_async_threads_follow(struct cg_async *e);

/* async_calls.c, for the leader */

/* A client's exchange begins or goes on on t (enter), and does not (leave). */
void cg_async_thread_enter(struct cg_async_thread *t, bool begins);
void cg_async_thread_leave(struct cg_async_thread *t);
/* May c's exchange, which begins or goes on, have a thread? */
bool cg_async_calls_have_place(const struct cg_async *e, const struct cg_async_client *c);
/* The same for any new request. */
bool cg_async_calls_have_room(const struct cg_async *e);
/* So many threads are there to be. */
size_t cg_async_calls_want_threads(const struct cg_async *e);
/* Tells streams, and gives up the calls that have taken longer than `timeout`. */
void cg_async_calls_expire(struct cg_async *e);
/* When that is due; UINT64_MAX for never. It may find nothing to do. */
uint64_t cg_async_calls_due_us(const struct cg_async *e);
/* The baton has been picked up: what threads have sent leaves. */
void cg_async_calls_push(struct cg_async *e);
/* Everything stood still for late_us: that does not count. */
void cg_async_calls_excuse(struct cg_async *e, uint64_t late_us);

/* async_calls.c, for the thread t itself */

/* The interpreter, or whatever the host is. */
void cg_async_thread_take_host(struct cg_async_thread *t);
void cg_async_thread_give_host(struct cg_async_thread *t);
/* Runs its client's exchange until it is over, has to wait for its client, or has had its share. */
void cg_async_thread_call(struct cg_async_thread *t);
/* May it let something out? False when its call has been given up. */
bool cg_async_thread_come_out(struct cg_async_thread *t);
/* cg_io.drain; io is the thread. It may be another one of the application's that comes to it, while
 * this one is in the application. */
int cg_async_thread_drain(void *io, struct cg_conn *conn);

#endif
