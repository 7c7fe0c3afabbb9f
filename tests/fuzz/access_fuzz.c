/* SPDX-License-Identifier: MIT
 *
 * Access lines: any format, and in the exchange any bytes, more than a parser lets through. The
 * format's own text is kept plain here; then no control character, no byte above 0x7e and no
 * unescaped quote may be in the line, and every backslash begins an escape. In JSON the line is one
 * object with the same members each time, in UTF-8.
 *
 * Input: the format, then the strings of the exchange; each has its length before it.
 */
#include "server/http/access.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/test.h"

#include <ctype.h>
#include <stdlib.h>

const struct fuzz_target fuzz_target = {.name = "access"};

enum { FORMAT_MAX = 255 };

/* A C string without anything that would need an escape. */
static void choose_format(struct cg_slice bytes, char *ret_format) {
    for (size_t i = 0; i < bytes.len; i++) {
        char c = (char)(bytes.at[i] & 0x7f);
        bool plain = c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
        *ret_format++ = plain ? c : '.';
    }
    *ret_format = '\0';
}

static struct cg_endpoint choose_peer(struct cg_slice host) {
    struct cg_endpoint e = {.family = CG_FAMILY_UNIX};
    e.host_len = (uint8_t)(host.len < sizeof e.host ? host.len : sizeof e.host);
    memcpy(e.host, host.at, e.host_len);
    return e;
}

static void choose_request(struct cg_request *r, struct cg_slice *input) {
    r->line = fuzz_take_short(input);
    r->method = fuzz_take_short(input);
    r->target = fuzz_take_short(input);
    r->path = fuzz_take_short(input);
    r->query = fuzz_take_short(input);
    r->version_major = fuzz_take_byte(input);
    r->version_minor = fuzz_take_byte(input);
    for (int n = fuzz_take_byte(input) % 8; n > 0; n--) {
        struct cg_slice name = fuzz_take_short(input), value = fuzz_take_short(input);
        CG_CHECK_INT(cg_request_add_field(r, name, value), 0);
    }
}

static void choose_response(struct cg_response *r, struct cg_slice *input) {
    if (cg_response_start(r, CG_SLICE("200 OK")) != CG_RESPONSE_OK)
        return;
    while (input->len > 0) {
        struct cg_slice name = fuzz_take_short(input), value = fuzz_take_short(input);
        cg_response_add_field(r, name, value);
    }
    r->body_bytes = UINT64_MAX;
}

static void check_line(struct cg_slice line) {
    for (size_t i = 0; i < line.len; i++) {
        unsigned char c = (unsigned char)line.at[i];
        CG_CHECK(c >= 0x20 && c < 0x7f && c != '"');
        if (c != '\\')
            continue;
        struct cg_slice rest = cg_slice_of(line.at + i + 1, line.len - i - 1);
        CG_CHECK(rest.len > 0);
        if (rest.at[0] == 'x') {
            CG_CHECK(rest.len > 2 && isxdigit((unsigned char)rest.at[1]) &&
                     isxdigit((unsigned char)rest.at[2]));
            i += 3;
        } else {
            CG_CHECK(rest.at[0] == '"' || rest.at[0] == '\\');
            i++;
        }
    }
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* The length of the string of JSON (RFC 8259 section 7) that s begins with. Bytes
 * above 0x7f have the form of UTF-8. */
static size_t check_string(struct cg_slice s) {
    size_t i = 1, follow_n = 0;
    CG_CHECK(s.len > 1 && s.at[0] == '"');
    for (; i < s.len && (follow_n > 0 || s.at[i] != '"'); i++) {
        unsigned char c = (unsigned char)s.at[i];
        CG_CHECK(c >= 0x20 && c != 0x7f && (follow_n > 0) == ((c & 0xc0) == 0x80));
        if (follow_n > 0) {
            follow_n--;
        } else if (c >= 0x80) {
            CG_CHECK(c >= 0xc2 && c <= 0xf4);
            follow_n = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
        } else if (c == '\\') {
            CG_CHECK(i + 1 < s.len);
            if (s.at[++i] == 'u') {
                for (int n = 0; n < 4; n++, i++)
                    CG_CHECK(i + 1 < s.len && isxdigit((unsigned char)s.at[i + 1]));
            } else {
                CG_CHECK(s.at[i] == '"' || s.at[i] == '\\');
            }
        }
    }
    CG_CHECK(i < s.len);
    return i + 1;
}

/* The same of a number without sign and exponent, true, false or null. */
static size_t check_scalar(struct cg_slice s) {
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < 3; i++) {
        size_t len = strlen(words[i]);
        if (s.len >= len && memcmp(s.at, words[i], len) == 0)
            return len;
    }
    size_t i = 0;
    while (i < s.len && is_digit(s.at[i]))
        i++;
    CG_CHECK(i == 1 || (i > 1 && s.at[0] != '0'));
    if (i == s.len || s.at[i] != '.')
        return i;
    size_t point = i++;
    while (i < s.len && is_digit(s.at[i]))
        i++;
    CG_CHECK(i > point + 1);
    return i;
}

static void check_json(struct cg_slice line) {
    size_t members_n = 0, i = 1;
    CG_CHECK(line.len > 2 && line.at[0] == '{' && line.at[line.len - 1] == '}');
    struct cg_slice rest = cg_slice_of(line.at, line.len - 1);
    for (; i < rest.len; members_n++) {
        CG_CHECK(members_n == 0 || rest.at[i++] == ',');
        i += check_string(cg_slice_of(rest.at + i, rest.len - i));
        CG_CHECK(i + 1 < rest.len && rest.at[i++] == ':');
        struct cg_slice value = cg_slice_of(rest.at + i, rest.len - i);
        i += value.at[0] == '"' ? check_string(value) : check_scalar(value);
    }
    CG_CHECK_INT(members_n, 15);
}

static void check_access(const char *format, void (*check)(struct cg_slice),
                         const struct cg_exchange *ex, time_t wall_s) {
    struct cg_access *a = cg_access_new(format);
    struct cg_buf line = CG_BUF_INIT, again = CG_BUF_INIT;
    CG_CHECK(a);
    CG_CHECK_INT(cg_access_render(a, ex, UINT64_MAX, wall_s, &line), 0);
    CG_CHECK_INT(cg_access_render(a, ex, UINT64_MAX, wall_s, &again), 0);
    check(cg_buf_slice(&line));
    CG_CHECK(cg_slice_eq(cg_buf_slice(&line), cg_buf_slice(&again)));
    cg_buf_done(&line);
    cg_buf_done(&again);
    cg_access_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct cg_slice input = cg_slice_of((const char *)data, size);
    char format[FORMAT_MAX + 1];
    static struct cg_exchange ex;
    choose_format(fuzz_take_short(&input), format);
    time_t wall_s = (time_t)fuzz_take_byte(&input) << (fuzz_take_byte(&input) % 55);
    struct cg_endpoint peer = choose_peer(fuzz_take_short(&input));
    cg_request_init(&ex.request);
    cg_response_init(&ex.response);
    ex.peer = ex.client = ex.local = &peer;
    choose_request(&ex.request, &input);
    choose_response(&ex.response, &input);
    if (strcmp(format, "json") != 0)
        check_access(format, check_line, &ex, wall_s);
    check_access("json", check_json, &ex, wall_s);
    cg_request_done(&ex.request);
    cg_response_done(&ex.response);
    return 0;
}
