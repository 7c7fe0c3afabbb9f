/* SPDX-License-Identifier: MIT
 *
 * Access lines: Gunicorn's atoms, and that no client can forge a line.
 */
#include "server/http/access.h"
#include "server/http/access_note.h"
#include "tests/unit/test.h"

#include <stdlib.h>
#include <unistd.h>

#define DEFAULT_FORMAT "%(h)s %(l)s %(u)s %(t)s \"%(r)s\" %(s)s %(b)s \"%(f)s\" \"%(a)s\""

static struct cg_endpoint peer;
static struct cg_exchange ex;

static void add_field(const char *name, const char *value) {
    CG_CHECK_INT(cg_request_add_field(&ex.request, cg_slice_str(name), cg_slice_str(value)), 0);
}

static void open_exchange(void) {
    setenv("TZ", "UTC", 1);
    peer = (struct cg_endpoint){.family = CG_FAMILY_IPV4, .host_len = 9};
    memcpy(peer.host, "192.0.2.1", 9);
    cg_request_init(&ex.request);
    cg_response_init(&ex.response);
    ex.peer = ex.client = &peer;
    ex.begun_us = 1000;
    ex.request.line = CG_SLICE("GET /a%20b?q=1 HTTP/1.1");
    ex.request.method = CG_SLICE("GET");
    ex.request.target = CG_SLICE("/a%20b?q=1");
    ex.request.path = CG_SLICE("/a%20b");
    ex.request.query = CG_SLICE("q=1");
    ex.request.version_major = ex.request.version_minor = 1;
    ex.response.status = 200;
    ex.response.body_bytes = 42;
}

static void check_line(const char *format, struct cg_slice want) {
    struct cg_buf line = CG_BUF_INIT;
    struct cg_access *a = cg_access_new(format);
    CG_CHECK(a);
    CG_CHECK_INT(cg_access_render(a, &ex, 2345678 + 1000, 1795175693, &line), 0);
    cg_test_check_slice(__FILE__, __LINE__, cg_buf_slice(&line), want);
    cg_access_free(a);
    cg_buf_done(&line);
}

#define CHECK_LINE(format, want) check_line(format, CG_SLICE(want))

static void close_exchange(void) {
    cg_request_done(&ex.request);
    cg_response_done(&ex.response);
}

CG_TEST(the_default_format_is_gunicorns) {
    open_exchange();
    add_field("Referer", "http://x/");
    add_field("User-Agent", "curl/8");
    CHECK_LINE(DEFAULT_FORMAT, "192.0.2.1 - - [20/Nov/2026:11:54:53 +0000] "
                               "\"GET /a%20b?q=1 HTTP/1.1\" 200 42 \"http://x/\" \"curl/8\"");
    close_exchange();
}

CG_TEST(missing_values_are_dashes) {
    open_exchange();
    peer.host_len = 0;
    CHECK_LINE("%(h)s %(u)s %(f)s %(a)s %({x}i)s %({x}o)s %({x}e)s %(Z)s %()s",
               "- - - - - - - - -");
    close_exchange();
}

CG_TEST(parts_of_the_request_have_atoms) {
    open_exchange();
    CHECK_LINE("%(m)s|%(U)s|%(q)s|%(H)s|%(B)s", "GET|/a b|q=1|HTTP/1.1|42");
    ex.request.version_minor = 0;
    ex.request.query = cg_slice_of(NULL, 0);
    CHECK_LINE("%(q)s|%(H)s", "|HTTP/1.0");
    close_exchange();
}

CG_TEST(times_are_in_four_units) {
    open_exchange();
    CHECK_LINE("%(T)s %(M)s %(D)s %(L)s %(D)d", "2 2345 2345678 2.345678 2345678");
    ex.begun_us = UINT64_MAX;
    CHECK_LINE("%(L)s", "0.000000");
    close_exchange();
}

CG_TEST(the_process_is_in_brackets) {
    char want[32];
    open_exchange();
    snprintf(want, sizeof(want), "<%ld>", (long)getpid());
    check_line("%(p)s", cg_slice_str(want));
    close_exchange();
}

CG_TEST(braces_name_fields_in_any_case) {
    open_exchange();
    add_field("X-Thing", "in");
    add_field("Host", "example");
    CG_CHECK_INT(cg_response_start(&ex.response, CG_SLICE("200 OK")), CG_RESPONSE_OK);
    CG_CHECK_INT(cg_response_add_field(&ex.response, CG_SLICE("X-Out"), CG_SLICE("out")),
                 CG_RESPONSE_OK);
    CHECK_LINE("%({x-thing}i)s %({HOST}i)s %({x-out}o)s", "in example out");
    close_exchange();
}

CG_TEST(environ_keys_that_follow_from_the_request_are_known) {
    open_exchange();
    add_field("X-Thing", "in");
    add_field("Content-Type", "text/plain");
    CHECK_LINE("%({HTTP_X_THING}e)s %({content_type}e)s %({REQUEST_METHOD}e)s %({raw_uri}e)s "
               "%({REMOTE_ADDR}e)s %({HTTP_}e)s",
               "in text/plain GET /a%20b?q=1 192.0.2.1 -");
    close_exchange();
}

static void note(const char *text) {
    CG_CHECK_INT(cg_access_note(&ex, text ? cg_slice_str(text) : cg_slice_of(NULL, 0)), 0);
}

CG_TEST(what_the_application_has_noted_counts) {
    open_exchange();
    add_field("X-Thing", "in");
    note("198.51.100.7");
    note("mine\"");
    note(NULL);
    note("");
    CHECK_LINE("%(h)s %({x.y}e)s %({HTTP_X_THING}e)s <%({A}e)s> %({X.Y}e)s %({b}e)s %({x-thing}i)s",
               "198.51.100.7 mine\\\" - <> mine\\\" - in");
    cg_buf_done(&ex.notes);
    note(NULL);
    CHECK_LINE("%(h)s %({remote_addr}e)s", "- -");
    cg_buf_done(&ex.notes);
    close_exchange();
}

static void join(void *ctx, struct cg_slice name) {
    struct cg_buf *names = ctx;
    CG_CHECK_INT(cg_buf_append(names, name), 0);
    CG_CHECK_INT(cg_buf_append_char(names, ' '), 0);
}

CG_TEST(variables_of_a_format_are_numbered_once) {
    struct cg_buf names = CG_BUF_INIT;
    CG_CHECK_INT(cg_access_each_key("%(h)s %({a}e)s %({A}e)s %({HTTP_B}e)s %({remote_addr}e)s",
                                    join, &names),
                 0);
    cg_test_check_slice(__FILE__, __LINE__, cg_buf_slice(&names),
                        CG_SLICE("REMOTE_ADDR a HTTP_B "));
    names.len = 0;
    CG_CHECK_INT(cg_access_each_key("json", join, &names), 0);
    cg_test_check_slice(__FILE__, __LINE__, cg_buf_slice(&names), CG_SLICE("REMOTE_ADDR "));
    cg_buf_done(&names);
}

CG_TEST(variables_beyond_a_bound_are_not_asked_for) {
    struct cg_buf format = CG_BUF_INIT, names = CG_BUF_INIT;
    for (int i = 0; i < 100; i++)
        CG_CHECK_INT(cg_buf_appendf(&format, "%%({v%d}e)s", i), 0);
    CG_CHECK_INT(cg_buf_append_char(&format, '\0'), 0);
    CG_CHECK_INT(cg_access_each_key(format.at, join, &names), 0);
    names.at[names.len - 1] = '\0';
    CG_CHECK(strcmp(names.at + names.len - 4, "v30") == 0);
    cg_buf_done(&format);
    cg_buf_done(&names);
}

CG_TEST(the_last_of_several_fields_counts) {
    open_exchange();
    add_field("Referer", "a");
    add_field("X-Thing", "b");
    add_field("x-thing", "c");
    add_field("Referer", "d");
    CG_CHECK_INT(cg_response_start(&ex.response, CG_SLICE("200 OK")), CG_RESPONSE_OK);
    CG_CHECK_INT(cg_response_add_field(&ex.response, CG_SLICE("X-Out"), CG_SLICE("e")),
                 CG_RESPONSE_OK);
    CG_CHECK_INT(cg_response_add_field(&ex.response, CG_SLICE("x-out"), CG_SLICE("f")),
                 CG_RESPONSE_OK);
    CHECK_LINE("%(f)s %({X-Thing}i)s %({X-Out}o)s", "d c f");
    close_exchange();
}

CG_TEST(a_client_cannot_forge_a_line) {
    open_exchange();
    add_field("User-Agent", "a\" 200 1 \"\\\t\xe4\x7f");
    ex.request.path = CG_SLICE("/x%0a%22%5c%zz%4");
    CHECK_LINE("\"%(a)s\" %(U)s", "\"a\\\" 200 1 \\\"\\\\\\x09\\xe4\\x7f\" /x\\x0a\\\"\\\\%zz%4");
    close_exchange();
}

CG_TEST(what_is_no_conversion_is_copied) {
    open_exchange();
    CHECK_LINE("100%% %(s)s%%", "100% 200%");
    CHECK_LINE("% %x %(s %(s) %(s)q \\n \"", "% %x %(s %(s) %(s)q \\n \"");
    CHECK_LINE("%(s)s%", "200%");
    CHECK_LINE("", "");
    close_exchange();
}

static void check_user(const char *authorization, struct cg_slice want) {
    open_exchange();
    add_field("Authorization", authorization);
    check_line("%(u)s", want);
    close_exchange();
}

CG_TEST(the_user_comes_from_basic_credentials) {
    check_user("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", CG_SLICE("Aladdin"));
    check_user("basic  YTpi", CG_SLICE("a"));
    check_user("BASIC YWI6", CG_SLICE("ab"));
    check_user("Basic YSI6Yg==", CG_SLICE("a\\\""));
}

CG_TEST(credentials_that_are_not_strict_base64_have_no_user) {
    check_user("Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==", CG_SLICE("-"));
    check_user("Basic", CG_SLICE("-"));
    check_user("Basic ", CG_SLICE("-"));
    check_user("Basic YTpi=", CG_SLICE("-"));
    check_user("Basic YTp", CG_SLICE("-"));
    check_user("Basic YT*i", CG_SLICE("-"));
    check_user("Basic YTpiYR==", CG_SLICE("-"));
    check_user("Basic ====", CG_SLICE("-"));
    check_user("Basic QWxhZGRpbg==", CG_SLICE("-")); /* no colon */
    check_user("Basic OmI=", CG_SLICE("-"));         /* nobody */
}

/* The line in JSON with this path, status, end of the connection and agent. */
static void check_json(const char *path, const char *status, const char *queue_time,
                       const char *aborted, const char *user_agent) {
    char want[1024];
    int len = snprintf(want, sizeof(want),
                       "{\"time\":\"2026-11-20T11:54:53+00:00\",\"client\":\"192.0.2.1\","
                       "\"method\":\"GET\",\"host\":null,\"path\":%s,\"query\":\"q=1\","
                       "\"protocol\":\"HTTP/1.1\",\"status\":%s,\"bytes\":42,"
                       "\"request_time\":2.345678,\"queue_time\":%s,\"pid\":%ld,"
                       "\"aborted\":%s,\"referer\":null,\"user_agent\":%s}",
                       path, status, queue_time, (long)getpid(), aborted, user_agent);
    check_line("json", cg_slice_of(want, (size_t)len));
}

CG_TEST(json_has_a_member_for_each_value) {
    open_exchange();
    check_json("\"/a b\"", "200", "null", "false", "null");
    add_field("User-Agent", "a\"\\\t\xc3\xa4\xe4");
    ex.request.path = CG_SLICE("/%00%e2%82%ac%ff");
    ex.entered_us = 1000;
    ex.waited_us = 1500000;
    ex.aborted = ex.client_left = true;
    check_json("\"/\\u0000\xe2\x82\xac\\u00ff\"", "499", "1.500000", "true",
               "\"a\\\"\\\\\\u0009\xc3\xa4\\u00e4\"");
    ex.aborted = ex.client_left = false;
    ex.entered_us = 0;
    close_exchange();
}

CG_TEST(values_of_json_have_atoms) {
    char want[128];
    open_exchange();
    snprintf(want, sizeof(want), "2026-11-20T11:54:53+00:00 - %ld false", (long)getpid());
    check_line("%({time}x)s %({queue_time}x)s %({PID}x)s %({aborted}x)s", cg_slice_str(want));
    close_exchange();
}

CG_TEST(the_path_is_what_the_application_sees) {
    open_exchange();
    ex.request.path_info = CG_SLICE("/below");
    CHECK_LINE("%(U)s %({path_info}e)s", "/below /below");
    close_exchange();
}

/* The seconds that the exchange had waited when it entered the application just now. */
static double queue_time(bool from_forwarder) {
    struct cg_buf line = CG_BUF_INIT;
    struct cg_access *a = cg_access_new("%({queue_time}x)s");
    ex.request.from_forwarder = from_forwarder;
    ex.entered_us = 2000;
    CG_CHECK_INT(cg_access_render(a, &ex, 2000, 0, &line), 0);
    CG_CHECK_INT(cg_buf_append_char(&line, '\0'), 0);
    double seconds = strtod(line.at, NULL);
    cg_access_free(a);
    cg_buf_done(&line);
    ex.entered_us = 0;
    return seconds;
}

CG_TEST(queue_time_begins_where_a_trusted_proxy_says) {
    char start[32];
    open_exchange();
    ex.waited_us = 250000;
    snprintf(start, sizeof(start), "t=%lld.000", (long long)time(NULL) - 100);
    add_field("X-Request-Start", start);
    CG_CHECK(queue_time(true) >= 100 && queue_time(true) < 110);
    CG_CHECK(queue_time(false) > 0.24 && queue_time(false) < 0.26);
    close_exchange();
}

CG_TEST(a_proxys_clock_that_is_ahead_is_not_believed) {
    char start[32];
    open_exchange();
    ex.waited_us = 250000;
    snprintf(start, sizeof(start), "t=%lld.000", (long long)time(NULL) + 100);
    add_field("X-Request-Start", start);
    CG_CHECK(queue_time(true) > 0.24 && queue_time(true) < 0.26);
    close_exchange();
}
