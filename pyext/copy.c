/* SPDX-License-Identifier: MIT
 *
 * The end of copies. No state; what tells a copy is in server/base/copy.c.
 */
#include "pyext/copy.h"

#include "pyext/error.h"
#include "pyext/runtime.h"

#include "server/base/log.h"

#include <unistd.h>

/* What sys.exit() makes of its argument; a text is printed. */
static int code_of(PyObject *exception) {
    PyObject *code = PyObject_GetAttrString(exception, "code");
    int result = 1;
    if (code == Py_None)
        result = 0;
    else if (code && PyLong_Check(code))
        result = (int)PyLong_AsLong(code) & 0xff;
    else if (code)
        PySys_FormatStderr("%S\n", code);
    PyErr_Clear();
    Py_XDECREF(code);
    return result;
}

static int report(const struct cg_state *state, PyObject *exception) {
    if (!exception) {
        cg_log(CG_LOG_WARNING,
               "A process that the application has forked came back from the application, and is "
               "ended (pid:%d): os._exit() is missing there",
               (int)getpid());
        return 0;
    }
    if (PyErr_GivenExceptionMatches(exception, PyExc_SystemExit))
        return code_of(exception);
    cg_error_log(state, CG_LOG_ERROR,
                 PyUnicode_FromString("Exception in a process that the application has forked"),
                 exception);
    return 1;
}

static _Noreturn void leave(const struct cg_state *state, PyObject *exception) {
    int code = report(state, exception);
    cg_host_flush();
    _exit(code);
}

void cg_copy_check(const struct cg_state *state) {
    if (cg_is_copy())
        leave(state, PyErr_Occurred() ? cg_error_take() : NULL);
}

PyObject *cg_copy_end(const struct cg_state *state, PyObject *exception) {
    if (cg_is_copy())
        leave(state, exception == Py_None ? NULL : exception);
    Py_RETURN_NONE;
}
