/* SPDX-License-Identifier: MIT
 *
 * The brake on crash loops.
 */
#include "tests/unit/test.h"

#include "server/arbiter/throttle.h"

enum { SECOND_US = 1000000 };

CG_TEST(the_pause_doubles_up_to_its_bound) {
    static const unsigned want[] = {0, 0, 100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000};
    for (unsigned i = 0; i < sizeof(want) / sizeof(want[0]); i++)
        CG_CHECK_INT(cg_throttle_pause_ms(i), want[i]);
    CG_CHECK_INT(cg_throttle_pause_ms(4000000000u), 10000);
}

CG_TEST(the_first_early_death_costs_nothing_the_next_ones_do) {
    struct cg_throttle t = {0, 0, 0};
    CG_CHECK_INT(cg_throttle_count(&t, 5, 10), 0);
    CG_CHECK_INT(t.next_us, 10);
    CG_CHECK_INT(cg_throttle_count(&t, 10, 20), 100);
    CG_CHECK_INT(t.next_us, 20 + 100000);
}

CG_TEST(workers_that_die_together_count_once) {
    struct cg_throttle t = {0, 0, 0};
    for (int i = 0; i < 8; i++)
        CG_CHECK_INT(cg_throttle_count(&t, 5, 10 + i), 0);
    CG_CHECK_INT(t.rounds_n, 1);
}

CG_TEST(a_new_worker_that_lasts_ends_the_loop) {
    struct cg_throttle t = {0, 0, 0};
    cg_throttle_count(&t, 5, 10);
    cg_throttle_count(&t, 10, 20);
    cg_throttle_forgive(&t, 30, 40, 40 + 5 * SECOND_US - 1);
    CG_CHECK_INT(t.rounds_n, 2);
    cg_throttle_forgive(&t, 30, 40, 40 + 5 * SECOND_US);
    CG_CHECK_INT(t.rounds_n, 0);
}

CG_TEST(an_old_worker_that_lasts_proves_nothing) {
    struct cg_throttle t = {0, 0, 0};
    cg_throttle_count(&t, 5, 10);
    cg_throttle_forgive(&t, 9, 9, 60 * SECOND_US);
    cg_throttle_forgive(&t, 30, 0, 60 * SECOND_US);
    CG_CHECK_INT(t.rounds_n, 1);
}
