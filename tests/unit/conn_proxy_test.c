/* SPDX-License-Identifier: MIT
 *
 * The connection with proxy_protocol on: where a PROXY header may stand, who may send it, and whom
 * the requests behind it are from. What a header looks like is in proxy_test.c. */
#include "tests/unit/memory_transport.h"
#include "tests/unit/test.h"

#define GET "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
#define V1 "PROXY TCP4 203.0.113.5 198.51.100.9 4711 443\r\n"
#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V2 SIGNATURE "\x21\x11\0\x0f\xcb\0\x71\x05\xc6\x33\x64\x09\x12\x67\x01\xbb\x04\0\0"
#define V2_LOCAL SIGNATURE "\x20\0\0\0"
#define HELLO "HTTP/1.1 200 OK\r\n" MT_KEEP "Content-Length: 5\r\n\r\nhello"
#define BAD_HEADER MT_PAGE("400", "Bad Request", "141", "Invalid PROXY header")
#define BAD_HEADER_REPORT "WARNING Invalid request from ip=192.0.2.1: Invalid PROXY header\n"
#define FORBIDDEN "Request forbidden: PROXY header from outside proxy_allow_ips"

static const struct fake_script hello = {
    .status = "200 OK", .chunks = {"hello"}, .knows_last = true};

static struct cg_settings proxy_settings(const char *protocol) {
    struct cg_settings settings = mt_default_settings();
    settings.proxy_protocol = protocol;
    settings.proxy_allow_ips = "192.0.2.0/24";
    return settings;
}

/* Talks with reads cut in every way, and compares the access lines: "client target". */
static void check_clients(const struct cg_settings *settings, struct cg_slice input,
                          const char *lines) {
    for (unsigned seed = 1; seed <= 12; seed++) {
        struct memory_transport t;
        mt_open(&t, &hello, settings);
        mt_log_access(&t, "%(h)s %(U)s");
        t.reads = seed == 1 ? MT_WHOLE : seed == 2 ? MT_BYTES : MT_RANDOM;
        t.seed = seed;
        mt_feed(&t, input);
        cg_test_check_slice(__FILE__, __LINE__, cg_buf_slice(&t.lines), cg_slice_str(lines));
        CG_CHECK_INT(t.reports.len, 0);
        CG_CHECK(cg_conn_idle(t.conn));
        mt_close(&t);
    }
}

static void check_refused(const char *protocol, struct cg_slice input, struct cg_slice want,
                          const char *report) {
    struct cg_settings settings = proxy_settings(protocol);
    MT_TRY(.script = &hello, .settings = &settings, .input = input, .want = want, .shut = true,
           .reports = report);
}

CG_TEST(a_header_names_the_client) {
    struct cg_settings settings = proxy_settings("auto");
    check_clients(&settings, CG_SLICE(V1 GET), "203.0.113.5 /\n");
    check_clients(&settings, CG_SLICE(V2 GET), "203.0.113.5 /\n");
    check_clients(&settings, CG_SLICE("PROXY TCP6 2001:db8::7 ::1 1 2\r\n" GET), "2001:db8::7 /\n");
}

CG_TEST(a_header_lasts_for_every_request_of_its_connection) {
    struct cg_settings settings = proxy_settings("auto");
    check_clients(&settings,
                  CG_SLICE(V1 GET "POST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\none"
                                  "GET /3 HTTP/1.1\r\nHost: x\r\n\r\n"),
                  "203.0.113.5 /\n203.0.113.5 /2\n203.0.113.5 /3\n");
    check_clients(&settings, CG_SLICE(V2 GET "\r\n" GET), "203.0.113.5 /\n203.0.113.5 /\n");
}

CG_TEST(without_a_header_the_peer_is_the_client) {
    struct cg_settings settings = proxy_settings("auto");
    check_clients(&settings, CG_SLICE(GET GET), "192.0.2.1 /\n192.0.2.1 /\n");
    check_clients(&settings, CG_SLICE("POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"),
                  "192.0.2.1 /p\n");
    /* An empty line before a request begins as a header of version 2 does. */
    check_clients(&settings, CG_SLICE("\r\n\r\n" GET), "192.0.2.1 /\n");
    settings.proxy_allow_ips = "";
    check_clients(&settings, CG_SLICE(GET), "192.0.2.1 /\n");
}

CG_TEST(behind_a_header_that_says_nothing_the_peer_is_the_client) {
    struct cg_settings settings = proxy_settings("auto");
    check_clients(&settings, CG_SLICE(V2_LOCAL GET), "192.0.2.1 /\n");
    check_clients(&settings, CG_SLICE("PROXY UNKNOWN ::1 ::1 1 2\r\n" GET), "192.0.2.1 /\n");
}

CG_TEST(the_peer_stays_the_peer_and_the_application_sees_the_header) {
    struct memory_transport t;
    struct cg_settings settings = proxy_settings("v1");
    mt_open(&t, &hello, &settings);
    const struct cg_exchange *ex = cg_conn_exchange(t.conn);
    CG_CHECK(ex->client == ex->peer && !ex->proxy);
    t.input = CG_SLICE(V1 GET);
    mt_step(&t, 1);
    CG_CHECK(cg_conn_wants(t.conn) == CG_WANT_APP);
    CG_CHECK_SLICE(cg_endpoint_host(ex->peer), "192.0.2.1");
    CG_CHECK_SLICE(cg_endpoint_host(ex->client), "203.0.113.5");
    CG_CHECK_INT(ex->client->port, 4711);
    CG_CHECK_INT(ex->proxy->kind, CG_PROXY_TCP4);
    CG_CHECK_SLICE(cg_endpoint_host(&ex->proxy->destination), "198.51.100.9");
    mt_close(&t);
}

CG_TEST(a_later_client_of_a_recycled_connection_has_its_own_header) {
    struct memory_transport t;
    struct cg_settings settings = proxy_settings("auto");
    mt_open(&t, &hello, &settings);
    mt_log_access(&t, "%(h)s");
    mt_feed(&t, CG_SLICE(V1 GET));
    struct cg_conn *first = t.conn;
    cg_conn_free(first);
    t.conn = cg_conn_new(&t.http, -1, &t.peer, &t.local, CG_PROTOCOL_AUTO, &t);
    CG_CHECK(t.conn == first && !cg_conn_exchange(t.conn)->proxy);
    mt_feed(&t, CG_SLICE(GET));
    CG_CHECK_SLICE(cg_buf_slice(&t.lines), "203.0.113.5\n192.0.2.1\n");
    mt_close(&t);
}

CG_TEST(a_broken_header_is_refused_and_nothing_behind_it_is_run) {
    check_refused("auto", CG_SLICE("PROXY TCP4 x y 1 2\r\n" GET), CG_SLICE(BAD_HEADER),
                  BAD_HEADER_REPORT);
    check_refused("auto", CG_SLICE("PROXY TCP4 203.0.113.5\n" GET), CG_SLICE(BAD_HEADER),
                  BAD_HEADER_REPORT);
    check_refused("auto", CG_SLICE(SIGNATURE "\x31" GET), CG_SLICE(BAD_HEADER), BAD_HEADER_REPORT);
}

CG_TEST(a_second_header_is_a_bad_request) {
    struct cg_settings settings = proxy_settings("auto");
    const struct cg_slice bad_line =
        CG_SLICE(MT_PAGE("400", "Bad Request", "141", "Invalid request line"));
    check_refused("auto", CG_SLICE(V1 V1 GET), bad_line,
                  "WARNING Invalid request from ip=203.0.113.5: Invalid request line\n");
    MT_TRY(.script = &hello, .settings = &settings, .input = CG_SLICE(GET V1 GET), .shut = true,
           .want = CG_SLICE(HELLO MT_PAGE("400", "Bad Request", "141", "Invalid request line")),
           .exchanges_n = 1,
           .reports = "WARNING Invalid request from ip=192.0.2.1: Invalid request line\n");
}

CG_TEST(a_header_of_a_version_that_is_off_is_a_bad_request) {
    const struct cg_slice bad_line =
        CG_SLICE(MT_PAGE("400", "Bad Request", "141", "Invalid request line"));
    const char *report = "WARNING Invalid request from ip=192.0.2.1: Invalid request line\n";
    check_refused("off", CG_SLICE(V1 GET), bad_line, report);
    check_refused("v2", CG_SLICE(V1 GET), bad_line, report);
    check_refused(
        "v1", CG_SLICE(V2 GET),
        CG_SLICE(MT_PAGE("400", "Bad Request", "158", "Control character in the request head")),
        "WARNING Invalid request from ip=192.0.2.1: "
        "Control character in the request head\n");
}

CG_TEST(a_peer_outside_the_list_may_not_send_a_header) {
    struct cg_settings settings = proxy_settings("auto");
    settings.proxy_allow_ips = "127.0.0.1,::1";
    const struct cg_slice inputs[] = {CG_SLICE(V1 GET), CG_SLICE(V2 GET), CG_SLICE("PROXY ")};
    for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++)
        MT_TRY(.script = &hello, .settings = &settings, .input = inputs[i], .shut = true,
               .want = CG_SLICE(MT_PAGE("403", "Forbidden", "177", FORBIDDEN)),
               .reports = "WARNING Invalid request from ip=192.0.2.1: " FORBIDDEN "\n");
    MT_TRY(.script = &hello, .settings = &settings, .input = CG_SLICE(GET), .want = CG_SLICE(HELLO),
           .exchanges_n = 1);
}

CG_TEST(a_header_without_a_request_is_a_health_check_and_closed_quietly) {
    struct cg_settings settings = proxy_settings("auto");
    MT_TRY(.script = &hello, .settings = &settings, .input = CG_SLICE(V2_LOCAL), .has_eof = true,
           .closed = true);
    MT_TRY(.script = &hello, .settings = &settings, .input = CG_SLICE("PROXY UNKNOWN\r\n"),
           .has_eof = true, .closed = true);
    MT_TRY(.script = &hello, .settings = &settings, .has_eof = true, .closed = true);
    MT_TRY(.script = &hello, .settings = &settings, .input = CG_SLICE("\r\n"), .has_eof = true,
           .closed = true);
}

CG_TEST(an_end_inside_a_header_is_answered) {
    struct cg_settings settings = proxy_settings("auto");
    const struct cg_slice inputs[] = {CG_SLICE("PRO"), CG_SLICE("PROXY TCP4 203"),
                                      CG_SLICE(SIGNATURE), CG_SLICE(SIGNATURE "\x21\x11\0\x0c")};
    for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++)
        MT_TRY(.script = &hello, .settings = &settings, .input = inputs[i], .has_eof = true,
               .want = CG_SLICE(
                   MT_PAGE("400", "Bad Request", "154", "Connection ended inside a request")),
               .closed = true,
               .reports = "DEBUG Ignored premature client disconnection. "
                          "Connection ended inside a request, from ip=192.0.2.1\n");
}

CG_TEST(a_half_closed_client_behind_a_header_gets_its_response) {
    struct memory_transport t;
    struct cg_settings settings = proxy_settings("auto");
    mt_open(&t, &hello, &settings);
    t.input = CG_SLICE(V1 GET);
    mt_step(&t, 1);
    mt_eof(&t);
    CG_CHECK_SLICE(cg_buf_slice(&t.sent), HELLO);
    CG_CHECK(t.closed);
    mt_close(&t);
}

CG_TEST(a_header_has_its_time_from_the_first_byte_on_and_408_then) {
    struct memory_transport t;
    struct cg_settings settings = proxy_settings("auto");
    settings.client_header_timeout = 2;
    mt_open(&t, &hello, &settings);
    CG_CHECK_INT(cg_conn_deadline_us(t.conn), t.http.now_us + 2000000);
    t.http.now_us += 500000;
    mt_feed(&t, CG_SLICE("PROXY T"));
    CG_CHECK_SLICE(cg_slice_str(cg_conn_doing(t.conn)), "reading the PROXY header");
    CG_CHECK(!cg_conn_idle(t.conn));
    t.http.now_us += 500000;
    mt_feed(&t, CG_SLICE("CP4 "));
    CG_CHECK_INT(cg_conn_deadline_us(t.conn), t.http.now_us + 1500000);
    cg_conn_expire(t.conn);
    mt_step(&t, 100);
    CG_CHECK_SLICE(cg_buf_slice(&t.sent),
                   MT_PAGE("408", "Request Timeout", "185",
                           "Request head did not arrive within client_header_timeout"));
    CG_CHECK(t.shut);
    mt_close(&t);
}

CG_TEST(behind_a_header_the_connection_is_idle_like_a_new_one) {
    struct memory_transport t;
    struct cg_settings settings = proxy_settings("auto");
    settings.keepalive = 1;
    settings.client_header_timeout = 2;
    mt_open(&t, &hello, &settings);
    mt_feed(&t, CG_SLICE(V1));
    CG_CHECK(cg_conn_idle(t.conn));
    CG_CHECK_INT(cg_conn_deadline_us(t.conn), t.http.now_us + 2000000);
    cg_conn_trim(t.conn);
    mt_feed(&t, CG_SLICE(GET));
    CG_CHECK_SLICE(cg_buf_slice(&t.sent), HELLO);
    mt_close(&t);
}

CG_TEST(a_connection_may_break_and_be_freed_at_every_byte_of_a_header) {
    struct cg_settings settings = proxy_settings("auto");
    for (int steps = 0; steps < 120; steps++) {
        struct memory_transport t;
        mt_open(&t, &hello, &settings);
        t.reads = t.writes = MT_BYTES;
        t.input = steps % 2 ? CG_SLICE(V1 GET) : CG_SLICE(V2 GET);
        mt_step(&t, steps);
        if (steps % 3)
            cg_conn_broken(t.conn);
        mt_close(&t);
    }
}

CG_TEST(a_list_of_addresses_that_is_none_is_told) {
    struct cg_http http;
    struct cg_settings settings = proxy_settings("auto");
    settings.proxy_allow_ips = "127.0.0.1,proxy.example";
    CG_CHECK(cg_http_init(&http, &settings, &fake_app_table, NULL, NULL, NULL) < 0);
    cg_http_done(&http);
}
