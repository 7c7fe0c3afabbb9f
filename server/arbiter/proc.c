/* SPDX-License-Identifier: MIT
 *
 * What the arbiter does to one worker. No state of its own.
 */
#include "server/arbiter/proc.h"

#include "server/base/log.h"

#include <signal.h>

enum { SECOND_US = 1000000 };

static void limit(struct cg_proc *proc, uint64_t kill_us) {
    if (!proc->orders.kill && (proc->kill_us == 0 || kill_us < proc->kill_us))
        proc->kill_us = kill_us;
}

void cg_proc_leave(struct cg_proc *proc, bool quick, uint64_t now_us) {
    if (proc->orders.quick || (proc->orders.leave && !quick))
        return;
    *(quick ? &proc->orders.quick : &proc->orders.leave) = true;
    kill(proc->pid, quick ? SIGQUIT : SIGTERM);
    uint64_t limit_us =
        quick ? CG_PROC_QUICK_US : (uint64_t)proc->settings->graceful_timeout * SECOND_US;
    limit(proc, now_us + limit_us);
}

bool cg_proc_note_ready(struct cg_proc *proc, uint64_t now_us) {
    int state = atomic_load(&proc->slot->state);
    if (proc->ready_us != 0 || (state != CG_SLOT_READY && state != CG_SLOT_LEAVING))
        return false;
    proc->ready_us = now_us;
    return true;
}

void cg_proc_note_timeout(struct cg_proc *proc, uint64_t now_us) {
    if (proc->orders.timeout || !atomic_load(&proc->slot->timed_out))
        return;
    proc->orders.timeout = true;
    limit(proc, now_us + (uint64_t)proc->settings->graceful_timeout * SECOND_US + CG_PROC_QUICK_US);
}

uint64_t cg_proc_judge_us(const struct cg_proc *proc) {
    if (proc->settings->timeout <= 0 || proc->orders.timeout || proc->orders.kill)
        return UINT64_MAX;
    uint64_t beat_us = atomic_load(&proc->slot->beat_us);
    uint64_t excused_us = beat_us == proc->excused_beat_us ? proc->excused_us : 0;
    return beat_us + excused_us + (uint64_t)proc->settings->timeout * SECOND_US;
}

void cg_proc_judge(struct cg_proc *proc, uint64_t now_us) {
    if (now_us < cg_proc_judge_us(proc))
        return;
    char doing[CG_DOING_MAX];
    cg_log(CG_LOG_CRITICAL, "WORKER TIMEOUT (pid:%d): %s", (int)proc->pid,
           cg_doing(proc->slot, now_us, doing));
    proc->orders.timeout = true;
    kill(proc->pid, SIGABRT);
    limit(proc, now_us + CG_PROC_ABORT_US);
}

uint64_t cg_proc_enforce_us(const struct cg_proc *proc) {
    return proc->kill_us ? proc->kill_us : UINT64_MAX;
}

void cg_proc_enforce(struct cg_proc *proc, uint64_t now_us) {
    if (now_us < cg_proc_enforce_us(proc))
        return;
    char doing[CG_DOING_MAX];
    cg_log(CG_LOG_WARNING, "Worker (pid:%d) did not end in time, sending it SIGKILL: %s",
           (int)proc->pid, cg_doing(proc->slot, now_us, doing));
    proc->orders.kill = true;
    proc->kill_us = 0;
    kill(proc->pid, SIGKILL);
}

void cg_proc_excuse(struct cg_proc *proc, uint64_t late_us) {
    uint64_t beat_us = atomic_load(&proc->slot->beat_us);
    if (beat_us != proc->excused_beat_us)
        proc->excused_us = 0;
    proc->excused_beat_us = beat_us;
    proc->excused_us += late_us;
    if (proc->kill_us)
        proc->kill_us += late_us;
}
