/* SPDX-License-Identifier: MIT
 *
 * Latin-1 text. No state.
 */
#include "pyext/text.h"

#include "server/base/num.h"

#include <errno.h>

enum { ON_STACK_MAX = 512 };

/* Writes at most s.len bytes, returns how many. */
static size_t unquote(struct cg_slice s, char *out) {
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.at[i] == '%' && s.len - i > 2) {
            int high = cg_num_hex_digit((unsigned char)s.at[i + 1]);
            int low = cg_num_hex_digit((unsigned char)s.at[i + 2]);
            if (high >= 0 && low >= 0) {
                out[n++] = (char)(high << 4 | low);
                i += 2;
                continue;
            }
        }
        out[n++] = s.at[i];
    }
    return n;
}

PyObject *cg_text_unquote(struct cg_slice s) {
    if (s.len == 0 || !memchr(s.at, '%', s.len))
        return cg_text_new(s);
    char on_stack[ON_STACK_MAX];
    char *out = s.len <= sizeof(on_stack) ? on_stack : PyMem_Malloc(s.len);
    if (!out)
        return PyErr_NoMemory();
    PyObject *text = cg_text_new(cg_slice_of(out, unquote(s, out)));
    if (out != on_stack)
        PyMem_Free(out);
    return text;
}

int cg_text_slice(PyObject *text, struct cg_slice *ret_bytes) {
    if (!PyUnicode_Check(text))
        return -EINVAL;
#if PY_VERSION_HEX < 0x030C0000
    if (PyUnicode_READY(text) < 0) {
        PyErr_Clear();
        return -ENOMEM;
    }
#endif
    if (PyUnicode_KIND(text) != PyUnicode_1BYTE_KIND)
        return -ERANGE;
    *ret_bytes =
        cg_slice_of((const char *)PyUnicode_1BYTE_DATA(text), (size_t)PyUnicode_GET_LENGTH(text));
    return 0;
}
