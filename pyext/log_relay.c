/* SPDX-License-Identifier: MIT
 *
 * The relay of log_relay.h. Owns, for the whole process, the queue, and for each thread what is
 * parked; the callable is the module state's. The queue is bounded: lines that find it full are
 * counted and lost, as the log files would lose them. After a fork the child, which has no other
 * thread, finds it empty: the arbiter hands each line on at once.
 */
#include "pyext/log_relay.h"

#include "pyext/error.h"

#include "server/base/log.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

enum {
    QUEUE_BYTES_MAX = 16 * 1024 * 1024,
    EXCHANGE_BYTES = 4096, /* what an exchange is taken to hold on to, beside its line */
    STOP_WAIT_S = 3,       /* for a handler that hangs */
};

enum kind { KIND_ERROR, KIND_ACCESS, KIND_REOPEN };

static const char *const kinds[] = {"error", "access", "reopen"};

struct line {
    struct line *next;
    enum kind kind;
    enum cg_log_level level;
    PyObject *exchange; /* strong, or NULL */
    size_t len;
    char text[];
};

static struct {
    struct cg_state *state; /* borrowed; NULL: no emit yet */
    bool emitting;          /* under the GIL */
    bool wants_exchanges;   /* written before any thread exists */
    pthread_mutex_t lock;   /* of the rest */
    pthread_cond_t changed;
    struct line *first, **end;
    size_t bytes, lost_n;
    bool pumped, stopping;
} relay = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static _Thread_local PyObject *parked; /* strong, or NULL */

static size_t weight(const struct line *line) {
    return line->len + (line->exchange ? EXCHANGE_BYTES : 0);
}

/* False when the line is lost. Nothing of Python is touched but what moves. */
static bool append(struct line *line) {
    pthread_mutex_lock(&relay.lock);
    bool fits = line && relay.bytes + weight(line) <= QUEUE_BYTES_MAX;
    if (fits) {
        *(relay.first ? relay.end : &relay.first) = line;
        relay.end = &line->next;
        relay.bytes += weight(line);
        pthread_cond_signal(&relay.changed);
    } else {
        relay.lost_n++;
        free(line);
    }
    pthread_mutex_unlock(&relay.lock);
    return fits;
}

static void put(enum kind kind, enum cg_log_level level, struct cg_slice text) {
    struct line *line = malloc(sizeof(*line) + text.len);
    PyObject *exchange = kind == KIND_ACCESS ? parked : NULL;
    if (line) {
        *line = (struct line){.kind = kind, .level = level, .exchange = exchange, .len = text.len};
        if (text.len)
            memcpy(line->text, text.at, text.len);
    }
    if (append(line) && exchange)
        parked = NULL;
}

/* The caller's, or NULL. */
static struct line *take_first(void) {
    pthread_mutex_lock(&relay.lock);
    struct line *line = relay.first;
    if (line) {
        relay.first = line->next;
        relay.bytes -= weight(line);
    }
    pthread_mutex_unlock(&relay.lock);
    return line;
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
    pthread_mutex_lock(&relay.lock);
    size_t lost_n = relay.lost_n;
    relay.lost_n = 0;
    pthread_mutex_unlock(&relay.lock);
    if (lost_n == 0)
        return;
    char text[64];
    int len = snprintf(text, sizeof(text), "%zu log lines were lost: too many waited", lost_n);
    call_emit(KIND_ERROR, CG_LOG_WARNING, cg_slice_of(text, (size_t)len), NULL);
}

/* Whatever exception is set stays set. A handler that logs finds its line handed on by us. */
static void emit_all(void) {
    if (relay.emitting || !relay.state || !relay.state->log_emit)
        return;
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    relay.emitting = true;
    for (struct line *line; (line = take_first());) {
        call_emit(line->kind, line->level, cg_slice_of(line->text, line->len), line->exchange);
        Py_XDECREF(line->exchange);
        free(line);
    }
    tell_loss();
    relay.emitting = false;
    PyErr_Restore(type, value, traceback);
}

static bool is_pumped(void) {
    pthread_mutex_lock(&relay.lock);
    bool pumped = relay.pumped;
    pthread_mutex_unlock(&relay.lock);
    return pumped;
}

static void put_and_emit(enum kind kind, enum cg_log_level level, struct cg_slice text) {
    put(kind, level, text);
    if (!is_pumped() && PyGILState_Check())
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
    bool stopping = false;
    pthread_mutex_lock(&relay.lock);
    relay.pumped = true;
    pthread_mutex_unlock(&relay.lock);
    while (!stopping) {
        Py_BEGIN_ALLOW_THREADS;
        pthread_mutex_lock(&relay.lock);
        while (!relay.first && !relay.stopping)
            pthread_cond_wait(&relay.changed, &relay.lock);
        stopping = relay.stopping;
        pthread_mutex_unlock(&relay.lock);
        Py_END_ALLOW_THREADS;
        emit_all();
    }
    pthread_mutex_lock(&relay.lock);
    relay.pumped = false;
    pthread_cond_broadcast(&relay.changed);
    pthread_mutex_unlock(&relay.lock);
    Py_RETURN_NONE;
}

static void wait_for_pump(void) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += STOP_WAIT_S;
    pthread_mutex_lock(&relay.lock);
    relay.stopping = true;
    pthread_cond_broadcast(&relay.changed);
    while (relay.pumped && pthread_cond_timedwait(&relay.changed, &relay.lock, &until) == 0)
        continue;
    relay.pumped = false;
    pthread_mutex_unlock(&relay.lock);
}

void cg_log_relay_stop(void) {
    Py_BEGIN_ALLOW_THREADS;
    wait_for_pump();
    Py_END_ALLOW_THREADS;
    emit_all();
}
