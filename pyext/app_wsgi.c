/* SPDX-License-Identifier: MIT
 *
 * One request through a WSGI application: call it, hand out its body piece by piece, close what it
 * returned exactly once. Owns the references in struct cg_call's second half. Every piece of
 * application code runs within the request's contextvars context, and every exception that comes
 * out of it ends here, in the log.
 */
#include "pyext/app_wsgi.h"

#include "pyext/copy.h"
#include "pyext/environ.h"
#include "pyext/error.h"
#include "pyext/file_wrapper.h"
#include "pyext/log_relay.h"
#include "pyext/messages.h"
#include "pyext/text.h"

#include "server/base/assert.h"

/* One entry into the application's code. CG_APP_FAILED means that an exception is set. */
typedef enum cg_app_result (*step_fn)(struct cg_wsgi *w, struct cg_call *call,
                                      struct cg_chunk *ret_chunk);

/* What each thread has for itself, so that none waits for another. */
struct own {
    struct cg_environ environ;
    struct cg_call *spare;
};

static _Thread_local struct own *own; /* made for its first request */

/* 0 or -1 with an exception. */
static int ensure_own(struct cg_wsgi *w) {
    if (own)
        return 0;
    own = PyMem_Calloc(1, sizeof(*own));
    if (!own) {
        PyErr_NoMemory();
        return -1;
    }
    if (cg_environ_init(&own->environ, w->state, w->settings) == 0)
        return 0;
    cg_wsgi_thread_done();
    return -1;
}

void cg_wsgi_thread_done(void) {
    if (!own)
        return;
    cg_call_free_spare(&own->spare);
    cg_environ_done(&own->environ);
    PyMem_Free(own);
    own = NULL;
}

int cg_wsgi_init(struct cg_wsgi *w, struct cg_state *state, PyObject *application, PyObject *hooks,
                 const struct cg_settings *settings) {
    if (!PyCallable_Check(application)) {
        PyErr_Format(PyExc_TypeError, "the application is not callable: %R", application);
        return -1;
    }
    w->state = state;
    w->application = cg_py_ref(application);
    w->context = PyContext_CopyCurrent();
    w->settings = settings;
    w->logs_exchanges = cg_log_relay_wants_exchanges();
    if (!w->context || cg_request_hooks_init(&w->hooks, hooks) < 0)
        return -1;
    return cg_access_notes_init(&w->notes, settings);
}

void cg_wsgi_done(struct cg_wsgi *w) {
    cg_wsgi_thread_done();
    cg_request_hooks_done(&w->hooks);
    cg_access_notes_done(&w->notes);
    Py_CLEAR(w->context);
    Py_CLEAR(w->application);
}

/* "Error handling request GET /path", as Gunicorn has it, or NULL with an exception. */
static PyObject *headline(const struct cg_exchange *ex) {
    PyObject *method = cg_text_new(ex->request.method);
    PyObject *target = cg_text_new(ex->request.target);
    PyObject *text = NULL;
    if (method && target)
        text = PyUnicode_FromFormat("Error handling request %U %U", method, target);
    Py_XDECREF(target);
    Py_XDECREF(method);
    return text;
}

bool cg_wsgi_told_to_leave(const struct cg_wsgi *w, PyObject *exception) {
    return w->interrupted && (PyErr_GivenExceptionMatches(exception, PyExc_SystemExit) ||
                              PyErr_GivenExceptionMatches(exception, PyExc_KeyboardInterrupt));
}

/* Logs the exception that is set, unless it is no fault of the application's. */
static void report(const struct cg_wsgi *w, const struct cg_exchange *ex) {
    PyObject *exception = cg_error_take();
    if (PyErr_GivenExceptionMatches(exception, w->state->client_disconnected))
        cg_log(CG_LOG_DEBUG, "Ignoring EPIPE");
    else if (!cg_wsgi_told_to_leave(w, exception))
        cg_error_log(w->state, CG_LOG_ERROR, headline(ex), exception);
    Py_DECREF(exception);
}

/* Into the application, where its threads may use the exchange, and back. */
static enum cg_app_result visit(struct cg_wsgi *w, struct cg_call *call, step_fn step,
                                struct cg_chunk *ret_chunk) {
    cg_turn_release(&call->turn);
    enum cg_app_result result = step(w, call, ret_chunk);
    cg_copy_check(w->state);
    bool back = cg_turn_take(&call->turn); /* behind those who are writing */
    CG_ASSERT(back);
    return result;
}

/* Its exceptions are logged. */
static enum cg_app_result run_step(struct cg_wsgi *w, struct cg_call *call, step_fn step,
                                   struct cg_chunk *ret_chunk) {
    bool entered = PyContext_Enter(call->context) == 0;
    enum cg_app_result result = entered ? visit(w, call, step, ret_chunk) : CG_APP_FAILED;
    if (result == CG_APP_FAILED)
        report(w, call->ex);
    if (entered && PyContext_Exit(call->context) < 0) {
        report(w, call->ex);
        result = CG_APP_FAILED;
    }
    return result;
}

/* begin */

/* A new reference or NULL. */
static PyObject *make_environ(struct cg_wsgi *w, struct cg_call *call) {
    PyObject *env = cg_environ_new(&own->environ, call);
    if (env && w->hooks.pre && cg_messages_change_environ(call, env) < 0)
        Py_CLEAR(env);
    return env;
}

static PyObject *call_application(struct cg_wsgi *w, struct cg_call *call) {
    PyObject *env = make_environ(w, call);
    PyObject *start_response = env ? cg_call_lend(call, CG_LENT_START_RESPONSE) : NULL;
    PyObject *result = NULL;
    if (start_response) {
        /* The record's reference could go away only at the end of the call. */
        PyObject *args[] = {NULL, env, start_response};
        result =
            PyObject_Vectorcall(w->application, args + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    }
    if (w->hooks.post || w->logs_exchanges || w->notes.names)
        call->environ = env; /* as the application leaves it */
    else
        Py_XDECREF(env);
    return result;
}

static bool is_array(PyObject *o) {
    return PyList_CheckExact(o) || PyTuple_CheckExact(o);
}

static bool is_iterable(PyObject *o) {
    return Py_TYPE(o)->tp_iter || PySequence_Check(o);
}

/* What Gunicorn's default for pre_request does. */
static void show_request(const struct cg_exchange *ex) {
    struct cg_slice method = ex->request.method, path = ex->request.path;
    if (cg_log_enabled(CG_LOG_DEBUG))
        cg_log(CG_LOG_DEBUG, "%.*s %.*s", (int)method.len, method.at, (int)path.len, path.at);
}

static enum cg_app_result begin_step(struct cg_wsgi *w, struct cg_call *call,
                                     struct cg_chunk *unused) {
    if (!w->hooks.pre)
        show_request(call->ex);
    else if (cg_request_hooks_pre(&w->hooks, call) < 0)
        return CG_APP_FAILED;
    atomic_fetch_add_explicit(&w->requests_n, 1, memory_order_relaxed);
    call->iterable = call_application(w, call);
    if (!call->iterable)
        return CG_APP_FAILED;
    if (is_array(call->iterable))
        return CG_APP_CHUNK;
    if (!is_iterable(call->iterable)) {
        PyErr_Format(PyExc_TypeError, "the application returned %.100s, not an iterable of bytes",
                     Py_TYPE(call->iterable)->tp_name);
        return CG_APP_FAILED;
    }
    call->iterator = PyObject_GetIter(call->iterable);
    return call->iterator ? CG_APP_CHUNK : CG_APP_FAILED;
}

static enum cg_app_result begin(void *app, struct cg_exchange *ex) {
    struct cg_wsgi *w = app;
    struct cg_call *call = ensure_own(w) < 0 ? NULL : cg_call_take(&own->spare, w->state, ex);
    if (w->logs_exchanges)
        cg_log_relay_park(NULL);
    if (!call) {
        report(w, ex);
        return CG_APP_FAILED;
    }
    ex->app_state = call;
    /* A copy: what was set while the application was loaded can be seen, what a request sets dies
     * with it. */
    call->context = PyContext_Copy(w->context);
    if (!call->context) {
        report(w, ex);
        return CG_APP_FAILED;
    }
    enum cg_app_result result = run_step(w, call, begin_step, NULL);
    if (result == CG_APP_FAILED)
        cg_turn_end(&call->turn);
    return result;
}

/* next */

/* The first byte, and the end, need a head. 0 or -1. */
static int check_started(const struct cg_call *call) {
    if (call->ex->response.started)
        return 0;
    PyErr_SetString(PyExc_AssertionError, "the application did not call start_response()");
    return -1;
}

/* The next item: a new reference, or NULL at the end or with an exception. */
static PyObject *next_item(struct cg_call *call, bool *ret_last) {
    if (call->iterator)
        return PyIter_Next(call->iterator);
    PyObject *item = cg_py_item(call->iterable, call->at++);
    /* A list may change meanwhile. */
    *ret_last = item && call->at == PySequence_Fast_GET_SIZE(call->iterable);
    return item;
}

/* A file behind wsgi.file_wrapper as a whole: 1; 0 when there is none to be sent that way; or -1.
 * Asked once: what is not sent as a whole is read. */
static int take_file(struct cg_wsgi *w, struct cg_call *call, struct cg_chunk *ret_chunk) {
    if ((PyObject *)Py_TYPE(call->iterable) != w->state->file_wrapper_type || call->at > 0)
        return 0;
    call->at = 1;
    int is_file = cg_file_wrapper_range(w->state, call->iterable, &ret_chunk->fd,
                                        &ret_chunk->file_offset, &ret_chunk->file_len);
    ret_chunk->last = is_file > 0;
    return is_file;
}

static enum cg_app_result next_step(struct cg_wsgi *w, struct cg_call *call,
                                    struct cg_chunk *ret_chunk) {
    *ret_chunk = (struct cg_chunk){.fd = -1};
    int is_file = take_file(w, call, ret_chunk);
    if (is_file)
        return is_file < 0 || check_started(call) < 0 ? CG_APP_FAILED : CG_APP_CHUNK;
    PyObject *item = next_item(call, &ret_chunk->last);
    if (!item)
        return PyErr_Occurred() || check_started(call) < 0 ? CG_APP_FAILED : CG_APP_END;
    call->chunk = item;
    if (!PyBytes_Check(item)) {
        PyErr_Format(PyExc_TypeError,
                     "the application returned a %.100s chunk; WSGI bodies are bytes",
                     Py_TYPE(item)->tp_name);
        return CG_APP_FAILED;
    }
    ret_chunk->bytes = cg_slice_of(PyBytes_AS_STRING(item), (size_t)PyBytes_GET_SIZE(item));
    /* An empty chunk says nothing: start_response() may still come. */
    if ((ret_chunk->bytes.len > 0 || ret_chunk->last) && check_started(call) < 0)
        return CG_APP_FAILED;
    return CG_APP_CHUNK;
}

/* Has write() begun a body in chunks? Only bytes go into those. */
static bool is_chunked(const struct cg_response *r) {
    return r->head_sent && r->framing == CG_RESPONSE_CHUNKED;
}

/* Of a file no more is sent than was announced. */
static void fit_file(const struct cg_response *r, struct cg_chunk *chunk) {
    uint64_t wanted = r->length > r->body_bytes ? r->length - r->body_bytes : 0;
    if (r->has_length && chunk->file_len > wanted)
        chunk->file_len = wanted;
}

static enum cg_app_result next(void *app, struct cg_exchange *ex, struct cg_chunk *ret_chunk) {
    struct cg_call *call = ex->app_state;
    Py_CLEAR(call->chunk);
    enum cg_app_result result = run_step(app, call, next_step, ret_chunk);
    if (result == CG_APP_CHUNK && ret_chunk->fd >= 0 && is_chunked(&ex->response))
        result = run_step(app, call, next_step, ret_chunk);
    if (result == CG_APP_CHUNK && ret_chunk->fd >= 0)
        fit_file(&ex->response, ret_chunk);
    if (result != CG_APP_CHUNK || ret_chunk->last)
        cg_turn_end(&call->turn);
    return result;
}

/* end */

static enum cg_app_result close_step(struct cg_wsgi *w, struct cg_call *call,
                                     struct cg_chunk *unused) {
    PyObject *close = PyObject_GetAttr(call->iterable, w->state->name[CG_NAME_CLOSE]);
    if (!close) {
        if (!PyErr_ExceptionMatches(PyExc_AttributeError))
            return CG_APP_FAILED;
        PyErr_Clear();
        return CG_APP_END;
    }
    PyObject *result = PyObject_CallNoArgs(close);
    Py_DECREF(close);
    Py_XDECREF(result);
    return result ? CG_APP_END : CG_APP_FAILED;
}

/* The request is over, whatever an exception here says. */
static enum cg_app_result post_step(struct cg_wsgi *w, struct cg_call *call,
                                    struct cg_chunk *unused) {
    if (cg_request_hooks_post(&w->hooks, call) == 0)
        return CG_APP_END;
    PyObject *exception = cg_error_take();
    if (!cg_wsgi_told_to_leave(w, exception))
        cg_error_log(w->state, CG_LOG_ERROR, PyUnicode_FromString("Exception in post_request hook"),
                     exception);
    Py_DECREF(exception);
    return CG_APP_END;
}

/* A value may be an object of the application's, whose str() is its code. */
static enum cg_app_result note_step(struct cg_wsgi *w, struct cg_call *call,
                                    struct cg_chunk *unused) {
    cg_access_notes_take(&w->notes, call->environ, call->ex);
    return CG_APP_END;
}

/* (resp, req, environ) for the access line that follows. An application that was not reached has
 * none. */
static void park_exchange(struct cg_wsgi *w, struct cg_call *call) {
    PyObject *request = call->environ ? cg_messages_request(call) : NULL;
    PyObject *response = request ? cg_messages_response(call) : NULL;
    PyObject *exchange = response ? PyTuple_Pack(3, response, request, call->environ) : NULL;
    if (!exchange && call->environ)
        report(w, call->ex);
    cg_log_relay_park(exchange);
}

/* A thread that tears down may have run no request itself. */
static void give_back(struct cg_call *call) {
    struct cg_call *loose = NULL;
    cg_call_give_back(own ? &own->spare : &loose, call);
    cg_call_free_spare(&loose);
}

static void end(void *app, struct cg_exchange *ex) {
    struct cg_wsgi *w = app;
    struct cg_call *call = ex->app_state;
    if (!call)
        return;
    /* A driver that tears down has a thread of its own for it. */
    cg_turn_begin(&call->turn);
    cg_turn_end(&call->turn);
    if (call->iterable && !is_array(call->iterable))
        run_step(w, call, close_step, NULL);
    if (w->hooks.post && call->context)
        run_step(w, call, post_step, NULL);
    if (w->notes.names && call->environ)
        run_step(w, call, note_step, NULL);
    if (w->logs_exchanges)
        park_exchange(w, call);
    if (call->request || call->response)
        cg_messages_end(call);
    Py_CLEAR(call->environ);
    Py_CLEAR(call->chunk);
    Py_CLEAR(call->iterator);
    Py_CLEAR(call->iterable);
    Py_CLEAR(call->context);
    give_back(call);
    ex->app_state = NULL;
}

const struct cg_app cg_wsgi_app = {begin, next, end};
