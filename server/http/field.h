/* SPDX-License-Identifier: MIT
 *
 * Known header fields: name to number, so that policy and the binding compare integers.
 */
#ifndef CG_HTTP_FIELD_H
#define CG_HTTP_FIELD_H

#include "server/base/slice.h"

enum cg_field_id {
    CG_FIELD_OTHER,
#define CG_FIELD(id, name, environ_key) CG_FIELD_##id,
#include "server/http/field.def"
#undef CG_FIELD
    CG_FIELD_N
};

/* The number of a field name in any case, CG_FIELD_OTHER when it is not in the table.
 * Thread-safe, no allocation, expected constant time. */
enum cg_field_id cg_field_lookup(struct cg_slice name);

/* True for the characters of a token (RFC 9110 section 5.6.2). */
bool cg_field_is_token(struct cg_slice s);

#endif
