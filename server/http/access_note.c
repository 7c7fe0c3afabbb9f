/* SPDX-License-Identifier: MIT
 *
 * Notes are texts one behind the other in the exchange's buffer, each behind its length. No state.
 */
#include "server/http/access_note.h"

#include <errno.h>
#include <string.h>

enum { TEXT_MAX = 64 * 1024 }; /* bytes; the rest of a longer one is cut off */

#define MISSING UINT32_MAX

int cg_access_note(struct cg_exchange *ex, struct cg_slice value) {
    struct cg_buf *notes = &ex->notes;
    size_t len = value.len < TEXT_MAX ? value.len : TEXT_MAX;
    uint32_t head = value.at ? (uint32_t)len : MISSING;
    if (cg_buf_reserve(notes, sizeof(head) + len) < 0)
        return -ENOMEM;
    memcpy(notes->at + notes->len, &head, sizeof(head));
    notes->len += sizeof(head);
    return value.at ? cg_buf_append(notes, cg_slice_of(value.at, len)) : 0;
}

bool cg_access_noted(const struct cg_exchange *ex, size_t n, struct cg_slice *ret_value) {
    const struct cg_buf *notes = &ex->notes;
    uint32_t head;
    for (size_t at = 0; at < notes->len;) {
        memcpy(&head, notes->at + at, sizeof(head));
        at += sizeof(head);
        size_t len = head == MISSING ? 0 : head;
        if (n-- == 0) {
            *ret_value = cg_slice_of(head == MISSING ? NULL : notes->at + at, len);
            return true;
        }
        at += len;
    }
    return false;
}
