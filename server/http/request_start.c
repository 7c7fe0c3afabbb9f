/* SPDX-License-Identifier: MIT
 *
 * Reads X-Request-Start in the forms that proxies send: "t=1700000000.123" (nginx), "1700000000123"
 * (Heroku), "t=1700000000123456" (Apache). The unit of a whole number is told by its size. No
 * state.
 */
#include "server/http/request_start.h"

#include "server/base/num.h"

enum { SECOND_US = 1000 * 1000 };

static const uint64_t LEAST_MS = 100000000000;    /* as seconds: the year 5138 */
static const uint64_t LEAST_US = 100000000000000; /* as milliseconds, the same */

/* The digits behind a point, in millionths. */
static bool parse_fraction(struct cg_slice digits, uint64_t *ret_us) {
    uint64_t us = 0, unit_us = SECOND_US / 10;
    for (size_t i = 0; i < digits.len; i++, unit_us /= 10) {
        if (digits.at[i] < '0' || digits.at[i] > '9')
            return false;
        us += (uint64_t)(digits.at[i] - '0') * unit_us;
    }
    *ret_us = us;
    return true;
}

bool cg_request_start_us(const struct cg_request *r, uint64_t *ret_us) {
    const struct cg_field *f = cg_request_field_named(r, CG_SLICE("X-Request-Start"));
    if (!f)
        return false;
    struct cg_slice s = f->value;
    if (s.len > 2 && s.at[0] == 't' && s.at[1] == '=')
        s = cg_slice_of(s.at + 2, s.len - 2);
    const char *point = s.len ? memchr(s.at, '.', s.len) : NULL;
    struct cg_slice whole = cg_slice_of(s.at, point ? (size_t)(point - s.at) : s.len);
    uint64_t n, fraction_us = 0;
    if (cg_num_parse_u64(whole, &n) < 0)
        return false;
    if (point && !parse_fraction(cg_slice_of(point + 1, s.len - whole.len - 1), &fraction_us))
        return false;
    uint64_t unit_us = point || n < LEAST_MS ? SECOND_US : n < LEAST_US ? 1000 : 1;
    return !__builtin_mul_overflow(n, unit_us, &n) &&
           !__builtin_add_overflow(n, fraction_us, ret_us);
}
