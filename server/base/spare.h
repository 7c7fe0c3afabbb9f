/* SPDX-License-Identifier: MIT
 *
 * Large buffers that are used again, by whatever thread of the process: the allocator gives memory
 * of this size back to the kernel and faults it in anew, page by page, which costs more than to
 * fill it.
 */
#ifndef CG_BASE_SPARE_H
#define CG_BASE_SPARE_H

#include "server/base/buf.h"

#include <stdbool.h>

enum {
    CG_SPARES_MAX = 4,                   /* how many are kept */
    CG_SPARE_BYTES_MAX = 2 * 1024 * 1024 /* larger ones are freed */
};

/* Takes b's memory, to keep it or to free it; b is empty afterwards. */
void cg_spare_give(struct cg_buf *b);
/* Makes *ret_buf an empty buffer of at least cap bytes, if one is kept; false: none, and *ret_buf
 * is untouched. */
bool cg_spare_take(size_t cap, struct cg_buf *ret_buf);

#endif
