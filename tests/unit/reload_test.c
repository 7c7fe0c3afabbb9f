/* SPDX-License-Identifier: MIT
 *
 * HUP: the new generation serves before the old one goes, or the old one goes on.
 */
#include "tests/unit/server.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

enum { TAG_OF_RELOAD = 2 };

static struct cg_settings next_generation(const struct server *s) {
    struct cg_settings next = s->settings;
    next.max_requests = TAG_OF_RELOAD;
    return next;
}

CG_TEST(hup_starts_new_workers_before_the_old_ones_go) {
    struct server s;
    server_init(&s);
    struct cg_settings next = next_generation(&s);
    next.workers = 3;
    s.script.reloads[0] = s.script.reloads[1] = &next;
    server_start(&s);
    server_expect(&s, 'R');
    server_expect(&s, 'R');
    server_tell(&s, SIGTTIN);
    server_expect(&s, 'R');
    server_tell(&s, SIGHUP);
    for (int i = 0; i < 3; i++)
        CG_CHECK_INT(server_expect(&s, 'R').tag, TAG_OF_RELOAD);
    for (int i = 0; i < 3; i++)
        CG_CHECK_INT(server_expect(&s, 'T').tag, 1);
    server_expect_log(&s, "Hang up: Master");
    server_tell(&s, SIGHUP);
    for (int i = 0; i < 3; i++)
        server_expect(&s, 'R');
    for (int i = 0; i < 3; i++)
        server_expect(&s, 'T');
    CG_CHECK_INT(server_expect(&s, 'F').age, TAG_OF_RELOAD);
    CG_CHECK(server_connects(s.address));
    server_quit(&s);
}

CG_TEST(a_broken_configuration_leaves_the_old_workers_and_the_next_hup_tries_again) {
    struct server s;
    server_init(&s);
    s.settings.workers = 1;
    struct cg_settings next = next_generation(&s);
    s.script.reloads[1] = &next;
    server_start(&s);
    server_expect(&s, 'R');
    server_tell(&s, SIGHUP);
    server_expect_log(&s, "Reload failed, the old workers go on: the configuration is broken");
    server_tell(&s, SIGHUP);
    CG_CHECK_INT(server_expect(&s, 'R').tag, TAG_OF_RELOAD);
    CG_CHECK_INT(server_expect(&s, 'T').tag, 1);
    server_quit(&s);
}

CG_TEST(an_application_that_does_not_boot_leaves_the_old_workers) {
    struct server s;
    server_init(&s);
    struct cg_settings next = next_generation(&s);
    next.worker_class = "exit4";
    next.bind = s.other_bind;
    s.script.reloads[0] = &next;
    server_start(&s);
    server_expect(&s, 'R');
    struct report second = server_expect(&s, 'R');
    server_tell(&s, SIGHUP);
    CG_CHECK_INT(server_expect(&s, 'F').age, TAG_OF_RELOAD);
    server_expect_log(&s, "Reload failed, the old workers go on: a new worker ended before");
    CG_CHECK(!server_connects(s.other_address));
    CG_CHECK(server_connects(s.address));
    kill(second.pid, SIGKILL);
    CG_CHECK_INT(server_expect(&s, 'R').tag, 1);
    server_quit(&s);
}

CG_TEST(a_new_bind_is_opened_and_the_old_one_closed) {
    struct server s;
    server_init(&s);
    s.settings.workers = 1;
    struct cg_settings next = next_generation(&s);
    next.bind = s.other_bind;
    s.script.reloads[0] = &next;
    server_start(&s);
    server_expect(&s, 'R');
    server_tell(&s, SIGHUP);
    server_expect(&s, 'R');
    server_expect(&s, 'T');
    server_expect_log(&s, "told to leave");
    CG_CHECK(server_connects(s.other_address));
    server_tell(&s, SIGTERM);
    server_expect(&s, 'T');
    CG_CHECK_INT(server_expect(&s, 'F').age, TAG_OF_RELOAD);
    server_expect(&s, 'E');
    CG_CHECK_INT(server_wait(&s), 0);
    CG_CHECK(access(s.address + 5, F_OK) < 0 && access(s.other_address + 5, F_OK) < 0);
    server_done(&s);
}

CG_TEST(a_new_bind_that_can_not_be_had_leaves_the_old_workers) {
    struct server s;
    server_init(&s);
    s.settings.workers = 1;
    struct cg_settings next = next_generation(&s);
    next.bind = s.other_bind;
    s.script.reloads[0] = &next;
    close(open(s.other_address + 5, O_CREAT | O_WRONLY, 0600));
    server_start(&s);
    server_expect(&s, 'R');
    server_tell(&s, SIGHUP);
    CG_CHECK_INT(server_expect(&s, 'F').age, TAG_OF_RELOAD);
    server_expect_log(&s, "Reload failed, the old workers go on: the new addresses can't be had");
    CG_CHECK(server_connects(s.address));
    server_quit(&s);
}

CG_TEST(a_hup_during_a_reload_makes_one_more) {
    struct server s;
    server_init(&s);
    s.settings.workers = 1;
    s.settings.boot_timeout = 1;
    struct cg_settings stuck = next_generation(&s), next = next_generation(&s);
    stuck.worker_class = "hang_boot";
    s.script.reloads[0] = &stuck;
    s.script.reloads[1] = &next;
    server_start(&s);
    server_expect(&s, 'R');
    server_tell(&s, SIGHUP);
    server_expect_log(&s, "Hang up: Master");
    server_tell(&s, SIGHUP);
    CG_CHECK_INT(server_expect(&s, 'F').age, TAG_OF_RELOAD);
    CG_CHECK_INT(server_expect(&s, 'R').tag, TAG_OF_RELOAD);
    CG_CHECK_INT(server_expect(&s, 'T').tag, 1);
    server_expect_log(&s, "): while booting");
    server_quit(&s);
}

CG_TEST(a_stop_during_a_reload_ends_both_generations) {
    struct server s;
    server_init(&s);
    s.settings.workers = 1;
    s.settings.graceful_timeout = 1;
    struct cg_settings stuck = next_generation(&s);
    stuck.worker_class = "hang_boot";
    s.script.reloads[0] = &stuck;
    server_start(&s);
    struct report r = server_expect(&s, 'R');
    server_tell(&s, SIGHUP);
    server_expect_log(&s, "Hang up: Master");
    server_tell(&s, SIGTERM);
    /* One worker notes the TERM, the other dies of it: in either order. */
    struct report first = server_expect_any(&s, "TF");
    struct report second = server_expect(&s, first.what == 'T' ? 'F' : 'T');
    CG_CHECK_INT((first.what == 'T' ? first : second).pid, r.pid);
    CG_CHECK_INT((first.what == 'T' ? second : first).age, TAG_OF_RELOAD);
    server_expect(&s, 'E');
    CG_CHECK_INT(server_wait(&s), 0);
    server_done(&s);
}

static void start_rolling(struct server *s, struct cg_settings *next) {
    server_init(s);
    s->settings.workers = 3;
    *next = next_generation(s);
    next->rolling_reload = 2;
    s->script.reloads[0] = s->script.reloads[1] = next;
}

CG_TEST(a_rolling_reload_replaces_so_many_at_a_time) {
    struct server s;
    struct cg_settings next;
    start_rolling(&s, &next);
    server_start(&s);
    for (int i = 0; i < 3; i++)
        server_expect(&s, 'R');
    server_tell(&s, SIGHUP);
    for (int i = 0; i < 2; i++)
        CG_CHECK_INT(server_expect(&s, 'R').tag, TAG_OF_RELOAD);
    for (int i = 0; i < 2; i++)
        CG_CHECK_INT(server_expect(&s, 'T').tag, 1);
    CG_CHECK_INT(server_expect(&s, 'R').tag, TAG_OF_RELOAD);
    CG_CHECK_INT(server_expect(&s, 'T').tag, 1);
    server_tell(&s, SIGTTIN);
    CG_CHECK_INT(server_expect(&s, 'R').tag, TAG_OF_RELOAD);
    server_quit(&s);
}

CG_TEST(ttin_in_a_rolling_reload_is_for_the_new_workers) {
    struct server s;
    struct cg_settings next;
    start_rolling(&s, &next);
    s.settings.worker_class = "stubborn"; /* the first batch of old workers holds the roll up */
    s.settings.graceful_timeout = 5;
    next.worker_class = "serve";
    server_start(&s);
    for (int i = 0; i < 3; i++)
        server_expect(&s, 'R');
    server_tell(&s, SIGHUP);
    for (int i = 0; i < 2; i++)
        server_expect(&s, 'R');
    for (int i = 0; i < 2; i++)
        server_expect(&s, 'T');
    server_tell(&s, SIGTTIN);
    for (int i = 0; i < 2; i++)
        CG_CHECK_INT(server_expect(&s, 'R').tag, TAG_OF_RELOAD);
    CG_CHECK_INT(server_expect(&s, 'T').tag, 1);
    server_quit(&s);
}

CG_TEST(a_rolling_reload_that_fails_halfway_is_rolled_back) {
    struct server s;
    struct cg_settings next;
    start_rolling(&s, &next);
    next.worker_class = "exit3";
    s.script.first_bad_age = s.script.last_bad_age = 6;
    server_start(&s);
    for (int i = 0; i < 3; i++)
        server_expect(&s, 'R');
    server_tell(&s, SIGHUP);
    for (int i = 0; i < 2; i++)
        CG_CHECK_INT(server_expect(&s, 'R').tag, TAG_OF_RELOAD);
    for (int i = 0; i < 2; i++)
        CG_CHECK_INT(server_expect(&s, 'T').tag, 1);
    for (int i = 0; i < 2; i++)
        CG_CHECK_INT(server_expect(&s, 'R').tag, 1);
    for (int i = 0; i < 2; i++)
        CG_CHECK_INT(server_expect(&s, 'T').tag, TAG_OF_RELOAD);
    CG_CHECK_INT(server_expect(&s, 'F').age, TAG_OF_RELOAD);
    server_expect_log(&s, "Reload failed, the old workers go on: a new worker ended before");
    server_tell(&s, SIGHUP);
    for (int i = 0; i < 2; i++)
        CG_CHECK_INT(server_expect(&s, 'R').tag, TAG_OF_RELOAD);
    server_quit(&s);
}

CG_TEST(new_workers_go_on_while_the_old_generation_can_not_be_filled_up) {
    struct server s;
    struct cg_settings next;
    start_rolling(&s, &next);
    s.script.unbootable_age = 6;
    server_start(&s);
    for (int i = 0; i < 3; i++)
        server_expect(&s, 'R');
    server_tell(&s, SIGHUP);
    for (int i = 0; i < 2; i++)
        server_expect(&s, 'R');
    for (int i = 0; i < 2; i++)
        server_expect(&s, 'T');
    server_expect_log(&s, "Reload failed, the old workers go on: a new worker ended before");
    server_expect_log(&s, "Waiting 0.4 s before the next fork");
    server_tell(&s, SIGUSR1);
    for (int i = 0; i < 3; i++) /* two new ones and the old one, nobody was told to leave */
        server_expect(&s, 'U');
    server_quit(&s);
}

CG_TEST(without_a_timeout_a_stuck_boot_is_given_up_after_boot_timeout) {
    struct server s;
    server_init(&s);
    s.settings.workers = 1;
    s.settings.timeout = 0;
    struct cg_settings stuck = next_generation(&s);
    stuck.worker_class = "hang_boot";
    stuck.boot_timeout = 1;
    s.script.reloads[0] = &stuck;
    server_start(&s);
    server_expect(&s, 'R');
    server_tell(&s, SIGHUP);
    CG_CHECK_INT(server_expect(&s, 'F').age, TAG_OF_RELOAD);
    server_expect_log(&s, "WORKER TIMEOUT (pid:");
    server_expect_log(&s, "Reload failed, the old workers go on: a new worker ended before");
    server_quit(&s);
}
