/* SPDX-License-Identifier: MIT
 *
 * Rules of server/net/bind.h.
 */
#include "server/net/bind.h"
#include "tests/unit/test.h"

#include <errno.h>

static struct cg_bind parsed(const char *text) {
    struct cg_bind b;
    char error[200] = "";
    if (cg_bind_parse(text, &b, error, sizeof(error)) != 0)
        cg_test_fail(__FILE__, __LINE__, "%s: %s", text, error);
    return b;
}

static void check_tcp(const char *text, const char *host, int port) {
    struct cg_bind b = parsed(text);
    CG_CHECK_INT(b.kind, CG_BIND_TCP);
    CG_CHECK(strcmp(b.host, host) == 0);
    CG_CHECK_INT(b.port, port);
}

static void check_unix(const char *text, const char *path) {
    struct cg_bind b = parsed(text);
    CG_CHECK_INT(b.kind, CG_BIND_UNIX);
    CG_CHECK(strcmp(b.path, path) == 0);
}

static void check_refused(const char *text, const char *sentence) {
    struct cg_bind b = {.fd = 4711};
    char error[200] = "";
    CG_CHECK_INT(cg_bind_parse(text, &b, error, sizeof(error)), -EINVAL);
    cg_test_check_slice(text, __LINE__, cg_slice_str(error), cg_slice_str(sentence));
    CG_CHECK_INT(b.fd, 4711);
}

CG_TEST(host_and_port_may_each_be_left_out) {
    check_tcp("127.0.0.1:9000", "127.0.0.1", 9000);
    check_tcp("127.0.0.1", "127.0.0.1", 8000);
    check_tcp(":9000", "", 9000);
    check_tcp("", "", 8000);
    check_tcp("tcp://localhost:0", "localhost", 0);
    check_tcp("tcp://localhost", "localhost", 8000);
    check_tcp("h:65535", "h", 65535);
}

CG_TEST(ipv6_addresses_stand_in_brackets) {
    check_tcp("[::1]:9000", "::1", 9000);
    check_tcp("[::1]", "::1", 8000);
    check_tcp("tcp://[::]:80", "::", 80);
    check_tcp("[FE80::1%eth0]:80", "fe80::1%eth0", 80);
    check_refused("::1", "'::1' needs brackets, as in [::1]:8000.");
    check_refused("[::1", "'[::1' is not a valid address.");
    check_refused("[::1]9000", "'[::1]9000' is not a valid address.");
    check_refused("[]:9000", "'[]:9000' is not a valid address.");
}

CG_TEST(host_is_lower_cased) {
    check_tcp("LocalHost:80", "localhost", 80);
}

CG_TEST(port_is_strict) {
    check_refused("127.0.0.1:x", "'x' is not a valid port number.");
    check_refused("127.0.0.1:", "'' is not a valid port number.");
    check_refused("127.0.0.1:65536", "'65536' is not a valid port number.");
    check_refused("127.0.0.1:-1", "'-1' is not a valid port number.");
    check_refused("127.0.0.1:+80", "'+80' is not a valid port number.");
    check_refused("127.0.0.1: 80", "' 80' is not a valid port number.");
    check_refused("127.0.0.1:80:90", "'80:90' is not a valid port number.");
    check_refused("127.0.0.1:99999999999999999999",
                  "'99999999999999999999' is not a valid port number.");
    check_refused("[::1]:", "'' is not a valid port number.");
    check_refused("ftp://localhost:80", "'//localhost:80' is not a valid port number.");
}

static void check_protocol(const char *text, enum cg_protocol protocol, enum cg_bind_kind kind) {
    struct cg_bind b = parsed(text);
    CG_CHECK_INT(b.protocol, protocol);
    CG_CHECK_INT(b.kind, kind);
}

CG_TEST(a_prefix_names_the_protocol) {
    check_protocol("127.0.0.1:3031", CG_PROTOCOL_AUTO, CG_BIND_TCP);
    check_protocol("uwsgi://127.0.0.1:3031", CG_PROTOCOL_UWSGI, CG_BIND_TCP);
    check_protocol("http://[::1]:80", CG_PROTOCOL_HTTP, CG_BIND_TCP);
    check_protocol("uwsgi:unix:/run/x.sock", CG_PROTOCOL_UWSGI, CG_BIND_UNIX);
    check_protocol("uwsgi://unix:/run/x.sock", CG_PROTOCOL_UWSGI, CG_BIND_UNIX);
    check_protocol("http:unix:/run/x.sock", CG_PROTOCOL_HTTP, CG_BIND_UNIX);
    check_protocol("uwsgi:fd://3", CG_PROTOCOL_UWSGI, CG_BIND_FD);
    check_tcp("uwsgi://127.0.0.1:3031", "127.0.0.1", 3031);
    check_tcp("uwsgi://", "", 8000);
    check_unix("uwsgi:unix:///run/x.sock", "/run/x.sock");
}

CG_TEST(a_host_may_be_called_like_a_protocol) {
    check_tcp("uwsgi:3031", "uwsgi", 3031);
    check_tcp("http:80", "http", 80);
    CG_CHECK_INT(parsed("http:80").protocol, CG_PROTOCOL_AUTO);
}

CG_TEST(unix_paths_with_and_without_slashes) {
    check_unix("unix:/run/X.sock", "/run/X.sock");
    check_unix("unix:///run/x.sock", "/run/x.sock");
    check_unix("unix:x.sock", "x.sock");
    check_unix("unix://x.sock", "x.sock");
    check_unix("unix:@name", "@name");
}

CG_TEST(unix_path_is_neither_empty_nor_too_long) {
    char text[200] = "unix:";
    check_refused("unix:", "The path of a unix socket is empty.");
    check_refused("unix://", "The path of a unix socket is empty.");
    check_refused("unix:@", "The path of a unix socket is empty.");
    memset(text + 5, 'x', 107);
    check_unix(text, text + 5);
    text[5 + 107] = 'x';
    struct cg_bind b;
    char error[200] = "";
    CG_CHECK_INT(cg_bind_parse(text, &b, error, sizeof(error)), -EINVAL);
    CG_CHECK(strstr(error, "is longer than the 107 bytes of a unix socket's path."));
}

CG_TEST(descriptor_is_a_plain_number) {
    CG_CHECK_INT(parsed("fd://3").fd, 3);
    CG_CHECK_INT(parsed("fd://3").kind, CG_BIND_FD);
    check_refused("fd://", "'' is not a valid file descriptor.");
    check_refused("fd://x", "'x' is not a valid file descriptor.");
    check_refused("fd://-1", "'-1' is not a valid file descriptor.");
    check_refused("fd://2147483648", "'2147483648' is not a valid file descriptor.");
}

CG_TEST(long_host_is_refused_in_a_cut_sentence) {
    char text[400], error[64];
    struct cg_bind b;
    memset(text, 'h', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    CG_CHECK_INT(cg_bind_parse(text, &b, error, sizeof(error)), -EINVAL);
    CG_CHECK_INT(strlen(error), sizeof(error) - 1);
}
