/* SPDX-License-Identifier: MIT
 *
 * The chunked decoder, each rule fed whole, byte by byte and in random splits. */
#include "tests/unit/incoming.h"
#include "tests/unit/test.h"

/* Feeds input; *out gets the data, *ret_used what belonged to the body. */
static enum cg_fault decode(struct cg_chunked *c, struct cg_slice input, enum incoming_way way,
                            unsigned seed, struct cg_buf *out, size_t *ret_used) {
    size_t at = 0, fed = 0;
    out->len = 0;
    while (!c->complete) {
        if (at == fed && fed == input.len)
            return CG_FAULT_INCOMPLETE;
        if (at == fed)
            fed += incoming_step(way, &seed, input.len - fed);
        size_t used;
        struct cg_slice run;
        enum cg_fault fault = cg_chunked_decode(c, input.at + at, fed - at, &used, &run);
        if (fault != CG_FAULT_NONE)
            return fault;
        CG_CHECK(used > 0 && used <= fed - at);
        CG_CHECK_INT(cg_buf_append(out, run), 0);
        at += used;
    }
    *ret_used = at;
    return CG_FAULT_NONE;
}

/* want is compared when there is no fault; rest: bytes behind the body. */
static void check(struct cg_slice input, enum cg_fault fault, struct cg_slice want, size_t rest,
                  struct cg_slice trailers) {
    struct cg_chunked c;
    struct cg_buf out = CG_BUF_INIT;
    cg_chunked_init(&c);
    for (unsigned seed = 0; seed < 10; seed++) {
        enum incoming_way way = seed < 2 ? (enum incoming_way)seed : INCOMING_SPLITS;
        size_t used = 0;
        cg_chunked_reset(&c);
        CG_CHECK_INT(decode(&c, input, way, seed, &out, &used), fault);
        if (fault != CG_FAULT_NONE)
            continue;
        cg_test_check_slice(__FILE__, __LINE__, cg_buf_slice(&out), want);
        cg_test_check_slice(__FILE__, __LINE__, cg_buf_slice(&c.trailers), trailers);
        CG_CHECK_INT(input.len - used, rest);
    }
    cg_chunked_done(&c);
    cg_buf_done(&out);
}

#define CHECK(literal, want)                                                                       \
    check(CG_SLICE(literal), CG_FAULT_NONE, CG_SLICE(want), 0, CG_SLICE(""))
#define CHECK_FAULT(literal, fault)                                                                \
    check(CG_SLICE(literal), CG_FAULT_##fault, CG_SLICE(""), 0, CG_SLICE(""))

CG_TEST(chunks_are_joined) {
    CHECK("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world");
    CHECK("0\r\n\r\n", "");
}

CG_TEST(data_may_look_like_framing) {
    CHECK("9\r\n\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n0\r\n\r\n\r\n");
}

CG_TEST(bytes_behind_the_body_are_left) {
    check(CG_SLICE("1\r\na\r\n0\r\n\r\nGET /"), CG_FAULT_NONE, CG_SLICE("a"), 5, CG_SLICE(""));
}

CG_TEST(a_size_is_hexadecimal_in_any_case_with_leading_zeros) {
    CHECK("A\r\n0123456789\r\n0\r\n\r\n", "0123456789");
    CHECK("a\r\n0123456789\r\n000\r\n\r\n", "0123456789");
    CHECK("0000000000000001\r\nx\r\n0000000000000000\r\n\r\n", "x");
}

CG_TEST(a_size_has_no_sign_prefix_or_blank) {
    CHECK_FAULT("+5\r\nhello\r\n", CHUNK_SIZE);
    CHECK_FAULT("-5\r\nhello\r\n", CHUNK_SIZE);
    CHECK_FAULT("0x5\r\nhello\r\n", CHUNK_SIZE);
    CHECK_FAULT("6_0\r\n", CHUNK_SIZE);
    CHECK_FAULT(" 5\r\nhello\r\n", CHUNK_SIZE);
    CHECK_FAULT("5 \r\nhello\r\n", CHUNK_SIZE);
    CHECK_FAULT("5\t\r\nhello\r\n", CHUNK_SIZE);
    CHECK_FAULT("5 5\r\nhello\r\n", CHUNK_SIZE);
    CHECK_FAULT("g\r\n", CHUNK_SIZE);
    CHECK_FAULT("\r\n", CHUNK_SIZE);
    CHECK_FAULT(";a\r\n", CHUNK_SIZE);
    CHECK_FAULT(" ;a\r\n", CHUNK_SIZE);
    CHECK_FAULT("\xb2\r\n", CHUNK_SIZE);
}

CG_TEST(a_size_of_more_than_sixteen_digits_is_refused) {
    CHECK_FAULT("FFFFFFFFFFFFFFFF\r\nx", INCOMPLETE);
    CHECK_FAULT("10000000000000000\r\n", CHUNK_SIZE);
    CHECK_FAULT("00000000000000001\r\n", CHUNK_SIZE);
}

CG_TEST(a_size_line_ends_in_crlf) {
    CHECK_FAULT("5\nhello\r\n", CHUNK_SIZE);
    CHECK_FAULT("5\rhello\r\n", CHUNK_SIZE);
    CHECK_FAULT("5\r\rhello\r\n", CHUNK_SIZE);
    CHECK_FAULT("5\n;\r\nhello\r\n", CHUNK_SIZE);
}

CG_TEST(extensions_are_skipped) {
    CHECK("5;a=b\r\nhello\r\n0;last\r\n\r\n", "hello");
    CHECK("5 ; a = \"b c\"\t;d\r\nhello\r\n0\r\n\r\n", "hello");
    CHECK("5;\r\nhello\r\n0\t;\xff\r\n\r\n", "hello");
}

CG_TEST(an_extension_has_no_control_characters) {
    CHECK_FAULT("5;a\nb\r\nhello\r\n", CHUNK_EXTENSION);
    CHECK_FAULT("5;a\rb\r\nhello\r\n", CHUNK_EXTENSION);
    CHECK_FAULT("5;a=\"\r\"\r\nhello\r\n", CHUNK_EXTENSION);
    CHECK_FAULT("5;\x01\r\nhello\r\n", CHUNK_EXTENSION);
    CHECK_FAULT("5;\x7f\r\nhello\r\n", CHUNK_EXTENSION);
}

CG_TEST(extensions_are_bounded_over_all_chunks) {
    struct cg_buf body = CG_BUF_INIT;
    for (int i = 0; i < CG_CHUNKED_EXTENSION_MAX / 8; i++)
        cg_buf_append(&body, CG_SLICE("1 ;34567 \r\nx\r\n"));
    cg_buf_append(&body, CG_SLICE("0\r\n\r\n"));
    struct cg_chunked c;
    struct cg_buf out = CG_BUF_INIT;
    size_t used;
    cg_chunked_init(&c);
    CG_CHECK_INT(decode(&c, cg_buf_slice(&body), INCOMING_WHOLE, 0, &out, &used), CG_FAULT_NONE);
    cg_chunked_reset(&c);
    memcpy(body.at + body.len - 5, "0;\r\n\r", 5);
    CG_CHECK_INT(decode(&c, cg_buf_slice(&body), INCOMING_WHOLE, 0, &out, &used),
                 CG_FAULT_CHUNK_EXTENSION);
    cg_chunked_done(&c);
    cg_buf_done(&out);
    cg_buf_done(&body);
}

CG_TEST(chunk_data_ends_in_crlf) {
    CHECK_FAULT("5\r\nhelloX\r\n", CHUNK_DATA);
    CHECK_FAULT("5\r\nhello\n", CHUNK_DATA);
    CHECK_FAULT("5\r\nhello\rX", CHUNK_DATA);
    CHECK_FAULT("5\r\nhello0\r\n\r\n", CHUNK_DATA);
}

CG_TEST(an_unfinished_body_waits) {
    CHECK_FAULT("", INCOMPLETE);
    CHECK_FAULT("5", INCOMPLETE);
    CHECK_FAULT("5\r\nhel", INCOMPLETE);
    CHECK_FAULT("5\r\nhello\r\n", INCOMPLETE);
    CHECK_FAULT("0\r\n", INCOMPLETE);
    CHECK_FAULT("0\r\n\r", INCOMPLETE);
    CHECK_FAULT("0\r\nA: b\r\n", INCOMPLETE);
}

CG_TEST(trailers_are_kept_raw) {
    check(CG_SLICE("1\r\nx\r\n0\r\nVary: *\r\nX-Sum:\t\xff\r\n\r\nrest"), CG_FAULT_NONE,
          CG_SLICE("x"), 4, CG_SLICE("Vary: *\r\nX-Sum:\t\xff\r\n"));
}

CG_TEST(a_trailer_is_a_field_line) {
    CHECK_FAULT("0\r\nA : b\r\n\r\n", TRAILER);
    CHECK_FAULT("0\r\n: b\r\n\r\n", TRAILER);
    CHECK_FAULT("0\r\nnocolon\r\n\r\n", TRAILER);
    CHECK_FAULT("0\r\n A: b\r\n\r\n", TRAILER);
    CHECK_FAULT("0\r\nA: b\r\n folded\r\n\r\n", TRAILER);
    CHECK_FAULT("0\r\nA: \x01\r\n\r\n", TRAILER);
    CHECK_FAULT("0\r\nA: \x7f\r\n\r\n", TRAILER);
    CHECK_FAULT("0\r\nA: b\n\r\n", TRAILER);
    CHECK_FAULT("0\r\nA: b\rc\r\n\r\n", TRAILER);
    CHECK_FAULT("0\r\n\n", TRAILER);
    CHECK_FAULT("0\r\n\rX", TRAILER);
}

CG_TEST(framing_routing_and_credentials_do_not_come_late) {
    CHECK_FAULT("0\r\nContent-Length: 5\r\n\r\n", TRAILER);
    CHECK_FAULT("0\r\ntransfer-encoding: chunked\r\n\r\n", TRAILER);
    CHECK_FAULT("0\r\nA: b\r\nHOST: evil\r\n\r\n", TRAILER);
    CHECK_FAULT("0\r\nTrailer: a\r\n\r\n", TRAILER);
    CHECK_FAULT("0\r\nAuthorization: a\r\n\r\n", TRAILER);
    CHECK_FAULT("0\r\nTE: a\r\n\r\n", TRAILER);
}

CG_TEST(the_trailer_section_is_bounded) {
    struct cg_chunked c;
    struct cg_buf body = CG_BUF_INIT, out = CG_BUF_INIT;
    cg_buf_append(&body, CG_SLICE("0\r\n"));
    for (int i = 0; i < CG_CHUNKED_TRAILER_MAX / 16; i++)
        cg_buf_append(&body, CG_SLICE("A234: 78901234\r\n"));
    size_t full = body.len, used;
    cg_buf_append(&body, CG_SLICE("\r\n"));
    cg_chunked_init(&c);
    CG_CHECK_INT(decode(&c, cg_buf_slice(&body), INCOMING_WHOLE, 0, &out, &used), CG_FAULT_NONE);
    CG_CHECK_INT(c.trailers.len, CG_CHUNKED_TRAILER_MAX);
    cg_chunked_reset(&c);
    body.at[full] = 'A';
    CG_CHECK_INT(decode(&c, cg_buf_slice(&body), INCOMING_WHOLE, 0, &out, &used), CG_FAULT_TRAILER);
    cg_chunked_done(&c);
    cg_buf_done(&out);
    cg_buf_done(&body);
}
