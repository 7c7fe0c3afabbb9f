/* SPDX-License-Identifier: MIT
 *
 * What a driver does for its clients: whom it serves, whom it parks, whom it cuts. Everybody
 * waits for a byte, a line or the end of something, with a time limit; for a time to pass only
 * while the worker stands still.
 */
#include "server/base/clock.h"
#include "tests/unit/worker_rig.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

CG_TEST(hello_over_tcp_and_unix) {
    rig_start();
    int fds[] = {rig_connect_tcp(), rig_connect_unix()};
    for (int i = 0; i < 2; i++) {
        rig_ask(fds[i], "/");
        const char *reply = rig_hear(fds[i], NULL, 0);
        CG_CHECK(strstr(reply, "Connection: close\r\n"));
        CG_CHECK(strstr(reply, "Content-Length: 5\r\n"));
        close(fds[i]);
    }
    rig_stop();
    CG_CHECK_INT(atomic_load(&rig.slot->requests_n), 2);
    CG_CHECK_INT(rig_count_in(rig.access_path, "GET / 200\n"), 2);
    CG_CHECK_INT(rig_count_in(rig.log_path, "Worker exiting (pid: "), 1);
}

CG_TEST(silent_or_slow_client_holds_nobody) {
    rig_start();
    int silent = rig_connect_tcp(), slow = rig_connect_tcp();
    rig_say(slow, "GET / HTTP/1.1\r\nHo");
    rig_expect_service();
    rig_say(slow, "st: a\r\n\r\n");
    rig_hear_hello(slow);
    rig_ask(silent, "/");
    rig_hear_hello(silent);
    rig_stop();
}

CG_TEST(many_parked_clients_are_all_served_in_the_end) {
    int fds[50];
    rig_start();
    for (int i = 0; i < 50; i++) {
        fds[i] = i % 2 ? rig_connect_tcp() : rig_connect_unix();
        rig_say(fds[i], "GET / HTTP/1.1\r\n");
    }
    rig_expect_service();
    for (int i = 49; i >= 0; i--)
        rig_say(fds[i], "Host: a\r\n\r\n");
    for (int i = 0; i < 50; i++)
        rig_hear_hello(fds[i]);
    rig_stop();
}

CG_TEST(keep_alive_is_kept_when_set) {
    rig.settings.keepalive = 30;
    rig_start();
    int fd = rig_connect_tcp();
    for (int i = 0; i < 3; i++) {
        rig_ask(fd, "/");
        rig_hear_hello(fd);
        rig_expect_service();
    }
    rig_stop();
    rig_hear_end(fd);
}

CG_TEST(idle_keep_alive_ends_after_its_time) {
    rig.settings.keepalive = 1;
    rig_start();
    int fd = rig_connect_tcp();
    rig_ask(fd, "/");
    rig_hear_hello(fd);
    rig_hear_end(fd);
    rig_stop();
}

CG_TEST(pipelined_requests_are_all_answered_and_leave_others_a_turn) {
    rig.settings.keepalive = 30;
    rig_start();
    int fd = rig_connect_tcp();
    for (int i = 0; i < 100; i++)
        rig_ask(fd, "/");
    rig_expect_service();
    rig_hear(fd, "\r\n\r\nhello", 100);
    rig_stop();
    CG_CHECK_INT(atomic_load(&rig.slot->requests_n), 101);
}

CG_TEST(half_closed_client_gets_its_answer) {
    rig_start();
    int fd = rig_connect_tcp();
    rig_ask(fd, "/");
    shutdown(fd, SHUT_WR);
    rig_hear_hello(fd);
    rig_stop();
}

static void expect_file(bool use_sendfile) {
    rig.settings.sendfile = use_sendfile;
    rig_start();
    int fd = rig_connect_tcp();
    rig_ask(fd, "/file");
    CG_CHECK(rig_swallow(fd) > RIG_BIG_LEN);
    rig_stop();
}

CG_TEST(file_is_sent_with_sendfile) {
    expect_file(true);
}

CG_TEST(file_is_sent_without_sendfile) {
    expect_file(false);
}

/* Slow readers. */

CG_TEST(slow_reader_of_a_finished_response_is_parked) {
    rig_start();
    int fds[] = {rig_connect_tcp(), rig_connect_unix()};
    rig_ask(fds[0], "/big");
    rig_ask(fds[1], "/file");
    for (int i = 0; i < 2; i++)
        CG_CHECK(rig_readable(fds[i], RIG_PATIENCE_MS));
    rig_expect_service();
    for (int i = 0; i < 2; i++)
        CG_CHECK(rig_swallow(fds[i]) > RIG_BIG_LEN);
    rig_stop();
}

static void expect_cut(const char *path) {
    rig.settings.send_timeout = 1;
    rig_start();
    int fd = rig_connect_tcp();
    rig_ask(fd, path);
    CG_CHECK(rig_readable(fd, RIG_PATIENCE_MS));
    rig_expect_service(); /* later, but before anybody's patience ends */
    rig_await_in(rig.access_path, path);
    CG_CHECK(rig_swallow(fd) < RIG_BIG_LEN);
    rig_stop();
    CG_CHECK_INT(atomic_load(&rig.slot->requests_n), 2);
}

CG_TEST(slow_reader_in_mid_iterator_is_cut_at_send_timeout) {
    expect_cut("/drip");
}

CG_TEST(slow_reader_of_write_is_cut_at_send_timeout) {
    expect_cut("/push");
}

CG_TEST(reader_in_mid_iterator_gets_everything) {
    rig_start();
    int fd = rig_connect_tcp();
    rig_ask(fd, "/drip");
    CG_CHECK(rig_swallow(fd) > RIG_DRIPS_N * RIG_DRIP_LEN);
    rig_stop();
}

/* Timeouts. */

CG_TEST(late_head_is_answered_408) {
    rig.settings.client_header_timeout = 1;
    rig_start();
    int fd = rig_connect_tcp();
    rig_say(fd, "GET / HTTP/1.1\r\n");
    CG_CHECK(strncmp(rig_hear(fd, "\r\n\r\n", 1), "HTTP/1.1 408 ", 13) == 0);
    rig_await_log("Invalid request from ip=127.0.0.1: ");
    rig_stop();
}

CG_TEST(lingering_clients_hold_nobody) {
    enum { CLIENTS_N = 12 };
    rig_start();
    uint64_t before_ms = cg_clock_ms();
    for (int i = 0; i < CLIENTS_N; i++) { /* each keeps its end open */
        int fd = rig_connect_tcp();
        rig_say(fd, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\nunread");
        CG_CHECK(strncmp(rig_hear(fd, NULL, 0), "HTTP/1.1 400 ", 13) == 0);
        rig_expect_service();
    }
    CG_CHECK(cg_clock_ms() - before_ms < CLIENTS_N * CG_LINGER_MS / 2);
    rig_stop();
}

CG_TEST(idle_worker_beats) {
    rig.settings.timeout = 1;
    rig_start();
    uint64_t first = atomic_load(&rig.slot->beat_us), until_ms = cg_clock_ms() + RIG_PATIENCE_MS;
    while (atomic_load(&rig.slot->beat_us) == first) {
        CG_CHECK(cg_clock_ms() < until_ms);
        poll(NULL, 0, 2);
    }
    rig_stop();
}

/* Requests that came while the worker stood still: it finds that much time has passed first. */

static void freeze(void) {
    int status;
    kill(rig.server, SIGSTOP);
    CG_CHECK_INT(waitpid(rig.server, &status, WUNTRACED), rig.server);
    CG_CHECK(WIFSTOPPED(status));
}

static void thaw_after(int ms) {
    poll(NULL, 0, ms);
    kill(rig.server, SIGCONT);
}

CG_TEST(request_that_came_in_time_is_served_when_keepalive_is_over) {
    rig.settings.keepalive = 4;
    rig_start();
    int fd = rig_connect_tcp();
    rig_ask(fd, "/");
    rig_hear_hello(fd);
    freeze();
    rig_ask(fd, "/");
    thaw_after(4100);
    rig_hear_hello(fd);
    rig_hear_end(fd);
    rig_stop();
}

CG_TEST(head_that_came_in_time_is_served_when_client_header_timeout_is_over) {
    rig.settings.client_header_timeout = 4;
    rig_start();
    int fd = rig_connect_tcp();
    rig_say(fd, "GET / HTTP/1.1\r\n");
    rig_expect_service();
    freeze();
    rig_say(fd, "Host: a\r\n\r\n");
    thaw_after(4100);
    rig_hear_hello(fd);
    rig_stop();
}

CG_TEST(stopping_worker_closes_nobody_whose_request_has_come) {
    rig.settings.keepalive = 30;
    rig_start();
    int fd = rig_connect_tcp(), other;
    rig_ask(fd, "/");
    rig_hear_hello(fd);
    kill(rig.server, SIGTERM);
    while ((other = rig_try_connect_tcp()) >= 0)
        close(other);
    kill(rig.server, SIGSTOP);
    if (rig_readable(fd, 0))
        return; /* this machine is so busy that idle clients have had their time already */
    rig_ask(fd, "/");
    thaw_after(600);
    CG_CHECK(strstr(rig_hear(fd, NULL, 0), "hello"));
    CG_CHECK_INT(rig_await_exit(), 0);
}

CG_TEST(full_worker_closes_nobody_whose_request_has_come) {
    rig.settings.keepalive = 30;
    rig.settings.worker_connections = 1;
    rig_start();
    int first = rig_connect_tcp();
    rig_ask(first, "/");
    rig_hear_hello(first);
    freeze();
    int next = rig_connect_tcp();
    rig_ask(next, "/");
    rig_ask(first, "/");
    thaw_after(0);
    rig_hear_hello(first);
    rig_hear_hello(next);
    rig_stop();
}

/* Limits. */

CG_TEST(full_worker_closes_the_longest_idle) {
    rig.settings.keepalive = 30;
    rig.settings.worker_connections = 2;
    rig_start();
    int first = rig_connect_tcp(), second = rig_connect_tcp();
    rig_ask(first, "/");
    rig_hear_hello(first);
    rig_ask(second, "/");
    rig_hear_hello(second);
    rig_expect_service();
    rig_hear_end(first);
    rig_ask(second, "/");
    rig_hear_hello(second);
    rig_stop();
}

CG_TEST(full_worker_leaves_clients_in_the_queue) {
    rig.settings.worker_connections = 1;
    rig_start();
    int busy = rig_connect_tcp();
    rig_say(busy, "GET / HTTP/1.1\r\n");
    int next = rig_connect_tcp();
    rig_ask(next, "/");
    CG_CHECK(!rig_readable(next, 50));
    rig_say(busy, "Host: a\r\n\r\n");
    rig_hear_hello(busy);
    rig_hear_hello(next);
    rig_stop();
}

CG_TEST(client_waits_while_there_is_no_descriptor_for_it) {
    rig.clients_max = 1;
    rig_start();
    if (strcmp(rig.settings.worker_class, "sync") != 0)
        return; /* libuv takes as many descriptors of its own as it likes */
    int busy = rig_connect_tcp();
    rig_say(busy, "GET / HTTP/1.1\r\n");
    int next = rig_connect_tcp();
    rig_ask(next, "/");
    rig_await_log("Cannot accept clients, trying on: ");
    poll(NULL, 0, 300); /* in which it tries again and again */
    rig_say(busy, "Host: a\r\n\r\n");
    rig_hear_hello(busy);
    rig_hear_hello(next);
    rig_stop();
    /* Of a new shortage, if the machine was so busy that the last try is long ago. */
    int told_n = rig_count_in(rig.log_path, "Cannot accept clients");
    CG_CHECK(told_n >= 1 && told_n <= 5);
}
