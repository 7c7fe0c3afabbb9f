/* SPDX-License-Identifier: MIT
 *
 * The stack of spare buffers of spare.h. Owns it, for the whole process, under a lock: what it is
 * for takes a thousand times longer than the lock.
 */
#include "server/base/spare.h"

#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct cg_buf spares[CG_SPARES_MAX];
static size_t spares_n;

void cg_spare_give(struct cg_buf *b) {
    b->len = 0;
    pthread_mutex_lock(&lock);
    if (b->at && b->cap <= CG_SPARE_BYTES_MAX && spares_n < CG_SPARES_MAX) {
        spares[spares_n++] = *b;
        *b = CG_BUF_INIT;
    }
    pthread_mutex_unlock(&lock);
    cg_buf_done(b);
}

bool cg_spare_take(size_t cap, struct cg_buf *ret_buf) {
    bool found = false;
    pthread_mutex_lock(&lock);
    for (size_t i = spares_n; i-- > 0 && !found;) {
        if (spares[i].cap < cap)
            continue;
        *ret_buf = spares[i];
        spares[i] = spares[--spares_n];
        found = true;
    }
    pthread_mutex_unlock(&lock);
    return found;
}
