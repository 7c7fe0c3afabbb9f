/* SPDX-License-Identifier: MIT
 *
 * A one-shot alarm that one thread sleeps on and others set and clear. Setting it wakes nobody
 * before its time: on Linux it is a timer descriptor, so an application call that ends in time
 * costs two system calls and no context switch. Elsewhere it is a condition variable.
 */
#ifndef CG_WORKERS_ASYNC_TICK_H
#define CG_WORKERS_ASYNC_TICK_H

#include <stdint.h>

struct cg_tick;

struct cg_tick *cg_tick_new(void); /* NULL: errno says why */
void cg_tick_free(struct cg_tick *t);

/* Goes off once in so many microseconds, 0 for not at all; what was set before is forgotten. */
void cg_tick_set(struct cg_tick *t, uint32_t in_us);
/* Sleeps until it goes off. */
void cg_tick_wait(struct cg_tick *t);

#endif
