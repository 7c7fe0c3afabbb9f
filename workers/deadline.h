/* SPDX-License-Identifier: MIT
 *
 * Deadlines of many clients: a binary heap, the earliest on top. A node is embedded in what has the
 * deadline. Looking is O(1), moving O(log n), and most drivers need not move at all, see
 * workers/sync.c.
 */
#ifndef CG_WORKERS_DEADLINE_H
#define CG_WORKERS_DEADLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cg_deadline {
    uint64_t at_us;  /* monotonic; UINT64_MAX = never */
    size_t position; /* in the heap; SIZE_MAX = in none */
};

struct cg_deadlines {
    struct cg_deadline **at;
    size_t n, cap;
};

#define CG_DEADLINE_INIT ((struct cg_deadline){UINT64_MAX, SIZE_MAX})
#define CG_DEADLINES_INIT ((struct cg_deadlines){NULL, 0, 0})

/* Forgets the nodes, which are their owners'. */
void cg_deadlines_done(struct cg_deadlines *h);

/* Puts d in, or moves it. 0 or -ENOMEM; moving never fails. */
int cg_deadlines_set(struct cg_deadlines *h, struct cg_deadline *d, uint64_t at_us);
/* Taking out a node that is not in is fine. */
void cg_deadlines_remove(struct cg_deadlines *h, struct cg_deadline *d);

static inline bool cg_deadline_is_set(const struct cg_deadline *d) {
    return d->position != SIZE_MAX;
}

/* The earliest, NULL when there is none. */
static inline struct cg_deadline *cg_deadlines_first(const struct cg_deadlines *h) {
    return h->n > 0 ? h->at[0] : NULL;
}

#endif
