/* SPDX-License-Identifier: MIT
 *
 * HUP: from the wish for a new generation to the moment it has taken over, or was given up. The old
 * generation serves all the while. Works on the pool; owns the wish that came too early.
 */
#ifndef CG_ARBITER_RELOAD_H
#define CG_ARBITER_RELOAD_H

#include "server/arbiter/pool.h"

struct cg_reload {
    bool again; /* asked for while one was under way */
};

/* Begins a reload, or remembers to once the present one has ended; one whose workers hang while
 * they boot is given up for it. */
void cg_reload_ask(struct cg_reload *r, struct cg_pool *p);

/* Once a turn: lets a new generation take over that is ready, or lets it grow; begins a reload
 * remembered. */
void cg_reload_turn(struct cg_reload *r, struct cg_pool *p, uint64_t now_us);

/* A worker of the pending generation was lost before it was ready, or the host refused to have one
 * forked: back to the old ways. */
void cg_reload_give_up(struct cg_pool *p);

#endif
