/* SPDX-License-Identifier: MIT
 *
 * The extension module cgunicorn._cgunicorn, and the one place where the three tables meet: run()
 * gives the arbiter the Python runtime and the worker, and the worker the WSGI application. The
 * only state is the module's (state.h).
 */
#include "pyext/app_wsgi.h"
#include "pyext/copy.h"
#include "pyext/error.h"
#include "pyext/last_wait.h"
#include "pyext/log_relay.h"
#include "pyext/heritage.h"
#include "pyext/runtime.h"
#include "pyext/settings.h"

#include "server/arbiter/arbiter.h"
#include "server/base/cidr.h"
#include "server/base/log.h"
#include "server/base/statsd.h"
#include "server/base/title.h"
#include "server/http/parser.h"
#include "server/net/bind.h"
#include "workers/worker.h"

#include <errno.h>

enum { SENTENCE_MAX = 512 };

static int open_logs(const struct cg_settings *settings) {
    const char *path = NULL;
    cg_log_set_host(&cg_python_log_host);
    int rc = cg_log_open(settings->errorlog, settings->accesslog, settings->loglevel, &path);
    if (rc < 0) {
        errno = -rc;
        PyErr_SetFromErrnoWithFilename(PyExc_OSError, path);
        return -1;
    }
    cg_host_flush();
    cg_arbiter_open_outputs(settings);
    return 0;
}

/* Signals are the main thread's in Python, and fork keeps the calling thread only. 0 or -1. */
static int check_main_thread(void) {
    PyObject *module = PyImport_ImportModule("threading");
    PyObject *current = module ? PyObject_CallMethod(module, "current_thread", NULL) : NULL;
    PyObject *main = current ? PyObject_CallMethod(module, "main_thread", NULL) : NULL;
    int rc = main && current == main ? 0 : -1;
    if (main && current != main)
        PyErr_SetString(PyExc_RuntimeError, "run() must be called in the main thread");
    Py_XDECREF(main);
    Py_XDECREF(current);
    Py_XDECREF(module);
    return rc;
}

/* The exit code; settings and logs are the caller's. */
static int serve(struct cg_host *host, const struct cg_settings *settings,
                 const struct cg_heritage_text *heritage) {
    struct cg_worker_app app = {.app = &cg_wsgi_app, .ctx = &host->wsgi};
    cg_copy_watch();
    cg_host_flush();
    struct cg_arbiter_result result = cg_arbiter_run(settings, heritage, &cg_python_runtime, host,
                                                     cg_worker_main, cg_worker_lost, &app);
    cg_host_done(host);
    return result.exit_code;
}

static PyObject *module_run(PyObject *module, PyObject *args) {
    PyObject *config, *runtime, *inherited, *result = NULL, *texts = NULL;
    struct cg_heritage_text heritage;
    if (!PyArg_ParseTuple(args, "OOO!:run", &config, &runtime, &PyDict_Type, &inherited))
        return NULL;
    if (check_main_thread() < 0)
        return NULL;
    struct cg_settings *settings = cg_settings_new(config);
    if (settings && cg_heritage_read(inherited, &heritage, &texts) == 0 &&
        open_logs(settings) == 0) {
        struct cg_host host;
        if (cg_host_init(&host, PyModule_GetState(module), runtime) == 0)
            result = PyLong_FromLong(serve(&host, settings, &heritage));
    }
    Py_XDECREF(texts);
    cg_settings_free(settings);
    return result;
}

/* "http://127.0.0.1:8000", as the listener will be called once it is open. */
static PyObject *bind_name(const struct cg_bind *bind) {
    char name[sizeof("unix:") + sizeof(bind->path)];
    switch (bind->kind) {
    case CG_BIND_UNIX:
        snprintf(name, sizeof(name), "unix:%s", bind->path);
        return PyUnicode_DecodeFSDefault(name);
    case CG_BIND_FD:
        return PyUnicode_FromFormat("fd://%d", bind->fd);
    case CG_BIND_TCP:
        break;
    }
    const char *host = bind->host[0] ? bind->host : "0.0.0.0";
    const char *format = strchr(host, ':') ? "http://[%s]:%d" : "http://%s:%d";
    return PyUnicode_FromFormat(format, host, (int)bind->port);
}

static PyObject *module_parse_bind(PyObject *module, PyObject *args) {
    PyObject *text;
    if (!PyArg_ParseTuple(args, "O&:parse_bind", PyUnicode_FSConverter, &text))
        return NULL;
    struct cg_bind bind;
    char sentence[SENTENCE_MAX];
    int rc = cg_bind_parse(PyBytes_AS_STRING(text), &bind, sentence, sizeof(sentence));
    Py_DECREF(text);
    if (rc == 0)
        return bind_name(&bind);
    PyObject *reason = PyUnicode_DecodeFSDefault(sentence);
    if (reason)
        PyErr_SetObject(PyExc_ValueError, reason);
    Py_XDECREF(reason);
    return NULL;
}

static PyObject *module_check_allow(PyObject *module, PyObject *args) {
    const char *list;
    struct cg_slice bad;
    if (!PyArg_ParseTuple(args, "s:check_allow", &list))
        return NULL;
    struct cg_allow *allow = cg_allow_new(list, &bad);
    cg_allow_free(allow);
    if (allow)
        Py_RETURN_NONE;
    if (!bad.len)
        return PyErr_NoMemory();
    PyObject *text = PyUnicode_FromStringAndSize(bad.at, (Py_ssize_t)bad.len);
    if (text)
        PyErr_Format(PyExc_ValueError,
                     "%R is not an IP address or a network without bits behind its prefix.", text);
    Py_XDECREF(text);
    return NULL;
}

static PyObject *module_log(PyObject *module, PyObject *args) {
    int level;
    PyObject *message;
    if (!PyArg_ParseTuple(args, "iU:log", &level, &message))
        return NULL;
    PyObject *bytes = PyUnicode_AsEncodedString(message, "utf-8", "backslashreplace");
    if (!bytes)
        return NULL;
    cg_log_text(cg_error_level(level),
                cg_slice_of(PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes)));
    Py_DECREF(bytes);
    Py_RETURN_NONE;
}

static PyObject *module_log_write(PyObject *module, PyObject *args) {
    int access;
    Py_buffer text;
    if (!PyArg_ParseTuple(args, "py*:log_write", &access, &text))
        return NULL;
    cg_log_write(access ? CG_LOG_FILE_ACCESS : CG_LOG_FILE_ERROR,
                 cg_slice_of(text.buf, (size_t)text.len));
    PyBuffer_Release(&text);
    Py_RETURN_NONE;
}

static PyObject *module_take_signal(PyObject *module, PyObject *args) {
    int number;
    const struct cg_state *state = PyModule_GetState(module);
    if (!PyArg_ParseTuple(args, "i:take_signal", &number))
        return NULL;
    if (state->host)
        cg_host_note(state->host, number);
    Py_RETURN_NONE;
}

static PyObject *module_watch_copies(PyObject *module, PyObject *unused) {
    cg_copy_watch();
    Py_RETURN_NONE;
}

static PyObject *module_end_copy(PyObject *module, PyObject *exception) {
    return cg_copy_end(PyModule_GetState(module), exception);
}

static PyObject *module_log_divert(PyObject *module, PyObject *args) {
    return cg_log_relay_divert(PyModule_GetState(module), args);
}

static PyObject *module_log_pump(PyObject *module, PyObject *unused) {
    return cg_log_relay_pump(PyModule_GetState(module));
}

static PyObject *module_set_title(PyObject *module, PyObject *text) {
    PyObject *title = NULL;
    if (text != Py_None && !PyUnicode_FSConverter(text, &title))
        return NULL;
    cg_title_set(title ? PyBytes_AS_STRING(title) : NULL);
    Py_XDECREF(title);
    Py_RETURN_NONE;
}

static PyObject *module_statsd_send(PyObject *module, PyObject *args) {
    const char *metric;
    if (!PyArg_ParseTuple(args, "s:statsd_send", &metric))
        return NULL;
    cg_statsd_send(metric);
    Py_RETURN_NONE;
}

static PyObject *module_bound_exit(PyObject *module, PyObject *args) {
    int code;
    unsigned limit_s;
    if (!PyArg_ParseTuple(args, "iI:bound_exit", &code, &limit_s))
        return NULL;
    int rc = cg_last_wait_bound(code, limit_s);
    if (rc < 0)
        cg_log(CG_LOG_WARNING, "The end of the master is not bounded: %s", strerror(-rc));
    Py_RETURN_NONE;
}

static int add_constants(PyObject *module, const struct cg_state *state) {
    const struct {
        const char *name;
        PyObject *value; /* a new reference, or NULL with an exception */
    } rows[] = {
        {"version", PyUnicode_FromString(CG_VERSION)},
        {"llhttp_version", PyUnicode_FromString(cg_parser_llhttp_version())},
        {"libuv_version", PyUnicode_FromString(cg_worker_libuv_version())},
        {"setting_fields", cg_settings_fields()},
        {"inherited_variables", cg_heritage_variables()},
        {"ErrorStream", cg_py_ref(state->error_stream_type)},
        {"FileWrapper", cg_py_ref(state->file_wrapper_type)},
        {"ClientDisconnected", cg_py_ref(state->client_disconnected)},
    };
    PyObject *dict = PyModule_GetDict(module);
    int rc = 0;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rc < 0 || !rows[i].value || PyDict_SetItemString(dict, rows[i].name, rows[i].value) < 0)
            rc = -1;
        Py_XDECREF(rows[i].value);
    }
    return rc;
}

static int module_exec(PyObject *module) {
    struct cg_state *state = PyModule_GetState(module);
    if (cg_state_init(state, module) < 0)
        return -1;
    return add_constants(module, state);
}

static int module_traverse(PyObject *module, visitproc visit, void *arg) {
    return cg_state_traverse(PyModule_GetState(module), visit, arg);
}

static int module_clear(PyObject *module) {
    cg_state_clear(PyModule_GetState(module));
    return 0;
}

static void module_free(void *module) {
    module_clear(module);
}

static PyMethodDef module_methods[] = {
    {"run", module_run, METH_VARARGS,
     "run(settings, runtime, inherited, /) -> int: serves; the exit code, in the arbiter and in "
     "each worker."},
    {"parse_bind", module_parse_bind, METH_VARARGS,
     "parse_bind(text, /) -> str: the display name of a bind string; ValueError when it is none."},
    {"check_allow", module_check_allow, METH_VARARGS,
     "check_allow(text, /): ValueError when it is no list of IP addresses and networks, or '*'."},
    {"set_title", module_set_title, METH_O,
     "set_title(text, /): how ps, top and others show this process; None: the command's name "
     "only."},
    {"log", module_log, METH_VARARGS,
     "log(level, message, /): a line in the error log, at one of logging's levels."},
    {"take_signal", module_take_signal, METH_VARARGS,
     "take_signal(number, /): what the worker does when the signal comes, short of breaking off "
     "the application. In a process that the application has forked, its default action."},
    {"watch_copies", module_watch_copies, METH_NOARGS,
     "watch_copies(): processes that the user's code forks from now on are told from this one."},
    {"end_copy", module_end_copy, METH_O,
     "end_copy(exception, /): the user's code has returned (None) or raised this. Ends the process "
     "if that code has forked it."},
    {"log_divert", module_log_divert, METH_VARARGS,
     "log_divert(errors, access, level, emit, /): the server's own lines of the error log from this"
     " level on, and of the access log, go to emit(kind, level, text)."},
    {"log_pump", module_log_pump, METH_NOARGS,
     "log_pump(): calls emit in this thread alone, until the server ends."},
    {"statsd_send", module_statsd_send, METH_VARARGS,
     "statsd_send(metric, /): NAME:VALUE|TYPE, when statsd is wanted."},
    {"bound_exit", module_bound_exit, METH_VARARGS,
     "bound_exit(code, seconds, /): ends this process after so long, if it has not ended."},
    {"log_write", module_log_write, METH_VARARGS,
     "log_write(access, text, /): whole lines into the access log or else the error log."},
    {0},
};

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
#if PY_VERSION_HEX >= 0x030C0000
    /* The logs and the signal handlers belong to the process. */
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
#ifdef Py_GIL_DISABLED
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "cgunicorn._cgunicorn",
    .m_doc = "The binding between CPython and the server in C.",
    .m_size = sizeof(struct cg_state),
    .m_methods = module_methods,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__cgunicorn(void);

PyMODINIT_FUNC PyInit__cgunicorn(void) {
    return PyModuleDef_Init(&module_def);
}
