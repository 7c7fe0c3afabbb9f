/* SPDX-License-Identifier: MIT
 *
 * Rules of server/net/address.h.
 */
#include "server/net/address.h"
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

static struct cg_endpoint formatted(const void *address, size_t len) {
    struct cg_endpoint e;
    memset(&e, 0xff, sizeof(e));
    CG_CHECK(cg_address_format(address, (socklen_t)len, &e));
    CG_CHECK_INT(e.host[e.host_len], '\0');
    return e;
}

CG_TEST(ipv4_is_what_inet_ntop_says) {
    for (unsigned int octet = 0; octet < 256; octet++) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)(octet * 257))};
        char want[INET_ADDRSTRLEN];
        in.sin_addr.s_addr = htonl(octet << 24 | (255 - octet) << 16 | octet << 8 | octet);
        struct cg_endpoint e = formatted(&in, sizeof(in));
        inet_ntop(AF_INET, &in.sin_addr, want, sizeof(want));
        CG_CHECK(cg_slice_eq(cg_endpoint_host(&e), cg_slice_str(want)));
        CG_CHECK_INT(e.port, octet * 257);
        CG_CHECK_INT(e.family, CG_FAMILY_IPV4);
        CG_CHECK(memcmp(e.ip, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) == 0);
        CG_CHECK(memcmp(e.ip + 12, &in.sin_addr, 4) == 0);
    }
}

static void check_ipv6(const char *text) {
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(443)};
    CG_CHECK_INT(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
    struct cg_endpoint e = formatted(&in6, sizeof(in6));
    CG_CHECK(cg_slice_eq(cg_endpoint_host(&e), cg_slice_str(text)));
    CG_CHECK_INT(e.port, 443);
    CG_CHECK_INT(e.family, CG_FAMILY_IPV6);
    CG_CHECK(memcmp(e.ip, &in6.sin6_addr, sizeof(e.ip)) == 0);
}

CG_TEST(ipv6_is_shown_in_its_short_form) {
    check_ipv6("::1");
    check_ipv6("2001:db8::7");
    check_ipv6("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
}

CG_TEST(mapped_ipv4_stays_as_it_is) {
    check_ipv6("::ffff:192.0.2.1");
}

static struct cg_endpoint formatted_unix(const void *path, size_t path_len) {
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    memcpy(un.sun_path, path, path_len);
    return formatted(&un, offsetof(struct sockaddr_un, sun_path) + path_len);
}

CG_TEST(unix_path_with_and_without_its_nul) {
    struct cg_endpoint e = formatted_unix("/run/x.sock", 12);
    CG_CHECK_SLICE(cg_endpoint_host(&e), "/run/x.sock");
    CG_CHECK_INT(e.port, 0);
    CG_CHECK_INT(e.family, CG_FAMILY_UNIX);
    e = formatted_unix("/run/x.sock", 11);
    CG_CHECK_SLICE(cg_endpoint_host(&e), "/run/x.sock");
}

CG_TEST(unnamed_unix_socket_is_empty) {
    struct cg_endpoint e = formatted_unix("", 0);
    CG_CHECK_SLICE(cg_endpoint_host(&e), "");
}

CG_TEST(abstract_name_begins_with_an_at_sign) {
    struct cg_endpoint e = formatted_unix("\0a\0b", 4);
    CG_CHECK_SLICE(cg_endpoint_host(&e), "@a@b");
}

CG_TEST(longest_unix_path_fits) {
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    memset(path, 'x', sizeof(path));
    struct cg_endpoint e = formatted_unix(path, sizeof(path));
    CG_CHECK_INT(e.host_len, sizeof(path));
}

CG_TEST(other_families_are_refused) {
    struct sockaddr other = {.sa_family = AF_UNSPEC};
    struct cg_endpoint e;
    CG_CHECK(!cg_address_format(&other, sizeof(other), &e));
}
