/* SPDX-License-Identifier: MIT
 *
 * A thread that knows no Python, so that it comes to its end whoever has the interpreter lock.
 * Owns, at file level because the thread outlives its maker: what it is to do.
 */
#include "pyext/last_wait.h"

#include "server/base/log.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

static int code;
static unsigned wait_s;

static void *end_process(void *unused) {
    (void)unused;
    for (unsigned left_s = wait_s; left_s > 0;)
        left_s = sleep(left_s);
    cg_log(CG_LOG_WARNING,
           "This process did not end in time, it is ended now: while exiting (atexit"
           " functions, threads that are no daemons)");
    cg_log_flush();
    _exit(code);
}

int cg_last_wait_bound(int exit_code, unsigned limit_s) {
    sigset_t all, before;
    pthread_t thread;
    cg_log_divert(NULL); /* from Python's loggers, which the thread cannot call */
    code = exit_code;
    wait_s = limit_s;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before); /* signals are the main thread's */
    int error = pthread_create(&thread, NULL, end_process, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error == 0)
        pthread_detach(thread);
    return -error;
}
