/* SPDX-License-Identifier: MIT
 *
 * The relay of log_relay.h: the Python side of server/base/log_queue.h. Owns, for the whole
 * process, the queue, and for each thread what is parked; the callable is the module state's.
 */
#include "pyext/log_relay.h"

#include "pyext/error.h"

#include "server/base/log_queue.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
    QUEUE_BYTES_MAX = 16 * 1024 * 1024,
    STOP_WAIT_S = 3, /* for a handler that hangs */
};

enum kind { KIND_ERROR, KIND_ACCESS, KIND_REOPEN };

static const char *const kinds[] = {"error", "access", "reopen"};

/* The riders of its lines are strong references: of an exchange, or NULL. */
static struct cg_log_queue queue = CG_LOG_QUEUE_INIT(QUEUE_BYTES_MAX);

static struct {
    struct cg_state *state; /* borrowed; NULL: no emit yet */
    _Atomic bool emitting;
    pthread_t emitter;    /* while emitting */
    bool wants_exchanges; /* written before any thread exists */
} relay;

static _Thread_local PyObject *parked; /* strong, or NULL */

/* After a fork the child, which has no thread but the one that forked, finds nothing in the queue,
 * and each of its lines is handed on at once. */

static void fork_prepare(void) {
    cg_log_queue_fork_prepare(&queue);
}

static void fork_parent(void) {
    cg_log_queue_fork_parent(&queue);
}

static void fork_child(void) {
    cg_log_queue_fork_child(&queue);
    relay.emitting = relay.emitting && pthread_equal(relay.emitter, pthread_self());
}

/* Nothing of Python is touched but what moves. */
static void put(enum kind kind, enum cg_log_level level, struct cg_slice text) {
    PyObject *exchange = kind == KIND_ACCESS ? parked : NULL;
    if (cg_log_queue_put(&queue, kind, level, exchange, text) && exchange)
        parked = NULL;
}

/* With the GIL */

static void call_emit(enum kind kind, enum cg_log_level level, struct cg_slice text,
                      PyObject *exchange) {
    PyObject *result = PyObject_CallFunction(relay.state->log_emit, "siy#O", kinds[kind],
                                             ((int)level + 1) * 10, text.at ? text.at : "",
                                             (Py_ssize_t)text.len, exchange ? exchange : Py_None);
    if (!result)
        PyErr_WriteUnraisable(relay.state->log_emit);
    Py_XDECREF(result);
}

static void tell_loss(void) {
    size_t lost_n = cg_log_queue_take_lost(&queue);
    if (lost_n == 0)
        return;
    char text[64];
    int len = snprintf(text, sizeof(text), "%zu log lines were lost: too many waited", lost_n);
    call_emit(KIND_ERROR, CG_LOG_WARNING, cg_slice_of(text, (size_t)len), NULL);
}

static void emit_waiting(void) {
    relay.emitter = pthread_self();
    for (struct cg_log_line *line; (line = cg_log_queue_take(&queue));) {
        struct cg_slice text = cg_slice_of(line->text, line->len);
        call_emit((enum kind)line->kind, line->level, text, line->rider);
        Py_XDECREF(line->rider);
        free(line);
    }
    tell_loss();
}

/* Whatever exception is set stays set. A handler that logs, and another thread that does meanwhile,
 * find their lines handed on by us. */
static void emit_all(void) {
    if (!relay.state || !relay.state->log_emit)
        return;
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    while (!cg_log_queue_is_empty(&queue) && !atomic_exchange(&relay.emitting, true)) {
        emit_waiting();
        relay.emitting = false;
    }
    PyErr_Restore(type, value, traceback);
}

static void put_and_emit(enum kind kind, enum cg_log_level level, struct cg_slice text) {
    put(kind, level, text);
    if (!cg_log_queue_is_pumped(&queue) && cg_py_has_gil())
        emit_all();
}

/* struct cg_log_taker's */
static void take(void *ctx, enum cg_log_file file, enum cg_log_level level, struct cg_slice text) {
    put_and_emit(file == CG_LOG_FILE_ACCESS ? KIND_ACCESS : KIND_ERROR, level, text);
}

void cg_log_relay_reopen(void) {
    put_and_emit(KIND_REOPEN, CG_LOG_INFO, cg_slice_of(NULL, 0));
}

PyObject *cg_log_relay_divert(struct cg_state *state, PyObject *args) {
    int errors, access, level, exchanges;
    PyObject *emit;
    if (!PyArg_ParseTuple(args, "ppiOp:log_divert", &errors, &access, &level, &emit, &exchanges))
        return NULL;
    if (!relay.state && pthread_atfork(fork_prepare, fork_parent, fork_child) != 0)
        return PyErr_NoMemory();
    relay.state = state;
    relay.wants_exchanges = access && exchanges;
    Py_XSETREF(state->log_emit, cg_py_ref(emit));
    struct cg_log_taker taker = {
        .takes_errors = errors,
        .takes_access = access,
        .lowest = cg_error_level(level),
        .take = take,
    };
    cg_log_divert(&taker);
    Py_RETURN_NONE;
}

bool cg_log_relay_wants_exchanges(void) {
    return relay.wants_exchanges;
}

void cg_log_relay_park(PyObject *exchange) {
    Py_XSETREF(parked, exchange);
}

PyObject *cg_log_relay_pump(struct cg_state *state) {
    bool more;
    cg_log_queue_pump_begin(&queue);
    do {
        Py_BEGIN_ALLOW_THREADS;
        more = cg_log_queue_pump_wait(&queue);
        Py_END_ALLOW_THREADS;
        emit_all();
    } while (more);
    cg_log_queue_pump_end(&queue);
    Py_RETURN_NONE;
}

void cg_log_relay_stop(void) {
    Py_BEGIN_ALLOW_THREADS;
    cg_log_queue_stop(&queue, STOP_WAIT_S);
    Py_END_ALLOW_THREADS;
    emit_all();
}
