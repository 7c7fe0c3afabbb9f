/* SPDX-License-Identifier: MIT
 *
 * The brake on crash loops: how long to wait before the next fork. Knows times only, no processes.
 *
 * Early deaths are counted in rounds: when all workers of a server die at once, that is one reason
 * to wait, not one per worker. A round begins when a worker forked after the last counted death
 * dies early.
 */
#ifndef CG_ARBITER_THROTTLE_H
#define CG_ARBITER_THROTTLE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    CG_THROTTLE_EARLY_US = 2000000,  /* a crash this soon after READY counts as early */
    CG_THROTTLE_STEADY_US = 5000000, /* ready for this long: the loop is over */
    CG_THROTTLE_FIRST_MS = 100, /* the first round costs nothing, the second this, then doubled */
    CG_THROTTLE_MAX_MS = 10000,
    CG_THROTTLE_FAILED_FORK_MS = 1000,
};

struct cg_throttle {
    unsigned rounds_n;
    uint64_t round_us; /* when the last round began */
    uint64_t next_us;  /* no fork before */
};

/* The pause after so many rounds. */
unsigned cg_throttle_pause_ms(unsigned rounds_n);

/* A worker forked at forked_us died early. The pause in ms if that began a new round, else 0. */
unsigned cg_throttle_count(struct cg_throttle *t, uint64_t forked_us, uint64_t now_us);

/* A worker forked at forked_us has been ready since ready_us (0: never was): ends the loop if it is
 * one that came after the last round and has lasted. */
void cg_throttle_forgive(struct cg_throttle *t, uint64_t forked_us, uint64_t ready_us,
                         uint64_t now_us);

#endif
