/* SPDX-License-Identifier: MIT
 *
 * Strict number parsing, plain formatting and drawing, without locale and without state.
 */
#include "server/base/num.h"

#include <errno.h>
#include <unistd.h>

int cg_num_parse_u64(struct cg_slice s, uint64_t *ret_value) {
    if (s.len == 0)
        return -EINVAL;
    uint64_t value = 0;
    bool overflow = false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.at[i] < '0' || s.at[i] > '9')
            return -EINVAL; /* even behind an overflow: what is not a number is not out of range */
        uint64_t digit = (uint64_t)(s.at[i] - '0');
        overflow |= __builtin_mul_overflow(value, (uint64_t)10, &value);
        overflow |= __builtin_add_overflow(value, digit, &value);
    }
    if (overflow)
        return -ERANGE;
    *ret_value = value;
    return 0;
}

int cg_num_hex_digit(unsigned char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t cg_num_format_u64(char *at, uint64_t value) {
    char digits[CG_NUM_U64_MAX_LEN];
    size_t n = 0;
    do {
        digits[sizeof(digits) - ++n] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    memcpy(at, digits + sizeof(digits) - n, n);
    return n;
}

size_t cg_num_format_hex(char *at, uint64_t value) {
    char digits[CG_NUM_HEX64_MAX_LEN];
    size_t n = 0;
    do {
        digits[sizeof(digits) - ++n] = "0123456789abcdef"[value & 0xf];
        value >>= 4;
    } while (value);
    memcpy(at, digits + sizeof(digits) - n, n);
    return n;
}

/* The bias of the modulo is below 2^-32 for what anybody sets. Without entropy nothing is spread.
 */
uint64_t cg_num_draw(uint64_t max) {
    uint64_t drawn = 0;
    if (max == 0 || getentropy(&drawn, sizeof(drawn)) < 0)
        return 0;
    return max == UINT64_MAX ? drawn : drawn % (max + 1);
}
