/* SPDX-License-Identifier: MIT
 *
 * Rules of server/base/copy.h. Each child says by its exit code what it has found.
 */
#include "server/base/copy.h"
#include "server/base/fd.h"
#include "tests/unit/test.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { IS_COPY = 1, HAS_FD = 2, FAILED = 64 };

static int fd;

static bool is_open(int number) {
    return fcntl(number, F_GETFD) >= 0;
}

/* What a forked process finds. */
static int look(void) {
    return (cg_is_copy() ? IS_COPY : 0) | (is_open(fd) ? HAS_FD : 0);
}

static int end_of(pid_t pid) {
    int status;
    CG_CHECK_INT(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static int fork_and_look(void) {
    pid_t pid = fork();
    if (pid == 0)
        _exit(look());
    return end_of(pid);
}

CG_TEST(copies_know_it_and_lose_what_is_denied) {
    cg_copy_watch();
    fd = dup(STDOUT_FILENO);
    CG_CHECK_INT(fork_and_look(), IS_COPY | HAS_FD);
    cg_copy_deny(fd);
    CG_CHECK_INT(fork_and_look(), IS_COPY);
    CG_CHECK(is_open(fd));
    CG_CHECK(!cg_is_copy());
    cg_copy_allow(fd);
    CG_CHECK_INT(fork_and_look(), IS_COPY | HAS_FD);
    cg_fd_close(&fd);
}

CG_TEST(closing_takes_the_denial_back) {
    cg_copy_watch();
    fd = dup(STDOUT_FILENO);
    int number = fd;
    cg_copy_deny(fd);
    cg_fd_close(&fd);
    fd = dup(STDOUT_FILENO);
    CG_CHECK_INT(fd, number);
    CG_CHECK_INT(fork_and_look(), IS_COPY | HAS_FD);
    cg_fd_close(&fd);
}

CG_TEST(pipes_of_the_server_are_denied) {
    int fds[2];
    cg_copy_watch();
    CG_CHECK_INT(cg_fd_wake_pipe(fds), 0);
    fd = fds[1];
    CG_CHECK_INT(fork_and_look(), IS_COPY);
    cg_fd_close(&fds[0]);
    cg_fd_close(&fds[1]);
}

CG_TEST(forks_of_the_server_make_no_copy) {
    cg_copy_watch();
    fd = dup(STDOUT_FILENO);
    cg_copy_deny(fd);
    cg_copy_fork_begin();
    pid_t pid = fork();
    cg_copy_fork_end();
    if (pid == 0)
        _exit(look() | (fork_and_look() == IS_COPY ? 0 : FAILED));
    CG_CHECK_INT(end_of(pid), HAS_FD);
    cg_fd_close(&fd);
}

CG_TEST(a_copy_may_become_a_server) {
    cg_copy_watch();
    pid_t pid = fork();
    if (pid == 0) {
        cg_copy_watch();
        _exit(cg_is_copy());
    }
    CG_CHECK_INT(end_of(pid), 0);
}

CG_TEST(numbers_that_are_no_descriptors_are_nobodys) {
    cg_copy_deny(-1);
    cg_copy_allow(-1);
    cg_copy_deny(INT_MAX);
    cg_copy_allow(INT_MAX);
}

static volatile sig_atomic_t taken_n;

static void on_signal(int number) {
    if (!cg_copy_takes_signal(number))
        taken_n++;
}

CG_TEST(a_signal_takes_its_default_action) {
    cg_copy_watch();
    signal(SIGTERM, on_signal);
    pid_t pid = fork();
    if (pid == 0) {
        raise(SIGTERM);
        _exit(0);
    }
    CG_CHECK_INT(end_of(pid), -SIGTERM);
    raise(SIGTERM);
    CG_CHECK_INT(taken_n, 1);
}

static void raise_term(void) {
    raise(SIGTERM);
}

CG_TEST(so_does_one_that_comes_before_the_copy_knows_what_it_is) {
    CG_CHECK_INT(pthread_atfork(NULL, NULL, raise_term), 0); /* runs before the module's own */
    cg_copy_watch();
    signal(SIGTERM, on_signal);
    CG_CHECK_INT(fork_and_look(), -SIGTERM);
}

CG_TEST(a_signal_to_a_fork_of_the_servers_own_is_the_servers) {
    sigset_t all, before;
    cg_copy_watch();
    signal(SIGTERM, on_signal);
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    cg_copy_fork_begin();
    pid_t pid = fork();
    cg_copy_fork_end();
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (pid == 0) {
        raise(SIGTERM);
        _exit((int)taken_n);
    }
    CG_CHECK_INT(end_of(pid), 1);
}
