/* SPDX-License-Identifier: MIT
 *
 * Building and clearing of the module's state. Nothing here runs per request.
 */
#include "pyext/state.h"

static const char *const names[CG_NAME_N] = {
#define CG_NAME(id, text) [CG_NAME_##id] = (text),
#include "pyext/names.def"
#undef CG_NAME
};

static const char *const field_keys[CG_FIELD_N] = {
#define CG_FIELD(id, name, environ_key) [CG_FIELD_##id] = (environ_key),
#include "server/http/field.def"
#undef CG_FIELD
};

static int intern_all(struct cg_state *state) {
    for (int i = 0; i < CG_NAME_N; i++) {
        state->name[i] = PyUnicode_InternFromString(names[i]);
        if (!state->name[i])
            return -1;
    }
    for (int i = 0; i < CG_FIELD_N; i++) {
        if (!field_keys[i])
            continue;
        state->field_key[i] = PyUnicode_InternFromString(field_keys[i]);
        if (!state->field_key[i])
            return -1;
    }
    return 0;
}

static int make_types(struct cg_state *state, PyObject *module) {
    const struct {
        PyObject **at;
        PyObject *(*make)(PyObject *module);
    } types[] = {
        {&state->input_type, cg_input_type_new},
        {&state->callable_type, cg_callable_type_new},
        {&state->client_socket_type, cg_client_socket_type_new},
        {&state->error_stream_type, cg_error_stream_type_new},
        {&state->file_wrapper_type, cg_file_wrapper_type_new},
        {&state->slot_type, cg_slot_type_new},
        {&state->request_view_type, cg_request_view_type_new},
        {&state->response_view_type, cg_response_view_type_new},
    };
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        *types[i].at = types[i].make(module);
        if (!*types[i].at)
            return -1;
    }
    state->client_disconnected = PyErr_NewExceptionWithDoc(
        "cgunicorn._cgunicorn.ClientDisconnected",
        "The client is gone: raised by write(). An application that lets it pass ends its request "
        "without a traceback in the log.",
        PyExc_BrokenPipeError, NULL);
    return state->client_disconnected ? 0 : -1;
}

/* A new reference to module.attribute, or NULL. */
static PyObject *import_from(const char *module_name, const char *attribute) {
    PyObject *module = PyImport_ImportModule(module_name);
    if (!module)
        return NULL;
    PyObject *o = PyObject_GetAttrString(module, attribute);
    Py_DECREF(module);
    return o;
}

static int import_all(struct cg_state *state) {
    const struct {
        PyObject **at;
        const char *module_name, *attribute;
    } rows[] = {
        {&state->io_base, "io", "IOBase"},
        {&state->file_io, "io", "FileIO"},
        {&state->format_exception, "traceback", "format_exception"},
        {&state->request_class, "cgunicorn.messages", "Request"},
        {&state->response_class, "cgunicorn.messages", "Response"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        *rows[i].at = import_from(rows[i].module_name, rows[i].attribute);
        if (!*rows[i].at)
            return -1;
    }
    return 0;
}

int cg_state_init(struct cg_state *state, PyObject *module) {
    return intern_all(state) < 0 || make_types(state, module) < 0 || import_all(state) < 0 ? -1 : 0;
}

int cg_state_traverse(struct cg_state *state, visitproc visit, void *arg) {
#define CG_STATE_OBJECT(name) Py_VISIT(state->name);
    CG_STATE_OBJECTS(CG_STATE_OBJECT)
#undef CG_STATE_OBJECT
    return 0;
}

void cg_state_clear(struct cg_state *state) {
#define CG_STATE_OBJECT(name) Py_CLEAR(state->name);
    CG_STATE_OBJECTS(CG_STATE_OBJECT)
#undef CG_STATE_OBJECT
    for (int i = 0; i < CG_NAME_N; i++)
        Py_CLEAR(state->name[i]);
    for (int i = 0; i < CG_FIELD_N; i++)
        Py_CLEAR(state->field_key[i]);
}

PyObject *cg_type_refuse_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyErr_Format(PyExc_TypeError, "cannot create '%.100s' instances", type->tp_name);
    return NULL;
}
