/* SPDX-License-Identifier: MIT
 *
 * X-Request-Start in the forms that proxies send.
 */
#include "server/http/request_start.h"
#include "tests/unit/test.h"

/* 0 when it is not understood. */
static uint64_t start_us(const char *value) {
    struct cg_request r;
    uint64_t us = 0;
    cg_request_init(&r);
    CG_CHECK_INT(cg_request_add_field(&r, CG_SLICE("x-request-start"), cg_slice_str(value)), 0);
    CG_CHECK_INT(cg_request_start_us(&r, &us), us != 0);
    cg_request_done(&r);
    return us;
}

CG_TEST(each_form_is_microseconds) {
    CG_CHECK_INT(start_us("t=1795175693.125"), 1795175693125000);
    CG_CHECK_INT(start_us("1795175693.000001"), 1795175693000001);
    CG_CHECK_INT(start_us("1795175693.1234567"), 1795175693123456);
    CG_CHECK_INT(start_us("1795175693"), 1795175693000000);
    CG_CHECK_INT(start_us("t=1795175693."), 1795175693000000);
    CG_CHECK_INT(start_us("1795175693125"), 1795175693125000);
    CG_CHECK_INT(start_us("t=1795175693125001"), 1795175693125001);
}

CG_TEST(what_is_no_time_is_not_understood) {
    static const char *const values[] = {
        "", "t=", "now", "-1", "1.2.3", "1.x", ".5", "99999999999999999999", "1e9", "t 1"};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        CG_CHECK_INT(start_us(values[i]), 0);
    struct cg_request r;
    uint64_t us;
    cg_request_init(&r);
    CG_CHECK(!cg_request_start_us(&r, &us));
}
