/* SPDX-License-Identifier: MIT
 *
 * Forms that settings permit, each fed in every way through scanner, rewriting and parser. */
#include "tests/unit/incoming.h"
#include "tests/unit/test.h"

static struct cg_settings settings;

static void permit(bool folding, bool spaces) {
    settings = incoming_settings;
    settings.permit_obsolete_folding = folding;
    settings.strip_header_spaces = spaces;
}

static void check(struct incoming *in, struct cg_slice input, enum cg_fault want) {
    for (unsigned seed = 0; seed < 6; seed++) {
        enum incoming_way way = seed < 2 ? (enum incoming_way)seed : INCOMING_SPLITS;
        enum cg_fault got = incoming_run(in, &settings, input, way, seed);
        if (got != want)
            cg_test_fail(__FILE__, __LINE__, "%.*s\n%s, not %s", (int)input.len, input.at,
                         incoming_fault_name(got), incoming_fault_name(want));
    }
}

#define HEAD(fields) "POST / HTTP/1.1\r\nHost: h\r\n" fields "\r\n"

#define CHECK(fields, fault)                                                                       \
    do {                                                                                           \
        struct incoming cg_in;                                                                     \
        incoming_init(&cg_in);                                                                     \
        check(&cg_in, CG_SLICE(HEAD(fields)), CG_FAULT_##fault);                                   \
        incoming_done(&cg_in);                                                                     \
    } while (0)

/* The field behind Host, and that the one behind it, "Z: z", is untouched. */
static void check_field(struct cg_slice head, const char *name, const char *value) {
    struct incoming in;
    incoming_init(&in);
    check(&in, head, CG_FAULT_NONE);
    CG_CHECK_INT(in.request.fields_n, 3);
    cg_test_check_slice(head.at, 1, in.request.fields[1].name, cg_slice_str(name));
    cg_test_check_slice(head.at, 1, in.request.fields[1].value, cg_slice_str(value));
    CG_CHECK_SLICE(in.request.fields[2].name, "Z");
    CG_CHECK_SLICE(in.request.fields[2].value, "z");
    incoming_done(&in);
}

#define CHECK_FIELD(field, name, value)                                                            \
    check_field(CG_SLICE(HEAD(field "\r\nZ: z\r\n")), name, value)

CG_TEST(folds_are_refused_by_default) {
    permit(false, true);
    CHECK("A: b\r\n c\r\n", FOLDED_FIELD);
    CHECK("A: b\r\n\tc\r\n", FOLDED_FIELD);
}

CG_TEST(a_fold_is_one_space_where_permitted) {
    permit(true, false);
    CHECK_FIELD("A: one\r\n two", "A", "one two");
    CHECK_FIELD("A: one\r\n\ttwo", "A", "one two");
    CHECK_FIELD("A: one \t\r\n \t  two", "A", "one two");
    CHECK_FIELD("A: one\r\n two\r\n three  \r\n four", "A", "one two three four");
    CHECK_FIELD("A:\r\n one", "A", "one");
    CHECK_FIELD("A: one\r\n ", "A", "one");
    CHECK_FIELD("A: one\r\n \r\n \t\r\n two", "A", "one two");
    CHECK_FIELD("A: a:\r\n B: c", "A", "a: B: c");
}

CG_TEST(a_fold_in_the_last_field_ends_with_the_head) {
    struct incoming in;
    permit(true, false);
    incoming_init(&in);
    check(&in, CG_SLICE(HEAD("Content-Length:\r\n 3\r\n") "abc"), CG_FAULT_NONE);
    CG_CHECK_INT(in.request.content_length, 3);
    CG_CHECK_INT(in.body.size, 3);
    incoming_done(&in);
}

CG_TEST(a_fold_goes_on_only_with_a_field) {
    struct incoming in;
    permit(true, true);
    incoming_init(&in);
    check(&in, CG_SLICE("GET / HTTP/1.0\r\n A: b\r\n\r\n"), CG_FAULT_FOLDED_FIELD);
    check(&in, CG_SLICE(" GET / HTTP/1.0\r\n\r\n"), CG_FAULT_METHOD);
    incoming_done(&in);
}

CG_TEST(a_fold_hides_nothing_from_the_rules) {
    permit(true, false);
    CHECK("Transfer-Encoding: gzip\r\n , chunked\r\n", TRANSFER_ENCODING_UNKNOWN);
    CHECK("Content-Length: 1\r\n 2\r\n", CONTENT_LENGTH);
    CHECK("Host\r\n : a\r\n", FIELD_NAME);
    CHECK("A: b\r\n c\x01\r\n", CONTROL_CHARACTER);
    CHECK("A: b\r\n \n\r\n", LINE_ENDING);
}

CG_TEST(a_field_with_its_folds_has_one_limit) {
    permit(true, false);
    settings.limit_request_field_size = 9 + 4;
    CHECK("Accept:\r\n*: \r\n", NONE);
    CHECK("Accept:\r\n */*\r\n", FIELD_TOO_LONG);
    settings.limit_request_field_size = 9 + 6;
    CHECK("Accept:\r\n */*\r\n", NONE);
    CHECK("Accept:\r\n */*\r\n \r\n", FIELD_TOO_LONG);
}

CG_TEST(folds_do_not_count_as_fields) {
    permit(true, false);
    settings.limit_request_fields = 2;
    CHECK("A: b\r\n c\r\n d\r\n e\r\n", NONE);
    CHECK("A: b\r\n c\r\nD: e\r\n", FIELDS_TOO_MANY);
}

CG_TEST(spaces_before_the_colon_are_refused_by_default) {
    permit(true, false);
    CHECK("A : b\r\n", FIELD_NAME);
    CHECK("A\t: b\r\n", FIELD_NAME);
}

CG_TEST(spaces_before_the_colon_are_stripped_where_permitted) {
    permit(false, true);
    CHECK_FIELD("A : b", "A", "b");
    CHECK_FIELD("A \t : b : c", "A", "b : c");
    CHECK_FIELD("A :", "A", "");
    CHECK_FIELD("A: b", "A", "b");
}

CG_TEST(spaces_elsewhere_in_a_name_stay_refused) {
    permit(true, true);
    CHECK("A b: c\r\n", FIELD_NAME);
    CHECK("A b : c\r\n", FIELD_NAME);
    CHECK("A\xa0: c\r\n", FIELD_NAME);
    CHECK("nocolon \r\n", FIELD_NAME);
    CHECK("A\r\n b\r\n", FIELD_NAME);
}

CG_TEST(a_name_does_not_go_on_in_a_folded_line) {
    permit(true, true);
    CHECK("A\r\n : b\r\n", FIELD_NAME);
    CHECK("A \r\n\t: b\r\n", FIELD_NAME);
}

CG_TEST(a_stripped_name_is_the_name) {
    struct incoming in;
    permit(true, true);
    incoming_init(&in);
    check(&in, CG_SLICE(HEAD("Content-Length : \r\n 3\r\n") "abc"), CG_FAULT_NONE);
    CG_CHECK_INT(in.request.content_length, 3);
    check(&in, CG_SLICE(HEAD("Content-Length: 3\r\nContent-Length : 3\r\n") "abc"),
          CG_FAULT_CONTENT_LENGTH);
    check(&in, CG_SLICE(HEAD("Transfer-Encoding : chunked\r\nContent-Length: 3\r\n")),
          CG_FAULT_LENGTH_AND_CODING);
    incoming_done(&in);
}
