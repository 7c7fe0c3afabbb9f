/* SPDX-License-Identifier: MIT
 *
 * PROXY headers: what each version may look like and what is refused, whole, byte by byte and in
 * random splits. The reader sees copies that end where the bytes received so far end, so that a
 * sanitizer finds a look too far. */
#include "server/base/buf.h"
#include "server/http/proxy.h"
#include "tests/unit/test.h"

#include <stdlib.h>

/* What becomes of a connection's first bytes. */
struct outcome {
    enum cg_proxy_start start; /* CG_PROXY_UNDECIDED when the bytes end too early */
    enum cg_fault fault;
    size_t seen; /* bytes received when it was decided */
    size_t len;  /* of a whole header */
    struct cg_proxy proxy;
};

static bool look(enum cg_proxy_versions versions, struct cg_slice input, struct outcome *o) {
    char *received = malloc(o->seen ? o->seen : 1);
    memcpy(received, input.at, o->seen);
    struct cg_slice data = cg_slice_of(received, o->seen);
    o->start = cg_proxy_detect(versions, data);
    if (o->start == CG_PROXY_STARTS_V1 || o->start == CG_PROXY_STARTS_V2)
        o->fault = cg_proxy_read(o->start, data, &o->proxy, &o->len);
    free(received);
    return o->start == CG_PROXY_ABSENT || o->fault || o->len;
}

static size_t step(unsigned seed, unsigned *state, size_t left) {
    if (seed == 0)
        return left;
    return seed == 1 ? 1 : 1 + (size_t)rand_r(state) % (left < 20 ? left : 20);
}

/* The outcome byte by byte, after all other ways have shown the same. */
static struct outcome run(enum cg_proxy_versions versions, struct cg_slice input) {
    struct outcome first = {0}, o;
    for (unsigned seed = 1; seed <= 12; seed++) {
        unsigned way = seed % 12, state = way;
        o = (struct outcome){0};
        do
            o.seen += step(way, &state, input.len - o.seen);
        while (!look(versions, input, &o) && o.seen < input.len);
        if (seed == 1)
            first = o;
        CG_CHECK_INT(o.start, first.start);
        CG_CHECK_INT(o.fault, first.fault);
        CG_CHECK_INT(o.len, first.len);
        CG_CHECK_INT(o.proxy.kind, first.proxy.kind);
    }
    return first;
}

#define RUN(literal) run(CG_PROXY_AUTO, CG_SLICE(literal))

static void check_end(int line, const struct cg_endpoint *e, const char *host, uint16_t port) {
    cg_test_check_slice(__FILE__, line, cg_endpoint_host(e), cg_slice_str(host));
    CG_CHECK(e->host[e->host_len] == '\0');
    CG_CHECK_INT(e->port, port);
}
#define CHECK_END(end, host, port) check_end(__LINE__, &(end), host, port)

/* The header, and nothing behind it. */
static void check_whole(struct cg_slice input, size_t header_len, enum cg_proxy_kind want) {
    struct outcome o = run(CG_PROXY_AUTO, input);
    CG_CHECK_INT(o.fault, CG_FAULT_NONE);
    CG_CHECK_INT(o.len, header_len);
    CG_CHECK_INT(o.seen, o.len);
    CG_CHECK_INT(o.proxy.kind, want);
    CG_CHECK_INT(cg_proxy_has_addresses(&o.proxy), want >= CG_PROXY_TCP4);
}
#define CHECK_WHOLE(literal, want)                                                                 \
    check_whole(CG_SLICE(literal "GET"), sizeof(literal) - 1, CG_PROXY_##want)

/* Refused at the last byte, not before and not later. */
static void check_bad(int line, struct cg_slice input) {
    struct outcome o = run(CG_PROXY_AUTO, input);
    if (o.fault != CG_FAULT_PROXY_HEADER || o.seen != input.len)
        cg_test_fail(__FILE__, line, "fault %d at byte %zu of %zu", o.fault, o.seen, input.len);
}
#define CHECK_BAD(literal) check_bad(__LINE__, CG_SLICE(literal))

static void check_more(struct cg_slice input) {
    struct outcome o = run(CG_PROXY_AUTO, input);
    CG_CHECK(o.start != CG_PROXY_ABSENT);
    CG_CHECK_INT(o.fault, CG_FAULT_NONE);
    CG_CHECK_INT(o.len, 0);
}
#define CHECK_MORE(literal) check_more(CG_SLICE(literal))

#define CHECK_ABSENT(versions, literal)                                                            \
    CG_CHECK_INT(run(versions, CG_SLICE(literal)).start, CG_PROXY_ABSENT)

CG_TEST(the_setting_names_the_versions) {
    CG_CHECK_INT(cg_proxy_versions(NULL), CG_PROXY_OFF);
    CG_CHECK_INT(cg_proxy_versions("off"), CG_PROXY_OFF);
    CG_CHECK_INT(cg_proxy_versions("v1"), CG_PROXY_V1);
    CG_CHECK_INT(cg_proxy_versions("v2"), CG_PROXY_V2);
    CG_CHECK_INT(cg_proxy_versions("auto"), CG_PROXY_V1 | CG_PROXY_V2);
}

/* Detection */

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

CG_TEST(other_first_bytes_are_no_header) {
    CHECK_ABSENT(CG_PROXY_AUTO, "GET / HTTP/1.1\r\n");
    CHECK_ABSENT(CG_PROXY_AUTO, "POST");
    CHECK_ABSENT(CG_PROXY_AUTO, "PROXY\r\n");
    CHECK_ABSENT(CG_PROXY_AUTO, "proxy TCP4 ");
    CHECK_ABSENT(CG_PROXY_AUTO, "\r\nGET");
    CHECK_ABSENT(CG_PROXY_AUTO, "\r\n\r\n\r\n");
    CHECK_ABSENT(CG_PROXY_AUTO, " PROXY ");
}

CG_TEST(a_request_is_told_from_a_header_at_the_first_byte_that_differs) {
    CG_CHECK_INT(RUN("GET ").seen, 1);
    CG_CHECK_INT(RUN("POST").seen, 2);
    CG_CHECK_INT(RUN("\r\n\r\nGET").seen, 5);
    CG_CHECK_INT(RUN("P").start, CG_PROXY_UNDECIDED);
    CG_CHECK_INT(RUN("PROXY").start, CG_PROXY_UNDECIDED);
    CG_CHECK_INT(RUN("\r\n\r\n\0\r\nQUIT").start, CG_PROXY_UNDECIDED);
    CG_CHECK_INT(RUN("PROXY ").start, CG_PROXY_STARTS_V1);
    CG_CHECK_INT(RUN(SIGNATURE).start, CG_PROXY_STARTS_V2);
}

CG_TEST(a_version_that_is_off_is_not_looked_for) {
    CHECK_ABSENT(CG_PROXY_V2, "PROXY UNKNOWN\r\n");
    CHECK_ABSENT(CG_PROXY_V1, SIGNATURE);
    CHECK_ABSENT(CG_PROXY_OFF, SIGNATURE);
    CG_CHECK_INT(run(CG_PROXY_V1, CG_SLICE("PROXY UNKNOWN\r\n")).len, 15);
    CG_CHECK_INT(run(CG_PROXY_V2, CG_SLICE(SIGNATURE "\x20\0\0\0")).len, 16);
}

/* Version 1 */

CG_TEST(v1_tcp4) {
    struct outcome o = RUN("PROXY TCP4 192.0.2.7 198.51.100.9 4711 443\r\nGET");
    CG_CHECK_INT(o.proxy.kind, CG_PROXY_TCP4);
    CG_CHECK(cg_proxy_has_addresses(&o.proxy));
    CG_CHECK_INT(o.proxy.source.family, CG_FAMILY_IPV4);
    CG_CHECK(memcmp(o.proxy.source.ip, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\x02\x07", 16) == 0);
    CHECK_END(o.proxy.source, "192.0.2.7", 4711);
    CHECK_END(o.proxy.destination, "198.51.100.9", 443);
    CHECK_WHOLE("PROXY TCP4 192.0.2.7 198.51.100.9 4711 443\r\n", TCP4);
    CHECK_WHOLE("PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n", TCP4);
}

CG_TEST(v1_tcp6_is_shown_in_canonical_form) {
    struct outcome o = RUN("PROXY TCP6 2001:DB8:0:0:0:0:0:7 ::1 65535 1\r\n");
    CG_CHECK_INT(o.proxy.kind, CG_PROXY_TCP6);
    CG_CHECK_INT(o.proxy.source.family, CG_FAMILY_IPV6);
    CG_CHECK(memcmp(o.proxy.source.ip, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07", 16) == 0);
    CHECK_END(o.proxy.source, "2001:db8::7", 65535);
    CHECK_END(o.proxy.destination, "::1", 1);
    o = RUN("PROXY TCP6 ::ffff:192.0.2.7 ::ffff:192.0.2.8 1 2\r\n");
    CHECK_END(o.proxy.source, "::ffff:192.0.2.7", 1);
}

CG_TEST(v1_unknown_says_nothing_whatever_follows) {
    CHECK_WHOLE("PROXY UNKNOWN\r\n", UNKNOWN);
    CHECK_WHOLE("PROXY UNKNOWN \r\n", UNKNOWN);
    CHECK_WHOLE("PROXY UNKNOWN anything, until the end of the line\r\n", UNKNOWN);
    /* The longest line there is: 107 bytes. */
    CHECK_WHOLE("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
                UNKNOWN);
}

CG_TEST(v1_lines_have_a_greatest_length) {
    /* The 106th byte must be the CR at the latest. */
    CHECK_BAD("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
              "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535 ");
    CHECK_MORE("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
               "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535");
}

CG_TEST(v1_parts_are_not_to_be_left_out_or_added) {
    CHECK_BAD("PROXY \r\n");
    CHECK_BAD("PROXY TCP4\r\n");
    CHECK_BAD("PROXY TCP4 192.0.2.7\r\n");
    CHECK_BAD("PROXY TCP4 192.0.2.7 192.0.2.8 1\r\n");
    CHECK_BAD("PROXY TCP4 192.0.2.7 192.0.2.8 1 \r\n");
    CHECK_BAD("PROXY TCP4 192.0.2.7 192.0.2.8 1 2 \r\n");
    CHECK_BAD("PROXY TCP4 192.0.2.7 192.0.2.8 1 2 3\r\n");
}

CG_TEST(v1_parts_are_separated_by_one_space) {
    CHECK_BAD("PROXY  TCP4 192.0.2.7 192.0.2.8 1 2\r\n");
    CHECK_BAD("PROXY TCP4  192.0.2.7 192.0.2.8 1 2\r\n");
    CHECK_BAD("PROXY TCP4 192.0.2.7 192.0.2.8 1  2\r\n");
    CHECK_BAD("PROXY TCP4\t");
}

CG_TEST(v1_protocols_are_three) {
    CHECK_BAD("PROXY TCP 192.0.2.7 192.0.2.8 1 2\r\n");
    CHECK_BAD("PROXY tcp4 192.0.2.7 192.0.2.8 1 2\r\n");
    CHECK_BAD("PROXY UDP4 192.0.2.7 192.0.2.8 1 2\r\n");
    CHECK_BAD("PROXY TCP44 192.0.2.7 192.0.2.8 1 2\r\n");
    CHECK_BAD("PROXY UNKNOWNS\r\n");
    CHECK_BAD("PROXY unknown\r\n");
}

CG_TEST(v1_addresses_are_numeric_and_of_the_family) {
    CHECK_BAD("PROXY TCP4 not-an-ip 192.0.2.8 1 2\r\n");
    CHECK_BAD("PROXY TCP4 192.0.2.7 192.0.2.. 1 2\r\n");
    CHECK_BAD("PROXY TCP4 192.0.2.07 192.0.2.8 1 2\r\n");
    CHECK_BAD("PROXY TCP4 192.0.2 192.0.2.8 1 2\r\n");
    CHECK_BAD("PROXY TCP4 192.0.2.256 192.0.2.8 1 2\r\n");
    CHECK_BAD("PROXY TCP4 0xc0.0.2.7 192.0.2.8 1 2\r\n");
    CHECK_BAD("PROXY TCP4 ::1 ::1 1 2\r\n");
    CHECK_BAD("PROXY TCP6 192.0.2.7 192.0.2.8 1 2\r\n");
    CHECK_BAD("PROXY TCP6 fe80::1%lo ::1 1 2\r\n");
    CHECK_BAD("PROXY TCP6 [::1] ::1 1 2\r\n");
    CHECK_BAD("PROXY TCP6 0000:0000:0000:0000:0000:0000:0000:0000:0000 ::1 1 2\r\n");
}

CG_TEST(v1_ports_are_plain_numbers) {
    CHECK_BAD("PROXY TCP4 192.0.2.7 192.0.2.8 65536 2\r\n");
    CHECK_BAD("PROXY TCP4 192.0.2.7 192.0.2.8 1 99999999999999999999999\r\n");
    CHECK_BAD("PROXY TCP4 192.0.2.7 192.0.2.8 01 2\r\n");
    CHECK_BAD("PROXY TCP4 192.0.2.7 192.0.2.8 1 00\r\n");
    CHECK_BAD("PROXY TCP4 192.0.2.7 192.0.2.8 +1 2\r\n");
    CHECK_BAD("PROXY TCP4 192.0.2.7 192.0.2.8 -1 2\r\n");
    CHECK_BAD("PROXY TCP4 192.0.2.7 192.0.2.8 1_0 2\r\n");
    CHECK_BAD("PROXY TCP4 192.0.2.7 192.0.2.8 0x1 2\r\n");
    CHECK_BAD("PROXY TCP4 192.0.2.7 192.0.2.8  2\r\n");
}

CG_TEST(v1_lines_end_in_crlf_and_hold_no_control_characters) {
    CHECK_BAD("PROXY TCP4 192.0.2.7 192.0.2.8 1 2\n");
    CHECK_BAD("PROXY TCP4 192.0.2.7 192.0.2.8 1 2\r ");
    CHECK_BAD("PROXY TCP4 192.0.2.7 192.0.2.8 1 2\r\r");
    CHECK_BAD("PROXY TCP4 192.0.2.7\0");
    CHECK_BAD("PROXY UNKNOWN \x80");
    CHECK_BAD("PROXY UNKNOWN \x7f");
    CHECK_MORE("PROXY TCP4 192.0.2.7 192.0.2.8 1 2\r");
}

/* Version 2 */

#define V4_ADDRESSES "\xc0\0\x02\x07\xc6\x33\x64\x09\x12\x67\x01\xbb"
#define ZEROS_8 "\0\0\0\0\0\0\0\0"

CG_TEST(v2_tcp4) {
    struct outcome o = RUN(SIGNATURE "\x21\x11\0\x0c" V4_ADDRESSES "GET");
    CG_CHECK_INT(o.proxy.source.family, CG_FAMILY_IPV4);
    CG_CHECK(memcmp(o.proxy.source.ip, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\x02\x07", 16) == 0);
    CHECK_END(o.proxy.source, "192.0.2.7", 4711);
    CHECK_END(o.proxy.destination, "198.51.100.9", 443);
    CHECK_WHOLE(SIGNATURE "\x21\x11\0\x0c" V4_ADDRESSES, TCP4);
}

CG_TEST(v2_tcp6) {
#define V6_HEADER                                                                                  \
    SIGNATURE "\x21\x21\0\x24\x20\x01\x0d\xb8" ZEROS_8 "\0\0\0\x07" ZEROS_8 "\0\0\0\0\0\0\0\x01"   \
              "\xff\xff\0\x01"
    struct outcome o = RUN(V6_HEADER);
    CG_CHECK_INT(o.proxy.source.family, CG_FAMILY_IPV6);
    CG_CHECK(memcmp(o.proxy.source.ip, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07", 16) == 0);
    CHECK_END(o.proxy.source, "2001:db8::7", 65535);
    CHECK_END(o.proxy.destination, "::1", 1);
    CHECK_WHOLE(V6_HEADER, TCP6);
}

/* A header of version 2 for two unix paths of 108 bytes, and what follows it. */
static struct outcome run_unix(char source_fill, struct cg_slice destination) {
    struct cg_buf b = CG_BUF_INIT;
    cg_buf_append(&b, CG_SLICE(SIGNATURE "\x21\x31\0\xd8"));
    for (int i = 0; i < 108; i++)
        cg_buf_append_char(&b, source_fill);
    cg_buf_append(&b, destination);
    while (b.len < 16 + 216)
        cg_buf_append_char(&b, '\0');
    cg_buf_append(&b, CG_SLICE("GET"));
    struct outcome o = run(CG_PROXY_AUTO, cg_buf_slice(&b));
    cg_buf_done(&b);
    return o;
}

CG_TEST(v2_unix_paths_may_fill_their_field) {
    struct outcome o = run_unix('x', CG_SLICE("/run/lb.sock"));
    CG_CHECK_INT(o.len, 16 + 216);
    CG_CHECK_INT(o.proxy.kind, CG_PROXY_UNIX);
    CG_CHECK_INT(o.proxy.source.family, CG_FAMILY_UNIX);
    CG_CHECK_INT(o.proxy.source.host_len, 108);
    CHECK_END(o.proxy.destination, "/run/lb.sock", 0);
    o = run_unix('\0', CG_SLICE(""));
    CHECK_END(o.proxy.source, "", 0);
}

CG_TEST(v2_local_and_unspec_say_nothing) {
    CHECK_WHOLE(SIGNATURE "\x20\0\0\0", LOCAL);
    CHECK_WHOLE(SIGNATURE "\x20\x11\0\x0c" V4_ADDRESSES, LOCAL);
    CHECK_WHOLE(SIGNATURE "\x20\xff\0\x03xyz", LOCAL);
    CHECK_WHOLE(SIGNATURE "\x21\0\0\0", UNSPEC);
    CHECK_WHOLE(SIGNATURE "\x21\x01\0\0", UNSPEC);
    CHECK_WHOLE(SIGNATURE "\x21\0\0\x03xyz", UNSPEC);
}

CG_TEST(v2_fields_behind_the_addresses_are_skipped) {
    CHECK_WHOLE(SIGNATURE "\x21\x11\0\x0f" V4_ADDRESSES "\x04\0\0", TCP4);
    CHECK_WHOLE(SIGNATURE "\x21\x11\0\x0d" V4_ADDRESSES "\xff", TCP4);
}

CG_TEST(v2_versions_and_commands_are_known_ones) {
    CHECK_BAD(SIGNATURE "\x11");
    CHECK_BAD(SIGNATURE "\x31");
    CHECK_BAD(SIGNATURE "\x01");
    CHECK_BAD(SIGNATURE "\x22");
    CHECK_BAD(SIGNATURE "\x2f");
}

CG_TEST(v2_families_are_known_ones_over_a_stream) {
    CHECK_BAD(SIGNATURE "\x21\x12");
    CHECK_BAD(SIGNATURE "\x21\x22");
    CHECK_BAD(SIGNATURE "\x21\x32");
    CHECK_BAD(SIGNATURE "\x21\x10");
    CHECK_BAD(SIGNATURE "\x21\x41");
    CHECK_BAD(SIGNATURE "\x21\x02");
    CHECK_BAD(SIGNATURE "\x21\xff");
}

CG_TEST(v2_addresses_fit_into_the_length) {
    CHECK_BAD(SIGNATURE "\x21\x11\0\x0b");
    CHECK_BAD(SIGNATURE "\x21\x11\0\0");
    CHECK_BAD(SIGNATURE "\x21\x21\0\x23");
    CHECK_BAD(SIGNATURE "\x21\x31\0\xd7");
}

CG_TEST(v2_headers_have_a_greatest_length) {
    static char header[CG_PROXY_V2_BYTES_MAX + 3] = SIGNATURE "\x21\x11\x3f\xf0";
    struct outcome o = run(CG_PROXY_AUTO, cg_slice_of(header, sizeof(header)));
    CG_CHECK_INT(o.len, CG_PROXY_V2_BYTES_MAX);
    CHECK_BAD(SIGNATURE "\x21\x11\x3f\xf1");
    CHECK_BAD(SIGNATURE "\x21\x11\xff\xff");
    CHECK_BAD(SIGNATURE "\x20\0\xff\xff");
}

CG_TEST(v2_headers_are_waited_for) {
    CHECK_MORE(SIGNATURE);
    CHECK_MORE(SIGNATURE "\x21");
    CHECK_MORE(SIGNATURE "\x21\x11");
    CHECK_MORE(SIGNATURE "\x21\x11\0");
    CHECK_MORE(SIGNATURE "\x21\x11\0\x0c");
}
