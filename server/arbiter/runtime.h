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
#include <sys/types.h>

/* Exit codes of a worker and of the server, as Gunicorn's. */
enum cg_exit {
    CG_EXIT_OK = 0,
    CG_EXIT_ERROR = 1,
    CG_EXIT_WORKER_BOOT = 3, /* a worker failed to boot */
    CG_EXIT_APP_LOAD = 4,    /* the application could not be found or called */
};

enum cg_moment_id {
#define CG_MOMENT(id, name) CG_MOMENT_##id,
#include "server/arbiter/moment.def"
#undef CG_MOMENT
};

struct cg_child;
struct cg_listeners;
struct cg_slot;

/* Something that happens in the arbiter. What a moment does not need is zero. */
struct cg_moment {
    enum cg_moment_id id;
    const struct cg_settings *settings;   /* in force; pre_fork and forked: the worker's */
    const struct cg_listeners *listeners; /* when_ready, on_reload, pre_fork, pre_exec */
    int new_n, old_n;                     /* nworkers_changed; old_n is negative at the start */
    int age;                              /* pre_fork: the worker's */
    struct cg_slot *slot;                 /* pre_fork: the worker's, its own until child_exit */
    pid_t pid;                            /* forked, child_exit */
    bool halts; /* child_exit: it did not boot, and that ends the server */
};

enum { CG_MOMENT_GO_ON = -1 };

/* All are set. */
struct cg_runtime {
    /* In the arbiter, and pre_exec in the child that executes a new one: something is about to
     * happen, or has. CG_MOMENT_GO_ON, or the exit code that the server is to end with, after
     * logging why. Before the first when_ready it ends at once, during a reload only the reload is
     * given up. */
    int (*moment)(void *rt, const struct cg_moment *m);

    /* Around fork, in the forking thread. */
    void (*before_fork)(void *rt);
    void (*after_fork_parent)(void *rt);
    void (*after_fork_child)(void *rt);

    /* Around a wait that may last: other threads of the host may run meanwhile. */
    void (*wait_begin)(void *rt);
    void (*wait_end)(void *rt);
    /* Another thread that has asked for the host may have it now, rather than in the middle of
     * what the caller has the host do next. Returns with the host. */
    void (*give_way)(void *rt);

    /* First and last in a thread that the worker has made, which then has the host, as after
     * wait_end, and may give it away and take it in the same way. */
    void (*thread_begin)(void *rt);
    void (*thread_end)(void *rt);

    /* In the arbiter, once: the listeners are open, and nobody has been forked. */
    void (*opened)(void *rt, const struct cg_settings *settings);

    /* In the arbiter, that of an upgrade's new master: it is the second beside this one, from
     * before on_starting; and, with 0, it is the only one from now on. */
    void (*second_to)(void *rt, pid_t old_master);

    /* Reads the configuration again (HUP). A new settings object, which the arbiter gives back
     * through free_settings, in a worker too after worker_main; NULL when it is broken: the runtime
     * has logged why. */
    const struct cg_settings *(*reload)(void *rt);
    void (*free_settings)(void *rt, const struct cg_settings *settings);

    /* The host's own log files are opened anew (USR1), now or soon. From any thread, with the host
     * or without. */
    void (*reopen_logs)(void *rt);

    /* In a child of the arbiter with its signals as they were found at the start: becomes the
     * command that the server was started with, in the folder and with the environment of that time
     * and these variables ("NAME=VALUE", NULL-terminated). Returns after logging what was in the
     * way. */
    void (*execute)(void *rt, const char *const *variables);

    /* In a new worker: makes the application ready. requests_max is the request with which it will
     * leave, 0 = none. CG_EXIT_OK, or the code to leave with, after logging why. */
    enum cg_exit (*boot)(void *rt, const struct cg_child *child, uint64_t requests_max);

    /* In a worker that is about to end, after boot, whether that has worked or not; `quick` when
     * INT or QUIT says so. Takes the exit code that it would have and returns the one to have. */
    int (*leave)(void *rt, int exit_code, bool quick);

    /* In a worker, from a signal handler: break out of the running application call, soon.
     * Async-signal-safe. */
    void (*interrupt)(void *rt);
    /* In a worker, from any other of its threads, one at a time, and without the host: what
     * `thread` is doing, which may have the host and never give it back, as text of several lines.
     * Its length, 0 when the thread does not tell, which takes CG_STACK_WAIT_MS. */
    size_t (*stack)(void *rt, pthread_t thread, char *ret_text, size_t size);
    /* In a worker's main thread, outside the application, and in the arbiter after each wait: let
     * the host handle what is pending (signals). True: the host wants this process to leave. */
    bool (*poll)(void *rt);
};

#endif
