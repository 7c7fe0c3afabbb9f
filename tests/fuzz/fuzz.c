/* SPDX-License-Identifier: MIT
 *
 * What the fuzz targets share, and the ends of failed checks: abort(), which a fuzzer takes for a
 * crash and keeps the input of. No state.
 */
#include "tests/fuzz/fuzz.h"

#include "tests/unit/test.h"

#include <stdarg.h>
#include <stdlib.h>

void cg_test_fail(const char *file, int line, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s:%d: ", file, line);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    abort();
}

static void print(const char *what, struct cg_slice s) {
    fprintf(stderr, "%s \"", what);
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.at[i];
        fprintf(stderr, c >= 0x20 && c < 0x7f && c != '\\' ? "%c" : "\\x%02x", c);
    }
    fprintf(stderr, "\"\n");
}

void cg_test_check_slice(const char *file, int line, struct cg_slice got, struct cg_slice want) {
    if (cg_slice_eq(got, want))
        return;
    print("got ", got);
    print("want", want);
    cg_test_fail(file, line, "bytes differ");
}

struct cg_slice fuzz_take(struct cg_slice *input, size_t n) {
    struct cg_slice taken = cg_slice_of(input->at, n < input->len ? n : input->len);
    *input = cg_slice_of(input->at + taken.len, input->len - taken.len);
    return taken;
}

uint8_t fuzz_take_byte(struct cg_slice *input) {
    struct cg_slice byte = fuzz_take(input, 1);
    return byte.len ? (uint8_t)byte.at[0] : 0;
}

struct cg_slice fuzz_take_short(struct cg_slice *input) {
    return fuzz_take(input, fuzz_take_byte(input));
}

void fuzz_choose_leniency(struct cg_settings *s, uint8_t choice) {
    static const char *const header_maps[] = {"drop", "drop", "refuse", "dangerous"};
    s->permit_obsolete_folding = choice & 1;
    s->strip_header_spaces = choice & 2;
    s->casefold_http_method = choice & 4;
    s->permit_unconventional_http_method = choice & 8;
    s->permit_unconventional_http_version = choice & 16;
    s->header_map = header_maps[choice >> 5 & 3];
    if (choice & 128)
        s->forwarded_allow_ips = "*";
}

bool fuzz_lies_in(struct cg_slice part, struct cg_slice whole) {
    return part.len == 0 || (part.at >= whole.at && part.at + part.len <= whole.at + whole.len);
}

bool fuzz_has_control(struct cg_slice s, bool tab_allowed) {
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.at[i];
        if ((c < 0x20 && !(c == '\t' && tab_allowed)) || c == 0x7f)
            return true;
    }
    return false;
}
