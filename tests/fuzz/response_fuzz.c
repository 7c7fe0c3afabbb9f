/* SPDX-License-Identifier: MIT
 *
 * Heads of responses from what an application may say, in its status and fields any bytes. A head
 * that is built reads back as what was said and accepted, with one framing, and no byte of it ends
 * a line that should not end there.
 *
 * Input: choices, a status, then fields; each string has its length before it.
 */
#include "server/http/response.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/response_reader.h"
#include "tests/unit/test.h"

#include <stdlib.h>

#define DATE "Thu, 01 Jan 1970 00:00:00 GMT"

const struct fuzz_target fuzz_target = {.name = "response"};

enum { FIELDS_MAX = 64 };

struct said {
    struct cg_slice names[FIELDS_MAX], values[FIELDS_MAX];
    int n;
};

/* What belongs to the server, and is not sent as the application has said it. */
static bool is_ours(struct cg_slice name) {
    static const char *const ours[] = {
        "connection", "keep-alive",    "proxy-authenticate", "proxy-authorization",
        "te",         "trailer",       "trailers",           "transfer-encoding",
        "upgrade",    "content-length"};
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (cg_slice_eq_ci(name, cg_slice_str(ours[i])))
            return true;
    return false;
}

static void add_field(struct cg_response *r, struct said *said, struct cg_slice name,
                      struct cg_slice value) {
    enum cg_response_error error = cg_response_add_field(r, name, value);
    struct cg_slice trimmed = cg_slice_trim(value);
    CG_CHECK(cg_response_error_text(error)[0]);
    if (error != CG_RESPONSE_OK)
        return;
    CG_CHECK(cg_field_is_token(name) && !fuzz_has_control(trimmed, true));
    if (is_ours(name) || said->n == FIELDS_MAX)
        return;
    said->names[said->n] = name;
    said->values[said->n++] = trimmed;
}

static struct cg_request choose_request(uint8_t choice) {
    return (struct cg_request){
        .version_major = choice & 1 ? 0 : 1,
        .version_minor = choice & 1 ? 0 : (uint8_t) !(choice & 2),
        .is_head = choice & 4,
        .is_connect = choice & 8,
        .keep_alive = choice & 16,
    };
}

static int64_t choose_length(uint8_t choice) {
    static const int64_t lengths[] = {-1, 0, 1, 5, INT32_MAX, INT64_MAX};
    return lengths[choice % (sizeof lengths / sizeof lengths[0])];
}

/* The fields that were accepted stand in the head, in their order. */
static void check_fields(const struct said *said, struct cg_slice lines) {
    struct cg_slice name, value;
    int at = 0;
    while (reader_next_field(&lines, &name, &value))
        if (at < said->n && cg_slice_eq(name, said->names[at]) &&
            cg_slice_eq(value, said->values[at]))
            at++;
    CG_CHECK_INT(at, said->n);
}

/* The bytes that framing and length promise, in one piece. */
static void append_body(const struct cg_response *r, struct cg_buf *bytes) {
    enum { BODY_MAX = 100 };
    static const char body[BODY_MAX];
    if (r->framing == CG_RESPONSE_CHUNKED)
        CG_CHECK_INT(cg_buf_append(bytes, CG_SLICE("5\r\nhello\r\n0\r\n\r\n")), 0);
    else if (r->framing == CG_RESPONSE_LENGTH && r->length <= BODY_MAX)
        CG_CHECK_INT(cg_buf_append(bytes, cg_slice_of(body, (size_t)r->length)), 0);
    else if (r->framing == CG_RESPONSE_CLOSE)
        CG_CHECK_INT(cg_buf_append(bytes, CG_SLICE("hello")), 0);
}

static void check_framing(const struct cg_response *r, const struct cg_request *req,
                          const struct reader_response *read) {
    bool bodyless = req->is_head || r->status == 204 || r->status == 304;
    CG_CHECK((r->framing == CG_RESPONSE_NO_BODY) == bodyless);
    CG_CHECK(read->is_chunked == (r->framing == CG_RESPONSE_CHUNKED));
    CG_CHECK(r->framing != CG_RESPONSE_LENGTH || read->has_length);
    CG_CHECK(!read->has_length || read->length == r->length);
    CG_CHECK(read->says_close == !r->keep_alive);
    CG_CHECK(!r->keep_alive || req->keep_alive);
    CG_CHECK(read->ends_with_connection == (r->framing == CG_RESPONSE_CLOSE));
    CG_CHECK_INT(read->status, r->status);
    CG_CHECK_INT(read->version_minor, !(req->version_major == 1 && req->version_minor == 0));
    CG_CHECK(read->is_whole || r->length > 0);
}

static void check_head(const struct cg_response *r, const struct cg_request *req,
                       const struct said *said) {
    struct cg_buf bytes = CG_BUF_INIT;
    struct reader_response read;
    CG_CHECK_INT(cg_buf_append(&bytes, cg_buf_slice(&r->head)), 0);
    append_body(r, &bytes);
    struct cg_slice rest = cg_buf_slice(&bytes);
    CG_CHECK(reader_next(&rest, req->is_head, &read));
    CG_CHECK_INT(rest.len, 0);
    check_framing(r, req, &read);
    check_fields(said, read.fields);
    for (int i = 0; i < said->n; i++)
        CG_CHECK(cg_response_field(r, said->names[i]).at != NULL);
    reader_response_done(&read);
    cg_buf_done(&bytes);
}

static void try_response(struct cg_response *r, struct cg_slice input) {
    struct cg_request req = choose_request(fuzz_take_byte(&input));
    uint8_t choice = fuzz_take_byte(&input);
    int64_t known_length = choose_length(choice);
    struct said said = {.n = 0};
    struct cg_slice status = fuzz_take_short(&input);
    if (cg_response_start(r, status) != CG_RESPONSE_OK)
        return;
    CG_CHECK(r->status >= 200 && r->status <= 999 && !fuzz_has_control(status, false));
    while (input.len > 0) {
        struct cg_slice name = fuzz_take_short(&input), value = fuzz_take_short(&input);
        add_field(r, &said, name, value);
    }
    if (cg_response_check_fields(r) != CG_RESPONSE_OK)
        return;
    CG_CHECK_INT(cg_response_build_head(r, &req, known_length, choice & 128, CG_SLICE(DATE)), 0);
    check_head(r, &req, &said);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct cg_response r;
    cg_response_init(&r);
    try_response(&r, cg_slice_of((const char *)data, size));
    cg_response_reset(&r); /* and again, on what the first one left behind */
    try_response(&r, cg_slice_of((const char *)data, size));
    cg_response_done(&r);
    return 0;
}
