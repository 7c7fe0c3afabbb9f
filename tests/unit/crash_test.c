/* SPDX-License-Identifier: MIT
 *
 * Workers that die, hang or do not boot: what the arbiter does about it, and what the log says.
 */
#include "tests/unit/server.h"

#include "server/base/clock.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

CG_TEST(a_worker_killed_by_somebody_is_replaced_at_once) {
    struct server s;
    char line[64];
    server_init(&s);
    s.settings.workers = 1;
    server_start(&s);
    for (int age = 1; age <= 5; age++) {
        struct report r = server_expect(&s, 'R');
        CG_CHECK_INT(r.age, age);
        kill(r.pid, SIGKILL);
        snprintf(line, sizeof(line), "Worker (pid:%d) was sent SIGKILL!", (int)r.pid);
        server_expect_log(&s, line);
    }
    server_expect(&s, 'R');
    CG_CHECK(!server_logged(&s, "Waiting "));
    server_quit(&s);
}

CG_TEST(a_crash_names_the_signal_and_the_request) {
    struct server s;
    server_init(&s);
    s.settings.workers = 1;
    s.settings.worker_class = "crash";
    s.script.last_bad_age = 1;
    server_start(&s);
    CG_CHECK_INT(server_expect(&s, 'R').age, 2);
    server_expect_log(&s,
                      "was sent SIGSEGV! Last sign: request \"GET /x HTTP/1.1\" from 127.0.0.1 is "
                      "running for ");
    server_expect_log(&s, "lost \"GET /x HTTP/1.1\" of 127.0.0.1: 500");
    server_quit(&s);
}

CG_TEST(a_crash_loop_is_slowed_down_and_recovers) {
    struct server s;
    server_init(&s);
    s.settings.workers = 1;
    s.settings.worker_class = "exit1";
    s.script.last_bad_age = 4;
    server_start(&s);
    CG_CHECK_INT(server_expect(&s, 'R').age, 5);
    server_expect_log(&s, "exited with code 1.");
    server_expect_log(&s,
                      "Waiting 0.1 s before the next fork: workers died early 2 times in a row");
    server_expect_log(&s,
                      "Waiting 0.4 s before the next fork: workers died early 4 times in a row");
    server_quit(&s);
}

static void check_boot_failure(const char *how, int code, const char *reason) {
    struct server s;
    server_init(&s);
    s.settings.worker_class = how;
    server_start(&s);
    CG_CHECK_INT(server_expect(&s, 'E').age, code);
    CG_CHECK_INT(server_wait(&s), code);
    server_expect_log(&s, "Shutting down: Master");
    server_expect_log(&s, reason);
    server_done(&s);
}

CG_TEST(a_worker_that_can_not_boot_ends_a_server_that_never_served) {
    check_boot_failure("exit3", 3, "[ERROR] Reason: Worker failed to boot.");
}

CG_TEST(an_app_that_can_not_load_ends_a_server_that_never_served) {
    check_boot_failure("exit4", 4, "[ERROR] Reason: App failed to load.");
}

CG_TEST(a_boot_failure_later_is_tried_again) {
    struct server s;
    server_init(&s);
    s.settings.workers = 1;
    s.settings.worker_class = "exit3";
    s.script.first_bad_age = 2;
    s.script.last_bad_age = 3;
    server_start(&s);
    pid_t first = server_expect(&s, 'R').pid;
    kill(first, SIGUSR1); /* which it hears of once its slot says that it is ready */
    server_expect(&s, 'U');
    kill(first, SIGKILL);
    CG_CHECK_INT(server_expect(&s, 'R').age, 4);
    server_expect_log(&s, "exited with code 3.");
    server_expect_log(&s, "Waiting 0.1 s");
    CG_CHECK(!server_logged(&s, "Reason:"));
    server_quit(&s);
}

CG_TEST(a_request_past_the_timeout_is_named_and_its_worker_killed) {
    struct server s;
    server_init(&s);
    s.settings.workers = 1;
    s.settings.timeout = 1;
    s.settings.worker_class = "hang";
    s.script.last_bad_age = 1;
    server_start(&s);
    CG_CHECK_INT(server_expect(&s, 'R').age, 2);
    server_expect_log(&s, "[CRITICAL] WORKER TIMEOUT (pid:");
    server_expect_log(&s, "): request \"GET /x HTTP/1.1\" from 127.0.0.1 is running for ");
    server_expect_log(&s, "did not end in time, sending it SIGKILL: request");
    server_expect_log(&s, "was ended for its timeout: SIGKILL.");
    server_expect_log(&s, "lost \"GET /x HTTP/1.1\" of 127.0.0.1: 504");
    server_quit(&s);
}

CG_TEST(boot_timeout_bounds_booting) {
    struct server s;
    server_init(&s);
    s.settings.workers = 1;
    s.settings.boot_timeout = 1;
    s.settings.worker_class = "hang_boot";
    s.script.last_bad_age = 1;
    server_start(&s);
    CG_CHECK_INT(server_expect(&s, 'R').age, 2);
    server_expect_log(&s, "): while booting");
    server_quit(&s);
}

CG_TEST(a_machine_that_stood_still_kills_nobody) {
    struct server s;
    server_init(&s);
    s.settings.timeout = 1;
    server_start(&s);
    pid_t workers[] = {server_expect(&s, 'R').pid, server_expect(&s, 'R').pid};
    uint64_t began_ms = cg_clock_ms();
    for (int i = 0; i < 2; i++)
        kill(workers[i], SIGSTOP);
    server_tell(&s, SIGSTOP);
    uint64_t stood_ms = cg_clock_ms();
    poll(NULL, 0, 2500); /* longer than the timeout and the arbiter's longest sleep */
    stood_ms = cg_clock_ms() - stood_ms;
    server_tell(&s, SIGTTIN); /* taken when it goes on, */
    server_tell(&s, SIGCONT);
    server_expect(&s, 'R'); /* so it has looked at the workers since */
    bool is_fair = cg_clock_ms() - began_ms - stood_ms < 500;
    if (is_fair) /* else the workers alone stood still for too long */
        CG_CHECK(!server_logged(&s, "WORKER TIMEOUT"));
    for (int i = 0; i < 2; i++)
        kill(workers[i], SIGCONT);
    server_quit(&s);
}

static void leave_a_stranger(void) {
    if (fork() == 0)
        _exit(7);
}

CG_TEST(children_that_are_no_workers_are_reaped) {
    struct server s;
    server_init(&s);
    s.script.prepare = leave_a_stranger;
    server_start(&s);
    server_expect_log(&s, "Reaped unknown child process");
    server_quit(&s);
}
