/* SPDX-License-Identifier: MIT
 *
 * The clocks. Owns no state: whoever wants one reading per turn of a loop keeps it.
 */
#include "server/base/clock.h"

uint64_t cg_clock_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t cg_clock_ms(void) {
    return cg_clock_us() / 1000;
}

uint64_t cg_clock_wall_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

time_t cg_clock_wall_s(void) {
    return time(NULL);
}
