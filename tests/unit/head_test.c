/* SPDX-License-Identifier: MIT
 *
 * The head scanner, each rule fed whole, byte by byte and in random splits. */
#include "tests/unit/incoming.h"
#include "tests/unit/test.h"

static const struct cg_head_limits limits = {
    .line_bytes = 40, .fields_n = 3, .field_bytes = 30, .head_bytes = 100};

/* Every way of feeding must give the same answer; the last scanner is left in *h. */
static void check(struct cg_slice input, enum cg_fault want, struct cg_head *h) {
    for (unsigned seed = 0; seed < 12; seed++) {
        enum incoming_way way = seed < 2 ? (enum incoming_way)seed : INCOMING_SPLITS;
        unsigned state = seed;
        size_t fed;
        cg_head_reset(h);
        CG_CHECK_INT(incoming_scan(h, &limits, input, way, &state, &fed), want);
    }
}

#define CHECK(literal, fault)                                                                      \
    do {                                                                                           \
        struct cg_head cg_h;                                                                       \
        check(CG_SLICE(literal), CG_FAULT_##fault, &cg_h);                                         \
    } while (0)

CG_TEST(a_head_ends_at_its_empty_line) {
    struct cg_head h;
    check(CG_SLICE("GET / HTTP/1.1\r\nHost: a\r\nB: c\td\r\n\r\nbody\n"), CG_FAULT_NONE, &h);
    CG_CHECK(h.complete);
    CG_CHECK_INT(h.start, 0);
    CG_CHECK_INT(h.line_end, 14);
    CG_CHECK_INT(h.fields_n, 2);
    CG_CHECK_INT(h.end, 16 + 9 + 8 + 2);
}

CG_TEST(a_head_may_have_no_fields) {
    struct cg_head h;
    check(CG_SLICE("GET / HTTP/1.1\r\n\r\n"), CG_FAULT_NONE, &h);
    CG_CHECK_INT(h.fields_n, 0);
    CG_CHECK_INT(h.end, 18);
}

CG_TEST(leading_empty_lines_are_skipped_up_to_four) {
    struct cg_head h;
    check(CG_SLICE("\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n"), CG_FAULT_NONE, &h);
    CG_CHECK_INT(h.start, 8);
    CG_CHECK_INT(h.line_end, 22);
    CHECK("\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n", REQUEST_LINE);
}

CG_TEST(an_unfinished_head_waits) {
    CHECK("GET / HT", INCOMPLETE);
    CHECK("GET / HTTP/1.1\r", INCOMPLETE);
    CHECK("GET / HTTP/1.1\r\nA: b\r\n\r", INCOMPLETE);
    CHECK("\r\n", INCOMPLETE);
}

CG_TEST(a_bare_lf_is_refused_at_once) {
    CHECK("GET / HTTP/1.1\n", LINE_ENDING);
    CHECK("\n", LINE_ENDING);
    CHECK("GET / HTTP/1.1\r\nA: b\n", LINE_ENDING);
    CHECK("GET / HTTP/1.1\r\n\n", LINE_ENDING);
}

CG_TEST(a_bare_cr_is_refused_at_once) {
    CHECK("GET / \rHTTP", LINE_ENDING);
    CHECK("GET / HTTP/1.1\r\nA: b\rc", LINE_ENDING);
    CHECK("GET / HTTP/1.1\r\n\r\r", LINE_ENDING);
    CHECK("\rG", LINE_ENDING);
}

CG_TEST(control_characters_are_refused_wherever_they_stand) {
    static const size_t at[] = {0, 5, 12, 18, 20, 23, 31};
    for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
        for (int c = 0; c < 0x100; c++) {
            char head[] = "GET /abcdefg HTTP/1.1\r\nName: some\r\n\r\n";
            bool control = c < 0x20 || c == 0x7f;
            if (!control || c == '\r' || c == '\n' || c == '\t' || at[i] == 20)
                continue;
            head[at[i]] = (char)c;
            struct cg_head h;
            check(cg_slice_str(c ? head : ""), c ? CG_FAULT_CONTROL_CHARACTER : CG_FAULT_INCOMPLETE,
                  &h);
            check(cg_slice_of(head, sizeof head - 1), CG_FAULT_CONTROL_CHARACTER, &h);
        }
    }
}

CG_TEST(bytes_above_0x7f_are_no_control_characters) {
    CHECK("GET /\x80\xff HTTP/1.1\r\nA: \x80\x85\xa0\xff\r\n\r\n", NONE);
}

CG_TEST(a_tab_belongs_into_values_only) {
    CHECK("GET / HTTP/1.1\r\nA:\tb\tc\t\r\n\r\n", NONE);
    CHECK("GET\t/ HTTP/1.1\r\n", CONTROL_CHARACTER);
}

CG_TEST(a_first_byte_that_begins_no_method_is_refused_at_once) {
    CHECK("\x16\x03\x01", CONTROL_CHARACTER);
    CHECK("\x80", METHOD);
    CHECK(" GET", METHOD);
    CHECK("(", METHOD);
    CHECK("{", METHOD);
}

CG_TEST(a_folded_line_is_refused_at_its_first_byte) {
    CHECK("GET / HTTP/1.1\r\nA: b\r\n ", FOLDED_FIELD);
    CHECK("GET / HTTP/1.1\r\nA: b\r\n\t", FOLDED_FIELD);
    CHECK("GET / HTTP/1.1\r\n Host: a\r\n", FOLDED_FIELD);
}

CG_TEST(a_line_without_a_name_is_refused_at_its_first_byte) {
    CHECK("GET / HTTP/1.1\r\n:", FIELD_NAME);
}

CG_TEST(a_request_line_may_reach_its_limit) {
    CHECK("GET /6789012345678901234567890 HTTP/1.1\r\n\r\n", NONE);
    CHECK("GET /678901234567890123456789 1 HTTP/1.1\r\n\r\n", NONE);
    CHECK("GET /67890123456789012345678901 HTTP/1.1X\r\n\r\n", REQUEST_LINE_TOO_LONG);
}

CG_TEST(an_unfinished_line_past_its_limit_is_refused_at_once) {
    CHECK("GET /567890123456789012345678901234567890", REQUEST_LINE_TOO_LONG);
    CHECK("GET / HTTP/1.1\r\nName5678901234567890123456789", FIELD_TOO_LONG);
}

CG_TEST(the_limit_of_a_line_goes_before_what_stands_behind_it) {
    CHECK("GET /567890123456789012345678901234567890\x01", REQUEST_LINE_TOO_LONG);
    CHECK("GET / HTTP/1.1\r\nName5678901234567890123456789\n", FIELD_TOO_LONG);
}

CG_TEST(a_field_line_counts_with_its_crlf) {
    CHECK("GET / HTTP/1.1\r\nName: 7890123456789012345678\r\n\r\n", NONE);
    CHECK("GET / HTTP/1.1\r\nName: 78901234567890123456789\r\n\r\n", FIELD_TOO_LONG);
}

CG_TEST(fields_are_counted) {
    CHECK("GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n", NONE);
    CHECK("GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\nC: 3\r\nD", FIELDS_TOO_MANY);
}

CG_TEST(the_whole_head_is_bounded) {
    struct cg_head h;
    char input[128] = "GET / HTTP/1.1\r\nA: 3456789012345678901234567\r\n"
                      "B: 3456789012345678901234567\r\n";
    size_t len = strlen(input);
    struct cg_slice tail = CG_SLICE("C: 45678901234567890\r\n\r\n");
    memcpy(input + len, tail.at, tail.len);
    CG_CHECK_INT(len + tail.len, 100);
    check(cg_slice_of(input, len + tail.len), CG_FAULT_NONE, &h);
    memcpy(input + len, "C: 456789012345678901\r\n\r\n", tail.len + 1);
    check(cg_slice_of(input, len + tail.len + 1), CG_FAULT_FIELD_TOO_LONG, &h);
}

CG_TEST(without_line_limits_the_head_limit_bounds_the_line) {
    static const struct cg_head_limits open = {.fields_n = 3, .head_bytes = 60};
    struct cg_head h;
    unsigned seed = 1;
    size_t fed;
    struct cg_slice line =
        CG_SLICE("GET /67890123456789012345678901234567890123456789 HTTP/1.1\r\n");
    CG_CHECK_INT(line.len, 60);
    for (int way = 0; way < 3; way++) {
        cg_head_reset(&h);
        CG_CHECK_INT(incoming_scan(&h, &open, line, (enum incoming_way)way, &seed, &fed),
                     CG_FAULT_INCOMPLETE);
        CG_CHECK_INT(h.line_end, 58);
        CG_CHECK_INT(cg_head_scan(&h, &open,
                                  "GET /67890123456789012345678901234567890123456789 "
                                  "HTTP/1.1\r\n\r",
                                  61),
                     CG_FAULT_FIELD_TOO_LONG);
    }
}
