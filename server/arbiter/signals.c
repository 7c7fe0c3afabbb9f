/* SPDX-License-Identifier: MIT
 *
 * Owns, at file level because a handler gets no argument: the counts of signals not yet taken, the
 * descriptor to wake, and the dispositions and mask to restore. One arbiter per process.
 */
#include "server/arbiter/signals.h"

#include "server/base/copy.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const int numbers[] = {
#define CG_SIGNAL(number, name, handle) number,
#include "server/arbiter/signal.def"
#undef CG_SIGNAL
};

static const char *const names[] = {
#define CG_SIGNAL(number, name, handle) #number,
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
    if (cg_copy_takes_signal(number))
        return;
    int saved = errno;
    atomic_fetch_add(&counts[number], 1);
    ssize_t ignored = write(atomic_load(&wake_fd), "", 1); /* a full pipe wakes as well */
    (void)ignored;
    errno = saved;
}

/* Row i of the table; *ret_found is what was there. */
static void handle(size_t i, struct sigaction *ret_found) {
    struct sigaction action = {.sa_handler = note, .sa_flags = SA_RESTART | SA_NOCLDSTOP};
    sigfillset(&action.sa_mask);
    sigaction(numbers[i], &action, ret_found);
}

static void ignore_pipe(struct sigaction *ret_found) {
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, ret_found);
}

static void unblock(sigset_t *ret_found) {
    sigset_t wanted;
    sigemptyset(&wanted);
    for (size_t i = 0; i < NUMBERS_N; i++)
        sigaddset(&wanted, numbers[i]);
    pthread_sigmask(SIG_UNBLOCK, &wanted, ret_found);
}

void cg_signals_install(int fd) {
    atomic_store(&wake_fd, fd);
    for (size_t i = 0; i < NUMBERS_N; i++) {
        atomic_store(&counts[numbers[i]], 0);
        handle(i, &old_actions[i]);
    }
    ignore_pipe(&old_pipe);
    unblock(&old_mask);
}

static void append(char *text, const char *name) {
    size_t len = strlen(text);
    snprintf(text + len, CG_SIGNALS_NAMES_MAX - len, "%s%s", len > 0 ? ", " : "", name);
}

bool cg_signals_retake(char ret_names[CG_SIGNALS_NAMES_MAX]) {
    ret_names[0] = '\0';
    if (atomic_load(&wake_fd) < 0)
        return false;
    struct sigaction found[NUMBERS_N], found_pipe;
    sigset_t mask;
    for (size_t i = 0; i < NUMBERS_N; i++)
        handle(i, &found[i]);
    ignore_pipe(&found_pipe);
    unblock(&mask);
    for (size_t i = 0; i < NUMBERS_N; i++)
        if (found[i].sa_handler != note || sigismember(&mask, numbers[i]) == 1)
            append(ret_names, names[i]);
    if (found_pipe.sa_handler != SIG_IGN)
        append(ret_names, "SIGPIPE");
    return ret_names[0] != '\0';
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
    atomic_store(&wake_fd, -1);
}

unsigned cg_signals_take(int number) {
    return atomic_exchange(&counts[number], 0);
}
