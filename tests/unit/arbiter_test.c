/* SPDX-License-Identifier: MIT
 *
 * Starting, stopping and signals of the whole arbiter, with real forks.
 */
#include "tests/unit/server.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* Starting and stopping. */

CG_TEST(workers_serve_until_term_lets_them_finish) {
    struct server s;
    char listening[200];
    server_init(&s);
    server_start(&s);
    struct report first = server_expect(&s, 'R'), second = server_expect(&s, 'R');
    CG_CHECK_INT(first.age + second.age, 3);
    CG_CHECK(server_connects(s.address));
    snprintf(listening, sizeof(listening), "Listening at: %s (%d)", s.address, (int)s.pid);
    server_expect_log(&s, "Starting cgunicorn ");
    server_expect_log(&s, listening);
    server_expect_log(&s, "Using worker: serve");
    server_expect_log(&s, "Booting worker with pid: ");
    server_tell(&s, SIGTERM);
    server_expect(&s, 'T');
    server_expect(&s, 'T');
    CG_CHECK_INT(server_expect(&s, 'E').age, 0);
    CG_CHECK_INT(server_wait(&s), 0);
    server_expect_log(&s, "Handling signal: term");
    server_expect_log(&s, "Shutting down: Master");
    CG_CHECK(!server_connects(s.address));
    server_done(&s);
}

CG_TEST(int_stops_at_once) {
    struct server s;
    server_init(&s);
    s.settings.workers = 1;
    s.settings.worker_class = "stubborn";
    server_start(&s);
    server_expect(&s, 'R');
    server_tell(&s, SIGINT);
    server_expect(&s, 'Q');
    server_expect(&s, 'E');
    CG_CHECK_INT(server_wait(&s), 0);
    CG_CHECK(!server_logged(&s, "Quick shutdown requested"));
    server_done(&s);
}

static void check_hurry(int number) {
    struct server s;
    server_init(&s);
    s.settings.workers = 1;
    s.settings.worker_class = "stubborn";
    server_start(&s);
    server_expect(&s, 'R');
    server_tell(&s, SIGTERM);
    server_expect(&s, 'T');
    server_tell(&s, number);
    server_expect(&s, 'Q');
    CG_CHECK_INT(server_wait(&s), 0);
    server_expect_log(&s, "Quick shutdown requested");
    server_done(&s);
}

CG_TEST(a_second_term_hurries) {
    check_hurry(SIGTERM);
}

CG_TEST(int_during_a_graceful_stop_hurries) {
    check_hurry(SIGINT);
}

CG_TEST(a_worker_that_does_not_finish_is_killed_after_graceful_timeout) {
    struct server s;
    server_init(&s);
    s.settings.workers = 1;
    s.settings.worker_class = "stubborn";
    s.settings.graceful_timeout = 1;
    server_start(&s);
    server_expect(&s, 'R');
    server_tell(&s, SIGTERM);
    server_expect(&s, 'T');
    server_expect(&s, 'E');
    CG_CHECK_INT(server_wait(&s), 0);
    server_expect_log(&s, "did not end in time, sending it SIGKILL: idle");
    server_expect_log(&s, "was sent SIGKILL by the arbiter");
    server_done(&s);
}

CG_TEST(workers_leave_when_their_arbiter_is_killed) {
    struct server s;
    server_init(&s);
    server_start(&s);
    server_expect(&s, 'R');
    server_expect(&s, 'R');
    server_tell(&s, SIGKILL);
    server_expect(&s, 'L');
    server_expect(&s, 'L');
    CG_CHECK_INT(waitpid(s.pid, NULL, 0), s.pid);
    server_done(&s);
}

/* Addresses. */

static int occupied_fd;

static void occupy(const char *text) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", text + 5);
    occupied_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CG_CHECK_INT(bind(occupied_fd, (struct sockaddr *)&address, sizeof(address)), 0);
    CG_CHECK_INT(listen(occupied_fd, 100), 0);
}

/* In the server too, else the address stays in use by itself. */
static void leave(void) {
    close(occupied_fd);
}

CG_TEST(an_address_in_use_is_tried_until_it_is_free) {
    struct server s;
    server_init(&s);
    occupy(s.address);
    s.script.prepare = leave;
    server_start(&s);
    server_expect_log(&s, "Connection in use: /tmp/cg-arbiter-");
    server_expect_log(&s, "failed: [Errno ");
    leave();
    server_expect(&s, 'R');
    server_quit(&s);
}

CG_TEST(an_address_in_use_for_too_long_is_exit_code_1) {
    struct server s;
    server_init(&s);
    occupy(s.address);
    s.script.prepare = leave;
    server_start(&s);
    CG_CHECK_INT(server_wait(&s), 1);
    server_expect_log(&s, "Can't connect to /tmp/cg-arbiter-");
    leave();
    server_done(&s);
}

CG_TEST(term_is_heard_while_an_address_is_waited_for) {
    struct server s;
    server_init(&s);
    occupy(s.address);
    s.script.prepare = leave;
    server_start(&s);
    server_expect_log(&s, "Connection in use: ");
    server_tell(&s, SIGHUP);
    server_expect_log(&s, "Handling signal: hup");
    server_tell(&s, SIGTERM);
    CG_CHECK_INT(server_wait(&s), 0);
    leave();
    server_done(&s);
}

CG_TEST(an_address_that_can_not_be_had_is_one_sentence_and_exit_code_1) {
    struct server s;
    server_init(&s);
    close(open(s.address + 5, O_CREAT | O_WRONLY, 0600));
    server_start(&s);
    CG_CHECK_INT(server_wait(&s), 1);
    server_expect_log(&s, "[ERROR] Can't listen at /tmp/cg-arbiter-");
    server_done(&s);
}

/* Signals. */

CG_TEST(ttin_adds_a_worker_and_ttou_takes_the_oldest) {
    struct server s;
    server_init(&s);
    server_start(&s);
    server_expect(&s, 'R');
    server_expect(&s, 'R');
    server_tell(&s, SIGTTIN);
    CG_CHECK_INT(server_expect(&s, 'R').age, 3);
    server_tell(&s, SIGTTOU);
    CG_CHECK_INT(server_expect(&s, 'T').age, 1);
    server_tell(&s, SIGTTOU);
    CG_CHECK_INT(server_expect(&s, 'T').age, 2);
    server_tell(&s, SIGTTOU);
    server_tell(&s, SIGWINCH);
    server_expect_log(&s, "Handling signal: winch");
    server_tell(&s, SIGTTIN);
    CG_CHECK_INT(server_expect(&s, 'R').age, 4);
    server_quit(&s);
}

CG_TEST(usr1_reopens_the_log_and_reaches_the_workers) {
    struct server s;
    char moved[128];
    server_init(&s);
    s.settings.workers = 1;
    server_start(&s);
    server_expect(&s, 'R');
    snprintf(moved, sizeof(moved), "%s.old", s.log_path);
    CG_CHECK_INT(rename(s.log_path, moved), 0);
    server_tell(&s, SIGUSR1);
    server_expect(&s, 'U');
    CG_CHECK_INT(access(s.log_path, F_OK), 0);
    server_quit(&s);
}
