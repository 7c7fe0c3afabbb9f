/* SPDX-License-Identifier: MIT
 *
 * Arithmetic of throttle.h. No state of its own.
 */
#include "server/arbiter/throttle.h"

unsigned cg_throttle_pause_ms(unsigned rounds_n) {
    if (rounds_n < 2)
        return 0;
    unsigned pause_ms = CG_THROTTLE_FIRST_MS;
    for (unsigned i = 2; i < rounds_n && pause_ms < CG_THROTTLE_MAX_MS; i++)
        pause_ms *= 2;
    return pause_ms < CG_THROTTLE_MAX_MS ? pause_ms : CG_THROTTLE_MAX_MS;
}

unsigned cg_throttle_count(struct cg_throttle *t, uint64_t forked_us, uint64_t now_us) {
    if (t->rounds_n > 0 && forked_us < t->round_us)
        return 0;
    t->rounds_n++;
    t->round_us = now_us;
    unsigned pause_ms = cg_throttle_pause_ms(t->rounds_n);
    t->next_us = now_us + (uint64_t)pause_ms * 1000;
    return pause_ms;
}

void cg_throttle_forgive(struct cg_throttle *t, uint64_t forked_us, uint64_t ready_us,
                         uint64_t now_us) {
    if (t->rounds_n > 0 && ready_us != 0 && forked_us >= t->round_us &&
        now_us - ready_us >= CG_THROTTLE_STEADY_US)
        *t = (struct cg_throttle){0, 0, 0};
}
