/* SPDX-License-Identifier: MIT
 *
 * The connection and the uwsgi protocol: who speaks what where, who may, and how a packet is
 * answered, with reads and writes cut in every way. */
#include "tests/unit/memory_transport.h"
#include "tests/unit/packet.h"
#include "tests/unit/test.h"

#define GET "REQUEST_METHOD=GET\nREQUEST_URI=/a%20b\nPATH_INFO=/a b\nSERVER_PROTOCOL=HTTP/1.1\n"
#define POST                                                                                       \
    "REQUEST_METHOD=POST\nREQUEST_URI=/\nPATH_INFO=/\nSERVER_PROTOCOL=HTTP/"                       \
    "1.1\nCONTENT_LENGTH=5\n"
#define HTTP_GET "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
#define HELLO "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
#define PAGE(status, reason, len, text)                                                            \
    "HTTP/1.1 " status " " reason "\r\nContent-Length: " len                                       \
    "\r\nContent-Type: text/html\r\n\r\n<html>\n  <head>\n    <title>" reason                      \
    "</title>\n  </head>\n  <body>\n    <h1><p>" reason "</p></h1>\n    " text                     \
    "\n  </body>\n</html>\n"
#define REPORT(text) "WARNING Invalid request from ip=192.0.2.1: " text "\n"

#define ON_HTTP                                                                                    \
    "uwsgi packet on a socket that speaks HTTP: nginx reaches it with proxy_pass, not uwsgi_pass"
#define ON_UWSGI                                                                                   \
    "HTTP request on a socket that speaks uwsgi: nginx reaches it with uwsgi_pass, not proxy_pass"
#define FORBIDDEN "Request forbidden: uwsgi packet from outside uwsgi_allow_ips"

static const struct fake_script hello = {
    .status = "200 OK", .chunks = {"hello"}, .knows_last = true};
static const struct fake_script streams = {.status = "200 OK", .chunks = {"a", "bc"}};
static const struct fake_script echo = {.status = "200 OK", .echoes = true};

static struct cg_settings uwsgi_settings(const char *protocol) {
    struct cg_settings settings = mt_default_settings();
    settings.protocol = protocol;
    settings.uwsgi_allow_ips = "192.0.2.0/24";
    return settings;
}

/* A talk that is over without anything left to read. */
static void check_answer(const struct fake_script *script, const char *lines, const char *body,
                         struct cg_slice want) {
    struct cg_settings settings = uwsgi_settings("auto");
    struct cg_buf packet = CG_BUF_INIT;
    packet_make(&packet, 0, lines);
    CG_CHECK_INT(cg_buf_append(&packet, cg_slice_str(body)), 0);
    MT_TRY(.script = script, .settings = &settings, .input = cg_buf_slice(&packet), .want = want,
           .closed = true, .exchanges_n = 1);
    cg_buf_done(&packet);
}

static void check_refused(const struct cg_settings *settings, struct cg_slice input,
                          struct cg_slice want, const char *report) {
    MT_TRY(.script = &hello, .settings = settings, .input = input, .want = want, .shut = true,
           .reports = report);
}

/* The access line of one request. */
static void check_line(const char *format, const char *lines, const char *want) {
    struct cg_settings settings = uwsgi_settings("auto");
    struct cg_buf packet = CG_BUF_INIT;
    struct memory_transport t;
    packet_make(&packet, 0, lines);
    mt_open(&t, &hello, &settings);
    mt_log_access(&t, format);
    mt_feed(&t, cg_buf_slice(&packet));
    cg_test_check_slice(lines, __LINE__, cg_buf_slice(&t.lines), cg_slice_str(want));
    mt_close(&t);
    cg_buf_done(&packet);
}

CG_TEST(a_packet_is_answered_and_the_connection_closed) {
    check_answer(&hello, GET, "", CG_SLICE(HELLO));
}

CG_TEST(a_response_of_unknown_length_is_never_chunked) {
    check_answer(&streams, GET, "", CG_SLICE("HTTP/1.1 200 OK\r\n\r\nabc"));
}

CG_TEST(a_client_of_http_1_0_sees_its_version) {
    check_answer(&streams, "REQUEST_METHOD=GET\nREQUEST_URI=/\nSERVER_PROTOCOL=HTTP/1.0\n", "",
                 CG_SLICE("HTTP/1.0 200 OK\r\n\r\nabc"));
}

CG_TEST(a_client_of_http_2_is_served) {
    check_answer(&hello, "REQUEST_METHOD=GET\nREQUEST_URI=/\nSERVER_PROTOCOL=HTTP/2.0\n", "",
                 CG_SLICE(HELLO));
}

CG_TEST(head_and_304_have_no_body) {
    static const struct fake_script not_modified = {.status = "304 Not Modified"};
    check_answer(&hello, "REQUEST_METHOD=HEAD\nREQUEST_URI=/\nSERVER_PROTOCOL=HTTP/1.1\n", "",
                 CG_SLICE("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"));
    check_answer(&not_modified, GET, "", CG_SLICE("HTTP/1.1 304 Not Modified\r\n\r\n"));
}

CG_TEST(early_hints_would_be_taken_for_the_response) {
    static const struct fake_script hints = {.status = "200 OK",
                                             .chunks = {"hello"},
                                             .knows_last = true,
                                             .inform_fields = "Link: </x>\r\n"};
    check_answer(&hints, GET, "", CG_SLICE(HELLO));
}

CG_TEST(date_and_server_are_nginxs_unless_the_application_has_some) {
    static const struct fake_script own = {.status = "200 OK",
                                           .fields = {{"Server", "mine"}, {"Date", "now"}},
                                           .chunks = {"hello"},
                                           .knows_last = true};
    check_answer(&own, GET, "",
                 CG_SLICE("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer: mine\r\nDate: now\r\n"
                          "\r\nhello"));
}

CG_TEST(a_body_follows_the_packet) {
    check_answer(&echo, POST, "12345",
                 CG_SLICE("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12345"));
}

CG_TEST(a_second_packet_is_not_served) {
    struct cg_settings settings = uwsgi_settings("auto");
    struct cg_buf packet = CG_BUF_INIT;
    packet_make(&packet, 0, GET);
    CG_CHECK_INT(cg_buf_append(&packet, CG_SLICE("\0\1")), 0);
    struct memory_transport t;
    mt_open(&t, &hello, &settings);
    mt_feed(&t, cg_buf_slice(&packet));
    CG_CHECK_SLICE(cg_buf_slice(&t.sent), HELLO);
    CG_CHECK(t.shut);
    CG_CHECK_INT(t.app.end_n, 1);
    mt_close(&t);
    cg_buf_done(&packet);
}

CG_TEST(an_empty_packet_is_a_ping) {
    struct cg_settings settings = uwsgi_settings("auto");
    MT_TRY(.script = &hello, .settings = &settings, .input = CG_SLICE("\0\0\0\0"), .closed = true);
}

CG_TEST(the_first_byte_tells_the_protocol) {
    struct cg_settings settings = uwsgi_settings("auto");
    MT_TRY(.script = &hello, .settings = &settings, .input = CG_SLICE(HTTP_GET HTTP_GET),
           .want = CG_SLICE("HTTP/1.1 200 OK\r\n" MT_KEEP "Content-Length: 5\r\n\r\nhello"
                            "HTTP/1.1 200 OK\r\n" MT_KEEP "Content-Length: 5\r\n\r\nhello"),
           .exchanges_n = 2);
}

CG_TEST(the_first_request_tells_it_for_the_connection) {
    struct cg_settings settings = uwsgi_settings("auto");
    MT_TRY(.script = &hello, .settings = &settings, .input = CG_SLICE(HTTP_GET "\0\0\0\0"),
           .want = CG_SLICE("HTTP/1.1 200 OK\r\n" MT_KEEP "Content-Length: 5\r\n\r\nhello" MT_PAGE(
               "400", "Bad Request", "212", ON_HTTP)),
           .shut = true, .exchanges_n = 1, .reports = REPORT(ON_HTTP));
}

CG_TEST(a_packet_on_a_socket_for_http_is_told_so) {
    struct cg_settings settings = uwsgi_settings("http");
    check_refused(&settings, CG_SLICE("\0\1"),
                  CG_SLICE(MT_PAGE("400", "Bad Request", "212", ON_HTTP)), REPORT(ON_HTTP));
}

CG_TEST(http_on_a_socket_for_uwsgi_is_told_so) {
    struct cg_settings settings = uwsgi_settings("uwsgi");
    check_refused(&settings, CG_SLICE(HTTP_GET),
                  CG_SLICE(MT_PAGE("400", "Bad Request", "213", ON_UWSGI)), REPORT(ON_UWSGI));
}

CG_TEST(tls_on_a_socket_for_uwsgi_is_no_packet) {
    struct cg_settings settings = uwsgi_settings("uwsgi");
    check_refused(&settings, CG_SLICE("\x16\x03\x01\x02"),
                  CG_SLICE(MT_PAGE("400", "Bad Request", "141", "Invalid uwsgi packet")),
                  REPORT("Invalid uwsgi packet"));
}

CG_TEST(packets_are_taken_from_allowed_peers_only) {
    struct cg_settings settings = uwsgi_settings("auto");
    settings.uwsgi_allow_ips = "127.0.0.1,::1";
    check_refused(&settings, CG_SLICE("\0\0\0\0"),
                  CG_SLICE(PAGE("403", "Forbidden", "177", FORBIDDEN)), REPORT(FORBIDDEN));
}

CG_TEST(a_bad_packet_is_refused_in_plain_http) {
    struct cg_settings settings = uwsgi_settings("auto");
    MT_TRY(.script = &hello, .settings = &settings, .input = CG_SLICE("\0\x05\0\0\x06\0abc"),
           .want = CG_SLICE(PAGE("400", "Bad Request", "141", "Invalid uwsgi packet")),
           .shut = true, .reports = REPORT("Invalid uwsgi packet"));
}

CG_TEST(a_packet_that_ends_early_is_refused) {
    struct cg_settings settings = uwsgi_settings("auto");
    MT_TRY(.script = &hello, .settings = &settings, .input = CG_SLICE("\0\x05\0\0\x06"),
           .want = CG_SLICE(PAGE("400", "Bad Request", "154", "Connection ended inside a request")),
           .has_eof = true, .closed = true,
           .reports = "DEBUG Ignored premature client disconnection. "
                      "Connection ended inside a request, from ip=192.0.2.1\n");
}

CG_TEST(a_packet_has_the_time_of_a_head) {
    struct cg_settings settings = uwsgi_settings("auto");
    struct memory_transport t;
    mt_open(&t, &hello, &settings);
    mt_feed(&t, CG_SLICE("\0\x05"));
    CG_CHECK(!cg_conn_idle(t.conn));
    CG_CHECK_INT(cg_conn_deadline_us(t.conn) - t.http.now_us, 10 * 1000000);
    cg_conn_expire(t.conn);
    mt_step(&t, 10);
    CG_CHECK(memmem(t.sent.at, t.sent.len, "408 Request Timeout", 19));
    mt_close(&t);
}

CG_TEST(a_request_without_method_or_target_is_refused) {
    static const char *const bad[] = {
        "PATH_INFO=/\n", "REQUEST_METHOD=GET\n", "REQUEST_METHOD=GE T\nPATH_INFO=/\n",
        "REQUEST_METHOD=GET\nREQUEST_URI=/\nSERVER_PROTOCOL=x\n", GET "HTTP_HOST=a b\n"};
    struct cg_settings settings = uwsgi_settings("auto");
    struct cg_buf packet = CG_BUF_INIT;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct memory_transport t;
        packet_make(&packet, 0, bad[i]);
        mt_open(&t, &hello, &settings);
        mt_feed(&t, cg_buf_slice(&packet));
        CG_CHECK(memmem(t.sent.at, t.sent.len, "HTTP/1.1 400 ", 13));
        CG_CHECK_INT(t.app.begin_n, 0);
        mt_close(&t);
    }
    cg_buf_done(&packet);
}

CG_TEST(a_proxy_header_may_precede_a_packet) {
    struct cg_settings settings = uwsgi_settings("auto");
    struct cg_buf packet = CG_BUF_INIT, input = CG_BUF_INIT;
    settings.proxy_protocol = "v1";
    settings.proxy_allow_ips = "192.0.2.0/24";
    packet_make(&packet, 0, GET);
    CG_CHECK_INT(cg_buf_append(&input, CG_SLICE("PROXY UNKNOWN\r\n")), 0);
    CG_CHECK_INT(cg_buf_append(&input, cg_buf_slice(&packet)), 0);
    MT_TRY(.script = &hello, .settings = &settings, .input = cg_buf_slice(&input),
           .want = CG_SLICE(HELLO), .closed = true, .exchanges_n = 1);
    MT_TRY(.script = &hello, .settings = &settings, .input = cg_buf_slice(&packet),
           .want = CG_SLICE(HELLO), .closed = true, .exchanges_n = 1);
    cg_buf_done(&packet);
    cg_buf_done(&input);
}

CG_TEST(the_log_shows_the_clients_address_and_line) {
    check_line("%(h)s \"%(r)s\" %(U)s %(s)s", GET "REMOTE_ADDR=203.0.113.5\nREMOTE_PORT=4711\n",
               "203.0.113.5 \"GET /a%20b HTTP/1.1\" /a b 200\n");
    check_line("%(h)s", GET "REMOTE_ADDR=2001:db8::7\n", "2001:db8::7\n");
    check_line("%({user-agent}i)s %(H)s", GET "HTTP_USER_AGENT=x\n", "x HTTP/1.1\n");
}

CG_TEST(a_client_without_an_address_is_logged_as_its_proxy) {
    check_line("%(h)s", GET "REMOTE_ADDR=unix:\nREMOTE_PORT=\n", "192.0.2.1\n");
    check_line("%(h)s", GET, "192.0.2.1\n");
}

CG_TEST(a_decoded_path_is_not_decoded_again) {
    check_line("%(U)s", "REQUEST_METHOD=GET\nREQUEST_URI=/%2541\nPATH_INFO=/%41\n", "/%41\n");
    check_line("%(U)s", "REQUEST_METHOD=GET\nREQUEST_URI=/%41\n", "/A\n");
}

CG_TEST(the_scheme_is_believed_of_a_header_only_when_no_variable_says_it) {
    static const char *const schemes[] = {"X-FORWARDED-PROTO:https", NULL};
    static const struct {
        const char *lines, *forwarders;
        enum cg_scheme scheme;
    } rows[] = {
        {GET "HTTP_X_FORWARDED_PROTO=https\n", "*", CG_SCHEME_HTTPS},
        {GET "HTTP_X_FORWARDED_PROTO=https\n", "127.0.0.1", CG_SCHEME_HTTP},
        {GET "HTTP_X_FORWARDED_PROTO=https\nREQUEST_SCHEME=http\n", "*", CG_SCHEME_HTTP},
    };
    struct cg_settings settings = uwsgi_settings("auto");
    struct cg_buf packet = CG_BUF_INIT;
    settings.secure_scheme_headers = schemes;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct memory_transport t;
        settings.forwarded_allow_ips = rows[i].forwarders;
        packet_make(&packet, 0, rows[i].lines);
        mt_open(&t, &hello, &settings);
        mt_feed(&t, cg_buf_slice(&packet));
        CG_CHECK_INT(cg_conn_exchange(t.conn)->request.scheme, rows[i].scheme);
        mt_close(&t);
    }
    cg_buf_done(&packet);
}

/* Connections are used again from one client to the next. */
CG_TEST(an_exchange_forgets_the_one_before) {
    struct cg_settings settings = uwsgi_settings("auto");
    struct cg_buf packet = CG_BUF_INIT;
    struct memory_transport t;
    packet_make(&packet, 0, GET);
    mt_open(&t, &hello, &settings);
    mt_log_access(&t, "%(s)s %(B)s");
    for (int i = 0; i < 3; i++) {
        t.sends_max = i == 1 ? 10 : SIZE_MAX; /* the second client leaves */
        t.sent.len = 0;
        mt_feed(&t, cg_buf_slice(&packet));
        CG_CHECK(t.closed);
        CG_CHECK_INT(cg_conn_exchange(t.conn)->aborted, i == 1);
        cg_conn_free(t.conn);
        t.conn = cg_conn_new(&t.http, -1, &t.peer, &t.local, CG_PROTOCOL_AUTO, &t);
        CG_CHECK(t.conn);
        CG_CHECK_INT(cg_conn_exchange(t.conn)->entered_us, 0);
        CG_CHECK_INT(cg_conn_exchange(t.conn)->begun_us, 0);
        CG_CHECK_INT(cg_conn_exchange(t.conn)->aborted, false);
    }
    CG_CHECK_SLICE(cg_buf_slice(&t.lines), "200 5\n499 0\n200 5\n");
    mt_close(&t);
    cg_buf_done(&packet);
}
