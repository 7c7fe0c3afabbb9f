/* SPDX-License-Identifier: MIT
 *
 * CPython as the arbiter and the workers see it: forking, the interpreter lock, booting an
 * application, interrupting it. All functions but interrupt(), stack() and reopen_logs() are called
 * in the main thread or in a thread of the driver, with the GIL held; wait_begin releases it and
 * wait_end takes it.
 */
#include "pyext/runtime.h"

#include "pyext/copy.h"
#include "pyext/error.h"
#include "pyext/log_relay.h"
#include "pyext/settings.h"
#include "pyext/stacks.h"

#include "server/base/log.h"
#include "workers/worker.h"

#include <pthread.h>
#include <signal.h>

/* Fork */

static void flush_stream(const char *name) {
    PyObject *stream = PySys_GetObject(name); /* borrowed */
    if (!stream || stream == Py_None)
        return;
    Py_INCREF(stream);
    PyObject *result = PyObject_CallMethod(stream, "flush", NULL);
    if (!result)
        PyErr_Clear(); /* a closed or full stream is no reason not to start */
    Py_XDECREF(result);
    Py_DECREF(stream);
}

void cg_host_flush(void) {
    flush_stream("stdout");
    flush_stream("stderr");
}

static void before_fork(void *rt) {
    cg_host_flush();
    PyOS_BeforeFork();
}

static void after_fork_parent(void *rt) {
    PyOS_AfterFork_Parent();
}

static void after_fork_child(void *rt) {
    PyOS_AfterFork_Child();
}

/* The interpreter lock */

static void wait_begin(void *rt) {
    PyEval_SaveThread();
}

static void wait_end(void *rt) {
    PyEval_RestoreThread(PyGILState_GetThisThreadState());
}

static bool give_host(void) {
    if (!cg_py_has_gil())
        return false;
    wait_begin(NULL);
    return true;
}

static void take_host(void) {
    wait_end(NULL);
}

const struct cg_log_host cg_python_log_host = {.give = give_host, .take = take_host};

/* There is no call for it: the interpreter looks whether it is asked for when it enters a function.
 */
static void give_way(void *rt) {
    const struct cg_host *h = rt;
    PyObject *none = PyObject_CallObject(h->nothing, NULL);
    if (!none)
        PyErr_Clear();
    Py_XDECREF(none);
}

/* Threads of a driver: a thread state each, for the thread's life, so that what the application
 * keeps in threading.local lasts as long. */

static void thread_begin(void *rt) {
    PyGILState_Ensure();
}

static void thread_end(void *rt) {
    cg_log_relay_park(NULL);
    cg_wsgi_thread_done();
    PyGILState_Release(PyGILState_UNLOCKED);
}

/* Opening and reloading */

static void log_exception(struct cg_host *h, const char *what) {
    PyObject *exception = cg_error_take();
    cg_error_log(h->state, CG_LOG_ERROR, PyUnicode_FromString(what), exception);
    Py_DECREF(exception);
}

/* A daemon lets go of its terminal here, where a log may have gone until now. */
static void opened(void *rt, const struct cg_settings *settings) {
    struct cg_host *h = rt;
    const char *path;
    PyObject *result = PyObject_CallMethod(h->runtime, "opened", NULL);
    if (!result)
        log_exception(h, "Exception while starting");
    Py_XDECREF(result);
    int rc = cg_log_open(settings->errorlog, settings->accesslog, settings->loglevel, &path);
    if (rc < 0)
        cg_log(CG_LOG_ERROR, "Can't open the log %s: %s", path, strerror(-rc));
}

static void second_to(void *rt, pid_t old_master) {
    struct cg_host *h = rt;
    PyObject *result = PyObject_CallMethod(h->runtime, "second_to", "i", (int)old_master);
    if (!result)
        log_exception(h, "Exception in an upgrade");
    Py_XDECREF(result);
}

static const struct cg_settings *reload(void *rt) {
    struct cg_host *h = rt;
    struct cg_settings *settings = NULL;
    PyObject *config = PyObject_CallMethod(h->runtime, "reload", NULL);
    cg_copy_check(h->state);
    if (config && config != Py_None)
        settings = cg_settings_new(config);
    Py_XDECREF(config);
    if (PyErr_Occurred())
        log_exception(h, "Exception while reloading");
    return settings;
}

static void free_settings(void *rt, const struct cg_settings *settings) {
    cg_settings_free((struct cg_settings *)settings); /* made by reload() above */
}

static void reopen_logs(void *rt) {
    cg_log_relay_reopen();
}

/* Upgrade */

static void execute(void *rt, const char *const *variables) {
    struct cg_host *h = rt;
    PyObject *list = PyList_New(0);
    for (const char *const *at = variables; list && *at; at++) {
        PyObject *text = PyUnicode_DecodeFSDefault(*at);
        if (!text || PyList_Append(list, text) < 0)
            Py_CLEAR(list);
        Py_XDECREF(text);
    }
    PyObject *result = list ? PyObject_CallMethod(h->runtime, "execute", "O", list) : NULL;
    if (!result) {
        PyObject *exception = cg_error_take();
        cg_error_log(h->state, CG_LOG_ERROR, PyUnicode_FromString("Can't start a new master"),
                     exception);
        Py_DECREF(exception);
    }
    Py_XDECREF(result);
    Py_XDECREF(list);
}

static bool poll(void *rt);

/* Boot */

/* signal.signal(number, handler) for Python's own table only: the C handler that stands, the
 * worker's, is put back. 0 or -1. */
static int set_handler(PyObject *module, int number, PyObject *handler) {
    sigset_t all, mask;
    struct sigaction action;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &mask);
    sigaction(number, NULL, &action);
    PyObject *before = PyObject_CallMethod(module, "signal", "iO", number, handler);
    sigaction(number, &action, NULL);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    Py_XDECREF(before);
    return before ? 0 : -1;
}

/* Python functions that handled signals in the arbiter's process have no C handler any more: nobody
 * should find them in the table and call them. */
static int forget_handlers(PyObject *module) {
    PyObject *by_default = PyObject_GetAttrString(module, "SIG_DFL");
    int rc = by_default ? 0 : -1;
    for (int number = 1; rc == 0 && number < NSIG; number++) {
        PyObject *handler = PyObject_CallMethod(module, "getsignal", "i", number);
        if (!handler)
            rc = -1;
        else if (PyCallable_Check(handler))
            rc = set_handler(module, number, by_default);
        Py_XDECREF(handler);
    }
    Py_XDECREF(by_default);
    return rc;
}

/* For each signal that a Python function shall handle the interpreter writes a byte to fd: else one
 * that comes right before a wait, or to another thread, would not be handled until the wait is
 * over. 0 or -1. */
static int be_woken_by(const struct cg_host *h, int fd) {
    PyObject *done = PyObject_CallMethod(h->hooks, "be_woken_by", "i", fd);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

/* The signals that the worker handles have handlers in Python's table, too, for two uses: the
 * application that puts its own in their place may call them, or put them back; and
 * PyErr_SetInterruptEx() runs that of QUIT. */
static int set_handlers(const struct cg_host *h, PyObject *module) {
    static const struct {
        int number;
        const char *name; /* of the hooks' method */
    } rows[] = {
        {SIGTERM, "signalled"},  {SIGUSR1, "signalled"},   {SIGWINCH, "signalled"},
        {SIGINT, "interrupted"}, {SIGQUIT, "interrupted"},
    };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof(rows) / sizeof(rows[0]); i++) {
        PyObject *handler = PyObject_GetAttrString(h->hooks, rows[i].name);
        rc = handler ? set_handler(module, rows[i].number, handler) : -1;
        Py_XDECREF(handler);
    }
    return rc;
}

/* 0 or -1. */
static int install_signals(const struct cg_host *h, int poll_fd) {
    PyObject *module = PyImport_ImportModule("signal");
    int rc = -1;
    if (module && be_woken_by(h, poll_fd) == 0 && forget_handlers(module) == 0)
        rc = set_handlers(h, module);
    Py_XDECREF(module);
    return rc;
}

/* If the arbiter had it on, its handlers are gone since the fork while it believes them there, and
 * would put back what stood before them. 0 or -1. */
static int disable_faulthandler(void) {
    PyObject *module = PyImport_ImportModule("faulthandler");
    PyObject *off = module ? PyObject_CallMethod(module, "disable", NULL) : NULL;
    Py_XDECREF(off);
    Py_XDECREF(module);
    return off ? 0 : -1;
}

/* With a worker_abort hook ABRT is Python's, too: faulthandler, which is enabled afterwards, passes
 * it on when it has dumped the stacks. A main thread that never comes back to Python is killed by
 * the arbiter a little later. 0 or -1. */
static int catch_abort(const struct cg_host *h) {
    PyObject *done = PyObject_CallMethod(h->hooks, "catch_abort", NULL);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

/* Whether it is a cgunicorn.errors.AppLoadError: 1, 0, or 0 too when that cannot be imported. */
static bool is_app_load_error(PyObject *exception) {
    PyObject *module = PyImport_ImportModule("cgunicorn.errors");
    PyObject *type = module ? PyObject_GetAttrString(module, "AppLoadError") : NULL;
    bool matches = type && PyErr_GivenExceptionMatches(exception, type);
    PyErr_Clear();
    Py_XDECREF(type);
    Py_XDECREF(module);
    return matches;
}

/* The exception that is set becomes an exit code and a message. */
static enum cg_exit boot_failed(struct cg_host *h) {
    PyObject *exception = cg_error_take();
    enum cg_exit code = CG_EXIT_WORKER_BOOT;
    if (is_app_load_error(exception)) {
        code = CG_EXIT_APP_LOAD;
        PySys_FormatStderr("%S\n", exception);
        cg_host_flush();
    } else if (!cg_wsgi_told_to_leave(&h->wsgi, exception)) {
        cg_error_log(h->state, CG_LOG_ERROR, PyUnicode_FromString("Exception in worker process"),
                     exception);
    }
    Py_DECREF(exception);
    return code;
}

static enum cg_exit boot(void *rt, const struct cg_child *child, uint64_t requests_max) {
    struct cg_host *h = rt;
    const struct cg_settings *settings = child->settings;
    if (install_signals(h, child->poll_fd) < 0 || disable_faulthandler() < 0 ||
        catch_abort(h) < 0 || cg_stacks_init(child) < 0)
        return boot_failed(h);
    PyObject *application = PyObject_CallMethod(
        h->runtime, "boot", "OK", cg_settings_config(settings), (unsigned long long)requests_max);
    cg_copy_check(h->state);
    if (!application)
        return boot_failed(h);
    cg_hooks_follow(h->state, settings);
    int rc = cg_wsgi_init(&h->wsgi, h->state, application, h->hooks, settings);
    Py_DECREF(application);
    return rc < 0 ? boot_failed(h) : CG_EXIT_OK;
}

/* What is pending is handled first: its exception is not to come in the middle of the hooks. */
static int leave(void *rt, int exit_code, bool quick) {
    struct cg_host *h = rt;
    poll(h);
    PyObject *result =
        PyObject_CallMethod(h->hooks, "leave", "iO", exit_code, quick ? Py_True : Py_False);
    cg_copy_check(h->state);
    int code = result ? (int)PyLong_AsLong(result) : exit_code;
    Py_XDECREF(result);
    if (PyErr_Occurred()) {
        PyObject *exception = cg_error_take();
        if (!cg_wsgi_told_to_leave(&h->wsgi, exception))
            cg_error_log(h->state, CG_LOG_WARNING,
                         PyUnicode_FromString("Exception during worker exit"), exception);
        Py_DECREF(exception);
    }
    return code;
}

/* Signals */

static void interrupt(void *rt) {
    struct cg_host *h = rt;
    h->wsgi.interrupted = true;
    /* Async-signal-safe: it sets a flag for the interpreter. QUIT's handler is ours more often than
     * INT's, which applications like to take. */
#if PY_VERSION_HEX >= 0x030A0000
    PyErr_SetInterruptEx(SIGQUIT);
#else
    PyErr_SetInterrupt();
#endif
}

static size_t stack(void *rt, pthread_t thread, char *ret_text, size_t size) {
    return cg_stacks_of(thread, ret_text, size);
}

void cg_host_note(struct cg_host *h, int number) {
    if (number == SIGINT || number == SIGQUIT)
        h->wsgi.interrupted = true;
    cg_worker_note(number);
}

/* A handler that has called sys.exit(), or was that of KeyboardInterrupt, wants the worker to
 * leave, with that exit code. Any other exception is a defect of the handler's. */
static bool wants_to_leave(struct cg_host *h, PyObject *exception) {
    if (!PyErr_GivenExceptionMatches(exception, PyExc_SystemExit) &&
        !PyErr_GivenExceptionMatches(exception, PyExc_KeyboardInterrupt)) {
        cg_error_log(h->state, CG_LOG_ERROR, PyUnicode_FromString("Exception in a signal handler"),
                     exception);
        return false;
    }
    PyObject *done = PyObject_CallMethod(h->hooks, "told_to_exit", "O", exception);
    if (!done)
        log_exception(h, "Exception in a signal handler");
    Py_XDECREF(done);
    return true;
}

static bool poll(void *rt) {
    struct cg_host *h = rt;
    int rc = PyErr_CheckSignals();
    cg_copy_check(h->state);
    if (rc == 0)
        return false;
    PyObject *exception = cg_error_take();
    bool leave = !cg_wsgi_told_to_leave(&h->wsgi, exception) && wants_to_leave(h, exception);
    Py_DECREF(exception);
    return leave;
}

int cg_host_init(struct cg_host *h, struct cg_state *state, PyObject *runtime) {
    *h = (struct cg_host){.state = state, .runtime = runtime};
    h->hooks = PyObject_GetAttrString(runtime, "hooks");
    h->nothing = PyObject_GetAttrString(runtime, "do_nothing");
    if (!h->hooks || !h->nothing) {
        Py_CLEAR(h->hooks);
        Py_CLEAR(h->nothing);
        return -1;
    }
    state->host = h;
    return 0;
}

void cg_host_done(struct cg_host *h) {
    cg_log_relay_park(NULL);
    cg_log_relay_stop();
    poll(h); /* an interrupt that came too late must not break the interpreter's own end */
    cg_wsgi_done(&h->wsgi);
    h->state->host = NULL;
    Py_CLEAR(h->hooks);
    Py_CLEAR(h->nothing);
}

static int moment(void *rt, const struct cg_moment *m) {
    const struct cg_host *h = rt;
    return cg_hooks_moment(h->state, h->hooks, m);
}

const struct cg_runtime cg_python_runtime = {
    .moment = moment,
    .before_fork = before_fork,
    .after_fork_parent = after_fork_parent,
    .after_fork_child = after_fork_child,
    .wait_begin = wait_begin,
    .wait_end = wait_end,
    .give_way = give_way,
    .thread_begin = thread_begin,
    .thread_end = thread_end,
    .opened = opened,
    .second_to = second_to,
    .reload = reload,
    .reopen_logs = reopen_logs,
    .free_settings = free_settings,
    .execute = execute,
    .boot = boot,
    .leave = leave,
    .interrupt = interrupt,
    .stack = stack,
    .poll = poll,
};
