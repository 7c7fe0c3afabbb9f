/* SPDX-License-Identifier: MIT
 *
 * Strings of JSON (RFC 8259 section 7) from bytes that may be anything. Writes only; no state.
 */
#ifndef CG_BASE_JSON_H
#define CG_BASE_JSON_H

#include "server/base/buf.h"

/* What bytes above 0x7f mean. */
enum cg_json_charset {
    CG_JSON_LATIN1, /* a character each */
    CG_JSON_UTF8,   /* what is no UTF-8 (RFC 3629): a character each */
};

/* Appends s as a string with its quotes. 0 or -ENOMEM. */
int cg_json_append_string(struct cg_buf *out, struct cg_slice s, enum cg_json_charset charset);

#endif
