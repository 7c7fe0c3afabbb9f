/* SPDX-License-Identifier: MIT
 *
 * The one place that reads clocks. Durations and deadlines use the monotonic clock only.
 */
#ifndef CG_BASE_CLOCK_H
#define CG_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

uint64_t cg_clock_us(void);      /* monotonic microseconds */
uint64_t cg_clock_ms(void);      /* monotonic milliseconds */
time_t cg_clock_wall_s(void);    /* wall clock, for Date and log stamps only */
uint64_t cg_clock_wall_us(void); /* the same, to compare with another machine's */

#endif
