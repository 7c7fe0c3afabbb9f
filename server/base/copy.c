/* SPDX-License-Identifier: MIT
 *
 * Copies, as copy.h says. What is denied is a bit for each descriptor. A descriptor with a number
 * beyond the bits stays open in copies: more clients than anybody has had.
 */
#include "server/base/copy.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <unistd.h>

enum { WORD_BITS = 64, WORDS_N = 16 * 1024 };

static _Atomic bool is_copy;
static _Atomic pid_t own_pid; /* of the process that is no copy; 0: nobody watches */
static _Thread_local bool forks_itself;
static _Atomic uint64_t denied[WORDS_N];
static _Atomic size_t words_end; /* behind the last word that has ever had a bit */
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* In the child's only thread, where all that fork() has copied may be halfway through something. */
static void on_fork(void) {
    if (forks_itself) {
        atomic_store(&own_pid, getpid());
        return;
    }
    atomic_store(&is_copy, true);
    size_t end = atomic_load(&words_end);
    int saved = errno;
    for (size_t i = 0; i < end; i++) {
        uint64_t bits = atomic_exchange_explicit(&denied[i], 0, memory_order_relaxed);
        for (int bit = 0; bits != 0; bit++, bits >>= 1)
            if (bits & 1)
                close((int)i * WORD_BITS + bit);
    }
    errno = saved;
}

static void watch_forks(void) {
    pthread_atfork(NULL, NULL, on_fork);
}

void cg_copy_watch(void) {
    atomic_store(&is_copy, false);
    atomic_store(&own_pid, getpid());
    pthread_once(&once, watch_forks);
}

bool cg_is_copy(void) {
    return atomic_load_explicit(&is_copy, memory_order_relaxed);
}

/* A signal may come to a new process before on_fork() has run there, most likely one that was sent
 * right after the fork. */
static bool is_copy_in_handler(void) {
    pid_t own = atomic_load(&own_pid);
    return cg_is_copy() || (own != 0 && getpid() != own);
}

bool cg_copy_takes_signal(int number) {
    if (!is_copy_in_handler())
        return false;
    int saved = errno;
    signal(number, SIG_DFL);
    raise(number); /* within a handler of it, it is blocked until that returns */
    errno = saved;
    return true;
}

void cg_copy_fork_begin(void) {
    forks_itself = true;
}

void cg_copy_fork_end(void) {
    forks_itself = false;
}

void cg_copy_deny(int fd) {
    size_t word = (size_t)fd / WORD_BITS;
    if (fd < 0 || word >= WORDS_N)
        return;
    atomic_fetch_or_explicit(&denied[word], UINT64_C(1) << fd % WORD_BITS, memory_order_relaxed);
    size_t end = atomic_load(&words_end);
    while (end <= word && !atomic_compare_exchange_weak(&words_end, &end, word + 1))
        continue;
}

void cg_copy_allow(int fd) {
    size_t word = (size_t)fd / WORD_BITS;
    if (fd < 0 || word >= WORDS_N)
        return;
    uint64_t bit = UINT64_C(1) << fd % WORD_BITS;
    if (atomic_load_explicit(&denied[word], memory_order_relaxed) & bit)
        atomic_fetch_and_explicit(&denied[word], ~bit, memory_order_relaxed);
}
