/* SPDX-License-Identifier: MIT
 *
 * The functions of stacks.h. Owns, for the process, because handlers get no argument, the pipe into
 * which faulthandler writes when it is asked by one of the two signals. Behind it, in the same
 * thread, our own handlers are called, which find the stacks in the pipe: they mark their end, or
 * show them to the arbiter. What does not fit into the pipe is cut.
 */
#include "pyext/stacks.h"

#include "server/arbiter/stack.h"
#include "server/base/copy.h"
#include "server/base/clock.h"
#include "server/base/fd.h"
#include "server/base/log.h"

#include <errno.h>
#include <poll.h>
#include <sys/select.h>
#include <unistd.h>

static struct {
    int fds[2];
    struct cg_slot *slot;
    int arbiter_fd;
    pid_t pid;
    /* Of ABRT: faulthandler's, and the one before that. */
    struct sigaction dumping, undumped;
    void (*python_abort)(int); /* what calls the hook */
} worker = {.fds = {-1, -1}};

/* The arbiter has the stacks and will send ABRT next, which need not dump them again. */
static void leave_abort_to_others(void) {
    struct sigaction now;
    sigaction(SIGABRT, NULL, &now);
    if (now.sa_handler == worker.dumping.sa_handler)
        sigaction(SIGABRT, &worker.undumped, NULL);
}

/* What was interrupted must not go on before it is aborted: its request is taken for lost. */
static void wait_for_abort(void) {
    struct timespec most = {.tv_sec = 1};
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    sigdelset(&mask, SIGABRT);
    pselect(0, NULL, NULL, NULL, &most, &mask);
}

static void on_all(int number) {
    (void)number;
    int saved = errno;
    if (getpid() == worker.pid) {
        leave_abort_to_others();
        cg_stack_tell(worker.slot, worker.fds[0]);
        ssize_t ignored = write(worker.arbiter_fd, "", 1);
        (void)ignored;
        wait_for_abort();
    }
    errno = saved;
}

static void on_one(int number) {
    (void)number;
    int saved = errno;
    ssize_t ignored = write(worker.fds[1], "", 1);
    (void)ignored;
    errno = saved;
}

/* In a copy that a thread has forked CPython 3.13 runs no handler. */
static void on_abort(int number) {
    if (!cg_copy_takes_signal(number))
        worker.python_abort(number);
}

static void handle(int number, void (*handler)(int)) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigfillset(&action.sa_mask);
    sigaction(number, &action, NULL);
}

/* register(signum, file, all_threads, chain): -1 with an exception. */
static int registers(PyObject *module, int number, PyObject *all) {
    PyObject *done =
        PyObject_CallMethod(module, "register", "iiOO", number, worker.fds[1], all, Py_True);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

static void put_before_python(void) {
    struct sigaction action;
    sigaction(SIGABRT, NULL, &action);
    if (action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN)
        return;
    worker.python_abort = action.sa_handler;
    action.sa_handler = on_abort;
    sigaction(SIGABRT, &action, NULL);
}

/* Crashes and ABRT, into the error log. */
static int enable(PyObject *module) {
    put_before_python();
    sigaction(SIGABRT, NULL, &worker.undumped);
    PyObject *on = PyObject_CallMethod(module, "enable", "iO", cg_log_error_fd(), Py_True);
    sigaction(SIGABRT, NULL, &worker.dumping);
    Py_XDECREF(on);
    return on ? 0 : -1;
}

int cg_stacks_init(const struct cg_child *child) {
    int rc = cg_fd_wake_pipe(worker.fds);
    if (rc < 0) {
        errno = -rc;
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    worker.slot = child->slot;
    worker.arbiter_fd = child->arbiter_fd;
    worker.pid = getpid();
    handle(CG_STACK_SIGNAL_ALL, on_all);
    handle(CG_STACK_SIGNAL_ONE, on_one);
    PyObject *module = PyImport_ImportModule("faulthandler");
    if (!module)
        return -1;
    rc = enable(module);
    if (rc == 0)
        rc = registers(module, CG_STACK_SIGNAL_ALL, Py_True);
    if (rc == 0)
        rc = registers(module, CG_STACK_SIGNAL_ONE, Py_False);
    if (rc == 0)
        cg_stack_be_ready(child->slot);
    Py_DECREF(module);
    return rc;
}

/* Whether there is something to read before until_us. */
static bool wait_readable(uint64_t until_us) {
    struct pollfd p = {.fd = worker.fds[0], .events = POLLIN};
    uint64_t now_us = cg_clock_us();
    return now_us < until_us && poll(&p, 1, (int)((until_us - now_us + 999) / 1000)) != 0;
}

size_t cg_stacks_of(pthread_t thread, char *ret_text, size_t size) {
    uint64_t until_us = cg_clock_us() + CG_STACK_WAIT_MS * UINT64_C(1000);
    size_t len = 0;
    cg_fd_drain(worker.fds[0]); /* an answer that came too late */
    if (pthread_kill(thread, CG_STACK_SIGNAL_ONE) != 0)
        return 0;
    while (len < size && wait_readable(until_us)) {
        ssize_t n = read(worker.fds[0], ret_text + len, size - len);
        if (n <= 0)
            continue;
        len += (size_t)n;
        if (ret_text[len - 1] == '\0')
            return len - 1;
    }
    return len == size ? len : 0;
}
