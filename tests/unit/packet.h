/* SPDX-License-Identifier: MIT
 *
 * Makes uwsgi packets for tests: begin, add variables, end; a body is appended behind that.
 */
#ifndef CG_TESTS_UNIT_PACKET_H
#define CG_TESTS_UNIT_PACKET_H

#include "server/base/buf.h"
#include "tests/unit/test.h"

enum { PACKET_HEAD_LEN = 4 };

static inline void packet_begin(struct cg_buf *b, char modifier1) {
    b->len = 0;
    CG_CHECK_INT(cg_buf_append(b, cg_slice_of("\0\0\0\0", PACKET_HEAD_LEN)), 0);
    b->at[0] = modifier1;
}

static inline void packet_put(struct cg_buf *b, struct cg_slice s) {
    char len[2] = {(char)(s.len & 0xff), (char)(s.len >> 8)};
    CG_CHECK_INT(cg_buf_append(b, cg_slice_of(len, sizeof(len))), 0);
    CG_CHECK_INT(cg_buf_append(b, s), 0);
}

static inline void packet_add(struct cg_buf *b, struct cg_slice name, struct cg_slice value) {
    packet_put(b, name);
    packet_put(b, value);
}

static inline void packet_end(struct cg_buf *b) {
    size_t size = b->len - PACKET_HEAD_LEN;
    b->at[1] = (char)(size & 0xff);
    b->at[2] = (char)(size >> 8);
}

/* From "NAME=value" lines. */
static inline void packet_make(struct cg_buf *b, char modifier1, const char *lines) {
    packet_begin(b, modifier1);
    while (*lines) {
        size_t name_len = strcspn(lines, "=\n"), line_len = strcspn(lines, "\n");
        size_t rest = name_len + (lines[name_len] == '=');
        packet_add(b, cg_slice_of(lines, name_len), cg_slice_of(lines + rest, line_len - rest));
        lines += line_len + (lines[line_len] == '\n');
    }
    packet_end(b);
}

#endif
