/* SPDX-License-Identifier: MIT
 *
 * Generations, and the making and reaping of workers; what is done to one while it lives is in
 * proc.c. No state besides the caller's struct cg_pool.
 */
#include "server/arbiter/pool.h"

#include "server/arbiter/listening.h"
#include "server/arbiter/moments.h"
#include "server/arbiter/proc.h"
#include "server/arbiter/spawn.h"
#include "server/base/assert.h"
#include "server/base/fd.h"
#include "server/base/log.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static struct cg_generation *generation_of(struct cg_list *node) {
    return CG_LIST_ENTRY(node, struct cg_generation, node);
}

static struct cg_proc *proc_of(struct cg_list *node) {
    return CG_LIST_ENTRY(node, struct cg_proc, node);
}

int cg_pool_init(struct cg_pool *p, const struct cg_runtime *runtime, void *rt,
                 cg_worker_main_fn worker_main, cg_lost_fn lost, void *ctx) {
    *p = (struct cg_pool){
        .runtime = runtime,
        .rt = rt,
        .worker_main = worker_main,
        .lost = lost,
        .ctx = ctx,
        .pid = getpid(),
        .wake_fds = {-1, -1},
        .life_fds = {-1, -1},
        .old_master_fd = -1,
        .told_to_end = CG_MOMENT_GO_ON,
    };
    cg_list_init(&p->generations);
    cg_list_init(&p->procs);
    int rc = cg_scoreboard_init(&p->board, CG_POOL_SLOTS_N);
    if (rc == 0)
        rc = cg_fd_wake_pipe(p->wake_fds);
    if (rc == 0)
        rc = cg_fd_wake_pipe(p->life_fds);
    if (rc < 0)
        cg_pool_done(p);
    else
        cg_oom_init(&p->oom);
    return rc;
}

static void generation_free(struct cg_pool *p, struct cg_generation *g) {
    cg_list_remove(&g->node);
    cg_listening_close(&g->listeners, NULL);
    if (g->settings_owned)
        p->runtime->free_settings(p->rt, g->settings);
    free(g);
}

void cg_pool_done(struct cg_pool *p) {
    while (!cg_list_empty(&p->procs)) {
        struct cg_proc *proc = proc_of(p->procs.next);
        cg_list_remove(&proc->node);
        free(proc);
    }
    while (!cg_list_empty(&p->generations))
        generation_free(p, generation_of(p->generations.next));
    for (int i = 0; i < 2; i++) {
        cg_fd_close(&p->wake_fds[i]);
        cg_fd_close(&p->life_fds[i]);
    }
    cg_fd_close(&p->old_master_fd);
    cg_scoreboard_done(&p->board);
}

struct cg_generation *cg_pool_add(struct cg_pool *p, const struct cg_settings *settings, bool owned,
                                  struct cg_listeners listeners) {
    struct cg_generation *g = calloc(1, sizeof(*g));
    if (!g)
        return NULL;
    g->settings = settings;
    g->settings_owned = owned;
    g->listeners = listeners;
    g->full_n = g->wanted_n = cg_pool_bound(settings->workers);
    cg_list_push_back(&p->generations, &g->node);
    return g;
}

int cg_pool_bound(int64_t workers_n) {
    if (workers_n < 1)
        return 1;
    return workers_n < CG_POOL_WORKERS_MAX ? (int)workers_n : CG_POOL_WORKERS_MAX;
}

void cg_pool_want(struct cg_pool *p, struct cg_generation *g, int n) {
    bool whole = g->wanted_n == g->full_n;
    if (n > g->full_n)
        p->throttle = (struct cg_throttle){0, 0, 0};
    g->full_n = n;
    if (whole || g->wanted_n > n)
        g->wanted_n = n;
}

static bool is_fresh(const struct cg_proc *proc, const struct cg_generation *g) {
    return proc->generation == g && cg_proc_stays(proc) && !cg_proc_is_spent(proc);
}

static bool serves(const struct cg_proc *proc, const struct cg_generation *g) {
    return proc->generation == g && cg_proc_stays(proc) && proc->ready_us != 0;
}

static int count(const struct cg_pool *p, const struct cg_generation *g,
                 bool (*is)(const struct cg_proc *proc, const struct cg_generation *g)) {
    int n = 0;
    for (struct cg_list *at = p->procs.next; at != &p->procs; at = at->next)
        n += is(proc_of(at), g);
    return n;
}

/* Tells the oldest workers to leave until no more than wanted_n stay. */
static void trim(struct cg_pool *p, struct cg_generation *g, uint64_t now_us) {
    int excess_n = count(p, g, is_fresh) - g->wanted_n;
    for (struct cg_list *at = p->procs.next; at != &p->procs && excess_n > 0; at = at->next) {
        if (!is_fresh(proc_of(at), g))
            continue;
        cg_proc_relieve(proc_of(at), now_us);
        excess_n--;
    }
}

/* Tells the spent ones to leave who are not needed any more. A successor that does not come up is
 * waited for twice as long as a boot may take, and by the last one for ever: a server that has done
 * too much is better than none. */
static void let_spent_go(struct cg_pool *p, struct cg_generation *g, uint64_t now_us) {
    int serving_n = count(p, g, serves);
    for (struct cg_list *at = p->procs.next; at != &p->procs; at = at->next) {
        struct cg_proc *proc = proc_of(at);
        if (!serves(proc, g) || !cg_proc_is_spent(proc))
            continue;
        bool waited = (now_us - proc->recycle.spent_us) / 2 > cg_proc_boot_us(g->settings);
        if (serving_n <= g->wanted_n && !(waited && serving_n > 1))
            continue;
        cg_proc_relieve(proc, now_us);
        serving_n--;
    }
}

static void free_if_over(struct cg_pool *p, struct cg_generation *g) {
    if (g->retired && g->procs_n == 0)
        generation_free(p, g);
}

void cg_pool_retire(struct cg_pool *p, struct cg_generation *g, uint64_t now_us) {
    CG_ASSERT(g != p->current);
    bool shared = cg_listening_same(&g->listeners, &p->current->listeners);
    g->full_n = g->wanted_n = 0;
    g->retired = true;
    for (struct cg_list *at = p->procs.next; at != &p->procs; at = at->next) {
        if (proc_of(at)->generation != g)
            continue;
        if (shared)
            cg_proc_relieve(proc_of(at), now_us);
        else
            cg_proc_leave(proc_of(at), false, now_us);
    }
    cg_listening_close(&g->listeners, &p->current->listeners);
    free_if_over(p, g);
}

void cg_pool_freeze(struct cg_pool *p, struct cg_generation *g, uint64_t now_us) {
    CG_ASSERT(g != p->current && g != p->pending);
    for (struct cg_list *at = p->procs.next; at != &p->procs; at = at->next)
        if (proc_of(at)->generation == g && !serves(proc_of(at), g))
            cg_proc_relieve(proc_of(at), now_us);
}

void cg_pool_retire_others(struct cg_pool *p, uint64_t now_us) {
    struct cg_list *next;
    for (struct cg_list *at = p->generations.next; at != &p->generations; at = next) {
        struct cg_generation *g = generation_of(at);
        next = at->next;
        if (g != p->current && g != p->pending && !g->retired)
            cg_pool_retire(p, g, now_us);
    }
}

void cg_pool_stop(struct cg_pool *p, bool quick, uint64_t now_us) {
    p->pending = NULL;
    if (p->current) {
        cg_pool_retire_others(p, now_us);
        p->current->full_n = p->current->wanted_n = 0;
        cg_listening_close(&p->current->listeners, NULL);
    }
    for (struct cg_list *at = p->procs.next; at != &p->procs; at = at->next)
        cg_proc_leave(proc_of(at), quick, now_us);
}

void cg_pool_signal(const struct cg_pool *p, int number) {
    for (struct cg_list *at = p->procs.next; at != &p->procs; at = at->next)
        kill(proc_of(at)->pid, number);
}

int cg_pool_count_ready(const struct cg_pool *p, const struct cg_generation *g) {
    return count(p, g, serves);
}

bool cg_pool_is_ready(const struct cg_pool *p, const struct cg_generation *g) {
    return cg_pool_count_ready(p, g) >= g->wanted_n;
}

bool cg_pool_hangs(const struct cg_pool *p, uint64_t now_us) {
    uint64_t usual_us = CG_POOL_HANG_US / 2, longest_us = 0;
    for (struct cg_list *at = p->procs.next; at != &p->procs; at = at->next) {
        const struct cg_proc *proc = proc_of(at);
        bool ready = proc->ready_us != 0;
        uint64_t boot_us = (ready ? proc->ready_us : now_us) - proc->forked_us;
        if (proc->generation == p->current && ready && boot_us > usual_us)
            usual_us = boot_us;
        if (proc->generation == p->pending && !ready && boot_us > longest_us)
            longest_us = boot_us;
    }
    return longest_us > 2 * usual_us;
}

uint64_t cg_pool_count_requests(const struct cg_pool *p) {
    uint64_t requests_n = p->buried_requests_n;
    for (struct cg_list *at = p->procs.next; at != &p->procs; at = at->next)
        requests_n += atomic_load(&proc_of(at)->slot->requests_n);
    return requests_n;
}

/* A worker died early: waits before the next fork, unless another one shows that they can live. */
static void brake(struct cg_pool *p, const struct cg_proc *dead, uint64_t now_us) {
    for (struct cg_list *at = p->procs.next; at != &p->procs; at = at->next)
        cg_throttle_forgive(&p->throttle, proc_of(at)->forked_us, proc_of(at)->ready_us, now_us);
    unsigned pause_ms = cg_throttle_count(&p->throttle, dead->forked_us, now_us);
    if (pause_ms > 0)
        cg_log(CG_LOG_WARNING,
               "Waiting %u.%u s before the next fork: workers died early %u times in a row",
               pause_ms / 1000, pause_ms % 1000 / 100, p->throttle.rounds_n);
}

static void tell_lost(const struct cg_pool *p, const struct cg_proc *proc, enum cg_death death,
                      uint64_t now_us) {
    struct cg_slot_view view;
    cg_slot_read(proc->slot, &view);
    if (view.request_us == 0)
        return;
    /* A worker that leaves because of its timeout has logged the request that took so long. */
    uint64_t timeout_us = (uint64_t)proc->settings->timeout * 1000000;
    if (atomic_load(&proc->slot->timed_out) && now_us - view.request_us >= timeout_us)
        return;
    struct cg_lost lost = {proc->settings, &view, proc->pid, cg_death_status(death)};
    p->lost(&lost, now_us);
}

static struct cg_loss bury(struct cg_pool *p, struct cg_proc *proc, int status, uint64_t now_us) {
    p->served |= cg_proc_note_ready(proc, now_us);
    cg_proc_note_timeout(proc, now_us);
    cg_proc_note_death(proc);
    enum cg_death death = cg_death_of(status, proc->orders, &p->oom, now_us);
    cg_death_log(death, status, proc->pid, proc->slot, now_us);
    tell_lost(p, proc, death, now_us);
    struct cg_loss loss = {
        .pid = proc->pid,
        .status = status,
        .early = cg_death_is_early(death, proc->orders, proc->ready_us, now_us),
        .was_ready = proc->ready_us != 0,
        .was_pending = proc->generation == p->pending,
    };
    cg_throttle_forgive(&p->throttle, proc->forked_us, proc->ready_us, now_us);
    /* A generation that does not come up is given up, not tried again. */
    if (loss.early && (loss.was_ready || !loss.was_pending))
        brake(p, proc, now_us);
    p->buried_requests_n += atomic_load(&proc->slot->requests_n);
    cg_slot_release(proc->slot);
    cg_list_remove(&proc->node);
    proc->generation->procs_n--;
    free_if_over(p, proc->generation);
    free(proc);
    return loss;
}

static struct cg_proc *find_pid(const struct cg_pool *p, pid_t pid) {
    for (struct cg_list *at = p->procs.next; at != &p->procs; at = at->next)
        if (proc_of(at)->pid == pid)
            return proc_of(at);
    return NULL;
}

void cg_pool_retake_signals(struct cg_pool *p) {
    char names[CG_SIGNALS_NAMES_MAX];
    if (!cg_signals_retake(names) || strcmp(names, p->retaken) == 0)
        return;
    strcpy(p->retaken, names);
    cg_log(CG_LOG_WARNING,
           "A hook, the configuration or the application has changed what the master does on"
           " %s: changed back.",
           names);
}

void cg_pool_distrust(struct cg_pool *p) {
    p->doubts = true;
    cg_pool_retake_signals(p);
}

/* Asks for each worker: who is no child any more has been reaped by others. */
static bool find_lost(struct cg_pool *p, uint64_t now_us, struct cg_loss *ret_loss) {
    if (!p->doubts)
        return false;
    for (struct cg_list *at = p->procs.next; at != &p->procs; at = at->next) {
        int status = CG_DEATH_STATUS_LOST;
        pid_t pid = waitpid(proc_of(at)->pid, &status, WNOHANG);
        if (pid == 0 || (pid < 0 && errno != ECHILD))
            continue;
        *ret_loss = bury(p, proc_of(at), status, now_us);
        return true;
    }
    p->doubts = false;
    return false;
}

bool cg_pool_reap(struct cg_pool *p, uint64_t now_us, struct cg_loss *ret_loss) {
    int status;
    pid_t pid = waitpid(-1, &status, WNOHANG);
    if (pid <= 0)
        return find_lost(p, now_us, ret_loss);
    struct cg_proc *proc = find_pid(p, pid);
    if (proc)
        *ret_loss = bury(p, proc, status, now_us);
    else
        *ret_loss = (struct cg_loss){.pid = pid, .is_stranger = true, .status = status};
    return true;
}

void cg_pool_look(struct cg_pool *p, uint64_t now_us) {
    for (struct cg_list *at = p->procs.next; at != &p->procs; at = at->next) {
        struct cg_proc *proc = proc_of(at);
        p->served |= cg_proc_note_ready(proc, now_us);
        cg_proc_note_timeout(proc, now_us);
        cg_proc_note_end(proc, now_us);
        if (now_us >= p->judge_from_us)
            cg_proc_judge(proc, now_us);
        cg_proc_enforce(proc, now_us);
    }
}

void cg_pool_excuse(struct cg_pool *p, uint64_t late_us, uint64_t now_us) {
    p->judge_from_us = now_us + CG_POOL_LOOK_US;
    for (struct cg_list *at = p->procs.next; at != &p->procs; at = at->next)
        cg_proc_excuse(proc_of(at), late_us);
}

/* The child's part of a fork: leaves behind what is the arbiter's, then lives as a worker. */
static int live(struct cg_pool *p, struct cg_generation *g, struct cg_slot *slot) {
    atomic_store(&slot->pid, getpid());
    cg_fd_close(&p->wake_fds[0]);
    cg_fd_close(&p->life_fds[1]);
    cg_fd_close(&p->old_master_fd);
    for (struct cg_list *at = p->generations.next; at != &p->generations; at = at->next)
        if (generation_of(at) != g)
            cg_listening_close(&generation_of(at)->listeners, &g->listeners);
    cg_log(CG_LOG_INFO, "Booting worker with pid: %d", (int)getpid());
    struct cg_child child = {
        .settings = g->settings,
        .listeners = &g->listeners,
        .runtime = p->runtime,
        .rt = p->rt,
        .slot = slot,
        .arbiter_pid = p->pid,
        .age = p->last_age,
        .parent_fd = p->life_fds[0],
        .arbiter_fd = p->wake_fds[1],
        .ctx = p->ctx,
    };
    return p->worker_main(&child);
}

/* The fork itself: 1 in the parent, 0 in a child whose worker_main has returned, or -errno. */
static int split(struct cg_pool *p, struct cg_proc *proc, int *ret_exit_code) {
    struct cg_generation *g = proc->generation;
    p->last_age++;
    if (!cg_moments_tell_pre_fork(p, g, proc->slot))
        return -ECANCELED;
    cg_list_push_back(&p->procs, &proc->node);
    proc->pid = cg_spawn(p->runtime, p->rt);
    if (proc->pid == 0) {
        *ret_exit_code = live(p, g, proc->slot);
        return 0;
    }
    cg_pool_distrust(p);
    if (proc->pid < 0) {
        cg_list_remove(&proc->node);
        return proc->pid;
    }
    g->procs_n++;
    cg_moments_tell_forked(p, g, proc->pid);
    return 1;
}

/* As split(); -ECANCELED when the host does not want it. */
static int hire(struct cg_pool *p, struct cg_generation *g, uint64_t now_us, int *ret_exit_code) {
    struct cg_proc *proc = malloc(sizeof(*proc));
    if (!proc)
        return -ENOMEM;
    *proc = (struct cg_proc){.generation = g, .settings = g->settings, .forked_us = now_us};
    cg_recycle_draw(&proc->recycle, g->settings, now_us);
    proc->slot = cg_slot_take(&p->board, now_us);
    int rc = proc->slot ? split(p, proc, ret_exit_code) : -EAGAIN;
    if (rc >= 0)
        return rc;
    if (proc->slot)
        cg_slot_release(proc->slot);
    free(proc);
    return rc;
}

bool cg_pool_match(struct cg_pool *p, uint64_t now_us, int *ret_exit_code) {
    for (struct cg_list *at = p->generations.next; at != &p->generations; at = at->next) {
        struct cg_generation *g = generation_of(at);
        if (g != p->current && g != p->pending)
            continue;
        trim(p, g, now_us);
        let_spent_go(p, g, now_us);
        int missing_n = g->wanted_n - count(p, g, is_fresh);
        while (missing_n-- > 0 && now_us >= p->throttle.next_us) {
            int rc = hire(p, g, now_us, ret_exit_code);
            if (rc == 0)
                return true;
            if (rc == -ECANCELED)
                return false;
            if (rc > 0)
                continue;
            cg_log(CG_LOG_ERROR, "Can't fork a worker: %s", strerror(-rc));
            p->throttle.next_us = now_us + CG_THROTTLE_FAILED_FORK_MS * 1000;
        }
    }
    return false;
}

static uint64_t sooner(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* Work is a request that runs or has ended since, and all that goes on when workers are replaced.
 */
static void note_work(struct cg_pool *p, uint64_t now_us) {
    uint64_t requests_n = cg_pool_count_requests(p);
    bool idle = requests_n == p->seen_requests_n && !p->pending;
    for (struct cg_list *at = p->procs.next; at != &p->procs && idle; at = at->next)
        idle = cg_proc_idles(proc_of(at));
    p->seen_requests_n = requests_n;
    if (!idle)
        p->work_us = now_us;
}

/* When to look at a worker of a pool that dozes: before it is to be judged, by which time the
 * arbiter must know that it was not itself late. */
static uint64_t doze_until_us(const struct cg_proc *proc, uint64_t now_us) {
    uint64_t judge_us = cg_proc_judge_us(proc);
    if (judge_us == UINT64_MAX)
        return cg_recycle_next_us(&proc->recycle);
    uint64_t look_us = now_us + CG_POOL_LOOK_US;
    if (judge_us > now_us + CG_POOL_DOZE_MARGIN_US)
        look_us = judge_us - CG_POOL_DOZE_MARGIN_US;
    return sooner(look_us, cg_recycle_next_us(&proc->recycle));
}

uint64_t cg_pool_next_us(struct cg_pool *p, uint64_t now_us) {
    note_work(p, now_us);
    if (p->doubts)
        return now_us;
    bool dozes = now_us - p->work_us >= CG_POOL_LOOK_US;
    uint64_t next_us = dozes ? UINT64_MAX : now_us + CG_POOL_LOOK_US;
    for (struct cg_list *at = p->procs.next; at != &p->procs; at = at->next) {
        struct cg_proc *proc = proc_of(at);
        uint64_t judge_us = cg_proc_judge_us(proc);
        next_us = sooner(next_us, judge_us > p->judge_from_us ? judge_us : p->judge_from_us);
        next_us = sooner(next_us, cg_proc_enforce_us(proc));
        if (dozes)
            next_us = sooner(next_us, doze_until_us(proc, now_us));
        atomic_store(&proc->slot->dozes, dozes);
    }
    if (p->throttle.next_us > now_us)
        next_us = sooner(next_us, p->throttle.next_us);
    return next_us > now_us ? next_us : now_us;
}
