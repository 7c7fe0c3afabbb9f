/* SPDX-License-Identifier: MIT
 *
 * From C facts to Python calls. No state. Which hook is called when, with what, and what becomes of
 * its exceptions is said in cgunicorn/hooks.py.
 */
#include "pyext/hooks.h"

#include "pyext/copy.h"
#include "pyext/error.h"
#include "pyext/messages.h"
#include "pyext/settings.h"

#include "server/net/listener.h"

static const char *const moment_names[] = {
#define CG_MOMENT(id, name) [CG_MOMENT_##id] = #name,
#include "server/arbiter/moment.def"
#undef CG_MOMENT
};

/* [(descriptor, name), ...] */
static PyObject *listener_list(const struct cg_listeners *listeners) {
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list && listeners && i < listeners->n; i++) {
        PyObject *name = PyUnicode_DecodeFSDefault(listeners->at[i].name);
        PyObject *pair = name ? Py_BuildValue("(iN)", listeners->at[i].fd, name) : NULL;
        if (!pair || PyList_Append(list, pair) < 0)
            Py_CLEAR(list);
        Py_XDECREF(pair);
    }
    return list;
}

/* The arguments that hooks.py's method for this moment takes behind the configuration. */
static PyObject *details(const struct cg_state *state, const struct cg_moment *m) {
    switch (m->id) {
    case CG_MOMENT_NWORKERS_CHANGED:
        return Py_BuildValue("(ii)", m->new_n, m->old_n);
    case CG_MOMENT_WHEN_READY:
    case CG_MOMENT_ON_RELOAD:
        return Py_BuildValue("(N)", listener_list(m->listeners));
    case CG_MOMENT_PRE_FORK:
        return Py_BuildValue("(iNN)", m->age, listener_list(m->listeners),
                             cg_slot_object_new(state, m->slot));
    case CG_MOMENT_FORKED:
        return Py_BuildValue("(i)", (int)m->pid);
    case CG_MOMENT_CHILD_EXIT:
        return Py_BuildValue("(iO)", (int)m->pid, m->halts ? Py_True : Py_False);
    case CG_MOMENT_ON_STARTING:
    case CG_MOMENT_PRE_EXEC:
    case CG_MOMENT_ON_EXIT:
        return PyTuple_New(0);
    }
    Py_UNREACHABLE();
}

/* None: go on. Hooks' own exceptions have become a code already, so another one is our defect. */
static int answer(const struct cg_state *state, PyObject *result) {
    long code = result && result != Py_None ? PyLong_AsLong(result) : CG_MOMENT_GO_ON;
    if (!PyErr_Occurred())
        return (int)code;
    PyObject *exception = cg_error_take();
    cg_error_log(state, CG_LOG_ERROR, PyUnicode_FromString("Unhandled exception in main loop"),
                 exception);
    Py_DECREF(exception);
    return CG_EXIT_ERROR;
}

void cg_hooks_follow(const struct cg_state *state, const struct cg_settings *settings) {
    if (cg_settings_follow(settings) == 0)
        return;
    PyObject *exception = cg_error_take();
    cg_error_log(state, CG_LOG_ERROR, PyUnicode_FromString("Settings of a hook can't be used"),
                 exception);
    Py_DECREF(exception);
}

int cg_hooks_moment(const struct cg_state *state, PyObject *hooks, const struct cg_moment *m) {
    PyObject *config = m->settings ? cg_settings_config(m->settings) : Py_None;
    PyObject *more = details(state, m);
    PyObject *result = NULL;
    if (more)
        result = PyObject_CallMethod(hooks, "moment", "sOO", moment_names[m->id], config, more);
    cg_copy_check(state);
    int code = answer(state, result);
    if (m->settings)
        cg_hooks_follow(state, m->settings);
    Py_XDECREF(result);
    Py_XDECREF(more);
    return code;
}

/* Around a request */

static PyObject *unless_none(PyObject *o) {
    return o == Py_None ? NULL : cg_py_ref(o);
}

int cg_request_hooks_init(struct cg_request_hooks *h, PyObject *hooks) {
    PyObject *found = PyObject_CallMethod(hooks, "of_requests", NULL);
    PyObject *worker, *pre, *post;
    int rc =
        found && PyArg_ParseTuple(found, "OOOn", &worker, &pre, &post, &h->post_args_n) ? 0 : -1;
    if (rc == 0) {
        h->worker = cg_py_ref(worker);
        h->pre = unless_none(pre);
        h->post = unless_none(post);
    }
    Py_XDECREF(found);
    return rc;
}

void cg_request_hooks_done(struct cg_request_hooks *h) {
    Py_CLEAR(h->worker);
    Py_CLEAR(h->pre);
    Py_CLEAR(h->post);
}

/* What a hook returns means nothing. */
static int call(PyObject *hook, PyObject *const *args, Py_ssize_t n) {
    PyObject *result = PyObject_Vectorcall(hook, args, (size_t)n, NULL);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

int cg_request_hooks_pre(const struct cg_request_hooks *h, struct cg_call *c) {
    PyObject *args[] = {h->worker, cg_messages_request(c)};
    return args[1] ? call(h->pre, args, 2) : -1;
}

/* Without an environ the application was not reached: there is no response to speak of. */
int cg_request_hooks_post(const struct cg_request_hooks *h, struct cg_call *c) {
    PyObject *env = c->environ ? cg_py_ref(c->environ) : PyDict_New();
    PyObject *request = env ? cg_messages_request(c) : NULL;
    PyObject *response = Py_None;
    if (request && c->environ && h->post_args_n > 3)
        response = cg_messages_response(c);
    int rc = -1;
    if (request && response) {
        PyObject *args[] = {h->worker, request, env, response};
        rc = call(h->post, args, h->post_args_n);
    }
    Py_XDECREF(env);
    return rc;
}
