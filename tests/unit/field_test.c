/* SPDX-License-Identifier: MIT
 *
 * Names of header fields, and the two tables of statuses. */
#include "server/http/fault.h"
#include "server/http/field.h"
#include "server/http/request.h"
#include "tests/unit/test.h"

CG_TEST(every_row_is_found_in_any_case) {
    static const struct {
        enum cg_field_id id;
        const char *name;
    } rows[] = {
#define CG_FIELD(id, name, environ_key) {CG_FIELD_##id, name},
#include "server/http/field.def"
#undef CG_FIELD
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char upper[64], mixed[64];
        size_t len = strlen(rows[i].name);
        for (size_t k = 0; k <= len; k++) {
            char c = rows[i].name[k];
            upper[k] = c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
            mixed[k] = k % 2 ? c : upper[k];
        }
        CG_CHECK_INT(cg_field_lookup(cg_slice_of(rows[i].name, len)), rows[i].id);
        CG_CHECK_INT(cg_field_lookup(cg_slice_of(upper, len)), rows[i].id);
        CG_CHECK_INT(cg_field_lookup(cg_slice_of(mixed, len)), rows[i].id);
    }
}

CG_TEST(similar_names_are_other_fields) {
    static const char *const names[] = {
        "",
        "h",
        "hos",
        "hosts",
        "h-st",
        "content_length",
        "Content_Type",
        "contentxlength",
        "transfer_encoding",
        "hostX",
        "x-unknown",
        "host ",
        "\xc8ost",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        CG_CHECK_INT(cg_field_lookup(cg_slice_str(names[i])), CG_FIELD_OTHER);
    CG_CHECK_INT(cg_field_lookup(cg_slice_of("te\0", 3)), CG_FIELD_OTHER);
}

CG_TEST(a_token_is_tchar_only) {
    static const char tchars[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                 "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for (int c = 0; c < 256; c++) {
        char byte = (char)c;
        bool wanted = c != 0 && strchr(tchars, c) != NULL;
        CG_CHECK_INT(cg_field_is_token(cg_slice_of(&byte, 1)), wanted);
    }
    CG_CHECK(!cg_field_is_token(cg_slice_of("", 0)));
    CG_CHECK(!cg_field_is_token(CG_SLICE("ab cd")));
}

CG_TEST(fields_are_kept_in_order_and_found_by_number_and_name) {
    struct cg_request r;
    char name[] = "X-00";
    cg_request_init(&r);
    for (int i = 0; i < 50; i++)
        CG_CHECK_INT(cg_request_add_field(&r, CG_SLICE("X-Many"), cg_slice_of(name, 4)), 0);
    CG_CHECK_INT(cg_request_add_field(&r, CG_SLICE("Host"), CG_SLICE("a")), 0);
    CG_CHECK_INT(cg_request_add_field(&r, CG_SLICE("host"), CG_SLICE("b")), 0);
    CG_CHECK_INT(r.fields_n, 52);
    CG_CHECK_SLICE(cg_request_field(&r, CG_FIELD_HOST)->value, "a");
    CG_CHECK(cg_request_field(&r, CG_FIELD_TE) == NULL);
    CG_CHECK(cg_request_field_named(&r, CG_SLICE("x-MANY")) == &r.fields[0]);
    CG_CHECK(cg_request_field_named(&r, CG_SLICE("x-none")) == NULL);
    cg_request_reset(&r);
    CG_CHECK(r.fields_n == 0 && r.fields_cap >= 52);
    cg_request_done(&r);
}

CG_TEST(every_fault_has_an_error_status_and_a_text) {
    for (int i = CG_FAULT_NONE + 1; i < CG_FAULT_N; i++) {
        int status = cg_fault_status((enum cg_fault)i);
        CG_CHECK(status >= 400 && status < 600);
        CG_CHECK(strlen(cg_fault_text((enum cg_fault)i)) > 5);
        CG_CHECK(strcmp(cg_status_reason(status), "Unknown") != 0);
    }
}

CG_TEST(a_status_without_a_phrase_is_unknown) {
    CG_CHECK_SLICE(cg_slice_str(cg_status_reason(200)), "OK");
    CG_CHECK_SLICE(cg_slice_str(cg_status_reason(431)), "Request Header Fields Too Large");
    CG_CHECK_SLICE(cg_slice_str(cg_status_reason(299)), "Unknown");
}
