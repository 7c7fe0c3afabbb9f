/* SPDX-License-Identifier: MIT
 *
 * Rules of server/base/num.h.
 */
#include "server/base/num.h"
#include "tests/unit/test.h"

#include <errno.h>

static void check_parsed(const char *text, uint64_t want) {
    uint64_t value = 1;
    CG_CHECK_INT(cg_num_parse_u64(cg_slice_str(text), &value), 0);
    CG_CHECK(value == want);
}

static void check_refused(struct cg_slice text, int want) {
    uint64_t value = 4711;
    CG_CHECK_INT(cg_num_parse_u64(text, &value), want);
    CG_CHECK_INT(value, 4711);
}

CG_TEST(digits_are_a_number) {
    check_parsed("0", 0);
    check_parsed("42", 42);
    check_parsed("00000000000000000000000007", 7);
    check_parsed("18446744073709551615", UINT64_MAX);
}

CG_TEST(anything_but_digits_is_invalid) {
    static const char *const texts[] = {"",    "-1",  "+1",  " 1",   "1 ",  "0x10",
                                        "1_0", "1,0", "1e3", "\xb2", "1\n", "a"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        check_refused(cg_slice_str(texts[i]), -EINVAL);
    check_refused(CG_SLICE("1\0"), -EINVAL);
    check_refused(cg_slice_of(NULL, 0), -EINVAL);
}

CG_TEST(too_large_is_out_of_range) {
    check_refused(CG_SLICE("18446744073709551616"), -ERANGE);
    check_refused(CG_SLICE("99999999999999999999"), -ERANGE);
    check_refused(CG_SLICE("184467440737095516150"), -ERANGE);
    check_refused(CG_SLICE("100000000000000000000000000000000000000000"), -ERANGE);
}

CG_TEST(garbage_behind_an_overflow_is_invalid) {
    check_refused(CG_SLICE("18446744073709551616x"), -EINVAL);
}

CG_TEST(hex_digits_in_both_cases_only) {
    for (int c = 0; c < 256; c++) {
        int want = -1;
        if (c >= '0' && c <= '9')
            want = c - '0';
        if (c >= 'a' && c <= 'f')
            want = c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
            want = c - 'A' + 10;
        CG_CHECK_INT(cg_num_hex_digit((unsigned char)c), want);
    }
}

CG_TEST(formats_are_what_printf_would_say) {
    static const uint64_t values[] = {
        0, 9, 10, 99, 100, 4095, 15, 16, 255, 1u << 31, UINT64_MAX - 1, UINT64_MAX};
    for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
        char want[32], got[CG_NUM_U64_MAX_LEN];
        int want_len = snprintf(want, sizeof(want), "%llu", (unsigned long long)values[i]);
        struct cg_slice text = cg_slice_of(got, cg_num_format_u64(got, values[i]));
        CG_CHECK(cg_slice_eq(text, cg_slice_of(want, (size_t)want_len)));
        want_len = snprintf(want, sizeof(want), "%llx", (unsigned long long)values[i]);
        text = cg_slice_of(got, cg_num_format_hex(got, values[i]));
        CG_CHECK(cg_slice_eq(text, cg_slice_of(want, (size_t)want_len)));
    }
}

CG_TEST(longest_formats_fit_the_constants) {
    char at[CG_NUM_U64_MAX_LEN];
    CG_CHECK_INT(cg_num_format_u64(at, UINT64_MAX), CG_NUM_U64_MAX_LEN);
    CG_CHECK_INT(cg_num_format_hex(at, UINT64_MAX), CG_NUM_HEX64_MAX_LEN);
}

CG_TEST(what_is_drawn_stays_within_its_bound) {
    bool seen[4] = {false};
    for (int i = 0; i < 1000; i++) {
        uint64_t drawn = cg_num_draw(3);
        CG_CHECK(drawn <= 3);
        seen[drawn] = true;
    }
    CG_CHECK(seen[0] && seen[1] && seen[2] && seen[3]);
    CG_CHECK_INT(cg_num_draw(0), 0);
}
