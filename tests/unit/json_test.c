/* SPDX-License-Identifier: MIT
 *
 * Strings of JSON: valid whatever the bytes are.
 */
#include "server/base/json.h"
#include "tests/unit/test.h"

static void check_string(struct cg_slice bytes, enum cg_json_charset charset,
                         struct cg_slice want) {
    struct cg_buf out = CG_BUF_INIT;
    CG_CHECK_INT(cg_json_append_string(&out, bytes, charset), 0);
    cg_test_check_slice(__FILE__, __LINE__, cg_buf_slice(&out), want);
    cg_buf_done(&out);
}

#define CHECK_UTF8(bytes, want) check_string(CG_SLICE(bytes), CG_JSON_UTF8, CG_SLICE(want))

CG_TEST(plain_text_is_quoted) {
    CHECK_UTF8("", "\"\"");
    CHECK_UTF8("/a b?c=d'", "\"/a b?c=d'\"");
}

CG_TEST(quotes_backslashes_and_controls_are_escaped) {
    CHECK_UTF8("a\"b\\c", "\"a\\\"b\\\\c\"");
    CHECK_UTF8("\n\t\x1f\x7f", "\"\\u000a\\u0009\\u001f\\u007f\"");
    check_string(cg_slice_of("\0", 1), CG_JSON_UTF8, CG_SLICE("\"\\u0000\""));
}

CG_TEST(utf8_stays_as_it_is) {
    CHECK_UTF8("\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80",
               "\"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80\"");
    CHECK_UTF8("\xf4\x8f\xbf\xbf\xed\x9f\xbf", "\"\xf4\x8f\xbf\xbf\xed\x9f\xbf\"");
}

CG_TEST(bytes_that_are_no_utf8_are_characters_of_their_own) {
    CHECK_UTF8("\xe4", "\"\\u00e4\"");
    CHECK_UTF8("\xc0\x80\xc1\xbf", "\"\\u00c0\\u0080\\u00c1\\u00bf\"");
    CHECK_UTF8("\xe0\x9f\xbf", "\"\\u00e0\\u009f\\u00bf\"");
    CHECK_UTF8("\xed\xa0\x80", "\"\\u00ed\\u00a0\\u0080\"");
    CHECK_UTF8("\xf0\x8f\xbf\xbf", "\"\\u00f0\\u008f\\u00bf\\u00bf\"");
    CHECK_UTF8("\xf4\x90\x80\x80", "\"\\u00f4\\u0090\\u0080\\u0080\"");
    CHECK_UTF8("\xf5\x80\x80\x80", "\"\\u00f5\\u0080\\u0080\\u0080\"");
    CHECK_UTF8("\xe2\x82", "\"\\u00e2\\u0082\"");
    CHECK_UTF8("\xc3x", "\"\\u00c3x\"");
}

CG_TEST(latin1_has_a_character_for_each_byte) {
    check_string(CG_SLICE("\xc3\xa4z"), CG_JSON_LATIN1, CG_SLICE("\"\\u00c3\\u00a4z\""));
}
