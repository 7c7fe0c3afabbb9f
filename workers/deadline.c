/* SPDX-License-Identifier: MIT
 *
 * The heap of deadline.h. No state of its own, no clock.
 */
#include "workers/deadline.h"

#include <errno.h>
#include <stdlib.h>

void cg_deadlines_done(struct cg_deadlines *h) {
    free(h->at);
    *h = CG_DEADLINES_INIT;
}

static void place(struct cg_deadlines *h, struct cg_deadline *d, size_t position) {
    h->at[position] = d;
    d->position = position;
}

static void sift_up(struct cg_deadlines *h, struct cg_deadline *d) {
    size_t at = d->position;
    while (at > 0 && h->at[(at - 1) / 2]->at_us > d->at_us) {
        place(h, h->at[(at - 1) / 2], at);
        at = (at - 1) / 2;
    }
    place(h, d, at);
}

static void sift_down(struct cg_deadlines *h, struct cg_deadline *d) {
    size_t at = d->position;
    for (;;) {
        size_t child = at * 2 + 1;
        if (child >= h->n)
            break;
        if (child + 1 < h->n && h->at[child + 1]->at_us < h->at[child]->at_us)
            child++;
        if (h->at[child]->at_us >= d->at_us)
            break;
        place(h, h->at[child], at);
        at = child;
    }
    place(h, d, at);
}

static int append(struct cg_deadlines *h, struct cg_deadline *d) {
    if (h->n == h->cap) {
        size_t cap = h->cap ? h->cap * 2 : 64;
        struct cg_deadline **at = realloc(h->at, cap * sizeof(struct cg_deadline *));
        if (!at)
            return -ENOMEM;
        h->at = at;
        h->cap = cap;
    }
    place(h, d, h->n++);
    return 0;
}

int cg_deadlines_set(struct cg_deadlines *h, struct cg_deadline *d, uint64_t at_us) {
    if (!cg_deadline_is_set(d) && append(h, d) < 0)
        return -ENOMEM;
    d->at_us = at_us;
    sift_up(h, d);
    sift_down(h, d);
    return 0;
}

void cg_deadlines_remove(struct cg_deadlines *h, struct cg_deadline *d) {
    if (!cg_deadline_is_set(d))
        return;
    struct cg_deadline *last = h->at[--h->n];
    if (last != d) {
        place(h, last, d->position);
        sift_up(h, last);
        sift_down(h, last);
    }
    d->position = SIZE_MAX;
}
