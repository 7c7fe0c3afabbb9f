/* SPDX-License-Identifier: MIT
 *
 * Environ keys of header fields that are not in field.def: "X-Trace-Id" to "HTTP_X_TRACE_ID",
 * through a cache of fixed size, so that what clients invent costs time but no memory.
 */
#ifndef CG_PYEXT_HEADER_KEY_H
#define CG_PYEXT_HEADER_KEY_H

#include "pyext/py.h"

#include "server/base/slice.h"

#include <stdint.h>

enum {
    CG_HEADER_KEYS_N = 128, /* a power of two */
    CG_HEADER_KEY_NAME_MAX = 47,
};

struct cg_header_key {
    PyObject *key; /* strong */
    uint8_t name_len;
    char name[CG_HEADER_KEY_NAME_MAX]; /* as sent: spellings do not vary in practice */
};

/* For field names, or for names that are keys already. Direct-mapped: a name has one place, and the
 * last one to need it has it. Zeroed: empty. */
struct cg_header_keys {
    struct cg_header_key *at; /* CG_HEADER_KEYS_N of them, once there is one */
};

void cg_header_keys_done(struct cg_header_keys *keys);

/* A new reference to the key of a variable, which is its name. NULL with an exception. */
PyObject *cg_header_keys_get_verbatim(struct cg_header_keys *keys, struct cg_slice name);

/* A new reference to the key of a field name, which must be a token. NULL with an exception. */
PyObject *cg_header_keys_get(struct cg_header_keys *keys, struct cg_slice name);

#endif
