/* SPDX-License-Identifier: MIT
 *
 * The parts of slice.h that are too long to inline. Owns no state; bytes are ASCII to it, never
 * locale dependent.
 */
#include "server/base/slice.h"

static unsigned char ascii_lower(char c) {
    unsigned char u = (unsigned char)c;
    return u >= 'A' && u <= 'Z' ? (unsigned char)(u | 0x20) : u;
}

static bool is_ows(char c) {
    return c == ' ' || c == '\t';
}

bool cg_slice_eq_ci(struct cg_slice a, struct cg_slice b) {
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (ascii_lower(a.at[i]) != ascii_lower(b.at[i]))
            return false;
    return true;
}

struct cg_slice cg_slice_trim(struct cg_slice s) {
    while (s.len > 0 && is_ows(s.at[0])) {
        s.at++;
        s.len--;
    }
    while (s.len > 0 && is_ows(s.at[s.len - 1]))
        s.len--;
    return s;
}

bool cg_slice_next_element(struct cg_slice *list, struct cg_slice *ret_element) {
    if (!list->at)
        return false;
    const char *comma = memchr(list->at, ',', list->len);
    if (!comma) {
        *ret_element = cg_slice_trim(*list);
        *list = cg_slice_of(NULL, 0);
        return true;
    }
    size_t len = (size_t)(comma - list->at);
    *ret_element = cg_slice_trim(cg_slice_of(list->at, len));
    *list = cg_slice_of(comma + 1, list->len - len - 1);
    return true;
}
