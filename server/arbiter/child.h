/* SPDX-License-Identifier: MIT
 *
 * What crosses the fork: all that a worker gets from its arbiter. Child-facing.
 */
#ifndef CG_ARBITER_CHILD_H
#define CG_ARBITER_CHILD_H

#include "server/arbiter/runtime.h"
#include "server/arbiter/slot.h"
#include "server/net/listener.h"

struct cg_child {
    const struct cg_settings *settings;
    const struct cg_listeners *listeners;
    const struct cg_runtime *runtime;
    void *rt;
    struct cg_slot *slot;
    pid_t arbiter_pid;
    int age;        /* 1, 2, 3 ...: never used again */
    int parent_fd;  /* readable (end of file) when the arbiter is gone */
    int arbiter_fd; /* write one byte to make the arbiter look at the slots */
    int poll_fd;    /* the worker's own, from before boot: a byte written here, by a signal handler
                       too, has the worker call the runtime's poll() in the main thread */
    void *ctx;      /* the one given to cg_arbiter_run() */
};

/* The life of a worker: boots, serves, returns its exit code. Called in the child, whose "Booting
 * worker" line is written, with all signals blocked; those of signal.def have their default action
 * again, PIPE is ignored. It installs its own handlers, then unblocks. It calls
 * cg_slot_set_state(CG_SLOT_READY) when it can serve, and writes a byte to arbiter_fd. */
typedef int (*cg_worker_main_fn)(struct cg_child *child);

/* A request that ended with its worker. */
struct cg_lost {
    const struct cg_settings *settings; /* the worker's */
    const struct cg_slot_view *view;
    pid_t pid;
    int status; /* for the log: nobody has got it as a response */
};

/* Writes the access line that the worker cannot write any more. In the arbiter. */
typedef void (*cg_lost_fn)(const struct cg_lost *lost, uint64_t now_us);

#endif
