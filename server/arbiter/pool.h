/* SPDX-License-Identifier: MIT
 *
 * The pool: workers and the generations they belong to. Forks, tells, watches, kills and reaps
 * them; decides nothing about reloads and stops, which are told to it (reload.h, arbiter.c).
 *
 * A generation is one immutable configuration with its listeners and its workers:
 *
 *     add            all ready              retired            last worker reaped
 *   ------> pending ----------> current ---------------> leaving --------------> freed
 *              |                                            ^
 *              +---- a worker dies before it is ready ------+
 *
 * The first generation is current from the start. Workers of the current and the pending generation
 * are matched to wanted_n: too few are forked, the oldest of too many are told to leave. A worker
 * that is spent (recycle.h) does not count, but goes on until as many as are wanted serve without
 * it.
 */
#ifndef CG_ARBITER_POOL_H
#define CG_ARBITER_POOL_H

#include "server/arbiter/child.h"
#include "server/arbiter/proc.h"
#include "server/arbiter/signals.h"
#include "server/arbiter/throttle.h"

enum {
    CG_POOL_WORKERS_MAX = 4096,
    CG_POOL_SLOTS_N = 8192,    /* two generations at a reload; untouched pages cost nothing */
    CG_POOL_LOOK_US = 1000000, /* the longest time between two looks while there is work, */
    CG_POOL_HANG_US = 5000000, /* no boot that took less is said to hang */
    CG_POOL_DOZE_MARGIN_US = 2000000, /* and from so long before one may be found dead */
};

struct cg_generation {
    struct cg_list node; /* in cg_pool.generations */
    const struct cg_settings *settings;
    bool settings_owned; /* came from a reload: given back when the generation is freed */
    bool retired;
    struct cg_listeners listeners;
    int full_n;   /* the workers it has when it is alone */
    int wanted_n; /* of these for now, while another generation has the rest */
    int procs_n;  /* all that are not reaped, leaving ones too */
};

struct cg_pool {
    const struct cg_runtime *runtime;
    void *rt;
    cg_worker_main_fn worker_main;
    cg_lost_fn lost;
    void *ctx;
    pid_t pid;         /* the arbiter's */
    int wake_fds[2];   /* [1] is written by signal handlers and workers, [0] read by the arbiter */
    int life_fds[2];   /* only the arbiter holds [1]: when it is gone, workers read end of file */
    int old_master_fd; /* the arbiter's too, see upgrade.h; -1 = none */

    struct cg_scoreboard board;
    struct cg_list generations; /* oldest first */
    struct cg_list procs;       /* oldest first */
    struct cg_generation *current;
    struct cg_generation *pending; /* starting, to replace current; or NULL */
    int last_age;
    uint64_t buried_requests_n; /* of workers that have gone */
    bool served;                /* a worker has been ready, some time */
    int told_to_end;            /* the exit code that the host has asked for, or CG_MOMENT_GO_ON */
    char retaken[CG_SIGNALS_NAMES_MAX]; /* what the log said last of signals taken back */
    bool doubts;                        /* somebody else may have reaped our children, see below */
    bool pending_refused; /* the host has refused to fork for the pending generation */
    struct cg_throttle throttle;
    struct cg_oom oom;
    uint64_t judge_from_us;   /* no worker is found dead before */
    uint64_t work_us;         /* when something was last seen to be done, */
    uint64_t seen_requests_n; /* and how many requests had ended then */
};

/* 0 or -errno. */
int cg_pool_init(struct cg_pool *p, const struct cg_runtime *runtime, void *rt,
                 cg_worker_main_fn worker_main, cg_lost_fn lost, void *ctx);

/* Closes and frees everything; processes are not touched. Also right in a child. */
void cg_pool_done(struct cg_pool *p);

/* Takes the listeners, and with `owned` the settings. NULL without memory: nothing is taken. */
struct cg_generation *cg_pool_add(struct cg_pool *p, const struct cg_settings *settings, bool owned,
                                  struct cg_listeners listeners);

/* Tells its workers to leave, then closes the listeners that `current`, which g must not be, does
 * not share. g is freed with its last worker. */
void cg_pool_retire(struct cg_pool *p, struct cg_generation *g, uint64_t now_us);

/* Retires all but the current and the pending generation. */
void cg_pool_retire_others(struct cg_pool *p, uint64_t now_us);

/* Wants no more workers and tells all to leave, see cg_proc_leave(). The arbiter's side of the
 * listeners is closed; socket files stay until cg_pool_done(). */
void cg_pool_stop(struct cg_pool *p, bool quick, uint64_t now_us);

void cg_pool_signal(const struct cg_pool *p, int number);

/* Bounds a wish for workers. */
int cg_pool_bound(int64_t workers_n);

/* So many workers from now on (TTIN, TTOU, WINCH). More of them ends the waiting that early deaths
 * have brought about. */
void cg_pool_want(struct cg_pool *p, struct cg_generation *g, int n);

/* Nobody follows in this generation, and who is not ready leaves: the others go on until
 * cg_pool_retire(). It must not be `current` or `pending`. */
void cg_pool_freeze(struct cg_pool *p, struct cg_generation *g, uint64_t now_us);

/* How many workers of a generation serve and may go on, and whether these are all that it wants. */
int cg_pool_count_ready(const struct cg_pool *p, const struct cg_generation *g);
bool cg_pool_is_ready(const struct cg_pool *p, const struct cg_generation *g);

/* Whether a worker of the pending generation has been booting for more than CG_POOL_HANG_US and
 * twice as long as any of the current one has. */
bool cg_pool_hangs(const struct cg_pool *p, uint64_t now_us);

/* The requests served since the start, by workers that have gone too. */
uint64_t cg_pool_count_requests(const struct cg_pool *p);

struct cg_loss {
    pid_t pid;
    bool is_stranger; /* no worker: only pid and status are set */
    int status;       /* as from waitpid(), or CG_DEATH_STATUS_LOST */
    bool early;       /* see cg_death_is_early() */
    bool was_ready;
    bool was_pending; /* of the pending generation */
};

/* Code that is not ours has run in this process: hooks, an application, a configuration. It may
 * have taken our signals, which are taken back, and the exit statuses of our children, so that each
 * worker is looked for at the next reaping, as after each CHLD. */
void cg_pool_distrust(struct cg_pool *p);

/* Of that the first only, after a wait: the host may have run handlers of signals that we do not
 * know, and CHLD tells of children. */
void cg_pool_retake_signals(struct cg_pool *p);

/* Reaps one child, or finds a worker that somebody else has reaped; logs a worker's end and frees
 * its slot. False: there is none. */
bool cg_pool_reap(struct cg_pool *p, uint64_t now_us, struct cg_loss *ret_loss);

/* Looks at all slots: who is ready, who is spent, who shows no life, who is overdue. */
void cg_pool_look(struct cg_pool *p, uint64_t now_us);

/* The arbiter itself was not running for late_us. */
void cg_pool_excuse(struct cg_pool *p, uint64_t late_us, uint64_t now_us);

/* Forks and retires until each generation has what it wants, as far as the throttle allows. True in
 * a child whose worker_main has returned *ret_exit_code. */
bool cg_pool_match(struct cg_pool *p, uint64_t now_us, int *ret_exit_code);

/* When something is due: CG_POOL_LOOK_US from now at the latest, unless nothing has been done for
 * that long. Then it dozes: until somebody must be looked at, which may be never (UINT64_MAX), or
 * until the worker that gets the next request wakes it. `timeout` does not depend on that: a worker
 * is looked at when it is to be judged by its last known beat, and beats come later only. */
uint64_t cg_pool_next_us(struct cg_pool *p, uint64_t now_us);

#endif
