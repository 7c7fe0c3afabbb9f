/* SPDX-License-Identifier: MIT
 *
 * Recycling: when a worker has done enough and is to be replaced. It goes on serving until its
 * successor is ready (pool.h), so being spent is no order. Knows one worker's limits; tells nobody.
 */
#ifndef CG_ARBITER_RECYCLE_H
#define CG_ARBITER_RECYCLE_H

#include "server/arbiter/slot.h"
#include "server/settings/settings.h"

struct cg_recycle {
    uint64_t old_us;    /* when it is too old; UINT64_MAX: never */
    uint64_t rss_bytes; /* from so much resident memory it is too big; UINT64_MAX: never */
    uint64_t weigh_us;  /* when to look at its memory again */
    uint64_t spent_us;  /* since when it is to be replaced; 0 = it is not */
};

/* Draws the limits of a worker that is being forked now. */
void cg_recycle_draw(struct cg_recycle *r, const struct cg_settings *settings, uint64_t now_us);

/* Looks whether one is reached, and logs which; max_requests is the worker's to find and to log. */
void cg_recycle_look(struct cg_recycle *r, const struct cg_slot *slot, pid_t pid, uint64_t now_us);

/* When to look again; 0: every now and then. */
uint64_t cg_recycle_next_us(const struct cg_recycle *r);

/* The resident memory of a process; 0 when it cannot be told. */
uint64_t cg_recycle_rss_bytes(pid_t pid);

#endif
