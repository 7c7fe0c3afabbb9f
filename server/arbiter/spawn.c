/* SPDX-License-Identifier: MIT
 *
 * The order of things around fork(). No state of its own.
 */
#include "server/arbiter/spawn.h"

#include "server/arbiter/signals.h"
#include "server/base/copy.h"
#include "server/base/log.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

pid_t cg_spawn(const struct cg_runtime *runtime, void *rt) {
    sigset_t all, before;
    sigfillset(&all);
    cg_log_flush();
    runtime->before_fork(rt);
    /* A signal between fork and reset would run the arbiter's handler in the child and be lost. */
    pthread_sigmask(SIG_BLOCK, &all, &before);
    cg_copy_fork_begin();
    pid_t pid = fork();
    int error = errno;
    cg_copy_fork_end();
    if (pid == 0) {
        cg_signals_reset();
        runtime->after_fork_child(rt);
        return 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    runtime->after_fork_parent(rt);
    return pid < 0 ? -error : pid;
}
