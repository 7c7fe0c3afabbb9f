/* SPDX-License-Identifier: MIT
 *
 * The growable byte buffer of buf.h. Owns no state beyond the caller's struct; never shrinks.
 */
#include "server/base/buf.h"

#include "server/base/assert.h"
#include "server/base/num.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { FIRST_CAP = 256 };

void cg_buf_done(struct cg_buf *b) {
    free(b->at);
    *b = CG_BUF_INIT;
}

int cg_buf_reserve(struct cg_buf *b, size_t extra) {
    if (b->cap - b->len >= extra)
        return 0;
    size_t need;
    if (__builtin_add_overflow(b->len, extra, &need) || need > PTRDIFF_MAX)
        return -ENOMEM;
    size_t cap = b->cap * 2; /* cannot overflow: cap is at most PTRDIFF_MAX */
    if (cap < FIRST_CAP)
        cap = FIRST_CAP;
    if (cap < need)
        cap = need;
    char *at = realloc(b->at, cap);
    if (!at)
        return -ENOMEM;
    b->at = at;
    b->cap = cap;
    return 0;
}

int cg_buf_append(struct cg_buf *b, struct cg_slice s) {
    if (s.len == 0)
        return 0;
    int rc = cg_buf_reserve(b, s.len);
    if (rc < 0)
        return rc;
    memcpy(b->at + b->len, s.at, s.len);
    b->len += s.len;
    return 0;
}

int cg_buf_append_char(struct cg_buf *b, char c) {
    return cg_buf_append(b, cg_slice_of(&c, 1));
}

int cg_buf_append_u64(struct cg_buf *b, unsigned long long value) {
    char digits[CG_NUM_U64_MAX_LEN];
    return cg_buf_append(b, cg_slice_of(digits, cg_num_format_u64(digits, value)));
}

int cg_buf_appendf(struct cg_buf *b, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    /* A failure is a result past INT_MAX bytes: as unobtainable as memory for it. vsnprintf writes
     * a NUL behind the text, which the buffer has room for but does not count. */
    if (len < 0 || cg_buf_reserve(b, (size_t)len + 1) < 0)
        return -ENOMEM;
    va_start(args, format);
    vsnprintf(b->at + b->len, (size_t)len + 1, format, args);
    va_end(args);
    b->len += (size_t)len;
    return 0;
}

void cg_buf_drop_front(struct cg_buf *b, size_t n) {
    CG_ASSERT(n <= b->len);
    if (n == 0)
        return;
    b->len -= n;
    memmove(b->at, b->at + n, b->len);
}
