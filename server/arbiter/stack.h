/* SPDX-License-Identifier: MIT
 *
 * What a worker whose `timeout` is over was doing, in one line of the log with the stacks of its
 * threads. Either the worker logs it, about one of its threads, or the arbiter, about a worker that
 * shows no life: it asks by a signal, and the handler of that leaves the stacks in the slot.
 * Child-facing.
 */
#ifndef CG_ARBITER_STACK_H
#define CG_ARBITER_STACK_H

#include "server/arbiter/slot.h"

#include <signal.h>

/* Asks a process for the stacks of all its threads, or, within it, one thread for its own. Hardly
 * anybody uses these (valgrind has SIGRTMAX for itself). */
#ifdef SIGRTMAX
#define CG_STACK_SIGNAL_ALL (SIGRTMAX - 2)
#define CG_STACK_SIGNAL_ONE (SIGRTMAX - 1)
#else
#define CG_STACK_SIGNAL_ALL SIGINFO
#define CG_STACK_SIGNAL_ONE SIGEMT
#endif

/* Whoever is stuck is waited for so long. */
enum { CG_STACK_WAIT_MS = 500 };

enum cg_stack_state {
    CG_STACK_MUTE,  /* the signal would end the worker */
    CG_STACK_READY, /* it has a handler for it */
    CG_STACK_TOLD,
};

/* The worker's side. */
void cg_stack_be_ready(struct cg_slot *s);
/* What can be read from fd, without waiting, is its stacks. Async-signal-safe. */
void cg_stack_tell(struct cg_slot *s, int fd);

/* The arbiter's side. ask: false when the worker would not answer. */
bool cg_stack_ask(struct cg_slot *s, pid_t pid);
bool cg_stack_is_told(const struct cg_slot *s);
/* Read without trust; empty when nothing was told. */
struct cg_slice cg_stack_read(const struct cg_slot *s, char ret_text[CG_SLOT_STACK_MAX]);

/* Both: the line, with what the worker is doing, and the stack, which may be empty. */
void cg_stack_log(pid_t pid, const char *doing, struct cg_slice stack);

#endif
