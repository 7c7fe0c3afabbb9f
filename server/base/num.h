/* SPDX-License-Identifier: MIT
 *
 * Strict numbers on the wire: digits only, the whole slice, no sign, no space, no overflow.
 */
#ifndef CG_BASE_NUM_H
#define CG_BASE_NUM_H

#include "server/base/slice.h"

#include <stdint.h>

/* Decimal digits; 0, -EINVAL (empty or not all digits) or -ERANGE (does not fit). */
int cg_num_parse_u64(struct cg_slice s, uint64_t *ret_value);

/* The value of one hexadecimal digit, or -1. */
int cg_num_hex_digit(unsigned char c);

enum { CG_NUM_U64_MAX_LEN = 20, CG_NUM_HEX64_MAX_LEN = 16 };

/* A random number from 0 to max, max included: for spreading things in time, not for secrets. */
uint64_t cg_num_draw(uint64_t max);

/* Writes without NUL; returns the number of bytes, at most the constants above. */
size_t cg_num_format_u64(char *at, uint64_t value);
size_t cg_num_format_hex(char *at, uint64_t value);

#endif
