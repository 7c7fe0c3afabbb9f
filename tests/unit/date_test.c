/* SPDX-License-Identifier: MIT
 *
 * The Date field's form (RFC 9110 section 5.6.7).
 */
#include "server/http/date.h"
#include "tests/unit/test.h"

CG_TEST(date_is_an_imf_fixdate) {
    struct cg_date d = {0};
    CG_CHECK_SLICE(cg_date_now(&d, 784111777), "Sun, 06 Nov 1994 08:49:37 GMT");
    CG_CHECK_SLICE(cg_date_now(&d, 784111778), "Sun, 06 Nov 1994 08:49:38 GMT");
    CG_CHECK_SLICE(cg_date_now(&d, 951782400), "Tue, 29 Feb 2000 00:00:00 GMT");
}

CG_TEST(the_first_second_of_time_is_not_taken_for_cached) {
    struct cg_date d = {0};
    CG_CHECK_SLICE(cg_date_now(&d, 0), "Thu, 01 Jan 1970 00:00:00 GMT");
}

CG_TEST(date_is_rendered_once_a_second) {
    struct cg_date d = {0};
    cg_date_now(&d, 784111777);
    d.text[0] = 'X';
    CG_CHECK(cg_date_now(&d, 784111777).at[0] == 'X');
}
