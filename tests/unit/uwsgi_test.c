/* SPDX-License-Identifier: MIT
 *
 * The uwsgi packet and what its variables mean. How it travels over a connection is in
 * conn_uwsgi_test.c. */
#include "server/uwsgi/packet.h"
#include "server/uwsgi/request.h"
#include "tests/unit/packet.h"
#include "tests/unit/test.h"

#include <stdlib.h>

#define GET "REQUEST_METHOD=GET\nREQUEST_URI=/a%20b?x=1\nPATH_INFO=/a b\nQUERY_STRING=x=1\n"

/* A request read from a packet at a copy of exactly its size. */
struct reading {
    struct cg_request r;
    char *packet;
    enum cg_fault fault;
};

static struct reading reading_of(struct cg_slice packet) {
    struct reading reading;
    cg_request_init(&reading.r);
    reading.packet = malloc(packet.len);
    CG_CHECK(reading.packet);
    memcpy(reading.packet, packet.at, packet.len);
    reading.fault = cg_uwsgi_read(&reading.r, reading.packet, packet.len);
    return reading;
}

static struct reading read_lines(char modifier1, const char *lines) {
    struct cg_buf packet = CG_BUF_INIT;
    packet_make(&packet, modifier1, lines);
    struct reading reading = reading_of(cg_buf_slice(&packet));
    cg_buf_done(&packet);
    return reading;
}

static void reading_done(struct reading *reading) {
    cg_request_done(&reading->r);
    free(reading->packet);
}

static void append(struct cg_buf *b, struct cg_slice s, char end) {
    CG_CHECK_INT(cg_buf_append(b, s), 0);
    CG_CHECK_INT(cg_buf_append_char(b, end), 0);
}

/* Fields and variables, as "NAME=value" lines. */
static void check_lists(const char *lines, const char *fields, const char *variables) {
    struct reading reading = read_lines(0, lines);
    struct cg_buf text = CG_BUF_INIT;
    CG_CHECK_INT(reading.fault, CG_FAULT_NONE);
    for (size_t i = 0; i < reading.r.fields_n; i++) {
        append(&text, reading.r.fields[i].name, '=');
        append(&text, reading.r.fields[i].value, '\n');
    }
    cg_test_check_slice(lines, __LINE__, cg_buf_slice(&text), cg_slice_str(fields));
    text.len = 0;
    for (size_t i = 0; i < reading.r.variables_n; i++) {
        append(&text, reading.r.variables[i].name, '=');
        append(&text, reading.r.variables[i].value, '\n');
    }
    cg_test_check_slice(lines, __LINE__, cg_buf_slice(&text), cg_slice_str(variables));
    cg_buf_done(&text);
    reading_done(&reading);
}

static void check_fault(struct cg_slice packet, enum cg_fault want) {
    struct reading reading = reading_of(packet);
    CG_CHECK_INT(reading.fault, want);
    reading_done(&reading);
}

static void check_scheme(const char *lines, enum cg_scheme scheme, bool is_said) {
    struct reading reading = read_lines(0, lines);
    CG_CHECK_INT(reading.r.scheme, scheme);
    CG_CHECK_INT(reading.r.scheme_is_said, is_said);
    reading_done(&reading);
}

static void check_mount(char modifier1, const char *lines, const char *script_name,
                        const char *path_info) {
    struct reading reading = read_lines(modifier1, lines);
    cg_test_check_slice(lines, __LINE__, reading.r.script_name, cg_slice_str(script_name));
    cg_test_check_slice(lines, __LINE__, reading.r.path_info, cg_slice_str(path_info));
    reading_done(&reading);
}

CG_TEST(the_length_is_known_after_four_bytes) {
    CG_CHECK_INT(cg_uwsgi_packet_len(CG_SLICE("\0\x76\x01")), 0);
    CG_CHECK_INT(cg_uwsgi_packet_len(CG_SLICE("\0\x76\x01\0")), 4 + 374);
    CG_CHECK_INT(cg_uwsgi_packet_len(CG_SLICE("\0\xff\xff\0 ")), 4 + 65535);
    CG_CHECK_INT(cg_uwsgi_packet_len(CG_SLICE("\0\0\0\0")), 4);
}

CG_TEST(no_request_of_http_begins_like_a_packet) {
    CG_CHECK(cg_uwsgi_begins('\0') && cg_uwsgi_begins(30));
    for (int c = 1; c < 256; c++)
        CG_CHECK(c == 30 || !cg_uwsgi_begins((char)c));
}

CG_TEST(a_packet_makes_the_request_that_http_would) {
    struct reading reading = read_lines(0, GET "SERVER_PROTOCOL=HTTP/1.1\n");
    CG_CHECK_INT(reading.fault, CG_FAULT_NONE);
    CG_CHECK(reading.r.is_uwsgi && reading.r.path_is_decoded && !reading.r.keep_alive);
    CG_CHECK_SLICE(reading.r.line, "GET /a%20b?x=1 HTTP/1.1");
    CG_CHECK_SLICE(reading.r.method, "GET");
    CG_CHECK_SLICE(reading.r.target, "/a%20b?x=1");
    CG_CHECK_SLICE(reading.r.path, "/a b");
    CG_CHECK_SLICE(reading.r.path_info, "/a b");
    CG_CHECK_SLICE(reading.r.query, "x=1");
    CG_CHECK_SLICE(reading.r.version, "HTTP/1.1");
    CG_CHECK_INT(reading.r.framing, CG_FRAMING_NONE);
    reading_done(&reading);
}

CG_TEST(a_path_that_is_not_sent_follows_from_the_target) {
    struct reading reading = read_lines(0, "REQUEST_METHOD=GET\nREQUEST_URI=/a%20b?x=1\n");
    CG_CHECK(!reading.r.path_is_decoded);
    CG_CHECK_SLICE(reading.r.path_info, "/a%20b");
    CG_CHECK_SLICE(reading.r.query, "x=1");
    reading_done(&reading);
}

CG_TEST(a_target_that_is_not_sent_is_put_together) {
    struct reading reading = read_lines(
        0, "REQUEST_METHOD=GET\nPATH_INFO=/a\nQUERY_STRING=x=1\nSERVER_PROTOCOL=HTTP/2.0");
    CG_CHECK_SLICE(reading.r.target, "/a?x=1");
    CG_CHECK_SLICE(reading.r.line, "GET /a?x=1 HTTP/2.0");
    reading_done(&reading);
    reading = read_lines(0, "REQUEST_METHOD=GET\nPATH_INFO=/a\n");
    CG_CHECK_SLICE(reading.r.line, "GET /a HTTP/1.0");
    reading_done(&reading);
}

CG_TEST(headers_become_fields_with_their_numbers) {
    check_lists("HTTP_USER_AGENT=x\nHTTP_X_REQUEST_ID=1\nHTTP_X__Y=2\nHTTP_EMPTY=\n",
                "USER-AGENT=x\nX-REQUEST-ID=1\nX--Y=2\nEMPTY=\n", "");
    struct reading reading = read_lines(0, "HTTP_USER_AGENT=x\n");
    CG_CHECK(cg_request_field(&reading.r, CG_FIELD_USER_AGENT));
    reading_done(&reading);
}

CG_TEST(empty_content_variables_are_left_out) {
    check_lists("CONTENT_TYPE=\nCONTENT_LENGTH=\n", "", "");
    check_lists("CONTENT_TYPE=text/plain\nCONTENT_LENGTH=5\n",
                "CONTENT-TYPE=text/plain\nCONTENT-LENGTH=5\n", "");
}

CG_TEST(the_body_is_framed_by_content_length_alone) {
    struct reading reading = read_lines(
        0, GET "CONTENT_LENGTH=6\nHTTP_TRANSFER_ENCODING=chunked\nHTTP_CONTENT_LENGTH=9\n"
               "HTTP_CONTENT_TYPE=a/b\n");
    CG_CHECK_INT(reading.r.framing, CG_FRAMING_LENGTH);
    CG_CHECK_INT(reading.r.content_length, 6);
    CG_CHECK_INT(reading.r.fields_n, 1);
    reading_done(&reading);
}

CG_TEST(a_content_length_that_is_none_or_another_is_refused) {
    static const char *const bad[] = {"CONTENT_LENGTH=x", "CONTENT_LENGTH=-1", "CONTENT_LENGTH=1 ",
                                      "CONTENT_LENGTH=99999999999999999999",
                                      "CONTENT_LENGTH=1\nCONTENT_LENGTH=2"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct reading reading = read_lines(0, bad[i]);
        CG_CHECK_INT(reading.fault, CG_FAULT_CONTENT_LENGTH);
        reading_done(&reading);
    }
    check_lists("CONTENT_LENGTH=1\nCONTENT_LENGTH=01\n", "CONTENT-LENGTH=1\n", "");
}

CG_TEST(repeated_headers_are_kept_to_be_joined) {
    check_lists("HTTP_COOKIE=a=1\nHTTP_COOKIE=b=2\nHTTP_X=1\nHTTP_X=2\n",
                "COOKIE=a=1\nCOOKIE=b=2\nX=1\nX=2\n", "");
}

CG_TEST(a_parameter_behind_the_stock_ones_overrides_them) {
    check_lists("HTTP_HOST=a\nHTTP_HOST=a:81\nCONTENT_TYPE=a/b\nCONTENT_TYPE=c/d\n",
                "HOST=a:81\nCONTENT-TYPE=c/d\n", "");
    check_mount(0, GET "PATH_INFO=/other\n", NULL, "/other");
}

CG_TEST(other_parameters_are_variables) {
    check_lists("REMOTE_USER=ann\nMY_VAR=\nlower=1\nREMOTE_ADDR=192.0.2.1\nREMOTE_PORT=1\n"
                "SERVER_NAME=x\nSERVER_PORT=80\nHTTPS=on\nREQUEST_SCHEME=https\nREQUEST_URI=/\n",
                "",
                "REMOTE_USER=ann\nMY_VAR=\nlower=1\nREMOTE_ADDR=192.0.2.1\nREMOTE_PORT=1\n"
                "SERVER_NAME=x\nSERVER_PORT=80\nHTTPS=on\nREQUEST_SCHEME=https\nREQUEST_URI=/\n");
}

CG_TEST(an_empty_server_name_is_left_to_be_found) {
    check_lists("SERVER_NAME=\nSERVER_PORT=\n", "", "");
}

CG_TEST(keys_of_the_server_are_not_taken_from_a_packet) {
    check_lists("wsgi.input=x\nwsgi.url_scheme=https\ncgunicorn.socket=x\na.b=c\nHTTP_A.B=c\n"
                "SERVER_SOFTWARE=x\nRAW_URI=/x\nPROXY_PROTOCOL=TCP4\nPROXY_ADDR=x\nPROXY_PORT=1\n",
                "", "");
}

CG_TEST(what_uwsgi_lets_a_packet_do_is_ignored) {
    check_lists("UWSGI_FILE=/etc/passwd\nUWSGI_SCRIPT=x\nUWSGI_MODULE=x\nUWSGI_HOME=/x\n"
                "UWSGI_PYHOME=/x\nUWSGI_CHDIR=/\nUWSGI_POSTFILE=x\nUWSGI_SETENV=A=b\n"
                "UWSGI_TOUCH_RELOAD=/x\nUWSGI_ANYTHING=x\n",
                "", "");
}

CG_TEST(headers_spelled_as_no_gateway_does_are_left_out) {
    check_lists("HTTP_CONTENT-LENGTH=5\nHTTP_content_length=5\nHTTP_TRANSFER-ENCODING=chunked\n"
                "HTTP_A B=c\nHTTP_Host=x\n",
                "", "");
}

CG_TEST(the_scheme_is_said_by_three_variables_in_order) {
    check_scheme("", CG_SCHEME_HTTP, false);
    check_scheme("REQUEST_SCHEME=https", CG_SCHEME_HTTPS, true);
    check_scheme("REQUEST_SCHEME=http", CG_SCHEME_HTTP, true);
    check_scheme("HTTPS=on\nREQUEST_SCHEME=http", CG_SCHEME_HTTPS, true);
    check_scheme("HTTPS=1", CG_SCHEME_HTTPS, true);
    check_scheme("HTTPS=", CG_SCHEME_HTTP, false);
    check_scheme("HTTPS=off", CG_SCHEME_HTTP, false);
    check_scheme("UWSGI_SCHEME=http\nHTTPS=on", CG_SCHEME_HTTP, true);
    check_scheme("UWSGI_SCHEME=https\nREQUEST_SCHEME=http", CG_SCHEME_HTTPS, true);
}

CG_TEST(modifier_30_takes_script_name_off_the_path) {
    check_mount(30, "SCRIPT_NAME=/app\nPATH_INFO=/app/x", "/app", "/x");
    check_mount(30, "SCRIPT_NAME=/app\nPATH_INFO=/app", "/app", "");
    check_mount(30, "SCRIPT_NAME=/app\nPATH_INFO=/apple", "/app", "/apple");
    check_mount(30, "SCRIPT_NAME=/app\nPATH_INFO=/", "/app", "/");
    check_mount(30, "PATH_INFO=/x", NULL, "/x");
    check_mount(0, "SCRIPT_NAME=/app\nPATH_INFO=/app/x", "/app", "/app/x");
}

CG_TEST(lengths_beyond_the_packet_are_refused) {
    check_fault(CG_SLICE("\0\x05\0\0\x06\0abc"), CG_FAULT_UWSGI_PACKET);
    check_fault(CG_SLICE("\0\x05\0\0\x03\0abc"), CG_FAULT_UWSGI_PACKET);
    check_fault(CG_SLICE("\0\x06\0\0\x03\0abc\0"), CG_FAULT_UWSGI_PACKET);
    check_fault(CG_SLICE("\0\x07\0\0\x03\0abc\1\0"), CG_FAULT_UWSGI_PACKET);
    check_fault(CG_SLICE("\0\x01\0\0\x03"), CG_FAULT_UWSGI_PACKET);
    check_fault(CG_SLICE("\0\x07\0\0\x03\0abc\0\0"), CG_FAULT_NONE);
}

CG_TEST(an_empty_key_is_refused) {
    check_fault(CG_SLICE("\0\x05\0\0\0\0\1\0x"), CG_FAULT_UWSGI_PACKET);
}

CG_TEST(a_thousand_variables_are_enough) {
    struct cg_buf packet = CG_BUF_INIT;
    packet_begin(&packet, 0);
    for (int i = 0; i < CG_UWSGI_VARS_N_MAX; i++)
        packet_add(&packet, CG_SLICE("A"), CG_SLICE(""));
    packet_end(&packet);
    check_fault(cg_buf_slice(&packet), CG_FAULT_NONE);
    packet_add(&packet, CG_SLICE("A"), CG_SLICE(""));
    packet_end(&packet);
    check_fault(cg_buf_slice(&packet), CG_FAULT_UWSGI_VARS_TOO_MANY);
    cg_buf_done(&packet);
}

CG_TEST(the_largest_packet_is_read) {
    static char value[65535 - 5];
    struct cg_buf packet = CG_BUF_INIT;
    memset(value, 'v', sizeof(value));
    packet_begin(&packet, 0);
    packet_add(&packet, CG_SLICE("A"), cg_slice_of(value, sizeof(value)));
    packet_end(&packet);
    CG_CHECK_INT(packet.len, 4 + CG_UWSGI_VARS_BYTES_MAX);
    check_fault(cg_buf_slice(&packet), CG_FAULT_NONE);
    cg_buf_done(&packet);
}
