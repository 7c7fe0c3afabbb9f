/* SPDX-License-Identifier: MIT
 *
 * How a worker boots and how it stops: signals, the arbiter's death, max_requests, and what becomes
 * of the clients then.
 */
#include "server/base/clock.h"
#include "tests/unit/worker_rig.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

CG_TEST(term_finishes_the_request_and_serves_the_queue) {
    rig_start();
    int busy = rig_connect_tcp();
    rig_ask(busy, "/gate");
    rig_await_byte(rig.entered_fds[0]);
    int queued[] = {rig_connect_tcp(), rig_connect_unix(), rig_connect_tcp()};
    for (int i = 0; i < 3; i++)
        rig_ask(queued[i], "/");
    kill(rig.server, SIGTERM);
    CG_CHECK_INT(write(rig.gate_fds[1], "", 1), 1);
    rig_hear_hello(busy);
    for (int i = 0; i < 3; i++)
        rig_hear_hello(queued[i]);
    CG_CHECK_INT(rig_await_exit(), 0);
    CG_CHECK_INT(rig_try_connect_tcp(), -ECONNREFUSED);
}

CG_TEST(term_lets_a_begun_head_finish_and_refuses_new_clients) {
    rig.settings.keepalive = 30;
    rig_start();
    int begun = rig_connect_tcp(), idle = rig_connect_tcp();
    rig_ask(idle, "/");
    rig_hear_hello(idle);
    rig_say(begun, "GET / HTTP/1.1\r\n");
    rig_expect_service(); /* so it has read what begun has sent */
    kill(rig.server, SIGTERM);
    rig_hear_end(idle);
    uint64_t until_ms = cg_clock_ms() + RIG_PATIENCE_MS;
    int late;
    while ((late = rig_try_connect_tcp()) >= 0 && cg_clock_ms() < until_ms)
        close(late);
    CG_CHECK_INT(late, -ECONNREFUSED);
    rig_say(begun, "Host: a\r\n\r\n");
    CG_CHECK(strstr(rig_hear(begun, NULL, 0), "Connection: close\r\n"));
    CG_CHECK_INT(rig_await_exit(), 0);
}

CG_TEST(graceful_stop_has_a_limit) {
    rig.settings.graceful_timeout = 1;
    rig_start();
    int begun = rig_connect_tcp();
    rig_say(begun, "GET / HTTP/1.1\r\n");
    rig_expect_service();
    rig_stop();
    CG_CHECK_INT(rig_count_in(rig.log_path, "Worker graceful timeout (pid:"), 1);
}

CG_TEST(lost_parent_ends_the_worker) {
    rig_start();
    rig_expect_service();
    close(rig.life_fds[1]);
    CG_CHECK_INT(rig_await_exit(), 0);
    CG_CHECK_INT(rig_count_in(rig.log_path, "Parent changed, shutting down: <Worker "), 1);
}

CG_TEST(max_requests_asks_for_a_successor_and_serves_on) {
    rig.settings.keepalive = 30;
    rig.settings.max_requests = 2;
    rig_start();
    int fd = rig_connect_tcp();
    rig_ask(fd, "/");
    rig_hear(fd, "hello", 1);
    CG_CHECK(!atomic_load(&rig.slot->spent));
    for (int i = 0; i < 2; i++) {
        rig_ask(fd, "/");
        CG_CHECK(!strstr(rig_hear(fd, "hello", 1), "Connection: close"));
        CG_CHECK(atomic_load(&rig.slot->spent));
    }
    CG_CHECK_INT(rig_count_in(rig.log_path, "Autorestarting worker after current request."), 1);
    rig_stop();
}

CG_TEST(who_is_relieved_leaves_the_queue_to_others) {
    rig_start();
    int busy = rig_connect_tcp();
    rig_ask(busy, "/gate");
    rig_await_byte(rig.entered_fds[0]);
    int queued[] = {rig_connect_tcp(), rig_connect_tcp(), rig_connect_tcp()};
    for (int i = 0; i < 3; i++)
        rig_ask(queued[i], "/");
    atomic_store(&rig.slot->relieved, true);
    kill(rig.server, SIGTERM);
    CG_CHECK_INT(write(rig.gate_fds[1], "", 1), 1);
    rig_hear_hello(busy);
    CG_CHECK_INT(rig_await_exit(), 0);
    /* The sync worker takes one that it may have been woken for; others may have accepted before.
     */
    if (strcmp(rig.settings.worker_class, "sync") == 0)
        CG_CHECK(atomic_load(&rig.slot->requests_n) <= 2);
}

CG_TEST(quit_breaks_off_the_application) {
    rig_start();
    int fd = rig_connect_tcp();
    rig_ask(fd, "/gate");
    rig_await_byte(rig.entered_fds[0]);
    kill(rig.server, SIGQUIT);
    CG_CHECK_INT(rig_await_exit(), 0);
    rig_hear_end(fd);
}

CG_TEST(quit_breaks_off_a_wait_for_a_slow_reader) {
    rig_start();
    int fd = rig_connect_tcp();
    rig_ask(fd, "/drip");
    CG_CHECK(rig_readable(fd, RIG_PATIENCE_MS));
    kill(rig.server, SIGINT);
    CG_CHECK_INT(rig_await_exit(), 0);
}

CG_TEST(signals_for_the_arbiter_do_not_end_the_worker) {
    static const int numbers[] = {SIGHUP, SIGUSR2, SIGWINCH, SIGTTIN, SIGTTOU};
    rig_start();
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        kill(rig.server, numbers[i]);
        rig_expect_service();
    }
    rig_stop();
}

CG_TEST(usr1_reopens_the_logs) {
    rig_start();
    CG_CHECK_INT(unlink(rig.access_path), 0);
    kill(rig.server, SIGUSR1);
    uint64_t until_ms = cg_clock_ms() + RIG_PATIENCE_MS;
    while (access(rig.access_path, F_OK) != 0) {
        CG_CHECK(cg_clock_ms() < until_ms);
        poll(NULL, 0, 2);
    }
    rig_expect_service();
    rig_stop();
    CG_CHECK_INT(rig_count_in(rig.access_path, "GET / 200\n"), 1);
}

CG_TEST(failed_boot_is_the_exit_code) {
    rig.boot_code = CG_EXIT_APP_LOAD;
    rig_start();
    CG_CHECK_INT(rig_await_exit(), CG_EXIT_APP_LOAD);
}
