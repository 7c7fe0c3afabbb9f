/* SPDX-License-Identifier: MIT
 *
 * CPython as the arbiter and the workers see it: forking, the interpreter lock, booting an
 * application, interrupting it. All functions but interrupt(), dump() and reopen_logs() are called
 * in the main thread or in a thread of the driver, with the GIL held; wait_begin releases it and
 * wait_end takes it.
 */
#include "pyext/runtime.h"

#include "pyext/error.h"
#include "pyext/log_relay.h"
#include "pyext/settings.h"

#include "server/base/log.h"

#include <pthread.h>
#include <signal.h>

/* For dump(): one that hardly anybody uses (valgrind has SIGRTMAX for itself). */
#ifdef SIGRTMAX
#define DUMP_SIGNAL (SIGRTMAX - 1)
#else
#define DUMP_SIGNAL SIGEMT
#endif

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

/* PyErr_SetInterrupt() runs Python's handler of SIGINT, so ours goes there. */
static int install_interrupt(const struct cg_host *h) {
    PyObject *module = PyImport_ImportModule("signal");
    PyObject *handler = module ? PyObject_GetAttrString(h->hooks, "interrupted") : NULL;
    int rc = -1;
    if (handler && forget_handlers(module) == 0)
        rc = set_handler(module, SIGINT, handler);
    Py_XDECREF(handler);
    Py_XDECREF(module);
    return rc;
}

/* With a worker_abort hook ABRT is Python's, too: faulthandler, which is enabled afterwards, passes
 * it on when it has dumped the stacks. A main thread that never comes back to Python is killed by
 * the arbiter a little later. 0 or -1. */
static int catch_abort(const struct cg_host *h) {
    PyObject *done = PyObject_CallMethod(h->hooks, "catch_abort", NULL);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

/* Crashes and ABRT (the arbiter's to a stuck worker) dump the stacks of all threads into the error
 * log, DUMP_SIGNAL that of the thread that it is sent to. If the arbiter had it on, its handlers
 * are gone since the fork while it believes them there: hence off and on. */
static int enable_faulthandler(void) {
    PyObject *module = PyImport_ImportModule("faulthandler");
    PyObject *off = module ? PyObject_CallMethod(module, "disable", NULL) : NULL;
    int fd = cg_log_error_fd();
    PyObject *on = off ? PyObject_CallMethod(module, "enable", "iO", fd, Py_True) : NULL;
    PyObject *one =
        on ? PyObject_CallMethod(module, "register", "iiO", DUMP_SIGNAL, fd, Py_False) : NULL;
    int rc = one ? 0 : -1;
    Py_XDECREF(one);
    Py_XDECREF(on);
    Py_XDECREF(off);
    Py_XDECREF(module);
    return rc;
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

static enum cg_exit boot(void *rt, const struct cg_settings *settings, uint64_t requests_max) {
    struct cg_host *h = rt;
    if (install_interrupt(h) < 0 || catch_abort(h) < 0 || enable_faulthandler() < 0)
        return boot_failed(h);
    PyObject *application = PyObject_CallMethod(
        h->runtime, "boot", "OK", cg_settings_config(settings), (unsigned long long)requests_max);
    if (!application)
        return boot_failed(h);
    int rc = cg_wsgi_init(&h->wsgi, h->state, application, h->hooks, settings);
    Py_DECREF(application);
    return rc < 0 ? boot_failed(h) : CG_EXIT_OK;
}

static int leave(void *rt, int exit_code, bool quick) {
    struct cg_host *h = rt;
    PyObject *result =
        PyObject_CallMethod(h->hooks, "leave", "iO", exit_code, quick ? Py_True : Py_False);
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
    PyErr_SetInterrupt(); /* async-signal-safe: it sets a flag for the interpreter */
}

/* The handler is faulthandler's, which walks the frames of the thread that gets the signal. */
static void dump(void *rt, pthread_t thread) {
    pthread_kill(thread, DUMP_SIGNAL);
}

static void poll(void *rt) {
    struct cg_host *h = rt;
    if (PyErr_CheckSignals() == 0)
        return;
    PyObject *exception = cg_error_take();
    if (!cg_wsgi_told_to_leave(&h->wsgi, exception))
        cg_error_log(h->state, CG_LOG_ERROR, PyUnicode_FromString("Exception in a signal handler"),
                     exception);
    Py_DECREF(exception);
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
    .dump = dump,
    .poll = poll,
};
