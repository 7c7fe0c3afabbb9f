/* SPDX-License-Identifier: MIT
 *
 * Spare buffers: what is given is taken again, within bounds. Each case has a process of its own,
 * so the stack is empty at first.
 */
#include "server/base/spare.h"
#include "tests/unit/test.h"

static struct cg_buf buffer(size_t cap) {
    struct cg_buf b = CG_BUF_INIT;
    CG_CHECK_INT(cg_buf_reserve(&b, cap), 0);
    b.len = cap;
    return b;
}

static void give(size_t cap) {
    struct cg_buf b = buffer(cap);
    cg_spare_give(&b);
    CG_CHECK(!b.at && b.len == 0 && b.cap == 0);
}

/* Whether one of at least cap bytes was there; it is freed. */
static bool take(size_t cap) {
    struct cg_buf b = CG_BUF_INIT;
    bool taken = cg_spare_take(cap, &b);
    CG_CHECK(taken ? b.at && b.len == 0 && b.cap >= cap : !b.at);
    cg_buf_done(&b);
    return taken;
}

CG_TEST(what_was_given_is_taken_once) {
    CG_CHECK(!take(1));
    give(100000);
    CG_CHECK(take(100000));
    CG_CHECK(!take(1));
}

CG_TEST(one_that_is_too_small_stays) {
    give(1000);
    give(200000);
    CG_CHECK(!take(300000));
    CG_CHECK(take(1000));
    CG_CHECK(take(1000));
}

CG_TEST(only_a_few_are_kept) {
    for (int i = 0; i < CG_SPARES_MAX + 3; i++)
        give(1000);
    for (int i = 0; i < CG_SPARES_MAX; i++)
        CG_CHECK(take(1000));
    CG_CHECK(!take(1000));
}

CG_TEST(a_very_large_one_is_freed) {
    give(CG_SPARE_BYTES_MAX + 1);
    give(0);
    CG_CHECK(!take(1));
}
