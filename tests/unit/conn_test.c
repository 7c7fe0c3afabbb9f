/* SPDX-License-Identifier: MIT
 *
 * The connection: requests in every cut, keep-alive and pipelining, faults, timeouts, and how it
 * closes. What an application may do is in exchange_test.c.
 */
#include "tests/unit/memory_transport.h"
#include "tests/unit/test.h"

#define GET "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
#define HELLO_1_1 "HTTP/1.1 200 OK\r\n" MT_KEEP "Content-Length: 5\r\nX-App: y\r\n\r\nhello"
#define HELLO_CLOSE "HTTP/1.1 200 OK\r\n" MT_CLOSE "Content-Length: 5\r\nX-App: y\r\n\r\nhello"

static const struct fake_script hello = {
    .status = "200 OK", .fields = {{"X-App", "y"}}, .chunks = {"hello"}, .knows_last = true};
static const struct fake_script echo = {.status = "200 OK", .echoes = true};

CG_TEST(a_request_gets_its_response_and_the_connection_stays) {
    MT_TRY(.script = &hello, .input = CG_SLICE(GET), .want = CG_SLICE(HELLO_1_1), .exchanges_n = 1);
}

CG_TEST(an_idle_client_that_leaves_is_closed_quietly) {
    MT_TRY(.script = &hello, .has_eof = true, .closed = true);
    MT_TRY(.script = &hello, .input = CG_SLICE(GET), .want = CG_SLICE(HELLO_1_1), .has_eof = true,
           .closed = true, .exchanges_n = 1);
    MT_TRY(.script = &hello, .input = CG_SLICE("\r\n"), .has_eof = true, .closed = true);
    MT_TRY(.script = &hello, .input = CG_SLICE("\r\n\r\n\r"), .has_eof = true, .closed = true);
}

CG_TEST(three_pipelined_requests_get_three_responses_in_order) {
    MT_TRY(.script = &echo,
           .input = CG_SLICE("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\none"
                             "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                             "1\r\nt\r\n2\r\nwo\r\n0\r\n\r\n"
                             "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nthree" GET),
           .want = CG_SLICE("HTTP/1.1 200 OK\r\n" MT_KEEP "Content-Length: 3\r\n\r\none"
                            "HTTP/1.1 200 OK\r\n" MT_KEEP "Content-Length: 3\r\n\r\ntwo"
                            "HTTP/1.1 200 OK\r\n" MT_KEEP "Content-Length: 5\r\n\r\nthree"
                            "HTTP/1.1 200 OK\r\n" MT_KEEP "Content-Length: 0\r\n\r\n"),
           .exchanges_n = 4);
}

CG_TEST(pipelined_requests_are_served_without_another_read) {
    struct memory_transport t;
    mt_open(&t, &hello, NULL);
    mt_feed(&t, CG_SLICE(GET GET GET "GET /unfinished"));
    CG_CHECK_INT(t.app.end_n, 3);
    CG_CHECK_INT(t.http.requests_n, 3);
    CG_CHECK_SLICE(cg_slice_str(cg_conn_doing(t.conn)), "reading the request head");
    mt_feed(&t, CG_SLICE(" HTTP/1.1\r\nHost: x\r\n\r\n"));
    CG_CHECK_INT(t.app.end_n, 4);
    CG_CHECK(cg_conn_idle(t.conn));
    mt_close(&t);
}

CG_TEST(a_half_closed_client_still_gets_its_responses) {
    struct memory_transport t;
    mt_open(&t, &hello, NULL);
    t.input = CG_SLICE(GET GET);
    mt_step(&t, 1);
    CG_CHECK(cg_conn_wants(t.conn) == CG_WANT_APP);
    mt_eof(&t);
    CG_CHECK_SLICE(cg_buf_slice(&t.sent), HELLO_1_1 HELLO_1_1);
    CG_CHECK(t.closed && !t.shut);
    mt_close(&t);
}

CG_TEST(many_pipelined_bytes_move_to_the_front_of_the_buffer) {
    enum { REQUESTS_N = 3000 };
    struct memory_transport t;
    struct cg_buf all = CG_BUF_INIT;
    for (int i = 0; i < REQUESTS_N; i++)
        CG_CHECK_INT(cg_buf_append(&all, CG_SLICE(GET)), 0);
    mt_open(&t, &hello, NULL);
    mt_feed(&t, cg_buf_slice(&all));
    CG_CHECK_INT(t.app.end_n, REQUESTS_N);
    CG_CHECK(cg_conn_idle(t.conn));
    mt_close(&t);
    cg_buf_done(&all);
}

CG_TEST(a_long_head_grows_the_buffer) {
    struct memory_transport t;
    struct cg_buf all = CG_BUF_INIT;
    CG_CHECK_INT(cg_buf_append(&all, CG_SLICE("GET / HTTP/1.1\r\nHost: x\r\n")), 0);
    for (int i = 0; i < 60; i++)
        CG_CHECK_INT(cg_buf_appendf(&all, "X-%d: %01000d\r\n", i, i), 0);
    CG_CHECK_INT(cg_buf_append(&all, CG_SLICE("\r\n" GET)), 0);
    for (int reads = MT_WHOLE; reads <= MT_RANDOM; reads++) {
        mt_open(&t, &hello, NULL);
        t.reads = (enum mt_cut)reads;
        mt_feed(&t, cg_buf_slice(&all));
        CG_CHECK_SLICE(cg_buf_slice(&t.sent), HELLO_1_1 HELLO_1_1);
        mt_close(&t);
    }
    cg_buf_done(&all);
}

CG_TEST(connection_close_and_1_0_end_the_connection) {
    MT_TRY(.script = &hello,
           .input = CG_SLICE("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
           .want = CG_SLICE(HELLO_CLOSE), .closed = true, .exchanges_n = 1);
    MT_TRY(.script = &hello, .input = CG_SLICE("GET / HTTP/1.0\r\n\r\n"),
           .want = CG_SLICE("HTTP/1.0 200 OK\r\n" MT_CLOSE
                            "Content-Length: 5\r\nX-App: y\r\n\r\nhello"),
           .closed = true, .exchanges_n = 1);
}

CG_TEST(http_1_0_keeps_alive_when_asked_and_says_so) {
    MT_TRY(.script = &hello, .input = CG_SLICE("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
           .want =
               CG_SLICE("HTTP/1.0 200 OK\r\n" MT_KEEP "Content-Length: 5\r\nX-App: y\r\n\r\nhello"),
           .exchanges_n = 1);
}

CG_TEST(no_keep_alive_when_the_setting_is_off) {
    struct cg_settings settings = mt_default_settings();
    settings.keepalive = 0;
    MT_TRY(.script = &hello, .settings = &settings, .input = CG_SLICE(GET),
           .want = CG_SLICE(HELLO_CLOSE), .closed = true, .exchanges_n = 1);
}

CG_TEST(no_keep_alive_while_draining) {
    struct memory_transport t;
    mt_open(&t, &hello, NULL);
    t.http.draining = true;
    mt_feed(&t, CG_SLICE(GET));
    CG_CHECK_SLICE(cg_buf_slice(&t.sent), HELLO_CLOSE);
    CG_CHECK(t.closed && !t.shut);
    mt_close(&t);
}

CG_TEST(pipelined_bytes_behind_the_last_response_make_it_linger) {
    struct memory_transport t;
    mt_open(&t, &hello, NULL);
    mt_feed(&t, CG_SLICE("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" GET));
    CG_CHECK_SLICE(cg_buf_slice(&t.sent), HELLO_CLOSE);
    CG_CHECK(t.shut && !t.closed);
    mt_eof(&t);
    CG_CHECK(t.closed);
    mt_close(&t);
}

#define EXPECT_HEAD                                                                                \
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
#define ECHO_4 "HTTP/1.1 200 OK\r\n" MT_KEEP "Content-Length: 4\r\n\r\nbody"

CG_TEST(a_waiting_client_is_told_to_continue_once) {
    struct memory_transport t;
    for (int writes = MT_WHOLE; writes <= MT_RANDOM; writes++) {
        mt_open(&t, &echo, NULL);
        t.writes = (enum mt_cut)writes;
        mt_feed(&t, CG_SLICE(EXPECT_HEAD));
        CG_CHECK_SLICE(cg_buf_slice(&t.sent), "HTTP/1.1 100 Continue\r\n\r\n");
        CG_CHECK_INT(t.app.begin_n, 0);
        mt_feed(&t, CG_SLICE("bo"));
        mt_feed(&t, CG_SLICE("dy"));
        CG_CHECK_SLICE(cg_buf_slice(&t.sent), "HTTP/1.1 100 Continue\r\n\r\n" ECHO_4);
        mt_close(&t);
    }
}

CG_TEST(a_client_that_does_not_wait_is_not_told_to_continue) {
    struct memory_transport t;
    mt_open(&t, &echo, NULL);
    mt_feed(&t, CG_SLICE(EXPECT_HEAD "b"));
    mt_feed(&t, CG_SLICE("ody"));
    CG_CHECK_SLICE(cg_buf_slice(&t.sent), ECHO_4);
    mt_close(&t);
}

/* A POST of n bytes in this framing and the next request behind it. */
static struct cg_buf big_request(size_t n, bool chunked) {
    struct cg_buf all = CG_BUF_INIT;
    cg_buf_appendf(&all, "POST / HTTP/1.1\r\nHost: x\r\n");
    if (chunked)
        cg_buf_appendf(&all, "Transfer-Encoding: chunked\r\n\r\n");
    else
        cg_buf_appendf(&all, "Content-Length: %zu\r\n\r\n", n);
    for (size_t i = 0; i < n; i++) {
        if (chunked && i % 1000 == 0)
            cg_buf_appendf(&all, "%s%zx\r\n", i ? "\r\n" : "", n - i < 1000 ? n - i : 1000);
        cg_buf_append_char(&all, (char)('a' + i % 23));
    }
    if (chunked)
        cg_buf_appendf(&all, "\r\n0\r\n\r\n");
    cg_buf_appendf(&all, "GET /next HTTP/1.1\r\nHost: x\r\n\r\n");
    return all;
}

static void check_big_body(bool chunked, enum mt_cut reads, int64_t memory) {
    enum { BODY_LEN = 150000 };
    struct memory_transport t;
    struct cg_settings settings = mt_default_settings();
    settings.client_body_buffer_size = memory;
    struct cg_buf all = big_request(BODY_LEN, chunked);
    mt_open(&t, &echo, &settings);
    t.reads = reads;
    mt_feed(&t, cg_buf_slice(&all));
    CG_CHECK_INT(t.app.end_n, 2);
    struct cg_slice want = CG_SLICE("HTTP/1.1 200 OK\r\n" MT_KEEP "Content-Length: 150000\r\n\r\n");
    CG_CHECK(t.sent.len > want.len + BODY_LEN);
    cg_test_check_slice(__FILE__, __LINE__, cg_slice_of(t.sent.at, want.len), want);
    for (size_t i = 0; i < BODY_LEN; i++)
        CG_CHECK_INT(t.sent.at[want.len + i], 'a' + i % 23);
    mt_close(&t);
    cg_buf_done(&all);
}

CG_TEST(large_bodies_arrive_in_memory_and_in_a_file) {
    for (int reads = MT_WHOLE; reads <= MT_RANDOM; reads++) {
        check_big_body(false, (enum mt_cut)reads, 1024 * 1024);
        check_big_body(false, (enum mt_cut)reads, 1000);
        check_big_body(true, (enum mt_cut)reads, 1024 * 1024);
        check_big_body(true, (enum mt_cut)reads, 1000);
    }
}

CG_TEST(a_fault_in_the_head_gets_its_page_and_a_line_in_the_log) {
    MT_TRY(.script = &hello, .input = CG_SLICE("GET / HTTP/1.1\nHost: x\n\n"),
           .want = CG_SLICE(MT_PAGE("400", "Bad Request", "146", "Line does not end in CRLF")),
           .shut = true,
           .reports = "WARNING Invalid request from ip=192.0.2.1: Line does not end in CRLF\n");
    MT_TRY(.script = &hello, .input = CG_SLICE("GET / HTTP/3.0\r\nHost: x\r\n\r\n" GET),
           .want = CG_SLICE(MT_PAGE("505", "HTTP Version Not Supported", "180",
                                    "HTTP version is not supported")),
           .shut = true,
           .reports = "WARNING Invalid request from ip=192.0.2.1: HTTP version is not supported\n");
}

CG_TEST(a_fault_in_the_body_is_answered_before_the_application_is_asked) {
    MT_TRY(.script = &hello,
           .input =
               CG_SLICE("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
           .want = CG_SLICE(MT_PAGE("400", "Bad Request", "139", "Invalid chunk size")),
           .shut = true,
           .reports = "WARNING Invalid request from ip=192.0.2.1: Invalid chunk size\n");
}

CG_TEST(a_fault_after_a_good_request_is_answered_behind_it) {
    MT_TRY(.script = &hello, .input = CG_SLICE(GET "BAD\r\n\r\n"), .has_eof = true,
           .want = CG_SLICE(HELLO_1_1 MT_PAGE("400", "Bad Request", "141", "Invalid request line")),
           .shut = true, .closed = true, .exchanges_n = 1,
           .reports = "WARNING Invalid request from ip=192.0.2.1: Invalid request line\n");
}

CG_TEST(a_body_over_the_limit_is_refused) {
    struct cg_settings settings = mt_default_settings();
    settings.limit_request_body = 3;
    MT_TRY(.script = &echo, .settings = &settings,
           .input = CG_SLICE("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"),
           .want = CG_SLICE(MT_PAGE("413", "Content Too Large", "171",
                                    "Body is larger than limit_request_body")),
           .shut = true,
           .reports = "WARNING Invalid request from ip=192.0.2.1: "
                      "Body is larger than limit_request_body\n");
}

CG_TEST(an_end_inside_a_request_is_answered) {
    const char *report = "DEBUG Ignored premature client disconnection. "
                         "Connection ended inside a request, from ip=192.0.2.1\n";
#define INCOMPLETE MT_PAGE("400", "Bad Request", "154", "Connection ended inside a request")
    MT_TRY(.script = &hello, .input = CG_SLICE("GET / HT"), .has_eof = true,
           .want = CG_SLICE(INCOMPLETE), .closed = true, .reports = report);
    MT_TRY(.script = &hello,
           .input = CG_SLICE("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbo"),
           .has_eof = true, .want = CG_SLICE(INCOMPLETE), .closed = true, .reports = report);
}

CG_TEST(lingering_is_bounded_in_bytes_and_time) {
    static char junk[CG_LINGER_BYTES + 1];
    struct memory_transport t;
    memset(junk, 'x', sizeof(junk));
    mt_open(&t, &hello, NULL);
    mt_feed(&t, CG_SLICE("\x16\x03 BAD\r\n"));
    CG_CHECK(t.shut && !t.closed);
    mt_feed(&t, cg_slice_of(junk, CG_LINGER_BYTES));
    CG_CHECK(!t.closed);
    mt_feed(&t, CG_SLICE("x"));
    CG_CHECK(t.closed);
    mt_close(&t);

    mt_open(&t, &hello, NULL);
    mt_feed(&t, CG_SLICE("\x16\x03 BAD\r\n"));
    CG_CHECK_INT(cg_conn_deadline_us(t.conn), t.http.now_us + CG_LINGER_MS * 1000);
    t.http.now_us += 1000;
    mt_feed(&t, CG_SLICE("x"));
    CG_CHECK_INT(cg_conn_deadline_us(t.conn), t.http.now_us - 1000 + CG_LINGER_MS * 1000);
    cg_conn_expire(t.conn);
    CG_CHECK(cg_conn_wants(t.conn) == CG_WANT_CLOSE);
    mt_close(&t);
}

static const struct cg_settings *distinct_timeouts(void) {
    static struct cg_settings settings;
    settings = mt_default_settings();
    settings.keepalive = 1;
    settings.client_header_timeout = 2;
    settings.client_body_timeout = 3;
    settings.send_timeout = 4;
    return &settings;
}

static void check_timeout(struct memory_transport *t, int64_t seconds) {
    CG_CHECK_INT(cg_conn_deadline_us(t->conn), (int64_t)t->http.now_us + seconds * 1000000);
}

CG_TEST(an_idle_connection_times_out_quietly) {
    struct memory_transport t;
    mt_open(&t, &hello, distinct_timeouts());
    check_timeout(&t, 2);
    mt_feed(&t, CG_SLICE(GET));
    check_timeout(&t, 1);
    t.sent.len = 0;
    cg_conn_expire(t.conn);
    CG_CHECK(cg_conn_wants(t.conn) == CG_WANT_CLOSE);
    CG_CHECK_INT(t.sent.len + t.reports.len, 0);
    mt_close(&t);
}

CG_TEST(a_head_has_its_time_from_the_first_byte_on_and_408_then) {
    struct memory_transport t;
    mt_open(&t, &hello, distinct_timeouts());
    t.http.now_us += 500000;
    mt_feed(&t, CG_SLICE("G"));
    check_timeout(&t, 2);
    t.http.now_us += 500000;
    mt_feed(&t, CG_SLICE("ET / HTTP/1.1\r\n"));
    CG_CHECK_INT(cg_conn_deadline_us(t.conn), t.http.now_us + 1500000);
    cg_conn_expire(t.conn);
    mt_step(&t, 100);
    CG_CHECK_SLICE(cg_buf_slice(&t.sent),
                   MT_PAGE("408", "Request Timeout", "185",
                           "Request head did not arrive within client_header_timeout"));
    CG_CHECK_SLICE(cg_buf_slice(&t.reports),
                   "WARNING Invalid request from ip=192.0.2.1: "
                   "Request head did not arrive within client_header_timeout\n");
    CG_CHECK(t.shut);
    mt_close(&t);
}

CG_TEST(empty_lines_behind_a_request_leave_the_connection_idle) {
    const struct cg_slice posts[] = {
        CG_SLICE("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nb\r"),
        CG_SLICE("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nb\r\n"),
        CG_SLICE("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nb\r\n\r\n")};
    for (size_t i = 0; i < sizeof(posts) / sizeof(posts[0]); i++) {
        struct memory_transport t;
        mt_open(&t, &hello, NULL);
        mt_feed(&t, posts[i]);
        CG_CHECK_SLICE(cg_buf_slice(&t.sent), HELLO_1_1);
        CG_CHECK(cg_conn_idle(t.conn));
        cg_conn_trim(t.conn);
        cg_conn_expire(t.conn);
        CG_CHECK(cg_conn_wants(t.conn) == CG_WANT_CLOSE);
        CG_CHECK_SLICE(cg_buf_slice(&t.sent), HELLO_1_1);
        CG_CHECK_INT(t.reports.len, 0);
        mt_close(&t);
    }
}

CG_TEST(a_body_has_its_time_from_the_last_byte_on_and_408_then) {
    struct memory_transport t;
    mt_open(&t, &hello, distinct_timeouts());
    mt_feed(&t, CG_SLICE("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nb"));
    check_timeout(&t, 3);
    t.http.now_us += 500000;
    mt_feed(&t, CG_SLICE("o"));
    check_timeout(&t, 3);
    cg_conn_expire(t.conn);
    mt_step(&t, 100);
    CG_CHECK_SLICE(cg_buf_slice(&t.sent),
                   MT_PAGE("408", "Request Timeout", "183",
                           "Request body did not arrive within client_body_timeout"));
    CG_CHECK(t.shut && t.app.begin_n == 0);
    mt_close(&t);
}

CG_TEST(a_stuck_client_is_cut_off_and_end_is_still_called) {
    struct memory_transport t;
    mt_open(&t, &hello, distinct_timeouts());
    t.input = CG_SLICE(GET);
    mt_step(&t, 2);
    CG_CHECK(cg_conn_wants(t.conn) == CG_WANT_WRITE && !cg_conn_in_app(t.conn));
    check_timeout(&t, 4);
    t.http.now_us += 500000;
    cg_conn_sent(t.conn, 1);
    check_timeout(&t, 4);
    cg_conn_expire(t.conn);
    CG_CHECK(cg_conn_wants(t.conn) == CG_WANT_APP);
    CG_CHECK_INT(t.app.end_n, 0);
    cg_conn_run(t.conn);
    CG_CHECK(cg_conn_wants(t.conn) == CG_WANT_CLOSE);
    CG_CHECK_INT(t.app.end_n, 1);
    CG_CHECK_SLICE(cg_buf_slice(&t.reports),
                   "WARNING Client ip=192.0.2.1 took nothing within send_timeout, "
                   "while sending the response\n");
    mt_close(&t);
}

CG_TEST(a_client_stuck_before_its_100_is_closed) {
    struct memory_transport t;
    mt_open(&t, &hello, distinct_timeouts());
    t.input = CG_SLICE(EXPECT_HEAD);
    mt_step(&t, 1);
    CG_CHECK(cg_conn_wants(t.conn) == CG_WANT_WRITE);
    check_timeout(&t, 4);
    cg_conn_expire(t.conn);
    CG_CHECK(cg_conn_wants(t.conn) == CG_WANT_CLOSE);
    CG_CHECK_INT(t.app.begin_n, 0);
    mt_close(&t);
}

CG_TEST(the_application_has_no_timeout_here_and_zero_is_never) {
    struct memory_transport t;
    mt_open(&t, &hello, distinct_timeouts());
    t.input = CG_SLICE(GET);
    mt_step(&t, 1);
    CG_CHECK(cg_conn_wants(t.conn) == CG_WANT_APP);
    CG_CHECK(cg_conn_deadline_us(t.conn) == UINT64_MAX);
    mt_close(&t);

    struct cg_settings settings = mt_default_settings();
    settings.client_header_timeout = 0;
    mt_open(&t, &hello, &settings);
    CG_CHECK(cg_conn_deadline_us(t.conn) == UINT64_MAX);
    mt_close(&t);
}

CG_TEST(trimming_gives_up_only_what_is_empty) {
    struct memory_transport t;
    mt_open(&t, &hello, NULL);
    cg_conn_trim(t.conn);
    mt_feed(&t, CG_SLICE("GET / HTTP/1.1\r\n"));
    cg_conn_trim(t.conn);
    mt_feed(&t, CG_SLICE("Host: x\r\n\r\n"));
    cg_conn_trim(t.conn);
    mt_feed(&t, CG_SLICE(GET));
    CG_CHECK_SLICE(cg_buf_slice(&t.sent), HELLO_1_1 HELLO_1_1);
    mt_close(&t);
}

CG_TEST(a_used_connection_serves_the_next_client_like_a_new_one) {
    struct memory_transport t;
    mt_open(&t, &hello, NULL);
    mt_feed(&t, CG_SLICE(GET "BAD\r\n\r\n"));
    struct cg_conn *first = t.conn;
    cg_conn_free(first);
    t.conn = cg_conn_new(&t.http, -1, &t.peer, &t.local, CG_PROTOCOL_AUTO, &t);
    CG_CHECK(t.conn == first);
    t.sent.len = 0;
    mt_feed(&t, CG_SLICE(GET));
    CG_CHECK_SLICE(cg_buf_slice(&t.sent), HELLO_1_1);
    CG_CHECK(cg_conn_idle(t.conn));
    mt_close(&t);
}

CG_TEST(access_lines_are_written_for_answers_faults_and_clients_that_left) {
    struct memory_transport t;
    mt_open(&t, &hello, NULL);
    mt_log_access(&t, "%(h)s %(r)s %(s)s %(b)s");
    mt_feed(&t, CG_SLICE(GET "POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nz"));
    CG_CHECK_SLICE(cg_buf_slice(&t.lines), "192.0.2.1 GET / HTTP/1.1 200 5\n"
                                           "192.0.2.1 POST /c HTTP/1.1 400 139\n");
    mt_close(&t);

    mt_open(&t, &hello, NULL);
    mt_log_access(&t, "%(s)s %(m)s");
    mt_feed(&t, CG_SLICE("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nb"));
    cg_conn_broken(t.conn);
    CG_CHECK(cg_conn_wants(t.conn) == CG_WANT_CLOSE);
    CG_CHECK_SLICE(cg_buf_slice(&t.lines), "499 POST\n");
    mt_close(&t);
}

CG_TEST(a_head_that_cannot_be_parsed_has_no_access_line) {
    struct memory_transport t;
    mt_open(&t, &hello, NULL);
    mt_log_access(&t, "%(s)s");
    mt_feed(&t, CG_SLICE("BAD\r\n\r\n"));
    CG_CHECK(t.shut);
    CG_CHECK_INT(t.lines.len, 0);
    mt_close(&t);
}

/* Breaks the connection after every possible number of steps. */
CG_TEST(a_connection_may_break_in_every_state) {
    const struct cg_slice input = CG_SLICE(EXPECT_HEAD);
    for (int steps = 0; steps < 200; steps++) {
        struct memory_transport t;
        mt_open(&t, &echo, NULL);
        mt_log_access(&t, "%(s)s");
        t.reads = t.writes = MT_BYTES;
        t.input = input;
        mt_step(&t, steps);
        if (!t.input.len && t.sent.len >= 25) {
            t.input = CG_SLICE("body" GET);
            mt_step(&t, steps);
        }
        int begun = t.app.begin_n, ended = t.app.end_n;
        cg_conn_broken(t.conn);
        if (begun > ended) {
            CG_CHECK(cg_conn_wants(t.conn) == CG_WANT_APP);
            cg_conn_run(t.conn);
        }
        CG_CHECK(cg_conn_wants(t.conn) == CG_WANT_CLOSE);
        CG_CHECK_INT(t.app.begin_n, begun);
        CG_CHECK_INT(t.app.end_n, begun);
        mt_close(&t);
    }
}

CG_TEST(freeing_a_connection_in_any_state_ends_its_exchange) {
    for (int steps = 0; steps < 250; steps++) {
        struct memory_transport t;
        mt_open(&t, &hello, NULL);
        t.reads = t.writes = MT_BYTES;
        t.input = CG_SLICE(GET GET);
        mt_step(&t, steps);
        mt_close(&t);
    }
}
