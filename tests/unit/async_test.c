/* SPDX-License-Identifier: MIT
 *
 * What only the async driver does: the loop goes on while the application does not, exchanges move
 * between threads. What it has in common with sync is shown by the cases of sync_test.c and
 * worker_test.c, which run on both.
 */
#include "server/base/clock.h"
#include "tests/unit/worker_rig.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void start(int threads) {
    rig.settings.worker_class = "async";
    rig.settings.threads = threads;
    rig.settings.keepalive = 30;
    rig_start();
}

static void open_gate(int n) {
    while (n-- > 0)
        CG_CHECK_INT(write(rig.gate_fds[1], "", 1), 1);
}

static int enter_gate(void) {
    int fd = rig_connect_tcp();
    rig_ask(fd, "/gate");
    rig_await_byte(rig.entered_fds[0]);
    return fd;
}

CG_TEST(timeouts_go_on_while_the_only_thread_is_busy) {
    rig.settings.client_header_timeout = 1;
    start(1);
    int late = rig_connect_tcp();
    rig_say(late, "GET / HTTP/1.1\r\n");
    int busy = enter_gate();
    CG_CHECK(strncmp(rig_hear(late, "\r\n\r\n", 1), "HTTP/1.1 408 ", 13) == 0);
    open_gate(1);
    rig_hear_hello(busy);
    rig_stop();
}

CG_TEST(reading_and_writing_go_on_while_the_only_thread_is_busy) {
    start(1);
    int slow = rig_connect_tcp(), kept = rig_connect_tcp();
    rig_ask(kept, "/");
    rig_hear_hello(kept);
    rig_ask(slow, "/big");
    CG_CHECK(rig_readable(slow, RIG_PATIENCE_MS));
    int busy = enter_gate();
    for (size_t got = 0; got < RIG_BIG_LEN;) {
        static char window[64 * 1024];
        CG_CHECK(rig_readable(slow, RIG_PATIENCE_MS));
        ssize_t n = recv(slow, window, sizeof(window), 0);
        CG_CHECK(n > 0);
        got += (size_t)n;
    }
    rig_say(kept, "GET / HTTP/9.9\r\n\r\n"); /* refused without the application */
    rig_hear(kept, "HTTP/1.1 505 ", 1);
    open_gate(1);
    rig_hear_hello(busy);
    rig_stop();
}

CG_TEST(request_beside_a_busy_thread_is_served_at_once_by_another) {
    start(2);
    int busy = enter_gate();
    for (int i = 0; i < 20; i++)
        rig_expect_service();
    open_gate(1);
    rig_hear_hello(busy);
    rig_stop();
}

CG_TEST(request_waits_for_the_only_thread) {
    start(1);
    int kept = rig_connect_tcp();
    rig_ask(kept, "/");
    rig_hear_hello(kept);
    int busy = enter_gate();
    rig_ask(kept, "/");
    CG_CHECK(!rig_readable(kept, 50));
    open_gate(1);
    rig_hear_hello(busy);
    rig_hear_hello(kept);
    rig_stop();
}

CG_TEST(slow_reader_in_mid_iterator_does_not_hold_the_thread) {
    start(1);
    int slow = rig_connect_tcp();
    rig_ask(slow, "/drip");
    CG_CHECK(rig_readable(slow, RIG_PATIENCE_MS));
    for (int i = 0; i < 5; i++)
        rig_expect_service();
    CG_CHECK_INT(rig_count_in(rig.access_path, "GET /drip"), 0);
    shutdown(slow, SHUT_WR);
    CG_CHECK(rig_swallow(slow) > RIG_DRIPS_N * RIG_DRIP_LEN);
    rig_stop();
}

CG_TEST(client_that_leaves_in_mid_iterator_is_noticed) {
    start(1);
    int slow = rig_connect_tcp();
    rig_ask(slow, "/drip");
    CG_CHECK(rig_readable(slow, RIG_PATIENCE_MS));
    close(slow);
    while (rig_count_in(rig.access_path, "GET /drip") == 0)
        rig_expect_service();
    rig_stop();
}

CG_TEST(slot_shows_the_oldest_request) {
    struct cg_slot_view view;
    start(3);
    int first = enter_gate();
    int second = rig_connect_tcp();
    rig_say(second, "POST /gate HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    rig_await_byte(rig.entered_fds[0]);
    cg_slot_read(rig.slot, &view);
    CG_CHECK(strcmp(view.line, "GET /gate HTTP/1.1") == 0);
    open_gate(2);
    rig_hear_hello(first);
    rig_hear_hello(second);
    rig_stop();
    cg_slot_read(rig.slot, &view);
    CG_CHECK_INT(view.request_us, 0);
    CG_CHECK_INT(atomic_load(&rig.slot->requests_n), 2);
}

CG_TEST(pipelined_requests_are_answered_in_order) {
    start(2);
    int fd = rig_connect_tcp();
    rig_say(fd, "GET /nap HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"
                "GET /nap HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    rig_hear(fd, "\r\n\r\nhello", 3);
    rig_stop();
    CG_CHECK_INT(rig_count_in(rig.access_path, "GET /nap 200\nGET / 200\nGET /nap 200\n"), 1);
}

CG_TEST(term_finishes_what_all_threads_do) {
    start(3);
    int busy[] = {enter_gate(), enter_gate(), enter_gate()};
    kill(rig.server, SIGTERM);
    open_gate(3);
    for (int i = 0; i < 3; i++)
        CG_CHECK(strstr(rig_hear(busy[i], NULL, 0), "hello"));
    CG_CHECK_INT(rig_await_exit(), 0);
}

CG_TEST(request_that_nobody_came_to_is_declined) {
    rig.settings.graceful_timeout = 1;
    start(1);
    int kept = rig_connect_tcp();
    rig_ask(kept, "/");
    rig_hear_hello(kept);
    enter_gate();
    rig_ask(kept, "/late");
    kill(rig.server, SIGTERM);
    const char *answer = rig_hear(kept, NULL, 0);
    CG_CHECK(strncmp(answer, "HTTP/1.1 503 ", 13) == 0);
    CG_CHECK(strstr(answer, "Connection: close\r\n"));
    CG_CHECK_INT(rig_await_exit(), 0);
    CG_CHECK_INT(rig_count_in(rig.access_path, "GET /late 503\n"), 1);
}

/* `timeout` of those who get stuck: what a case does meanwhile is done by then. */
enum { STUCK_S = 3 };

/* One thread is stuck for longer than `timeout`. */
static int get_stuck(int threads) {
    rig.settings.timeout = STUCK_S;
    start(threads);
    return enter_gate();
}

CG_TEST(request_past_timeout_is_answered_logged_and_ends_the_worker) {
    int stuck = get_stuck(1);
    CG_CHECK(strncmp(rig_hear(stuck, NULL, 0), "HTTP/1.1 504 ", 13) == 0);
    CG_CHECK_INT(rig_await_exit(), 0);
    rig_await_log("[CRITICAL] WORKER TIMEOUT (pid:");
    rig_await_log("request \"GET /gate HTTP/1.1\" from 127.0.0.1 is running for ");
    rig_await_log("Stack of that thread");
    CG_CHECK_INT(rig_count_in(rig.access_path, "GET /gate 504\n"), 1);
    CG_CHECK_INT(atomic_load(&rig.slot->state), CG_SLOT_EXITING);
    CG_CHECK(atomic_load(&rig.slot->timed_out));
}

CG_TEST(other_requests_are_finished_when_one_is_past_timeout) {
    rig.settings.timeout = STUCK_S;
    start(1);
    int kept = rig_connect_tcp();
    rig_ask(kept, "/");
    rig_hear_hello(kept);
    int stuck = enter_gate();
    rig_ask(kept, "/"); /* has nobody but the thread that is stuck, and then its replacement */
    CG_CHECK(strncmp(rig_hear(stuck, NULL, 0), "HTTP/1.1 504 ", 13) == 0);
    CG_CHECK(strstr(rig_hear(kept, NULL, 0), "Connection: close\r\n"));
    CG_CHECK_INT(rig_await_exit(), 0);
    CG_CHECK_INT(rig_count_in(rig.access_path, "GET / 200\n"), 2);
}

CG_TEST(thread_that_comes_back_after_its_timeout_says_nothing_more) {
    int stuck = get_stuck(2), busy = rig_connect_tcp();
    CG_CHECK(strncmp(rig_hear(stuck, "\r\n\r\n", 1), "HTTP/1.1 504 ", 13) == 0);
    rig_say(stuck, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    open_gate(1);
    CG_CHECK(strstr(rig_hear(stuck, NULL, 0), "hello") == NULL);
    close(busy);
    CG_CHECK_INT(rig_await_exit(), 0);
    CG_CHECK_INT(rig_count_in(rig.access_path, "GET"), 1);
}

CG_TEST(response_that_has_begun_is_cut_at_timeout) {
    rig.settings.timeout = 1;
    start(2);
    int stuck = rig_connect_tcp();
    rig_ask(stuck, "/trickle");
    rig_hear(stuck, "drop", 1);
    CG_CHECK(strstr(rig_hear(stuck, NULL, 0), "0\r\n\r\n") == NULL);
    CG_CHECK_INT(rig_await_exit(), 0);
    CG_CHECK_INT(rig_count_in(rig.access_path, "GET /trickle 200\n"), 1);
}

CG_TEST(all_threads_stuck_are_all_given_up) {
    int stuck[] = {get_stuck(2), enter_gate()};
    for (int i = 0; i < 2; i++)
        CG_CHECK(strncmp(rig_hear(stuck[i], NULL, 0), "HTTP/1.1 504 ", 13) == 0);
    CG_CHECK_INT(rig_await_exit(), 0);
    CG_CHECK_INT(rig_count_in(rig.access_path, "GET /gate 504\n"), 2);
}

/* Quick and slow requests mixed, so that the baton changes hands all the time. */
static void mix(int threads, int rounds_n) {
    enum { CLIENTS_N = 24 };
    int fds[CLIENTS_N];
    start(threads);
    for (int i = 0; i < CLIENTS_N; i++)
        fds[i] = i % 2 ? rig_connect_tcp() : rig_connect_unix();
    for (int round = 0; round < rounds_n; round++) {
        for (int i = 0; i < CLIENTS_N; i++)
            rig_ask(fds[i], (i + round) % 8 == 0 ? "/nap" : "/");
        for (int i = 0; i < CLIENTS_N; i++)
            rig_hear_hello(fds[i]);
    }
    rig_stop();
    CG_CHECK_INT(atomic_load(&rig.slot->requests_n), CLIENTS_N * rounds_n);
    CG_CHECK_INT(rig_count_in(rig.access_path, " 200\n"), CLIENTS_N * rounds_n);
}

CG_TEST(mixed_load_on_one_thread_loses_nothing) {
    mix(1, 20);
}

CG_TEST(mixed_load_on_four_threads_loses_nothing) {
    mix(4, 60);
}

/* A stream: a part of its response has left, and it is not over for as long as the gate is shut. */
static int open_stream(void) {
    int fd = rig_connect_tcp();
    rig_ask(fd, "/trickle");
    rig_hear(fd, "drop", 1);
    rig_await_byte(rig.entered_fds[0]);
    return fd;
}

static void close_streams(const int *fds, int n) {
    kill(rig.server, SIGQUIT);
    CG_CHECK_INT(rig_await_exit(), 0);
    for (int i = 0; i < n; i++)
        close(fds[i]);
}

CG_TEST(streams_hold_no_thread_of_requests) {
    enum { STREAMS_N = 6 };
    int streams[STREAMS_N], busy;
    rig.settings.max_streams = STREAMS_N;
    start(2);
    for (int i = 0; i < STREAMS_N; i++)
        streams[i] = open_stream();
    busy = enter_gate();
    for (int i = 0; i < 20; i++)
        rig_expect_service();
    close(busy);
    close_streams(streams, STREAMS_N);
}

CG_TEST(threads_of_streams_do_not_serve_more_requests_than_threads) {
    int stream, busy[2], kept = -1;
    start(2);
    kept = rig_connect_tcp();
    rig_ask(kept, "/");
    rig_hear_hello(kept);
    stream = open_stream();
    busy[0] = enter_gate();
    busy[1] = enter_gate(); /* has the thread that was started for the stream */
    rig_ask(kept, "/");
    CG_CHECK(!rig_readable(kept, 600));
    open_gate(1); /* one of the three; a stream goes on with its next wait */
    for (int i = 0; !rig_readable(kept, 20); i++) {
        CG_CHECK(i < RIG_PATIENCE_MS / 20);
        open_gate(1);
    }
    rig_hear_hello(kept);
    close(busy[0]);
    close(busy[1]);
    close_streams(&stream, 1);
}

CG_TEST(streams_beyond_max_streams_let_requests_in_between_two_chunks) {
    int streams[3], kept;
    rig.settings.max_streams = 1;
    start(2);
    kept = rig_connect_tcp();
    rig_ask(kept, "/");
    rig_hear_hello(kept);
    for (int i = 0; i < 3; i++)
        streams[i] = open_stream();
    rig_ask(kept, "/");
    CG_CHECK(!rig_readable(kept, 600));
    open_gate(1);
    rig_hear_hello(kept);
    close_streams(streams, 3);
}

CG_TEST(stream_on_the_only_thread_lets_requests_in_between_two_chunks) {
    start(1);
    int stream = open_stream(), other = rig_connect_tcp();
    rig_ask(other, "/");
    CG_CHECK(!rig_readable(other, 600)); /* one thread, one call */
    open_gate(1);
    rig_hear_hello(other);
    rig_await_byte(rig.entered_fds[0]); /* and the stream goes on */
    close_streams(&stream, 1);
}

CG_TEST(stream_past_timeout_is_given_up) {
    rig.settings.timeout = STUCK_S;
    start(2);
    int stream = open_stream(), busy = enter_gate();
    rig_hear(stream, NULL, 0);
    CG_CHECK(strncmp(rig_hear(busy, NULL, 0), "HTTP/1.1 504 ", 13) == 0);
    CG_CHECK_INT(rig_await_exit(), 0);
    CG_CHECK_INT(rig_count_in(rig.access_path, "GET /trickle 200\n"), 1);
}

/* One piece of what is there; false at the end. */
static bool take_piece(int fd, size_t *total) {
    static char window[128 * 1024];
    CG_CHECK(rig_readable(fd, RIG_PATIENCE_MS));
    ssize_t n = recv(fd, window, sizeof(window), 0);
    CG_CHECK(n >= 0);
    *total += (size_t)n;
    return n > 0;
}

CG_TEST(streams_to_slow_readers_go_on_between_other_requests) {
    enum { STREAMS_N = 5 };
    int streams[STREAMS_N], going_n = STREAMS_N, kept;
    size_t totals[STREAMS_N] = {0};
    start(3);
    kept = rig_connect_tcp();
    for (int i = 0; i < STREAMS_N; i++) {
        streams[i] = rig_connect_unix();
        rig_say(streams[i], "GET /drip HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    }
    for (int round = 0; going_n > 0; round++) {
        for (int i = 0; i < STREAMS_N; i++) {
            if (streams[i] < 0 || take_piece(streams[i], &totals[i]))
                continue;
            close(streams[i]);
            streams[i] = -1;
            going_n--;
        }
        if (round % 16 != 0)
            continue;
        rig_ask(kept, "/nap");
        rig_hear_hello(kept);
    }
    for (int i = 0; i < STREAMS_N; i++)
        CG_CHECK(totals[i] > RIG_DRIPS_N * RIG_DRIP_LEN);
    rig_stop();
}

/* So many descriptors more than it has now. */
static void limit_descriptors(rlim_t more_n) {
    char path[64];
    struct rlimit limit;
    rlim_t next_fd = 0;
    for (int there = 0; there == 0; next_fd += there == 0) {
        snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)rig.server, (int)next_fd);
        struct stat st;
        there = lstat(path, &st);
    }
    CG_CHECK_INT(prlimit(rig.server, RLIMIT_NOFILE, NULL, &limit), 0);
    limit.rlim_cur = next_fd + more_n;
    CG_CHECK_INT(prlimit(rig.server, RLIMIT_NOFILE, &limit, NULL), 0);
}

/* Not of each try; of a new shortage, if the machine was so busy that the last try is long ago. */
static void check_shortage_is_told_once(void) {
    int n = rig_count_in(rig.log_path, "Cannot accept clients");
    CG_CHECK(n >= 1 && n <= 5);
}

CG_TEST(client_that_goes_makes_room_for_the_next_when_descriptors_are_short) {
    enum { CLIENTS_N = 40 };
    int fds[CLIENTS_N];
    start(2);
    rig_expect_service(); /* what libuv opens by and by is open */
    limit_descriptors(1);
    uint64_t before_ms = cg_clock_ms();
    for (int i = 0; i < CLIENTS_N; i++) {
        fds[i] = rig_connect_tcp();
        rig_say(fds[i], "GET /nap HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    }
    for (int i = 0; i < CLIENTS_N; i++)
        rig_hear(fds[i], "\r\n\r\nhello", 1);
    CG_CHECK(cg_clock_ms() - before_ms < 15000); /* and not a pause for each */
    rig_stop();
    check_shortage_is_told_once();
}
