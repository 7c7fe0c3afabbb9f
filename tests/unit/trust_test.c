/* SPDX-License-Identifier: MIT
 *
 * Who may say what: names that look alike, the scheme, the mount point. */
#include "tests/unit/incoming.h"
#include "tests/unit/test.h"

#include <errno.h>

static struct cg_settings settings;
static struct incoming in;
static char head[512]; /* what the request's slices point to */

/* Opens `in` for requests of a peer that is not trusted. */
static void open_incoming(void) {
    settings = incoming_settings;
    incoming_init(&in);
}

static void open_trusted(void) {
    open_incoming();
    settings.forwarded_allow_ips = "192.0.2.0/24";
}

static enum cg_fault run(const char *target, const char *fields) {
    int len = snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nHost: h\r\n%s\r\n", target, fields);
    CG_CHECK((size_t)len < sizeof head);
    return incoming_run(&in, &settings, cg_slice_of(head, (size_t)len), INCOMING_WHOLE, 0);
}

/* The value that the application sees, or "-". */
static struct cg_slice seen(const char *name) {
    const struct cg_field *f = cg_request_field_named(&in.request, cg_slice_str(name));
    return f ? f->value : CG_SLICE("-");
}

CG_TEST(names_with_an_underscore_are_dropped_by_default) {
    open_incoming();
    CG_CHECK_INT(run("/", "A_B: 1\r\nA-B: 2\r\n_: 3\r\nX_Real_IP: 4\r\nC: 5\r\n"), CG_FAULT_NONE);
    CG_CHECK_INT(in.request.fields_n, 3);
    CG_CHECK_SLICE(in.request.fields[1].value, "2");
    CG_CHECK_SLICE(in.request.fields[2].value, "5");
    incoming_done(&in);
}

CG_TEST(names_with_an_underscore_are_refused_on_request) {
    open_incoming();
    settings.header_map = "refuse";
    CG_CHECK_INT(run("/", "A_B: 1\r\n"), CG_FAULT_FIELD_NAME);
    CG_CHECK_INT(run("/", "A-B: 1\r\n"), CG_FAULT_NONE);
    CG_CHECK_INT(run("/", "SCRIPT_NAME: /\r\n"), CG_FAULT_FIELD_NAME);
    incoming_done(&in);
}

CG_TEST(names_with_an_underscore_are_kept_where_that_danger_is_wanted) {
    open_incoming();
    settings.header_map = "dangerous";
    CG_CHECK_INT(run("/", "A_B: 1\r\nContent_Length: x\r\n"), CG_FAULT_NONE);
    CG_CHECK_SLICE(seen("a_b"), "1");
    CG_CHECK_SLICE(seen("content_length"), "x");
    CG_CHECK_INT(in.request.framing, CG_FRAMING_NONE);
    incoming_done(&in);
}

CG_TEST(forwarder_headers_are_kept_from_trusted_peers_only) {
    static const char *const maps[] = {"drop", "refuse"};
    open_trusted();
    settings.forwarder_headers = "Remote_User, PATH_INFO";
    for (size_t i = 0; i < 2; i++) {
        settings.header_map = maps[i];
        CG_CHECK_INT(run("/", "REMOTE_USER: ann\r\npath_info: /x\r\n"), CG_FAULT_NONE);
        CG_CHECK_SLICE(seen("remote_user"), "ann");
        CG_CHECK_SLICE(seen("path_info"), "/x");
    }
    CG_CHECK_INT(run("/", "A_B: 1\r\n"), CG_FAULT_FIELD_NAME);
    settings.header_map = "drop";
    CG_CHECK_INT(run("/", "A_B: 1\r\n"), CG_FAULT_NONE);
    CG_CHECK_SLICE(seen("a_b"), "-");
    settings.forwarded_allow_ips = "192.0.2.2,192.0.3.0/24";
    CG_CHECK_INT(run("/", "REMOTE_USER: ann\r\n"), CG_FAULT_NONE);
    CG_CHECK_SLICE(seen("remote_user"), "-");
    incoming_done(&in);
}

CG_TEST(an_asterisk_keeps_every_header_of_a_trusted_peer) {
    open_trusted();
    settings.forwarder_headers = "*";
    CG_CHECK_INT(run("/", "A_B: 1\r\n"), CG_FAULT_NONE);
    CG_CHECK_SLICE(seen("a_b"), "1");
    settings.forwarded_allow_ips = "";
    CG_CHECK_INT(run("/", "A_B: 1\r\n"), CG_FAULT_NONE);
    CG_CHECK_SLICE(seen("a_b"), "-");
    incoming_done(&in);
}

static enum cg_scheme scheme(const char *fields) {
    CG_CHECK_INT(run("/", fields), CG_FAULT_NONE);
    return in.request.scheme;
}

CG_TEST(the_scheme_is_what_a_trusted_peer_says) {
    open_trusted();
    CG_CHECK_INT(scheme(""), CG_SCHEME_HTTP);
    CG_CHECK_INT(scheme("X-Forwarded-Proto: https\r\n"), CG_SCHEME_HTTPS);
    CG_CHECK_INT(scheme("x-forwarded-protocol: ssl\r\n"), CG_SCHEME_HTTPS);
    CG_CHECK_INT(scheme("X-FORWARDED-SSL:on\r\n"), CG_SCHEME_HTTPS);
    CG_CHECK_INT(scheme("X-Forwarded-Proto: http\r\n"), CG_SCHEME_HTTP);
    CG_CHECK_INT(scheme("X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: on\r\n"), CG_SCHEME_HTTPS);
    CG_CHECK_INT(scheme("X-Forwarded-Proto: https\r\nX-Forwarded-Proto: https\r\n"),
                 CG_SCHEME_HTTPS);
    incoming_done(&in);
}

CG_TEST(the_value_is_compared_as_it_is) {
    open_trusted();
    CG_CHECK_INT(scheme("X-Forwarded-Proto: HTTPS\r\n"), CG_SCHEME_HTTP);
    CG_CHECK_INT(scheme("X-Forwarded-Proto: https,http\r\n"), CG_SCHEME_HTTP);
    CG_CHECK_INT(scheme("X-Forwarded-Proto: https, https\r\n"), CG_SCHEME_HTTP);
    CG_CHECK_INT(scheme("X-Forwarded-Proto: \"https\"\r\n"), CG_SCHEME_HTTP);
    CG_CHECK_INT(scheme("X-Forwarded-Proto:\r\n"), CG_SCHEME_HTTP);
    CG_CHECK_INT(scheme("X-Forwarded-Ssl: true\r\n"), CG_SCHEME_HTTP);
    incoming_done(&in);
}

CG_TEST(contradictory_scheme_headers_are_refused) {
    open_trusted();
    CG_CHECK_INT(run("/", "X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off\r\n"), CG_FAULT_SCHEME);
    CG_CHECK_INT(run("/", "X-Forwarded-Proto: http\r\nX-Forwarded-Protocol: ssl\r\n"),
                 CG_FAULT_SCHEME);
    CG_CHECK_INT(run("/", "X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http\r\n"),
                 CG_FAULT_SCHEME);
    CG_CHECK_INT(cg_fault_status(CG_FAULT_SCHEME), 400);
    incoming_done(&in);
}

CG_TEST(the_scheme_of_an_untrusted_peer_has_no_influence) {
    open_incoming();
    CG_CHECK_INT(scheme("X-Forwarded-Proto: https\r\n"), CG_SCHEME_HTTP);
    CG_CHECK_INT(scheme("X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off\r\n"), CG_SCHEME_HTTP);
    CG_CHECK_SLICE(seen("x-forwarded-proto"), "https");
    incoming_done(&in);
}

CG_TEST(the_twin_of_a_scheme_header_says_nothing) {
    open_trusted();
    CG_CHECK_INT(scheme("X_Forwarded_Proto: https\r\n"), CG_SCHEME_HTTP);
    CG_CHECK_INT(scheme("X-Forwarded_Proto: https\r\n"), CG_SCHEME_HTTP);
    settings.header_map = "dangerous";
    CG_CHECK_INT(scheme("X_Forwarded_Proto: https\r\n"), CG_SCHEME_HTTP);
    incoming_done(&in);
}

CG_TEST(the_scheme_headers_are_the_settings) {
    static const char *const own[] = {"X-Scheme:https:yes", "Empty:", NULL};
    open_trusted();
    settings.secure_scheme_headers = own;
    CG_CHECK_INT(scheme("X-Forwarded-Proto: https\r\n"), CG_SCHEME_HTTP);
    CG_CHECK_INT(scheme("X-Scheme: https:yes\r\n"), CG_SCHEME_HTTPS);
    CG_CHECK_INT(scheme("Empty:\r\n"), CG_SCHEME_HTTPS);
    settings.secure_scheme_headers = NULL;
    CG_CHECK_INT(scheme("X-Scheme: https:yes\r\n"), CG_SCHEME_HTTP);
    incoming_done(&in);
}

static void check_mount(const char *target, const char *fields, const char *script_name,
                        const char *path_info) {
    CG_CHECK_INT(run(target, fields), CG_FAULT_NONE);
    cg_test_check_slice(target, 1, in.request.script_name, cg_slice_str(script_name));
    cg_test_check_slice(target, 1, in.request.path_info, cg_slice_str(path_info));
}

CG_TEST(script_name_of_a_trusted_peer_is_cut_off_the_path) {
    open_trusted();
    check_mount("/app/x%2F?q", "SCRIPT_NAME: /app\r\n", "/app", "/x%2F");
    check_mount("/app", "Script_Name: /app\r\n", "/app", "");
    check_mount("/app/", "SCRIPT_NAME: /app/\r\n", "/app", "/");
    check_mount("/x", "SCRIPT_NAME: /\r\n", "", "/x");
    check_mount("/x", "SCRIPT_NAME:\r\n", "", "/x");
    check_mount("/x", "", "", "/x");
    check_mount("/b/x", "SCRIPT_NAME: /a\r\nSCRIPT_NAME: /b\r\n", "/b", "/x");
    CG_CHECK_SLICE(in.request.path, "/b/x");
    CG_CHECK_SLICE(seen("script_name"), "/a");
    incoming_done(&in);
}

CG_TEST(a_path_elsewhere_is_a_mistake_in_the_configuration) {
    open_trusted();
    CG_CHECK_INT(run("/foo", "SCRIPT_NAME: /bar\r\n"), CG_FAULT_SCRIPT_NAME);
    CG_CHECK_INT(run("/barfoo", "SCRIPT_NAME: /bar\r\n"), CG_FAULT_SCRIPT_NAME);
    CG_CHECK_INT(run("/ba", "SCRIPT_NAME: /bar\r\n"), CG_FAULT_SCRIPT_NAME);
    CG_CHECK_INT(cg_fault_status(CG_FAULT_SCRIPT_NAME), 500);
    incoming_done(&in);
}

CG_TEST(script_name_of_an_untrusted_peer_moves_nothing) {
    open_incoming();
    check_mount("/app/x", "SCRIPT_NAME: /app\r\n", "", "/app/x");
    check_mount("/app/x", "Script-Name: /app\r\n", "", "/app/x");
    settings.header_map = "dangerous";
    check_mount("/app/x", "SCRIPT_NAME: /app\r\n", "", "/app/x");
    incoming_done(&in);
}

CG_TEST(script_name_of_the_process_is_for_requests_without_one) {
    open_trusted();
    CG_CHECK_INT(setenv("SCRIPT_NAME", "/env/", 1), 0);
    check_mount("/env/x", "", "/env", "/x");
    check_mount("/app/x", "SCRIPT_NAME: /app\r\n", "/app", "/x");
    CG_CHECK_INT(run("/x", ""), CG_FAULT_SCRIPT_NAME);
    CG_CHECK_INT(unsetenv("SCRIPT_NAME"), 0);
    incoming_done(&in);
}

CG_TEST(a_unix_peer_is_trusted) {
    open_incoming();
    settings.forwarded_allow_ips = "";
    in.peer.family = CG_FAMILY_UNIX;
    CG_CHECK_INT(scheme("X-Forwarded-Proto: https\r\n"), CG_SCHEME_HTTPS);
    check_mount("/app/x", "SCRIPT_NAME: /app\r\n", "/app", "/x");
    incoming_done(&in);
}

CG_TEST(settings_that_cannot_be_read_are_an_error) {
    static const char *const no_colon[] = {"X-Scheme", NULL};
    struct cg_trust t;
    CG_CHECK_INT(cg_trust_init(&t, &(struct cg_settings){.forwarded_allow_ips = "x"}), -EINVAL);
    CG_CHECK_INT(cg_trust_init(&t, &(struct cg_settings){.secure_scheme_headers = no_colon}),
                 -EINVAL);
    cg_trust_done(&t);
}
