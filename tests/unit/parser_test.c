/* SPDX-License-Identifier: MIT
 *
 * From a head to a request: what the parser splits, what it refuses. Framing fields are policy's
 * even where llhttp has an opinion. */
#include "tests/unit/incoming.h"
#include "tests/unit/test.h"

/* Scans in each way and parses; the last request is left in *r. */
static void check(struct cg_slice input, enum cg_fault want, struct cg_request *r) {
    static const struct cg_head_limits limits = {.fields_n = 100, .head_bytes = 8192};
    for (unsigned seed = 0; seed < 6; seed++) {
        enum incoming_way way = seed < 2 ? (enum incoming_way)seed : INCOMING_SPLITS;
        unsigned state = seed;
        struct cg_head h;
        size_t fed;
        cg_head_reset(&h);
        cg_request_reset(r);
        CG_CHECK_INT(incoming_scan(&h, &limits, input, way, &state, &fed), CG_FAULT_NONE);
        CG_CHECK_INT(cg_parser_parse(r, &h, input.at), want);
    }
}

#define CHECK(literal, fault)                                                                      \
    do {                                                                                           \
        struct cg_request r;                                                                       \
        cg_request_init(&r);                                                                       \
        check(CG_SLICE(literal), CG_FAULT_##fault, &r);                                            \
        cg_request_done(&r);                                                                       \
    } while (0)

#define CHECK_LINE(line, fault) CHECK(line "\r\nHost: a\r\n\r\n", fault)
#define CHECK_FIELD(field, fault) CHECK("GET / HTTP/1.1\r\nHost: a\r\n" field "\r\n\r\n", fault)

CG_TEST(a_request_is_slices_of_its_head) {
    struct cg_request r;
    cg_request_init(&r);
    check(CG_SLICE("\r\nPOST /a?b#c HTTP/1.0\r\nHost:h\r\nX-Empty:\r\nx-pad: \t a b\t \r\n"
                   "Content_Length: 9\r\n\r\n"),
          CG_FAULT_NONE, &r);
    CG_CHECK_SLICE(r.line, "POST /a?b#c HTTP/1.0");
    CG_CHECK_SLICE(r.method, "POST");
    CG_CHECK_SLICE(r.target, "/a?b#c");
    CG_CHECK_SLICE(r.version, "HTTP/1.0");
    CG_CHECK_INT(r.fields_n, 4);
    CG_CHECK_INT(r.fields[0].id, CG_FIELD_HOST);
    CG_CHECK_SLICE(r.fields[0].name, "Host");
    CG_CHECK_SLICE(r.fields[0].value, "h");
    CG_CHECK_SLICE(r.fields[1].name, "X-Empty");
    CG_CHECK_SLICE(r.fields[1].value, "");
    CG_CHECK(r.fields[1].value.at != NULL);
    CG_CHECK_SLICE(r.fields[2].value, "a b");
    CG_CHECK_INT(r.fields[3].id, CG_FIELD_OTHER);
    CG_CHECK_SLICE(r.fields[3].name, "Content_Length");
    cg_request_done(&r);
}

CG_TEST(a_request_line_has_two_spaces) {
    CHECK_LINE("GET", REQUEST_LINE);
    CHECK_LINE("GET /", REQUEST_LINE);
    CHECK_LINE("GET HTTP/1.1", REQUEST_LINE);
    CHECK_LINE("GET  / HTTP/1.1", REQUEST_LINE);
    CHECK_LINE("GET /  HTTP/1.1", REQUEST_LINE);
    CHECK_LINE("GET / HTTP/1.1 ", REQUEST_LINE);
    CHECK_LINE("GET /a b HTTP/1.1", REQUEST_LINE);
}

CG_TEST(a_target_may_have_any_byte_but_controls_and_space) {
    struct cg_request r;
    cg_request_init(&r);
    for (int c = 0x21; c < 0x100; c++) {
        char head[] = "GET /x HTTP/1.1\r\n\r\n";
        head[5] = (char)c;
        if (c != 0x7f)
            check(cg_slice_of(head, sizeof head - 1), CG_FAULT_NONE, &r);
    }
    cg_request_done(&r);
}

CG_TEST(a_field_name_is_a_token) {
    struct cg_request r;
    cg_request_init(&r);
    for (int c = 0x20; c < 0x100; c++) {
        if (c == 0x7f || c == ':')
            continue;
        char byte = (char)c;
        char first[] = "GET / HTTP/1.1\r\n?b: v\r\n\r\n",
             inner[] = "GET / HTTP/1.1\r\na?b: v\r\n\r\n";
        enum cg_fault want =
            cg_field_is_token(cg_slice_of(&byte, 1)) ? CG_FAULT_NONE : CG_FAULT_FIELD_NAME;
        first[16] = inner[17] = byte;
        check(cg_slice_of(inner, sizeof inner - 1), want, &r);
        if (c != ' ') /* a folded line to the scanner */
            check(cg_slice_of(first, sizeof first - 1), want, &r);
    }
    cg_request_done(&r);
}

CG_TEST(no_space_stands_between_a_name_and_its_colon) {
    CHECK_FIELD("A : b", FIELD_NAME);
    CHECK_FIELD("A\t: b", FIELD_NAME);
    CHECK_FIELD("Content-Length : 3", FIELD_NAME);
    CHECK_FIELD("Transfer-Encoding : chunked", FIELD_NAME);
}

CG_TEST(a_field_line_has_a_colon) {
    CHECK_FIELD("nocolon", FIELD_NAME);
    CHECK_FIELD("n", FIELD_NAME);
    CHECK_FIELD("Content-Length", FIELD_NAME);
}

CG_TEST(a_value_is_trimmed_of_blanks_only) {
    struct cg_request r;
    cg_request_init(&r);
    check(CG_SLICE("GET / HTTP/1.1\r\nA: \x85 x \xa0\r\n\r\n"), CG_FAULT_NONE, &r);
    CG_CHECK_SLICE(r.fields[0].value, "\x85 x \xa0");
    cg_request_done(&r);
}

static void check_value(struct cg_slice head, size_t fields_n, size_t at, const char *want) {
    struct cg_request r;
    cg_request_init(&r);
    check(head, CG_FAULT_NONE, &r);
    CG_CHECK_INT(r.fields_n, fields_n);
    CG_CHECK(cg_slice_eq(r.fields[at].value, cg_slice_str(want)));
    CG_CHECK_SLICE(r.fields[fields_n - 1].name, "Z");
    CG_CHECK_SLICE(r.fields[fields_n - 1].value, "z");
    cg_request_done(&r);
}

#define CHECK_VALUE(fields, n, at, want)                                                           \
    check_value(CG_SLICE("GET / HTTP/1.1\r\n" fields "Z: z\r\n\r\n"), n, at, want)

CG_TEST(framing_fields_reach_policy_as_they_were_sent) {
    CHECK_VALUE("Content-Length: 5\t\r\n", 2, 0, "5");
    CHECK_VALUE("Content-Length:\r\n", 2, 0, "");
    CHECK_VALUE("Content-Length: +5 x\r\n", 2, 0, "+5 x");
    CHECK_VALUE("Content-Length: 5, 5\r\n", 2, 0, "5, 5");
    CHECK_VALUE("Content-Length: 99999999999999999999\r\n", 2, 0, "99999999999999999999");
    CHECK_VALUE("Content-Length: 1\r\nA: b\r\ncontent-length: 2\r\n", 4, 2, "2");
    CHECK_VALUE("Content-Length: a\r\nContent-Length: b\r\nA: b\r\n", 4, 1, "b");
    CHECK_VALUE("Transfer-Encoding:\r\n", 2, 0, "");
    CHECK_VALUE("Transfer-Encoding: gzip\r\n", 2, 0, "gzip");
    CHECK_VALUE("Transfer-Encoding: chunked, gzip\r\nTransfer-Encoding: x\r\n", 3, 1, "x");
    CHECK_VALUE("Transfer-Encoding: chunked\r\nContent-Length: x\r\n", 3, 1, "x");
    CHECK_VALUE("Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n", 4, 2, "5");
}

CG_TEST(the_version_of_llhttp_is_known) {
    unsigned major, minor, patch;
    CG_CHECK_INT(sscanf(cg_parser_llhttp_version(), "%u.%u.%u", &major, &minor, &patch), 3);
    CG_CHECK(major >= 8);
}
