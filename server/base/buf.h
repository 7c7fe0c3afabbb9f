/* SPDX-License-Identifier: MIT
 *
 * A growable byte buffer. Embedded in its owner: init/done. Growth doubles; a failed growth leaves
 * the buffer as it was and returns -ENOMEM.
 */
#ifndef CG_BASE_BUF_H
#define CG_BASE_BUF_H

#include "server/base/slice.h"

struct cg_buf {
    char *at;
    size_t len;
    size_t cap;
};

#define CG_BUF_INIT ((struct cg_buf){NULL, 0, 0})

/* Frees the memory; the buffer is empty and usable afterwards. */
void cg_buf_done(struct cg_buf *b);

/* Makes room for at least `extra` more bytes behind len. 0 or -ENOMEM. */
int cg_buf_reserve(struct cg_buf *b, size_t extra);

/* Appends; 0 or -ENOMEM. */
int cg_buf_append(struct cg_buf *b, struct cg_slice s);
int cg_buf_append_char(struct cg_buf *b, char c);
int cg_buf_append_u64(struct cg_buf *b, unsigned long long value);
__attribute__((format(printf, 2, 3))) int cg_buf_appendf(struct cg_buf *b, const char *format, ...);

/* Drops the first n bytes (n <= len), moving the rest to the front. */
void cg_buf_drop_front(struct cg_buf *b, size_t n);

static inline struct cg_slice cg_buf_slice(const struct cg_buf *b) {
    return cg_slice_of(b->at, b->len);
}

#endif
