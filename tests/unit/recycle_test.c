/* SPDX-License-Identifier: MIT
 *
 * The limits of age and memory, and what the arbiter does with a worker that has reached one.
 */
#include "tests/unit/server.h"

#include "server/arbiter/recycle.h"

#include <signal.h>
#include <unistd.h>

enum { SECOND_US = 1000000 };

CG_TEST(without_limits_nobody_is_spent) {
    struct cg_settings settings = {.timeout = 30};
    struct cg_slot slot = {0};
    struct cg_recycle r;
    cg_recycle_draw(&r, &settings, 5);
    cg_recycle_look(&r, &slot, getpid(), 1000000ull * SECOND_US);
    CG_CHECK_INT(r.spent_us, 0);
}

CG_TEST(who_asks_is_spent_from_then_on) {
    struct cg_settings settings = {.timeout = 30};
    struct cg_slot slot = {0};
    struct cg_recycle r;
    cg_recycle_draw(&r, &settings, 5);
    atomic_store(&slot.spent, true);
    cg_recycle_look(&r, &slot, getpid(), 7);
    cg_recycle_look(&r, &slot, getpid(), 8);
    CG_CHECK_INT(r.spent_us, 7);
}

CG_TEST(a_lifetime_ends_within_its_jitter) {
    struct cg_settings settings = {.max_worker_lifetime = 60, .max_worker_lifetime_jitter = 10};
    struct cg_slot slot = {0};
    bool differ = false;
    for (int i = 0; i < 50; i++) {
        struct cg_recycle r;
        cg_recycle_draw(&r, &settings, SECOND_US);
        CG_CHECK(r.old_us >= 61ull * SECOND_US && r.old_us <= 71ull * SECOND_US);
        differ |= r.old_us != 61ull * SECOND_US;
        cg_recycle_look(&r, &slot, 1, r.old_us - 1);
        CG_CHECK_INT(r.spent_us, 0);
        cg_recycle_look(&r, &slot, 1, r.old_us);
        CG_CHECK(r.spent_us == r.old_us);
    }
    CG_CHECK(differ);
}

CG_TEST(memory_is_looked_at_once_a_second) {
    struct cg_settings settings = {.reload_on_rss = 1};
    struct cg_slot slot = {0};
    struct cg_recycle r;
    CG_CHECK(cg_recycle_rss_bytes(getpid()) > 64 * 1024);
    CG_CHECK_INT(cg_recycle_rss_bytes(-1), 0);
    cg_recycle_draw(&r, &settings, 5);
    CG_CHECK_INT(r.rss_bytes, 1024 * 1024);
    cg_recycle_look(&r, &slot, -1, SECOND_US); /* it cannot be told */
    r.rss_bytes = 1;
    cg_recycle_look(&r, &slot, getpid(), 2 * SECOND_US - 1);
    CG_CHECK_INT(r.spent_us, 0);
    cg_recycle_look(&r, &slot, getpid(), 2 * SECOND_US);
    CG_CHECK_INT(r.spent_us, 2 * SECOND_US);
}

CG_TEST(a_successor_is_ready_before_the_spent_worker_is_told_to_leave) {
    struct server s;
    server_init(&s);
    s.settings.workers = 1;
    s.settings.worker_class = "spent";
    s.script.last_bad_age = 1;
    server_start(&s);
    CG_CHECK_INT(server_expect(&s, 'R').age, 1);
    CG_CHECK_INT(server_expect(&s, 'R').age, 2);
    CG_CHECK_INT(server_expect(&s, 'T').age, 1);
    server_quit(&s);
}

CG_TEST(the_last_spent_worker_goes_on_while_no_successor_comes_up) {
    struct server s;
    server_init(&s);
    s.settings.worker_class = "spent";
    s.settings.boot_timeout = 3;
    s.script.last_bad_age = 2;
    s.script.unbootable_age = 3;
    server_start(&s);
    server_expect(&s, 'R');
    server_expect(&s, 'R');
    CG_CHECK_INT(server_expect(&s, 'T').age, 1);
    server_expect_log(&s, "Waiting 1.6 s before the next fork");
    CG_CHECK(server_connects(s.address));
    server_tell(&s, SIGTERM);
    CG_CHECK_INT(server_expect(&s, 'T').age, 2);
    server_expect(&s, 'E');
    CG_CHECK_INT(server_wait(&s), 0);
    server_done(&s);
}
