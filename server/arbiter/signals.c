/* SPDX-License-Identifier: MIT
 *
 * Owns, at file level because a handler gets no argument: the counts of signals not yet taken, the
 * descriptor to wake, and the dispositions and mask to restore. One arbiter per process.
 */
#include "server/arbiter/signals.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

static const int numbers[] = {
#define CG_SIGNAL(number, name, handle) number,
#include "server/arbiter/signal.def"
#undef CG_SIGNAL
};

enum { NUMBERS_N = sizeof(numbers) / sizeof(numbers[0]) };

_Static_assert(ATOMIC_INT_LOCK_FREE == 2, "handlers may touch lock-free atomics only");
static _Atomic unsigned counts[NSIG];
static _Atomic int wake_fd = -1;
static struct sigaction old_actions[NUMBERS_N], old_pipe;
static sigset_t old_mask;

static void note(int number) {
    int saved = errno;
    atomic_fetch_add(&counts[number], 1);
    ssize_t ignored = write(atomic_load(&wake_fd), "", 1); /* a full pipe wakes as well */
    (void)ignored;
    errno = saved;
}

void cg_signals_install(int fd) {
    struct sigaction action = {.sa_handler = note, .sa_flags = SA_RESTART | SA_NOCLDSTOP};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigfillset(&action.sa_mask);
    sigset_t wanted;
    sigemptyset(&wanted);
    atomic_store(&wake_fd, fd);
    for (size_t i = 0; i < NUMBERS_N; i++) {
        atomic_store(&counts[numbers[i]], 0);
        sigaction(numbers[i], &action, &old_actions[i]);
        sigaddset(&wanted, numbers[i]);
    }
    sigaction(SIGPIPE, &ignore, &old_pipe);
    pthread_sigmask(SIG_UNBLOCK, &wanted, &old_mask);
}

void cg_signals_restore(void) {
    pthread_sigmask(SIG_SETMASK, &old_mask, NULL);
    for (size_t i = 0; i < NUMBERS_N; i++)
        sigaction(numbers[i], &old_actions[i], NULL);
    sigaction(SIGPIPE, &old_pipe, NULL);
    atomic_store(&wake_fd, -1);
}

void cg_signals_reset(void) {
    struct sigaction action = {.sa_handler = SIG_DFL};
    for (size_t i = 0; i < NUMBERS_N; i++)
        sigaction(numbers[i], &action, NULL);
}

unsigned cg_signals_take(int number) {
    return atomic_exchange(&counts[number], 0);
}
