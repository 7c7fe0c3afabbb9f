/* SPDX-License-Identifier: MIT
 *
 * A borrowed run of bytes: pointer and length, no terminator, no ownership. Whoever hands one out
 * says how long it stays valid.
 */
#ifndef CG_BASE_SLICE_H
#define CG_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct cg_slice {
    const char *at;
    size_t len;
};

#define CG_SLICE(literal) ((struct cg_slice){(literal), sizeof(literal) - 1})

static inline struct cg_slice cg_slice_of(const char *at, size_t len) {
    return (struct cg_slice){at, len};
}

/* The bytes of a C string, without its NUL; NULL gives an empty slice. */
static inline struct cg_slice cg_slice_str(const char *s) {
    return (struct cg_slice){s, s ? strlen(s) : 0};
}

static inline bool cg_slice_eq(struct cg_slice a, struct cg_slice b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

/* ASCII case-insensitive equality; bytes above 0x7f compare as they are. */
bool cg_slice_eq_ci(struct cg_slice a, struct cg_slice b);

/* Without leading and trailing SP and HTAB: the OWS of RFC 9110 section 5.6.3, nothing else. */
struct cg_slice cg_slice_trim(struct cg_slice s);

/* Cuts the next element off a comma-separated list (RFC 9110 section 5.6.1), trimmed. Returns false
 * when the list is exhausted (at is NULL then). Empty elements are returned as empty slices, those
 * at the ends included: n commas give n + 1 elements. */
bool cg_slice_next_element(struct cg_slice *list, struct cg_slice *ret_element);

#endif
