/* SPDX-License-Identifier: MIT
 *
 * The runtime table: what the arbiter and the workers ask of the language they host. The third
 * seam; filled by pyext/runtime.c, in tests by a no-op. Child-facing.
 */
#ifndef CG_ARBITER_RUNTIME_H
#define CG_ARBITER_RUNTIME_H

#include "server/base/slice.h"
#include "server/settings/settings.h"

#include <pthread.h>
#include <stdbool.h>

/* Exit codes of a worker and of the server, as Gunicorn's. */
enum cg_exit {
    CG_EXIT_OK = 0,
    CG_EXIT_ERROR = 1,
    CG_EXIT_WORKER_BOOT = 3, /* a worker failed to boot */
    CG_EXIT_APP_LOAD = 4,    /* the application could not be found or called */
};

/* All are set. */
struct cg_runtime {
    /* Around fork, in the forking thread. */
    void (*before_fork)(void *rt);
    void (*after_fork_parent)(void *rt);
    void (*after_fork_child)(void *rt);

    /* Around a wait that may last: other threads of the host may run meanwhile. */
    void (*wait_begin)(void *rt);
    void (*wait_end)(void *rt);

    /* First and last in a thread that the worker has made, which then has the host, as after
     * wait_end, and may give it away and take it in the same way. */
    void (*thread_begin)(void *rt);
    void (*thread_end)(void *rt);

    /* Reads the configuration again (HUP). A new settings object, which the arbiter gives back
     * through free_settings, in a worker too after worker_main; NULL when it is broken: the runtime
     * has logged why. */
    const struct cg_settings *(*reload)(void *rt);
    void (*free_settings)(void *rt, const struct cg_settings *settings);

    /* In a new worker: makes the application ready. CG_EXIT_OK, or the code to leave with, after
     * logging why. */
    enum cg_exit (*boot)(void *rt, const struct cg_settings *settings);

    /* In a worker, from a signal handler: break out of the running application call, soon.
     * Async-signal-safe. */
    void (*interrupt)(void *rt);
    /* In a worker, from any of its threads and without the host: writes into the error log, soon,
     * what `thread` is doing, which may have the host and never give it back. */
    void (*dump)(void *rt, pthread_t thread);
    /* In a worker, outside the application: let the host handle what is pending (signals). */
    void (*poll)(void *rt);
};

#endif
