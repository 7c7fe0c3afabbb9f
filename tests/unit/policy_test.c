/* SPDX-License-Identifier: MIT
 *
 * The rules about one request, each through the whole incoming half in every way of feeding. */
#include "tests/unit/incoming.h"
#include "tests/unit/test.h"

static void check(struct cg_slice input, enum cg_fault want, struct incoming *in) {
    for (unsigned seed = 0; seed < 6; seed++) {
        enum incoming_way way = seed < 2 ? (enum incoming_way)seed : INCOMING_SPLITS;
        enum cg_fault got = incoming_run(in, &incoming_settings, input, way, seed);
        if (got != want)
            fprintf(stderr, "%.*s\n%s, not %s\n", (int)input.len, input.at,
                    incoming_fault_name(got), incoming_fault_name(want));
        CG_CHECK_INT(got, want);
    }
}

#define CHECK(literal, fault)                                                                      \
    do {                                                                                           \
        struct incoming in;                                                                        \
        incoming_init(&in);                                                                        \
        check(CG_SLICE(literal), CG_FAULT_##fault, &in);                                           \
        incoming_done(&in);                                                                        \
    } while (0)

#define HEAD_1_0(fields) "POST /p HTTP/1.0\r\n" fields "\r\n"
#define HEAD_1_1(fields) "POST /p HTTP/1.1\r\nHost: a\r\n" fields "\r\n"
#define CHECK_LINE(line, fault) CHECK(line " HTTP/1.1\r\nHost: a\r\n\r\n", fault)

static void check_target(struct cg_slice head, struct cg_slice path, struct cg_slice query) {
    struct incoming in;
    incoming_init(&in);
    check(head, CG_FAULT_NONE, &in);
    cg_test_check_slice(__FILE__, __LINE__, in.request.path, path);
    cg_test_check_slice(__FILE__, __LINE__, in.request.query, query);
    incoming_done(&in);
}

#define CHECK_TARGET(method, target, path, query)                                                  \
    check_target(CG_SLICE(method " " target " HTTP/1.1\r\nHost: a\r\n\r\n"), CG_SLICE(path),       \
                 CG_SLICE(query))

CG_TEST(an_origin_form_target_is_path_and_query) {
    CHECK_TARGET("GET", "/", "/", "");
    CHECK_TARGET("GET", "/a/b?c=d&e", "/a/b", "c=d&e");
    CHECK_TARGET("GET", "/a??b", "/a", "?b");
    CHECK_TARGET("GET", "//evil.example/x", "//evil.example/x", "");
    CHECK_TARGET("GET", "///a", "///a", "");
    CHECK_TARGET("GET", "/%2e%2E/%zz%00", "/%2e%2E/%zz%00", "");
    CHECK_TARGET("GET", "/caf\xc3\xa9?\xff", "/caf\xc3\xa9", "\xff");
    CHECK_TARGET("GET", "/a?http://b", "/a", "http://b");
}

CG_TEST(a_fragment_belongs_neither_to_path_nor_to_query) {
    CHECK_TARGET("GET", "/a#b", "/a", "");
    CHECK_TARGET("GET", "/a?b#c?d", "/a", "b");
    CHECK_TARGET("GET", "/a#b?c", "/a", "");
    CHECK_TARGET("GET", "http://h#f", "/", "");
}

CG_TEST(an_absolute_form_target_gives_its_path) {
    CHECK_TARGET("GET", "http://example.com/foo?q=1", "/foo", "q=1");
    CHECK_TARGET("GET", "https://example.com", "/", "");
    CHECK_TARGET("GET", "http://example.com?q", "/", "q");
    CHECK_TARGET("GET", "HTTP://[::1]:8080/x", "/x", "");
    CHECK_TARGET("GET", "http://user:pass@example.com:80//x", "//x", "");
    CHECK_TARGET("OPTIONS", "http://example.com/", "/", "");
}

CG_TEST(a_broken_absolute_form_is_refused) {
    CHECK_LINE("GET http:///x", TARGET);
    CHECK_LINE("GET http://", TARGET);
    CHECK_LINE("GET ://a/", TARGET);
    CHECK_LINE("GET 1http://a/", TARGET);
    CHECK_LINE("GET ht tp://a/", REQUEST_LINE);
    CHECK_LINE("GET http:/a", TARGET);
    CHECK_LINE("GET http://a:b/", TARGET);
    CHECK_LINE("GET http://a:65536/", TARGET);
    CHECK_LINE("GET http://a@b@c/", TARGET);
    CHECK_LINE("GET http://[::1/", TARGET);
    CHECK_LINE("GET http://[::1]x/", TARGET);
    CHECK_LINE("GET s://]ufd/:", TARGET);
    CHECK_LINE("GET foo?x=http://a/", TARGET);
}

CG_TEST(a_relative_target_is_refused) {
    CHECK_LINE("GET foo/bar", TARGET);
    CHECK_LINE("GET ?a", TARGET);
    CHECK_LINE("GET \xff", TARGET);
}

CG_TEST(an_authority_form_target_is_for_connect_only) {
    CHECK_TARGET("CONNECT", "example.com:443", "example.com:443", "");
    CHECK_TARGET("CONNECT", "[::1]:443", "[::1]:443", "");
    CHECK_LINE("GET example.com:443", TARGET);
    CHECK_LINE("CONNECT example.com", TARGET);
    CHECK_LINE("CONNECT example.com:", TARGET);
    CHECK_LINE("CONNECT :443", TARGET);
    CHECK_LINE("CONNECT a@example.com:443", TARGET);
    CHECK_LINE("CONNECT /", TARGET);
    CHECK_LINE("CONNECT *", TARGET);
}

CG_TEST(an_asterisk_is_for_options_only) {
    CHECK_TARGET("OPTIONS", "*", "*", "");
    CHECK_LINE("GET *", TARGET);
    CHECK_LINE("OPTIONS **", TARGET);
    CHECK_LINE("OPTIONS *?a", TARGET);
}

CG_TEST(host_is_required_on_1_1) {
    CHECK("GET / HTTP/1.1\r\n\r\n", HOST);
    CHECK("GET http://a/ HTTP/1.1\r\n\r\n", HOST);
    CHECK("GET / HTTP/1.0\r\n\r\n", NONE);
}

CG_TEST(host_is_sent_once) {
    CHECK(HEAD_1_1("Host: b\r\n"), HOST);
    CHECK(HEAD_1_1("host: a\r\n"), HOST);
    CHECK(HEAD_1_0("Host: a\r\nHOST: a\r\n"), HOST);
}

#define CHECK_HOST(value, fault) CHECK("GET / HTTP/1.1\r\nHost:" value "\r\n\r\n", fault)

CG_TEST(host_is_a_host_and_a_port) {
    CHECK_HOST("", NONE);
    CHECK_HOST("example.com", NONE);
    CHECK_HOST("example.com:", NONE);
    CHECK_HOST("127.0.0.1:8000", NONE);
    CHECK_HOST("my_host.local", NONE);
    CHECK_HOST("0.0.0.0=5000", NONE);
    CHECK_HOST("[::1]", NONE);
    CHECK_HOST("[2001:db8::1]:80", NONE);
    CHECK_HOST("%41.example", NONE);
    CHECK_HOST("a b", HOST);
    CHECK_HOST("a,b", NONE);
    CHECK_HOST("a/b", HOST);
    CHECK_HOST("a?b", HOST);
    CHECK_HOST("a@b", HOST);
    CHECK_HOST("a:b", HOST);
    CHECK_HOST("a:80:80", HOST);
    CHECK_HOST("a:-1", HOST);
    CHECK_HOST("a:65536", HOST);
    CHECK_HOST("::1", HOST);
    CHECK_HOST("[::1", HOST);
    CHECK_HOST("[::1]80", HOST);
    CHECK_HOST("[]", HOST);
    CHECK_HOST("[fe80::1%25eth0]", HOST);
    CHECK_HOST("[1.2.3.4]", HOST);
    CHECK_HOST("%4", HOST);
    CHECK_HOST("%zz", HOST);
    CHECK_HOST("caf\xc3\xa9", HOST);
    CHECK_HOST("<a>", HOST);
}

CG_TEST(content_type_is_sent_once) {
    CHECK(HEAD_1_1("Content-Type: a/b\r\n"), NONE);
    CHECK(HEAD_1_1("Content-Type: a/b\r\nContent-Type: a/b\r\n"), CONTENT_TYPE);
}

CG_TEST(content_length_is_digits_once) {
    CHECK(HEAD_1_1("Content-Length: 3\r\n") "abc", NONE);
    CHECK(HEAD_1_1("Content-Length: 003\t\r\n") "abc", NONE);
    CHECK(HEAD_1_1("Content-Length: 3\r\n") "ab", INCOMPLETE);
    CHECK(HEAD_1_1("Content-Length:\r\n"), CONTENT_LENGTH);
    CHECK(HEAD_1_1("Content-Length: +3\r\n") "abc", CONTENT_LENGTH);
    CHECK(HEAD_1_1("Content-Length: -0\r\n"), CONTENT_LENGTH);
    CHECK(HEAD_1_1("Content-Length: 1_0\r\n"), CONTENT_LENGTH);
    CHECK(HEAD_1_1("Content-Length: 0x3\r\n"), CONTENT_LENGTH);
    CHECK(HEAD_1_1("Content-Length: 3.0\r\n"), CONTENT_LENGTH);
    CHECK(HEAD_1_1("Content-Length: 3 3\r\n"), CONTENT_LENGTH);
    CHECK(HEAD_1_1("Content-Length: \xb2\r\n"), CONTENT_LENGTH);
    CHECK(HEAD_1_1("Content-Length: 18446744073709551616\r\n"), CONTENT_LENGTH);
}

CG_TEST(content_length_is_no_list_even_of_equal_numbers) {
    CHECK(HEAD_1_1("Content-Length: 3, 3\r\n") "abc", CONTENT_LENGTH);
    CHECK(HEAD_1_1("Content-Length: 3\r\nContent-Length: 3\r\n") "abc", CONTENT_LENGTH);
    CHECK(HEAD_1_1("Content-Length: 3\r\ncontent-length: 4\r\n") "abcd", CONTENT_LENGTH);
}

CG_TEST(transfer_encoding_is_chunked_in_any_case) {
    CHECK(HEAD_1_1("Transfer-Encoding: chunked\r\n") "0\r\n\r\n", NONE);
    CHECK(HEAD_1_1("Transfer-Encoding:\tCHUNKED \t\r\n") "0\r\n\r\n", NONE);
}

CG_TEST(chunked_comes_once_and_last) {
    CHECK(HEAD_1_1("Transfer-Encoding: chunked, chunked\r\n"), TRANSFER_ENCODING);
    CHECK(HEAD_1_1("Transfer-Encoding: chunked, gzip\r\n"), TRANSFER_ENCODING);
    CHECK(HEAD_1_1("Transfer-Encoding: chunked, identity\r\n"), TRANSFER_ENCODING);
    CHECK(HEAD_1_1("Transfer-Encoding: chunked,\r\n"), TRANSFER_ENCODING);
    CHECK(HEAD_1_1("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
          TRANSFER_ENCODING);
    CHECK(HEAD_1_1("Transfer-Encoding: chunked\r\nA: b\r\nTransfer-Encoding: x\r\n"),
          TRANSFER_ENCODING);
}

CG_TEST(a_malformed_coding_is_refused) {
    CHECK(HEAD_1_1("Transfer-Encoding:\r\n"), TRANSFER_ENCODING);
    CHECK(HEAD_1_1("Transfer-Encoding: ,\r\n"), TRANSFER_ENCODING);
    CHECK(HEAD_1_1("Transfer-Encoding: \"chunked\"\r\n"), TRANSFER_ENCODING);
    CHECK(HEAD_1_1("Transfer-Encoding: chunked;q=1\r\n"), TRANSFER_ENCODING);
    CHECK(HEAD_1_1("Transfer-Encoding: chunked\x85\r\n"), TRANSFER_ENCODING);
    CHECK(HEAD_1_1("Transfer-Encoding: \xa0"
                   "chunked\r\n"),
          TRANSFER_ENCODING);
}

CG_TEST(other_codings_are_not_implemented) {
    CHECK(HEAD_1_1("Transfer-Encoding: gzip\r\n"), TRANSFER_ENCODING_UNKNOWN);
    CHECK(HEAD_1_1("Transfer-Encoding: gzip, chunked\r\n"), TRANSFER_ENCODING_UNKNOWN);
    CHECK(HEAD_1_1("Transfer-Encoding: identity\r\n"), TRANSFER_ENCODING_UNKNOWN);
    CHECK(HEAD_1_1("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n"),
          TRANSFER_ENCODING_UNKNOWN);
    CHECK(HEAD_1_1("Transfer-Encoding: xchunked\r\n"), TRANSFER_ENCODING_UNKNOWN);
}

CG_TEST(a_length_beside_a_coding_is_refused_in_any_order) {
    CHECK(HEAD_1_1("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") "0\r\n\r\n",
          LENGTH_AND_CODING);
    CHECK(HEAD_1_1("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n") "0\r\n\r\n",
          LENGTH_AND_CODING);
    CHECK(HEAD_1_1("Transfer-Encoding: identity\r\nContent-Length: 5\r\n"), LENGTH_AND_CODING);
}

CG_TEST(a_coding_on_1_0_is_refused) {
    CHECK(HEAD_1_0("Transfer-Encoding: chunked\r\n") "0\r\n\r\n", CODING_ON_1_0);
    CHECK(HEAD_1_0("Transfer-Encoding: identity\r\n"), CODING_ON_1_0);
}

CG_TEST(underscore_twins_frame_nothing) {
    struct incoming in;
    incoming_init(&in);
    check(CG_SLICE(HEAD_1_1("Content_Length: x\r\nTransfer_Encoding: chunked\r\n") "left"),
          CG_FAULT_NONE, &in);
    CG_CHECK_INT(in.request.framing, CG_FRAMING_NONE);
    CG_CHECK_INT(in.used, in.head.end);
    incoming_done(&in);
}

static bool keeps_alive(struct cg_slice head) {
    struct incoming in;
    incoming_init(&in);
    check(head, CG_FAULT_NONE, &in);
    bool keep_alive = in.request.keep_alive;
    incoming_done(&in);
    return keep_alive;
}

CG_TEST(connection_is_a_list_over_repeated_fields_in_any_case) {
    CG_CHECK(keeps_alive(CG_SLICE(HEAD_1_1(""))));
    CG_CHECK(!keeps_alive(CG_SLICE(HEAD_1_1("Connection: Close\r\n"))));
    CG_CHECK(!keeps_alive(CG_SLICE(HEAD_1_1("Connection: TE , close\r\n"))));
    CG_CHECK(!keeps_alive(CG_SLICE(HEAD_1_1("Connection: close, TE\r\n"))));
    CG_CHECK(!keeps_alive(CG_SLICE(HEAD_1_1("Connection: keep-alive\r\nConnection: close\r\n"))));
    CG_CHECK(keeps_alive(CG_SLICE(HEAD_1_1("Connection: closed, upgrade\r\n"))));
    CG_CHECK(!keeps_alive(CG_SLICE(HEAD_1_0(""))));
    CG_CHECK(keeps_alive(CG_SLICE(HEAD_1_0("Connection: Keep-Alive\r\n"))));
    CG_CHECK(keeps_alive(CG_SLICE(HEAD_1_0("Connection: x\r\nConnection: y,keep-alive\r\n"))));
    CG_CHECK(!keeps_alive(CG_SLICE(HEAD_1_0("Connection: keep-alive, close\r\n"))));
}

CG_TEST(upgrades_are_ignored) {
    CHECK(HEAD_1_1("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\n"
                   "Content-Length: 3\r\n") "abc",
          NONE);
    CHECK("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", NONE);
}

static bool expects(struct cg_slice head) {
    struct incoming in;
    incoming_init(&in);
    check(head, CG_FAULT_NONE, &in);
    bool expects_continue = in.request.expects_continue;
    incoming_done(&in);
    return expects_continue;
}

CG_TEST(continue_is_expected_before_a_body_on_1_1) {
    CG_CHECK(expects(CG_SLICE(HEAD_1_1("Expect: 100-Continue\r\nContent-Length: 1\r\n") "a")));
    CG_CHECK(expects(
        CG_SLICE(HEAD_1_1("Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n") "0\r\n\r\n")));
    CG_CHECK(!expects(CG_SLICE(HEAD_1_1("Expect: 100-continue\r\n"))));
    CG_CHECK(!expects(CG_SLICE(HEAD_1_1("Expect: 100-continue\r\nContent-Length: 0\r\n"))));
    CG_CHECK(!expects(CG_SLICE(HEAD_1_0("Expect: 100-continue\r\nContent-Length: 1\r\n") "a")));
}

CG_TEST(other_expectations_fail_on_1_1_and_are_ignored_on_1_0) {
    CHECK(HEAD_1_1("Expect: tea\r\n"), EXPECTATION);
    CHECK(HEAD_1_1("Expect: 100-continue, tea\r\n"), EXPECTATION);
    CHECK(HEAD_1_1("Expect: 100-continue\r\nExpect: tea\r\n"), EXPECTATION);
    CHECK(HEAD_1_1("Expect: 100-continued\r\n"), EXPECTATION);
    CHECK(HEAD_1_0("Expect: tea\r\n"), NONE);
}

CG_TEST(head_and_connect_are_marked) {
    struct incoming in;
    incoming_init(&in);
    check(CG_SLICE("HEAD / HTTP/1.0\r\n\r\n"), CG_FAULT_NONE, &in);
    CG_CHECK(in.request.is_head && !in.request.is_connect);
    check(CG_SLICE("CONNECT a:1 HTTP/1.0\r\n\r\n"), CG_FAULT_NONE, &in);
    CG_CHECK(!in.request.is_head && in.request.is_connect);
    incoming_done(&in);
}

static struct cg_head_limits limits_of(int64_t line, int64_t fields, int64_t field) {
    struct cg_settings settings = {.limit_request_line = line,
                                   .limit_request_fields = fields,
                                   .limit_request_field_size = field};
    return cg_policy_head_limits(&settings);
}

CG_TEST(limits_are_clamped_as_gunicorn_does) {
    CG_CHECK_INT(limits_of(4094, 100, 8190).line_bytes, 4094);
    CG_CHECK_INT(limits_of(9000, 100, 8190).line_bytes, 8190);
    CG_CHECK_INT(limits_of(-1, 100, 8190).line_bytes, 8190);
    CG_CHECK_INT(limits_of(4094, 0, 8190).fields_n, 32768);
    CG_CHECK_INT(limits_of(4094, -5, 8190).fields_n, 32768);
    CG_CHECK_INT(limits_of(4094, INT64_MAX, 8190).fields_n, 32768);
    CG_CHECK_INT(limits_of(4094, 100, 9000).field_bytes, 9000);
    CG_CHECK_INT(limits_of(4094, 100, -1).field_bytes, 8190);
}

CG_TEST(zero_is_unlimited_within_the_bound_of_a_head) {
    CG_CHECK_INT(limits_of(0, 100, 8190).line_bytes, 0);
    CG_CHECK_INT(limits_of(4094, 100, 0).field_bytes, 0);
    CG_CHECK_INT(limits_of(0, 1, 1).head_bytes, 1024 * 1024);
    CG_CHECK_INT(limits_of(1, 1, 0).head_bytes, 1024 * 1024);
}

CG_TEST(a_head_is_bounded_whatever_the_settings) {
    CG_CHECK_INT(limits_of(100, 10, 50).head_bytes, 8 + 102 + 500 + 2);
    CG_CHECK_INT(limits_of(8190, 32768, INT64_MAX).head_bytes, 1024 * 1024);
}
