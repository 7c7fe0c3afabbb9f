/* SPDX-License-Identifier: MIT
 *
 * The strict reader of responses. Owns no state but the caller's struct.
 */
#include "tests/fuzz/response_reader.h"

#include "server/base/num.h"
#include "server/http/field.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/test.h"

#include <ctype.h>

struct seen {
    int lengths_n, codings_n, connections_n, dates_n, servers_n;
};

/* Cuts off a line with its CRLF. False when it has not come whole. */
static bool next_line(struct cg_slice *bytes, struct cg_slice *ret_line) {
    const char *end = bytes->len ? memmem(bytes->at, bytes->len, "\r\n", 2) : NULL;
    if (!end)
        return false;
    *ret_line = cg_slice_of(bytes->at, (size_t)(end - bytes->at));
    fuzz_take(bytes, ret_line->len + 2);
    CG_CHECK(!fuzz_has_control(*ret_line, true));
    return true;
}

/* "HTTP/1.1 200 OK"; the reason may be empty, the space before it may not. */
static void read_status_line(struct reader_response *r, struct cg_slice line) {
    CG_CHECK(line.len >= 13 && memcmp(line.at, "HTTP/1.", 7) == 0);
    CG_CHECK((line.at[7] == '0' || line.at[7] == '1') && line.at[8] == ' ' && line.at[12] == ' ');
    uint64_t status;
    CG_CHECK_INT(cg_num_parse_u64(cg_slice_of(line.at + 9, 3), &status), 0);
    CG_CHECK(status >= 100);
    r->status = (int)status;
    r->version_minor = line.at[7] - '0';
}

bool reader_next_field(struct cg_slice *lines, struct cg_slice *ret_name,
                       struct cg_slice *ret_value) {
    struct cg_slice line;
    if (!next_line(lines, &line))
        return false;
    const char *colon = memchr(line.at, ':', line.len);
    CG_CHECK(colon);
    *ret_name = cg_slice_of(line.at, (size_t)(colon - line.at));
    CG_CHECK(cg_field_is_token(*ret_name));
    *ret_value = cg_slice_trim(cg_slice_of(colon + 1, line.len - ret_name->len - 1));
    return true;
}

static void read_connection(struct reader_response *r, struct cg_slice value) {
    struct cg_slice option;
    while (cg_slice_next_element(&value, &option))
        r->says_close |= cg_slice_eq(option, CG_SLICE("close"));
}

static void read_fields(struct reader_response *r, struct seen *seen) {
    struct cg_slice lines = r->fields, name, value;
    while (reader_next_field(&lines, &name, &value)) {
        if (cg_slice_eq_ci(name, CG_SLICE("content-length"))) {
            CG_CHECK_INT(cg_num_parse_u64(value, &r->length), 0);
            seen->lengths_n++;
        } else if (cg_slice_eq_ci(name, CG_SLICE("transfer-encoding"))) {
            CG_CHECK(cg_slice_eq(value, CG_SLICE("chunked")));
            seen->codings_n++;
        } else if (cg_slice_eq_ci(name, CG_SLICE("connection"))) {
            read_connection(r, value);
            seen->connections_n++;
        }
        seen->dates_n += cg_slice_eq_ci(name, CG_SLICE("date"));
        seen->servers_n += cg_slice_eq_ci(name, CG_SLICE("server"));
    }
}

/* RFC 9112 section 6, RFC 9110 sections 6.6.1, 8.6 and 15.2. */
static void check_fields(const struct reader_response *r, const struct seen *seen) {
    CG_CHECK(seen->lengths_n + seen->codings_n <= 1);
    if (r->status < 200 || r->status == 204)
        CG_CHECK(seen->lengths_n + seen->codings_n == 0);
    if (r->status == 304 || r->version_minor == 0)
        CG_CHECK(seen->codings_n == 0);
    if (r->status >= 200)
        CG_CHECK(seen->connections_n == 1 && seen->dates_n > 0 && seen->servers_n > 0);
}

/* False when the head has not come whole. */
static bool read_head(struct reader_response *r, struct cg_slice *bytes) {
    const char *end = memmem(bytes->at, bytes->len, "\r\n\r\n", 4);
    struct seen seen = {0};
    struct cg_slice line;
    if (!end)
        return false;
    struct cg_slice head = fuzz_take(bytes, (size_t)(end - bytes->at) + 4);
    CG_CHECK(next_line(&head, &line));
    read_status_line(r, line);
    r->fields = cg_slice_of(head.at, head.len - 2);
    read_fields(r, &seen);
    check_fields(r, &seen);
    r->has_length = seen.lengths_n > 0;
    r->is_chunked = seen.codings_n > 0;
    return true;
}

static void add_body(struct reader_response *r, struct cg_slice bytes) {
    CG_CHECK_INT(cg_buf_append(&r->body, bytes), 0);
}

/* Sizes without leading zeros, extensions or trailers: the server sends none. */
static bool read_chunk_size(struct cg_slice *bytes, uint64_t *ret_size) {
    struct cg_slice line;
    if (!next_line(bytes, &line))
        return false;
    CG_CHECK(line.len > 0 && line.len <= 16 && (line.at[0] != '0' || line.len == 1));
    *ret_size = 0;
    for (size_t i = 0; i < line.len; i++) {
        CG_CHECK(isxdigit((unsigned char)line.at[i]));
        *ret_size = *ret_size << 4 | (uint64_t)cg_num_hex_digit((unsigned char)line.at[i]);
    }
    return true;
}

/* True when the body is whole. */
static bool read_chunked(struct reader_response *r, struct cg_slice *bytes) {
    uint64_t size;
    do {
        if (!read_chunk_size(bytes, &size))
            return false;
        struct cg_slice data = fuzz_take(bytes, size);
        add_body(r, data);
        struct cg_slice end = data.len == size ? fuzz_take(bytes, 2) : cg_slice_of(NULL, 0);
        CG_CHECK(memcmp("\r\n", end.at ? end.at : "", end.len) == 0);
        if (end.len < 2)
            return false;
    } while (size > 0);
    return true;
}

static bool read_body(struct reader_response *r, struct cg_slice *bytes, bool is_head) {
    if (is_head || r->status < 200 || r->status == 204 || r->status == 304)
        return true;
    if (r->is_chunked)
        return read_chunked(r, bytes);
    r->ends_with_connection = !r->has_length;
    CG_CHECK(r->has_length || r->says_close);
    struct cg_slice body = fuzz_take(bytes, r->has_length ? r->length : bytes->len);
    add_body(r, body);
    return !r->has_length || body.len == r->length;
}

bool reader_next(struct cg_slice *bytes, bool is_head, struct reader_response *ret_response) {
    *ret_response = (struct reader_response){.status = 0};
    if (bytes->len == 0)
        return false;
    if (read_head(ret_response, bytes))
        ret_response->is_whole = read_body(ret_response, bytes, is_head);
    if (!ret_response->is_whole)
        *bytes = cg_slice_of(NULL, 0);
    return true;
}

void reader_response_done(struct reader_response *r) {
    cg_buf_done(&r->body);
}
