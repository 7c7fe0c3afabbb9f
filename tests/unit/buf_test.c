/* SPDX-License-Identifier: MIT
 *
 * Rules of server/base/buf.h.
 */
#include "server/base/buf.h"
#include "tests/unit/test.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>

CG_TEST(appends_add_up) {
    struct cg_buf b = CG_BUF_INIT;
    CG_CHECK_INT(cg_buf_append(&b, CG_SLICE("ab")), 0);
    CG_CHECK_INT(cg_buf_append_char(&b, '-'), 0);
    CG_CHECK_INT(cg_buf_append_u64(&b, ULLONG_MAX), 0);
    CG_CHECK_INT(cg_buf_append_u64(&b, 0), 0);
    CG_CHECK_INT(cg_buf_appendf(&b, " %s:%d", "x", -7), 0);
    CG_CHECK_SLICE(cg_buf_slice(&b), "ab-184467440737095516150 x:-7");
    cg_buf_done(&b);
}

CG_TEST(appending_nothing_allocates_nothing) {
    struct cg_buf b = CG_BUF_INIT;
    CG_CHECK_INT(cg_buf_append(&b, cg_slice_of(NULL, 0)), 0);
    CG_CHECK_INT(cg_buf_reserve(&b, 0), 0);
    CG_CHECK(b.at == NULL);
    cg_buf_done(&b);
}

CG_TEST(growth_keeps_the_content) {
    struct cg_buf b = CG_BUF_INIT;
    for (int i = 0; i < 100000; i++)
        CG_CHECK_INT(cg_buf_append_char(&b, (char)(i % 251)), 0);
    CG_CHECK_INT(b.len, 100000);
    for (int i = 0; i < 100000; i++)
        CG_CHECK_INT(b.at[i], (char)(i % 251));
    cg_buf_done(&b);
}

CG_TEST(growth_doubles) {
    struct cg_buf b = CG_BUF_INIT;
    CG_CHECK_INT(cg_buf_reserve(&b, 1000), 0);
    size_t cap = b.cap;
    b.len = cap;
    CG_CHECK_INT(cg_buf_reserve(&b, 1), 0);
    CG_CHECK_INT(b.cap, 2 * cap);
    cg_buf_done(&b);
}

CG_TEST(format_fits_whatever_its_length) {
    for (int len = 0; len < 2000; len++) {
        struct cg_buf b = CG_BUF_INIT;
        CG_CHECK_INT(cg_buf_appendf(&b, "%*s", len, ""), 0);
        CG_CHECK_INT(b.len, len);
        cg_buf_done(&b);
    }
}

CG_TEST(failed_growth_leaves_the_buffer_as_it_was) {
    struct cg_buf b = CG_BUF_INIT;
    CG_CHECK_INT(cg_buf_append(&b, CG_SLICE("abc")), 0);
    struct cg_buf before = b;
    CG_CHECK_INT(cg_buf_reserve(&b, SIZE_MAX), -ENOMEM);
    CG_CHECK_INT(cg_buf_reserve(&b, SIZE_MAX / 2), -ENOMEM);
    CG_CHECK(b.at == before.at && b.len == before.len && b.cap == before.cap);
    cg_buf_done(&b);
}

CG_TEST(drop_front_moves_the_rest) {
    struct cg_buf b = CG_BUF_INIT;
    cg_buf_drop_front(&b, 0);
    CG_CHECK_INT(cg_buf_append(&b, CG_SLICE("0123456789")), 0);
    cg_buf_drop_front(&b, 4);
    CG_CHECK_SLICE(cg_buf_slice(&b), "456789");
    cg_buf_drop_front(&b, 6);
    CG_CHECK_SLICE(cg_buf_slice(&b), "");
    cg_buf_done(&b);
}

CG_TEST(done_leaves_a_usable_empty_buffer) {
    struct cg_buf b = CG_BUF_INIT;
    CG_CHECK_INT(cg_buf_append(&b, CG_SLICE("abc")), 0);
    cg_buf_done(&b);
    cg_buf_done(&b);
    CG_CHECK_INT(cg_buf_append(&b, CG_SLICE("d")), 0);
    CG_CHECK_SLICE(cg_buf_slice(&b), "d");
    cg_buf_done(&b);
}
