/* SPDX-License-Identifier: MIT
 *
 * Rules of server/base/cidr.h.
 */
#include "server/base/cidr.h"
#include "tests/unit/test.h"

#include <arpa/inet.h>

static struct cg_endpoint peer_at(const char *text) {
    struct cg_endpoint peer = {.family = CG_FAMILY_IPV6};
    if (inet_pton(AF_INET6, text, peer.ip) == 1)
        return peer;
    peer.family = CG_FAMILY_IPV4;
    peer.ip[10] = peer.ip[11] = 0xff;
    CG_CHECK_INT(inet_pton(AF_INET, text, peer.ip + 12), 1);
    return peer;
}

static bool has(const char *list, const char *address) {
    struct cg_slice bad;
    struct cg_endpoint peer = peer_at(address);
    struct cg_allow *allow = cg_allow_new(list, &bad);
    CG_CHECK(allow && bad.len == 0);
    bool found = cg_allow_has(allow, &peer);
    cg_allow_free(allow);
    return found;
}

static void check_bad(const char *list, const char *element) {
    struct cg_slice bad;
    CG_CHECK(cg_allow_new(list, &bad) == NULL);
    cg_test_check_slice(__FILE__, __LINE__, bad, cg_slice_str(element));
}

CG_TEST(an_address_is_only_itself) {
    CG_CHECK(has("127.0.0.1", "127.0.0.1"));
    CG_CHECK(!has("127.0.0.1", "127.0.0.2"));
    CG_CHECK(!has("127.0.0.1", "::1"));
    CG_CHECK(has("::1", "::1"));
    CG_CHECK(!has("::1", "::2"));
    CG_CHECK(has("2001:DB8::7", "2001:db8:0:0::7"));
}

CG_TEST(a_network_has_every_address_of_its_prefix) {
    CG_CHECK(has("10.0.0.0/8", "10.255.0.1"));
    CG_CHECK(!has("10.0.0.0/8", "11.0.0.1"));
    CG_CHECK(has("192.0.2.128/25", "192.0.2.128"));
    CG_CHECK(has("192.0.2.128/25", "192.0.2.255"));
    CG_CHECK(!has("192.0.2.128/25", "192.0.2.127"));
    CG_CHECK(has("192.0.2.1/32", "192.0.2.1"));
    CG_CHECK(!has("192.0.2.1/32", "192.0.2.0"));
    CG_CHECK(has("fe80::/10", "febf::1"));
    CG_CHECK(!has("fe80::/10", "fec0::1"));
    CG_CHECK(has("2001:db8::/127", "2001:db8::1"));
    CG_CHECK(!has("2001:db8::/127", "2001:db8::2"));
}

CG_TEST(a_prefix_of_zero_is_a_whole_family) {
    CG_CHECK(has("0.0.0.0/0", "203.0.113.9"));
    CG_CHECK(!has("0.0.0.0/0", "2001:db8::1"));
    CG_CHECK(has("::/0", "2001:db8::1"));
    CG_CHECK(!has("::/0", "203.0.113.9"));
}

CG_TEST(an_ipv4_client_is_the_same_through_an_ipv6_listener) {
    CG_CHECK(has("10.0.0.0/8", "::ffff:10.1.2.3"));
    CG_CHECK(!has("10.0.0.0/8", "::ffff:11.1.2.3"));
    CG_CHECK(has("::ffff:10.1.2.3", "10.1.2.3"));
    CG_CHECK(has("::ffff:0:0/96", "10.1.2.3"));
    CG_CHECK(!has("10.1.2.3", "::10.1.2.3"));
}

CG_TEST(any_of_a_list_will_do) {
    const char *list = " 127.0.0.1 ,\t::1,10.0.0.0/8, 2001:db8::/32 ";
    CG_CHECK(has(list, "127.0.0.1"));
    CG_CHECK(has(list, "::1"));
    CG_CHECK(has(list, "10.9.8.7"));
    CG_CHECK(has(list, "2001:db8:ffff::"));
    CG_CHECK(!has(list, "192.0.2.1"));
}

CG_TEST(an_asterisk_is_everybody) {
    CG_CHECK(has("*", "192.0.2.1"));
    CG_CHECK(has("127.0.0.1, *", "2001:db8::1"));
}

CG_TEST(an_empty_list_is_nobody) {
    CG_CHECK(!has("", "127.0.0.1"));
    CG_CHECK(!has(NULL, "127.0.0.1"));
    CG_CHECK(!has(" , ,", "127.0.0.1"));
    CG_CHECK(!has(",127.0.0.1,", "0.0.0.0"));
}

CG_TEST(a_unix_peer_is_allowed_by_every_list) {
    static const char *const lists[] = {"", "*", "10.0.0.0/8"};
    struct cg_endpoint peer = {.family = CG_FAMILY_UNIX};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        struct cg_slice bad;
        struct cg_allow *allow = cg_allow_new(lists[i], &bad);
        CG_CHECK(allow && cg_allow_has(allow, &peer));
        cg_allow_free(allow);
    }
}

CG_TEST(what_is_no_address_is_named) {
    check_bad("localhost", "localhost");
    check_bad("127.0.0.1, 10.0.0.0/8, x", "x");
    check_bad("127.0.0.1 ::1", "127.0.0.1 ::1");
    check_bad("127.1", "127.1");
    check_bad("127.0.0.256", "127.0.0.256");
    check_bad("0127.0.0.1", "0127.0.0.1");
    check_bad("[::1]", "[::1]");
    check_bad("fe80::1%eth0", "fe80::1%eth0");
    check_bad("::1::", "::1::");
    check_bad("**", "**");
    check_bad("*/0", "*/0");
    check_bad("127.0.0.1:80", "127.0.0.1:80");
    check_bad("1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb",
              "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb");
}

CG_TEST(a_prefix_is_digits_within_its_family) {
    check_bad("10.0.0.0/", "10.0.0.0/");
    check_bad("10.0.0.0/33", "10.0.0.0/33");
    check_bad("10.0.0.0/-8", "10.0.0.0/-8");
    check_bad("10.0.0.0/8/8", "10.0.0.0/8/8");
    check_bad("10.0.0.0/ 8", "10.0.0.0/ 8");
    check_bad("10.0.0.0/255.0.0.0", "10.0.0.0/255.0.0.0");
    check_bad("/8", "/8");
    check_bad("::/129", "::/129");
    check_bad("::/18446744073709551616", "::/18446744073709551616");
}

CG_TEST(bits_behind_the_prefix_are_refused) {
    check_bad("10.0.0.1/8", "10.0.0.1/8");
    check_bad("192.0.2.129/25", "192.0.2.129/25");
    check_bad("2001:db8::1/64", "2001:db8::1/64");
    check_bad("0.0.0.1/0", "0.0.0.1/0");
}
