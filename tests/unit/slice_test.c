/* SPDX-License-Identifier: MIT
 *
 * Rules of server/base/slice.h.
 */
#include "tests/unit/test.h"

CG_TEST(equality_is_bytewise) {
    CG_CHECK(cg_slice_eq(CG_SLICE("abc"), CG_SLICE("abc")));
    CG_CHECK(!cg_slice_eq(CG_SLICE("abc"), CG_SLICE("abC")));
    CG_CHECK(!cg_slice_eq(CG_SLICE("abc"), CG_SLICE("ab")));
    CG_CHECK(cg_slice_eq(CG_SLICE(""), cg_slice_of(NULL, 0)));
    CG_CHECK(!cg_slice_eq(CG_SLICE("a\0b"), CG_SLICE("a\0c")));
}

CG_TEST(null_string_is_an_empty_slice) {
    CG_CHECK_INT(cg_slice_str(NULL).len, 0);
    CG_CHECK_SLICE(cg_slice_str("x"), "x");
}

CG_TEST(case_is_ignored_for_ascii_letters_only) {
    CG_CHECK(cg_slice_eq_ci(CG_SLICE("Content-LENGTH"), CG_SLICE("content-length")));
    CG_CHECK(!cg_slice_eq_ci(CG_SLICE("content-length"), CG_SLICE("content-lengths")));
    CG_CHECK(!cg_slice_eq_ci(CG_SLICE("@[`{"), CG_SLICE("`{@[")));
    CG_CHECK(!cg_slice_eq_ci(CG_SLICE("\xc4"), CG_SLICE("\xe4")));
    CG_CHECK(cg_slice_eq_ci(cg_slice_of(NULL, 0), CG_SLICE("")));
}

CG_TEST(trim_takes_space_and_tab_only) {
    CG_CHECK_SLICE(cg_slice_trim(CG_SLICE(" \t a b\t ")), "a b");
    CG_CHECK_SLICE(cg_slice_trim(CG_SLICE("\x85\xa0"
                                          "a\v")),
                   "\x85\xa0"
                   "a\v");
    CG_CHECK_SLICE(cg_slice_trim(CG_SLICE("\r\na\n")), "\r\na\n");
    CG_CHECK_SLICE(cg_slice_trim(CG_SLICE(" \t ")), "");
    CG_CHECK_SLICE(cg_slice_trim(cg_slice_of(NULL, 0)), "");
}

CG_TEST(list_elements_come_trimmed_and_in_order) {
    struct cg_slice list = CG_SLICE("gzip ,\tchunked"), element;
    CG_CHECK(cg_slice_next_element(&list, &element));
    CG_CHECK_SLICE(element, "gzip");
    CG_CHECK(cg_slice_next_element(&list, &element));
    CG_CHECK_SLICE(element, "chunked");
    CG_CHECK(!cg_slice_next_element(&list, &element));
    CG_CHECK(!cg_slice_next_element(&list, &element));
}

CG_TEST(n_commas_give_n_plus_one_elements) {
    static const struct {
        struct cg_slice list;
        int elements;
    } rows[] = {
        {{"", 0}, 1},   {{"a", 1}, 1},    {{",", 1}, 2},
        {{"a,", 2}, 2}, {{",a,,", 4}, 4}, {{NULL, 0}, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct cg_slice list = rows[i].list, element;
        int n = 0;
        while (cg_slice_next_element(&list, &element))
            n++;
        CG_CHECK_INT(n, rows[i].elements);
    }
}
