/* SPDX-License-Identifier: MIT
 *
 * What the arbiter does to one worker. No state of its own.
 */
#include "server/arbiter/proc.h"

#include "server/arbiter/stack.h"

#include "server/base/log.h"

#include <signal.h>

enum { SECOND_US = 1000000, ANSWER_US = CG_STACK_WAIT_MS * 1000 };

static uint64_t limit_us(int64_t seconds) {
    return seconds > 0 ? (uint64_t)seconds * SECOND_US : UINT64_MAX;
}

uint64_t cg_proc_boot_us(const struct cg_settings *settings) {
    return limit_us(settings->boot_timeout);
}

static bool is_in(const struct cg_proc *proc, enum cg_slot_state state) {
    return atomic_load(&proc->slot->state) == (int)state;
}

bool cg_proc_stays(const struct cg_proc *proc) {
    return !proc->orders.leave && !proc->orders.quick && !is_in(proc, CG_SLOT_LEAVING) &&
           !is_in(proc, CG_SLOT_EXITING);
}

bool cg_proc_is_spent(const struct cg_proc *proc) {
    return proc->recycle.spent_us != 0;
}

static void limit(struct cg_proc *proc, uint64_t kill_us) {
    if (!proc->orders.kill && (proc->kill_us == 0 || kill_us < proc->kill_us))
        proc->kill_us = kill_us;
}

void cg_proc_leave(struct cg_proc *proc, bool quick, uint64_t now_us) {
    if (proc->orders.quick || (proc->orders.leave && !quick))
        return;
    *(quick ? &proc->orders.quick : &proc->orders.leave) = true;
    atomic_store(&proc->slot->told, quick ? CG_TOLD_TO_QUIT : CG_TOLD_TO_LEAVE);
    kill(proc->pid, quick ? SIGQUIT : SIGTERM);
    uint64_t rest_us =
        quick ? CG_PROC_QUICK_US : (uint64_t)proc->settings->graceful_timeout * SECOND_US;
    limit(proc, now_us + rest_us);
}

void cg_proc_relieve(struct cg_proc *proc, uint64_t now_us) {
    atomic_store(&proc->slot->relieved, true);
    cg_proc_leave(proc, false, now_us);
}

bool cg_proc_note_ready(struct cg_proc *proc, uint64_t now_us) {
    if (proc->ready_us != 0 || is_in(proc, CG_SLOT_BOOTING))
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

void cg_proc_note_end(struct cg_proc *proc, uint64_t now_us) {
    if (is_in(proc, CG_SLOT_EXITING) && !proc->exits) {
        proc->exits = true;
        limit(proc, now_us + (uint64_t)proc->settings->graceful_timeout * SECOND_US);
    }
    if (is_in(proc, CG_SLOT_READY) && cg_proc_stays(proc))
        cg_recycle_look(&proc->recycle, proc->slot, proc->pid, now_us);
}

bool cg_proc_idles(const struct cg_proc *proc) {
    return is_in(proc, CG_SLOT_READY) && cg_proc_stays(proc) && !proc->orders.timeout &&
           !cg_proc_is_spent(proc) && atomic_load(&proc->slot->request_us) == 0 &&
           cg_recycle_next_us(&proc->recycle) > 0;
}

/* How long it may be silent; UINT64_MAX: for ever. */
static uint64_t patience_us(const struct cg_proc *proc) {
    if (proc->orders.timeout || proc->orders.kill || is_in(proc, CG_SLOT_EXITING))
        return UINT64_MAX;
    return is_in(proc, CG_SLOT_BOOTING) ? cg_proc_boot_us(proc->settings)
                                        : limit_us(proc->settings->timeout);
}

uint64_t cg_proc_judge_us(const struct cg_proc *proc) {
    if (proc->asked_us)
        return cg_stack_is_told(proc->slot) ? 0 : proc->asked_us + ANSWER_US;
    uint64_t silence_us = patience_us(proc); /* first: who becomes ready beats before */
    uint64_t beat_us = atomic_load(&proc->slot->beat_us);
    uint64_t excused_us = beat_us == proc->excused_beat_us ? proc->excused_us : 0;
    return silence_us < UINT64_MAX ? beat_us + excused_us + silence_us : UINT64_MAX;
}

static void report(struct cg_proc *proc) {
    char stack[CG_SLOT_STACK_MAX];
    proc->asked_us = 0;
    cg_stack_log(proc->pid, proc->doing, cg_stack_read(proc->slot, stack));
}

void cg_proc_judge(struct cg_proc *proc, uint64_t now_us) {
    if (now_us < cg_proc_judge_us(proc))
        return;
    if (!proc->orders.timeout) {
        proc->orders.timeout = true;
        cg_doing(proc->slot, now_us, proc->doing);
        if (cg_stack_ask(proc->slot, proc->pid)) {
            proc->asked_us = now_us;
            return;
        }
    }
    report(proc);
    kill(proc->pid, SIGABRT);
    limit(proc, now_us + CG_PROC_ABORT_US);
}

void cg_proc_note_death(struct cg_proc *proc) {
    if (proc->asked_us)
        report(proc);
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
