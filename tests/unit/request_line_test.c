/* SPDX-License-Identifier: MIT
 *
 * The rules about methods and versions, and what the settings permit beyond them. */
#include "tests/unit/incoming.h"
#include "tests/unit/test.h"

static struct cg_settings settings;
static char head[128]; /* what the request's slices point to */

/* The verdict on "LINE CRLF Host: a"; the request is left in *in. */
static enum cg_fault judge(struct incoming *in, const char *line) {
    int len = snprintf(head, sizeof head, "%s\r\nHost: a\r\n\r\n", line);
    CG_CHECK((size_t)len < sizeof head);
    return incoming_run(in, &settings, cg_slice_of(head, (size_t)len), INCOMING_WHOLE, 0);
}

static void check(const char *line, enum cg_fault want) {
    struct incoming in;
    incoming_init(&in);
    enum cg_fault got = judge(&in, line);
    if (got != want)
        cg_test_fail(__FILE__, __LINE__, "%s: %s, not %s", line, incoming_fault_name(got),
                     incoming_fault_name(want));
    incoming_done(&in);
}

#define CHECK_LINE(line, fault) check(line, CG_FAULT_##fault)

static void check_method(const char *line, const char *want) {
    struct incoming in;
    incoming_init(&in);
    CG_CHECK_INT(judge(&in, line), CG_FAULT_NONE);
    cg_test_check_slice(line, 1, in.request.method, cg_slice_str(want));
    incoming_done(&in);
}

static void use_default_settings(void) {
    settings = incoming_settings;
}

CG_TEST(a_method_is_a_token_in_upper_case) {
    use_default_settings();
    CHECK_LINE("G(T / HTTP/1.1", METHOD);
    CHECK_LINE("GET: / HTTP/1.1", METHOD);
    CHECK_LINE("GE\xff / HTTP/1.1", METHOD);
    CHECK_LINE("get / HTTP/1.1", METHOD);
    CHECK_LINE("Get / HTTP/1.1", METHOD);
}

CG_TEST(every_served_method_is_accepted) {
    static const char *const lines[] = {
#define CG_METHOD(name) name " http://a:1/ HTTP/1.1",
#include "server/http/method.def"
#undef CG_METHOD
    };
    use_default_settings();
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        if (strncmp(lines[i], "CONNECT ", 8) != 0)
            check(lines[i], CG_FAULT_NONE);
    CHECK_LINE("CONNECT a:1 HTTP/1.1", NONE);
}

CG_TEST(methods_of_other_protocols_are_unknown) {
    use_default_settings();
    CHECK_LINE("BREW / HTTP/1.1", METHOD_UNKNOWN);
    CHECK_LINE("GETX / HTTP/1.1", METHOD_UNKNOWN);
    CHECK_LINE("DESCRIBE / RTSP/1.0", METHOD_UNKNOWN);
    CHECK_LINE("DESCRIBE / HTTP/1.1", METHOD_UNKNOWN);
    CHECK_LINE("SETUP / HTTP/1.1", METHOD_UNKNOWN);
    CHECK_LINE("FLUSH / HTTP/1.1", METHOD_UNKNOWN);
    CHECK_LINE("SOURCE / HTTP/1.1", METHOD_UNKNOWN);
    CHECK_LINE("PRI * HTTP/2.0", METHOD_UNKNOWN);
}

CG_TEST(any_token_is_a_method_where_permitted) {
    use_default_settings();
    settings.permit_unconventional_http_method = true;
    check_method("get / HTTP/1.1", "get");
    check_method("-blargh / HTTP/1.1", "-blargh");
    check_method("A# / HTTP/1.1", "A#");
    check_method("X / HTTP/1.1", "X");
    check_method("ABCDEFGHIJKLMNOPQRSTUVWXYZ / HTTP/1.1", "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    CHECK_LINE("G(T / HTTP/1.1", METHOD);
    CHECK_LINE("GE\xff / HTTP/1.1", METHOD);
    CHECK_LINE("GET: / HTTP/1.1", METHOD);
}

CG_TEST(a_method_in_lower_case_is_not_its_twin) {
    struct incoming in;
    use_default_settings();
    settings.permit_unconventional_http_method = true;
    incoming_init(&in);
    CG_CHECK_INT(judge(&in, "head / HTTP/1.1"), CG_FAULT_NONE);
    CG_CHECK(!in.request.is_head);
    CG_CHECK_INT(judge(&in, "connect a:1 HTTP/1.1"), CG_FAULT_TARGET);
    incoming_done(&in);
}

CG_TEST(methods_are_folded_to_upper_case_where_asked_for) {
    struct incoming in;
    use_default_settings();
    settings.casefold_http_method = true;
    check_method("get /a HTTP/1.1", "GET");
    check_method("m-Search / HTTP/1.1", "M-SEARCH");
    CHECK_LINE("brew / HTTP/1.1", METHOD_UNKNOWN);
    CHECK_LINE("g\xe4t / HTTP/1.1", METHOD);
    incoming_init(&in);
    CG_CHECK_INT(judge(&in, "head /path HTTP/1.1"), CG_FAULT_NONE);
    CG_CHECK(in.request.is_head);
    CG_CHECK_SLICE(in.request.line, "HEAD /path HTTP/1.1");
    incoming_done(&in);
    settings.permit_unconventional_http_method = true;
    check_method("-blargh / HTTP/1.1", "-BLARGH");
}

CG_TEST(a_target_is_not_empty) {
    use_default_settings();
    CHECK_LINE("GET  HTTP/1.1", TARGET);
}

CG_TEST(a_version_is_http_digit_dot_digit) {
    for (int permitted = 0; permitted < 2; permitted++) {
        use_default_settings();
        settings.permit_unconventional_http_version = permitted;
        CHECK_LINE("GET / http/1.1", VERSION);
        CHECK_LINE("GET / HTTP/1", VERSION);
        CHECK_LINE("GET / HTTP/11", VERSION);
        CHECK_LINE("GET / HTTP/1.10", VERSION);
        CHECK_LINE("GET / HTTP/01.1", VERSION);
        CHECK_LINE("GET / HTTP/1,1", VERSION);
        CHECK_LINE("GET / HTTP/x.1", VERSION);
        CHECK_LINE("GET / RTSP/1.0", VERSION);
        CHECK_LINE("GET / ICE/1.0", VERSION);
        CHECK_LINE("GET / FTP/1.1", VERSION);
        CHECK_LINE("GET / ", VERSION);
    }
}

CG_TEST(versions_but_1_0_and_1_1_are_unsupported) {
    use_default_settings();
    CHECK_LINE("GET / HTTP/0.9", VERSION_UNSUPPORTED);
    CHECK_LINE("GET / HTTP/1.2", VERSION_UNSUPPORTED);
    CHECK_LINE("GET / HTTP/2.0", VERSION_UNSUPPORTED);
    CHECK_LINE("GET / HTTP/9.9", VERSION_UNSUPPORTED);
}

CG_TEST(permitted_versions_are_read_as_1_0_or_1_1) {
    struct incoming in;
    use_default_settings();
    settings.permit_unconventional_http_version = true;
    incoming_init(&in);
    CG_CHECK_INT(judge(&in, "GET / HTTP/1.2"), CG_FAULT_NONE);
    CG_CHECK(cg_request_is_1_1(&in.request) && in.request.keep_alive);
    CG_CHECK_INT(judge(&in, "GET / HTTP/2.0"), CG_FAULT_NONE);
    CG_CHECK(cg_request_is_1_1(&in.request) && in.request.keep_alive);
    CG_CHECK_INT(judge(&in, "GET / HTTP/0.9"), CG_FAULT_NONE);
    CG_CHECK(!cg_request_is_1_1(&in.request) && !in.request.keep_alive);
    incoming_done(&in);
}
