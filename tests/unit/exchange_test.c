/* SPDX-License-Identifier: MIT
 *
 * What an application may do with its exchange: framing, files, write(), early hints, too much, too
 * little, failing early and late.
 */
#include "tests/unit/memory_transport.h"
#include "tests/unit/test.h"

#include "server/base/fd.h"

#include <errno.h>

#define GET "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
#define GET_1_0 "GET / HTTP/1.0\r\n\r\n"
#define HEAD "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"
#define OK "HTTP/1.1 200 OK\r\n"
#define CHUNKED OK MT_KEEP "Transfer-Encoding: chunked\r\n\r\n"
#define INTERNAL_ERROR MT_PAGE("500", "Internal Server Error", "141", "")

CG_TEST(one_known_chunk_gets_a_length) {
    static const struct fake_script s = {.status = "200 OK", .chunks = {"one"}, .knows_last = true};
    MT_TRY(.script = &s, .input = CG_SLICE(GET GET),
           .want = CG_SLICE(OK MT_KEEP "Content-Length: 3\r\n\r\none" OK MT_KEEP
                                       "Content-Length: 3\r\n\r\none"),
           .exchanges_n = 2);
}

CG_TEST(no_chunk_at_all_is_length_zero) {
    static const struct fake_script s = {.status = "200 OK"};
    static const struct fake_script empty = {
        .status = "200 OK", .chunks = {"", ""}, .knows_last = true};
    MT_TRY(.script = &s, .input = CG_SLICE(GET),
           .want = CG_SLICE(OK MT_KEEP "Content-Length: 0\r\n\r\n"), .exchanges_n = 1);
    MT_TRY(.script = &empty, .input = CG_SLICE(GET),
           .want = CG_SLICE(OK MT_KEEP "Content-Length: 0\r\n\r\n"), .exchanges_n = 1);
}

CG_TEST(chunks_of_unknown_length_are_chunked_and_empty_ones_skipped) {
    static const struct fake_script s = {.status = "200 OK",
                                         .chunks = {"", "one", "", "twotwotwotwotwotwo", ""}};
    MT_TRY(.script = &s, .input = CG_SLICE(GET GET),
           .want = CG_SLICE(CHUNKED "3\r\none\r\n12\r\ntwotwotwotwotwotwo\r\n0\r\n\r\n" CHUNKED
                                    "3\r\none\r\n12\r\ntwotwotwotwotwotwo\r\n0\r\n\r\n"),
           .exchanges_n = 2);
}

CG_TEST(the_final_chunk_goes_with_the_last_bytes_when_they_are_known_to_be_last) {
    static const struct fake_script s = {
        .status = "200 OK", .chunks = {"one", "two"}, .knows_last = true};
    MT_TRY(.script = &s, .input = CG_SLICE(GET),
           .want = CG_SLICE(CHUNKED "3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"), .exchanges_n = 1);
    struct memory_transport t;
    mt_open(&t, &s, NULL);
    t.input = CG_SLICE(GET);
    mt_step(&t, 5); /* read, chunk, send, chunk, send */
    CG_CHECK_SLICE(cg_buf_slice(&t.sent), CHUNKED "3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n");
    mt_close(&t);
}

CG_TEST(http_1_0_gets_no_chunks) {
    static const struct fake_script s = {.status = "200 OK", .chunks = {"one", "two"}};
    MT_TRY(.script = &s, .input = CG_SLICE("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
           .want = CG_SLICE("HTTP/1.0 200 OK\r\n" MT_CLOSE "\r\nonetwo"), .closed = true,
           .exchanges_n = 1);
}

CG_TEST(head_and_first_chunk_leave_together) {
    static const struct fake_script s = {.status = "200 OK", .chunks = {"", "one", "two"}};
    struct memory_transport t;
    mt_open(&t, &s, NULL);
    t.input = CG_SLICE(GET);
    mt_step(&t, 3);
    CG_CHECK_INT(t.sent.len, 0);
    CG_CHECK_INT(t.app.next_n, 2);
    mt_step(&t, 1);
    CG_CHECK_SLICE(cg_buf_slice(&t.sent), CHUNKED "3\r\none\r\n");
    CG_CHECK(cg_conn_in_app(t.conn));
    mt_close(&t);
}

CG_TEST(head_is_told_the_length_that_get_is_told) {
    static const struct fake_script known = {
        .status = "200 OK", .chunks = {"hello"}, .knows_last = true};
    static const struct fake_script left_out = {.status = "200 OK"};
    MT_TRY(.script = &known, .input = CG_SLICE(HEAD HEAD),
           .want = CG_SLICE(OK MT_KEEP "Content-Length: 5\r\n\r\n" OK MT_KEEP
                                       "Content-Length: 5\r\n\r\n"),
           .exchanges_n = 2);
    MT_TRY(.script = &left_out, .input = CG_SLICE(HEAD), .want = CG_SLICE(OK MT_KEEP "\r\n"),
           .exchanges_n = 1);
}

CG_TEST(responses_without_a_body_send_none) {
    static const struct fake_script lied = {
        .status = "200 OK", .fields = {{"Content-Length", "5"}}, .chunks = {"hello", "again"}};
    static const struct fake_script streamed = {.status = "200 OK", .chunks = {"a", "b"}};
    static const struct fake_script no_content = {
        .status = "204 No Content", .fields = {{"Content-Length", "5"}}, .chunks = {"hello"}};
    static const struct fake_script not_modified = {.status = "304 Not Modified",
                                                    .fields = {{"Content-Length", "5"}}};
    MT_TRY(.script = &lied, .input = CG_SLICE(HEAD HEAD),
           .want = CG_SLICE(OK MT_KEEP "Content-Length: 5\r\n\r\n" OK MT_KEEP
                                       "Content-Length: 5\r\n\r\n"),
           .exchanges_n = 2);
    MT_TRY(.script = &streamed, .input = CG_SLICE(HEAD), .want = CG_SLICE(OK MT_KEEP "\r\n"),
           .exchanges_n = 1);
    MT_TRY(.script = &no_content, .input = CG_SLICE(GET),
           .want = CG_SLICE("HTTP/1.1 204 No Content\r\n" MT_KEEP "\r\n"), .exchanges_n = 1,
           .reports = "WARNING Application sent a body with a status that has none, it is dropped: "
                      "GET / HTTP/1.1\n");
    MT_TRY(.script = &not_modified, .input = CG_SLICE(GET),
           .want = CG_SLICE("HTTP/1.1 304 Not Modified\r\n" MT_KEEP "Content-Length: 5\r\n\r\n"),
           .exchanges_n = 1);
}

CG_TEST(too_many_bytes_are_cut_and_reported_once) {
    static const struct fake_script s = {
        .status = "200 OK", .fields = {{"Content-Length", "5"}}, .chunks = {"one", "two", "three"}};
    static const struct fake_script exact_then_more = {
        .status = "200 OK", .fields = {{"Content-Length", "3"}}, .chunks = {"one", "two", "three"}};
#define TOO_MUCH                                                                                   \
    "WARNING Application sent more bytes than its Content-Length, the rest is cut: "               \
    "GET / HTTP/1.1\n"
    MT_TRY(.script = &s, .input = CG_SLICE(GET GET),
           .want = CG_SLICE(OK MT_KEEP "Content-Length: 5\r\n\r\nonetw" OK MT_KEEP
                                       "Content-Length: 5\r\n\r\nonetw"),
           .exchanges_n = 2, .reports = TOO_MUCH TOO_MUCH);
    MT_TRY(.script = &exact_then_more, .input = CG_SLICE(GET),
           .want = CG_SLICE(OK MT_KEEP "Content-Length: 3\r\n\r\none"), .exchanges_n = 1,
           .reports = TOO_MUCH);
}

CG_TEST(too_few_bytes_close_the_connection) {
    static const struct fake_script s = {
        .status = "200 OK", .fields = {{"Content-Length", "5"}}, .chunks = {"one"}};
    MT_TRY(.script = &s, .input = CG_SLICE(GET),
           .want = CG_SLICE(OK MT_KEEP "Content-Length: 5\r\n\r\none"), .closed = true,
           .exchanges_n = 1,
           .reports = "WARNING Application sent fewer bytes than its Content-Length, "
                      "the connection is closed: GET / HTTP/1.1\n");
}

CG_TEST(failing_before_the_head_gives_a_500_page) {
    static const struct fake_script in_begin = {.status = "200 OK", .fails_in_begin = true};
    static const struct fake_script in_next = {
        .status = "200 OK", .chunks = {""}, .fails_in_next = true};
    static const struct fake_script not_started = {.chunks = {"hello"}};
    MT_TRY(.script = &in_begin, .input = CG_SLICE(GET), .want = CG_SLICE(INTERNAL_ERROR),
           .closed = true, .exchanges_n = 1);
    MT_TRY(.script = &in_next, .input = CG_SLICE(GET), .want = CG_SLICE(INTERNAL_ERROR),
           .closed = true, .exchanges_n = 1);
    MT_TRY(.script = &not_started, .input = CG_SLICE(GET), .want = CG_SLICE(INTERNAL_ERROR),
           .closed = true, .exchanges_n = 1,
           .reports = "ERROR Application did not call start_response: GET / HTTP/1.1\n");
}

CG_TEST(failing_after_the_head_never_looks_complete) {
    static const struct fake_script chunked = {
        .status = "200 OK", .chunks = {"one"}, .fails_in_next = true};
    static const struct fake_script sized = {.status = "200 OK",
                                             .fields = {{"Content-Length", "5"}},
                                             .chunks = {"one"},
                                             .fails_in_next = true};
    static const struct fake_script pushed = {
        .status = "200 OK", .pushes = {"one"}, .fails_in_begin = true};
    MT_TRY(.script = &chunked, .input = CG_SLICE(GET), .want = CG_SLICE(CHUNKED "3\r\none\r\n"),
           .closed = true, .exchanges_n = 1);
    MT_TRY(.script = &sized, .input = CG_SLICE(GET),
           .want = CG_SLICE(OK MT_KEEP "Content-Length: 5\r\n\r\none"), .closed = true,
           .exchanges_n = 1);
    MT_TRY(.script = &pushed, .input = CG_SLICE(GET), .want = CG_SLICE(CHUNKED "3\r\none\r\n"),
           .closed = true, .exchanges_n = 1);
}

CG_TEST(the_access_line_keeps_the_status_that_was_sent) {
    static const struct fake_script s = {
        .status = "202 Fine", .chunks = {"one"}, .fails_in_next = true};
    struct memory_transport t;
    mt_open(&t, &s, NULL);
    mt_log_access(&t, "%(s)s %(b)s");
    mt_feed(&t, CG_SLICE(GET));
    CG_CHECK_SLICE(cg_buf_slice(&t.lines), "202 3\n");
    mt_close(&t);
}

CG_TEST(pushed_bytes_leave_at_once_and_chunks_follow) {
    static const struct fake_script s = {
        .status = "200 OK", .pushes = {"", "a", "", "bb"}, .chunks = {"ccc"}, .knows_last = true};
    MT_TRY(.script = &s, .input = CG_SLICE(GET GET),
           .want = CG_SLICE(CHUNKED "1\r\na\r\n2\r\nbb\r\n3\r\nccc\r\n0\r\n\r\n" CHUNKED
                                    "1\r\na\r\n2\r\nbb\r\n3\r\nccc\r\n0\r\n\r\n"),
           .exchanges_n = 2);
}

CG_TEST(pushing_alone_makes_a_complete_response) {
    static const struct fake_script chunked = {.status = "200 OK", .pushes = {"a"}};
    static const struct fake_script sized = {
        .status = "200 OK", .fields = {{"Content-Length", "3"}}, .pushes = {"a", "bb"}};
    MT_TRY(.script = &chunked, .input = CG_SLICE(GET),
           .want = CG_SLICE(CHUNKED "1\r\na\r\n0\r\n\r\n"), .exchanges_n = 1);
    MT_TRY(.script = &sized, .input = CG_SLICE(GET),
           .want = CG_SLICE(OK MT_KEEP "Content-Length: 3\r\n\r\nabb"), .exchanges_n = 1);
    MT_TRY(.script = &chunked, .input = CG_SLICE(GET_1_0),
           .want = CG_SLICE("HTTP/1.0 200 OK\r\n" MT_CLOSE "\r\na"), .closed = true,
           .exchanges_n = 1);
    MT_TRY(.script = &chunked, .input = CG_SLICE(HEAD), .want = CG_SLICE(OK MT_KEEP "\r\n"),
           .exchanges_n = 1);
}

CG_TEST(pushing_too_much_is_cut_too) {
    static const struct fake_script s = {
        .status = "200 OK", .fields = {{"Content-Length", "3"}}, .pushes = {"ab", "cd", "ef"}};
    MT_TRY(.script = &s, .input = CG_SLICE(GET),
           .want = CG_SLICE(OK MT_KEEP "Content-Length: 3\r\n\r\nabc"), .exchanges_n = 1,
           .reports = TOO_MUCH);
}

CG_TEST(pushing_without_a_head_is_an_error) {
    static const struct fake_script script = {.pushes = {"a"}, .fails_in_begin = true};
    struct memory_transport t;
    mt_open(&t, &script, NULL);
    mt_feed(&t, CG_SLICE(GET));
    CG_CHECK_INT(t.app.push_rc, -EINVAL);
    CG_CHECK(memmem(t.sent.at, t.sent.len, "HTTP/1.1 500 ", 13) == t.sent.at);
    mt_close(&t);
}

CG_TEST(pushing_to_a_client_that_left_fails_and_the_exchange_ends) {
    static const struct fake_script s = {
        .status = "200 OK", .pushes = {"a", "bb"}, .chunks = {"ccc"}};
    struct memory_transport t;
    mt_open(&t, &s, NULL);
    mt_log_access(&t, "%(s)s %(b)s");
    t.sends_max = sizeof(CHUNKED "1\r\na\r\n") - 1;
    mt_feed(&t, CG_SLICE(GET));
    CG_CHECK(t.app.push_rc < 0);
    CG_CHECK_INT(t.app.next_n, 0);
    CG_CHECK(t.closed);
    CG_CHECK_SLICE(cg_buf_slice(&t.lines), "499 1\n");
    mt_close(&t);
}

CG_TEST(early_hints_go_before_the_head_and_only_to_1_1) {
    static const struct fake_script s = {.status = "200 OK",
                                         .inform_fields = "Link: </a.css>\r\n",
                                         .chunks = {"one"},
                                         .knows_last = true};
    MT_TRY(.script = &s, .input = CG_SLICE(GET),
           .want = CG_SLICE("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" OK MT_KEEP
                            "Content-Length: 3\r\n\r\none"),
           .exchanges_n = 1);
    MT_TRY(.script = &s, .input = CG_SLICE(GET_1_0),
           .want = CG_SLICE("HTTP/1.0 200 OK\r\n" MT_CLOSE "Content-Length: 3\r\n\r\none"),
           .closed = true, .exchanges_n = 1);
}

static struct fake_script file_script(const char *length, uint64_t offset, uint64_t len) {
    struct fake_script s = {
        .status = "200 OK", .sends_file = true, .file_offset = offset, .file_len = len};
    if (length) {
        s.fields[0][0] = "Content-Length";
        s.fields[0][1] = length;
    }
    s.file_fd = cg_fd_open_temp(NULL);
    CG_CHECK(s.file_fd >= 0);
    CG_CHECK_INT(cg_fd_write_all(s.file_fd, "0123456789", 10), 0);
    return s;
}

CG_TEST(a_file_range_has_a_length) {
    struct fake_script s = file_script(NULL, 2, 5);
    MT_TRY(.script = &s, .input = CG_SLICE(GET GET),
           .want = CG_SLICE(OK MT_KEEP "Content-Length: 5\r\n\r\n23456" OK MT_KEEP
                                       "Content-Length: 5\r\n\r\n23456"),
           .exchanges_n = 2);
    MT_TRY(.script = &s, .input = CG_SLICE(HEAD),
           .want = CG_SLICE(OK MT_KEEP "Content-Length: 5\r\n\r\n"), .exchanges_n = 1);
    cg_fd_close(&s.file_fd);
}

CG_TEST(a_file_is_cut_at_the_content_length) {
    struct fake_script s = file_script("3", 0, 10);
    MT_TRY(.script = &s, .input = CG_SLICE(GET),
           .want = CG_SLICE(OK MT_KEEP "Content-Length: 3\r\n\r\n012"), .exchanges_n = 1,
           .reports = TOO_MUCH);
    cg_fd_close(&s.file_fd);
    s = file_script(NULL, 10, 0);
    MT_TRY(.script = &s, .input = CG_SLICE(GET),
           .want = CG_SLICE(OK MT_KEEP "Content-Length: 0\r\n\r\n"), .exchanges_n = 1);
    cg_fd_close(&s.file_fd);
}

CG_TEST(body_bytes_count_the_body_and_not_its_framing) {
    struct memory_transport t;
    static const struct fake_script chunked = {.status = "200 OK", .chunks = {"one", "three"}};
    struct fake_script file = file_script(NULL, 2, 5);
    const struct fake_script *scripts[] = {&chunked, &file};
    static const char *const want[] = {"8\n", "5\n"};
    for (int i = 0; i < 2; i++)
        for (int writes = MT_WHOLE; writes <= MT_RANDOM; writes++) {
            mt_open(&t, scripts[i], NULL);
            mt_log_access(&t, "%(B)s");
            t.writes = (enum mt_cut)writes;
            mt_feed(&t, CG_SLICE(GET));
            cg_test_check_slice(__FILE__, __LINE__, cg_buf_slice(&t.lines), cg_slice_str(want[i]));
            mt_close(&t);
        }
    cg_fd_close(&file.file_fd);
}

CG_TEST(a_client_that_left_in_mid_response_ends_the_exchange_with_its_status) {
    static const struct fake_script s = {.status = "200 OK", .chunks = {"one", "two"}};
    const size_t sent_max = sizeof(CHUNKED "3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n") - 1;
    for (size_t max = 0; max < sent_max; max++) {
        struct memory_transport t;
        mt_open(&t, &s, NULL);
        mt_log_access(&t, "%(s)s %({aborted}x)s");
        t.sends_max = max;
        mt_feed(&t, CG_SLICE(GET GET));
        CG_CHECK(t.closed);
        CG_CHECK_INT(t.sent.len, max);
        CG_CHECK_INT(t.app.end_n, 1);
        CG_CHECK_SLICE(cg_buf_slice(&t.lines), "499 true\n");
        mt_close(&t);
    }
}

CG_TEST(iterator_that_waits_is_not_asked_again_for_a_client_that_is_gone) {
    static const struct fake_script s = {.status = "200 OK", .chunks = {"", "", "", "late"}};
    struct memory_transport t;
    mt_open(&t, &s, NULL);
    t.input = CG_SLICE(GET);
    mt_step(&t, 2);
    CG_CHECK_INT(t.app.next_n, 1);
    t.client_gone = true;
    mt_step(&t, 10);
    CG_CHECK_INT(t.app.next_n, 2);
    CG_CHECK_INT(t.app.end_n, 1);
    CG_CHECK_INT(t.sent.len, 0);
    mt_close(&t);
}

/* What a client that has finished sending is still sent of this. */
static void finish_after_first_event(const struct fake_script *s, bool is_cut) {
    struct memory_transport t;
    mt_open(&t, s, NULL);
    mt_log_access(&t, "%(s)s");
    t.input = CG_SLICE(GET);
    mt_step(&t, 3);
    CG_CHECK_INT(t.app.next_n, 1);
    t.client_finished = true;
    mt_step(&t, 20);
    CG_CHECK_INT(t.app.end_n, 1);
    CG_CHECK_INT(t.app.next_n, is_cut ? 2 : 4);
    CG_CHECK(cg_slice_eq(cg_buf_slice(&t.lines), cg_slice_str(is_cut ? "499\n" : "200\n")));
    mt_close(&t);
}

CG_TEST(event_stream_ends_when_its_client_has_finished_sending) {
    static const char *const types[] = {"text/event-stream", "Text/Event-Stream; charset=utf-8"};
    for (int i = 0; i < 2; i++) {
        struct fake_script s = {.status = "200 OK",
                                .fields = {{"content-type", types[i]}},
                                .chunks = {"event", "late"}};
        finish_after_first_event(&s, true);
    }
    struct fake_script other = {.status = "200 OK",
                                .fields = {{"content-type", "text/event-streams"}},
                                .chunks = {"event", "", "late"}};
    finish_after_first_event(&other, false);
}

CG_TEST(the_application_may_ask_whether_the_client_is_gone) {
    static const struct fake_script s = {.status = "200 OK"};
    struct memory_transport t;
    mt_open(&t, &s, NULL);
    CG_CHECK(!cg_exchange_client_gone(cg_conn_exchange(t.conn)));
    t.client_gone = true;
    CG_CHECK(cg_exchange_client_gone(cg_conn_exchange(t.conn)));
    t.client_gone = false;
    t.client_finished = true;
    CG_CHECK(cg_exchange_client_gone(cg_conn_exchange(t.conn)));
    mt_close(&t);
}

CG_TEST(the_time_of_a_request_runs_from_its_complete_head) {
    static const struct fake_script s = {.status = "200 OK"};
    struct memory_transport t;
    mt_open(&t, &s, NULL);
    mt_log_access(&t, "%(D)s");
    mt_feed(&t, CG_SLICE("GET / HTTP/1.1\r\n"));
    t.http.now_us += 1000;
    t.input = CG_SLICE("Host: x\r\n\r\n");
    mt_step(&t, 1);
    t.http.now_us += 23;
    mt_step(&t, 10);
    CG_CHECK_SLICE(cg_buf_slice(&t.lines), "23\n");
    mt_close(&t);
}
