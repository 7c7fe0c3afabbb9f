/* SPDX-License-Identifier: MIT
 *
 * One worker as its arbiter sees it, from fork to reaping: what it was told, when it was ready, how
 * long it has been silent. Sends signals; forks and reaps nothing.
 */
#ifndef CG_ARBITER_PROC_H
#define CG_ARBITER_PROC_H

#include "server/arbiter/death.h"
#include "server/arbiter/recycle.h"
#include "server/arbiter/slot.h"
#include "server/base/list.h"
#include "server/settings/settings.h"

enum {
    CG_PROC_ABORT_US = 1000000, /* from ABRT to KILL */
    CG_PROC_QUICK_US = 2000000, /* from QUIT to KILL */
};

struct cg_generation;

struct cg_proc {
    struct cg_list node; /* in cg_pool.procs */
    struct cg_generation *generation;
    const struct cg_settings *settings; /* the generation's */
    struct cg_slot *slot;
    pid_t pid;
    struct cg_orders orders;
    bool exits; /* by itself, and its limit is set */
    uint64_t forked_us;
    uint64_t ready_us; /* 0 = not yet */
    struct cg_recycle recycle;
    uint64_t asked_us;        /* when it was asked for its stacks; 0 = it is not */
    char doing[CG_DOING_MAX]; /* at that time: the question wakes who sleeps in a system call */
    uint64_t kill_us;         /* when SIGKILL is due; 0 = it is not */
    uint64_t excused_beat_us; /* of a silence since then, */
    uint64_t excused_us;      /* this much does not count */
};

/* How long a worker may take to load the application; UINT64_MAX: as long as it likes. */
uint64_t cg_proc_boot_us(const struct cg_settings *settings);

/* Tells it to leave: TERM and graceful_timeout, or QUIT and CG_PROC_QUICK_US. A limit set before is
 * never extended, and a worker is told the same thing once. */
void cg_proc_leave(struct cg_proc *proc, bool quick, uint64_t now_us);

/* TERM to one whose listeners others serve: what waits in their queues is left to these. */
void cg_proc_relieve(struct cg_proc *proc, uint64_t now_us);

/* Whether it is a worker to count on: not told to leave, nor leaving by itself. */
bool cg_proc_stays(const struct cg_proc *proc);
bool cg_proc_is_spent(const struct cg_proc *proc);

/* Takes note when it has become ready; true when it did just now. */
bool cg_proc_note_ready(struct cg_proc *proc, uint64_t now_us);

/* Takes note when it has told that a request has gone beyond `timeout`. It has logged that, and
 * leaves by itself: there is nothing to judge any more, but it has a limit. */
void cg_proc_note_timeout(struct cg_proc *proc, uint64_t now_us);

/* Takes note when it has served for long enough, and when it ends by itself: then it has
 * graceful_timeout for that. */
void cg_proc_note_end(struct cg_proc *proc, uint64_t now_us);

/* Aborts it when it has shown no life for `timeout`, or is not ready after cg_proc_boot_us(). Not
 * one that exits, which has a limit of its own. It is asked for its stacks first, and is given
 * CG_STACK_WAIT_MS to tell them. */
void cg_proc_judge(struct cg_proc *proc, uint64_t now_us);

/* It has ended. What was to be logged when it had told its stacks is logged now. */
void cg_proc_note_death(struct cg_proc *proc);

/* Kills it when it was told to end and its time is up. */
void cg_proc_enforce(struct cg_proc *proc, uint64_t now_us);

/* The arbiter, and perhaps the whole machine, stood still for late_us: that counts against nobody.
 */
void cg_proc_excuse(struct cg_proc *proc, uint64_t late_us);

/* Whether nothing can come of it before cg_proc_judge_us() and cg_proc_enforce_us(), unless it gets
 * a request or tells the arbiter something. */
bool cg_proc_idles(const struct cg_proc *proc);

/* When to judge and when to enforce; UINT64_MAX: never. */
uint64_t cg_proc_judge_us(const struct cg_proc *proc);
uint64_t cg_proc_enforce_us(const struct cg_proc *proc);

#endif
