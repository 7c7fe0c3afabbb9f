/* SPDX-License-Identifier: MIT
 *
 * Requests through scanner, parser, policy, trust and body. However they are cut, the verdict is
 * the same; what is accepted obeys the rules that the application relies on; and an accepted
 * request is exactly as long as it is said to be.
 *
 * Input: three bytes that choose settings and cuts, then pipelined requests.
 */
#include "tests/fuzz/fuzz.h"
#include "tests/unit/incoming.h"
#include "tests/unit/test.h"

const struct fuzz_target fuzz_target = {"head", "\0\0\1", 3};

enum {
    BYTES_MAX = 512, /* a longer input is not also fed byte by byte: that takes quadratic time */
};

static struct cg_settings choose_settings(uint8_t choice, uint8_t leniency) {
    struct cg_settings s = incoming_settings;
    fuzz_choose_leniency(&s, leniency);
    if (choice & 1)
        s.limit_request_line = 32;
    if (choice & 2)
        s.limit_request_fields = 3;
    if (choice & 4)
        s.limit_request_field_size = 24;
    if (choice & 8)
        s.limit_request_body = 10;
    if (choice & 16)
        s.client_body_buffer_size = 8;
    if (choice & 32)
        s.limit_request_line = s.limit_request_field_size = 0;
    return s;
}

/* What the slices of a request point into. */
static struct cg_slice seen(const struct incoming *in, struct cg_slice input) {
    return in->copy ? cg_slice_of(in->copy, input.len) : input;
}

static int count_fields(const struct cg_request *r, enum cg_field_id id) {
    int n = 0;
    for (size_t i = 0; i < r->fields_n; i++)
        n += r->fields[i].id == id;
    return n;
}

static void check_line(const struct cg_request *r, const struct cg_settings *settings,
                       struct cg_slice head) {
    CG_CHECK(fuzz_lies_in(r->line, head) && r->line.len > 0);
    CG_CHECK(fuzz_lies_in(r->method, r->line) && fuzz_lies_in(r->target, r->line));
    CG_CHECK(!fuzz_has_control(r->line, false));
    CG_CHECK(cg_field_is_token(r->method) && r->target.len > 0);
    CG_CHECK(!memchr(r->target.at, ' ', r->target.len));
    CG_CHECK((r->version_major == 1 && r->version_minor <= 1) ||
             settings->permit_unconventional_http_version);
    CG_CHECK(fuzz_lies_in(r->path, r->target) || cg_slice_eq(r->path, CG_SLICE("/")));
    CG_CHECK(fuzz_lies_in(r->query, r->target));
    CG_CHECK(r->path.len > 0 && !memchr(r->path.at, '?', r->path.len));
    CG_CHECK(r->is_head == cg_slice_eq(r->method, CG_SLICE("HEAD")));
    CG_CHECK(r->is_connect == cg_slice_eq(r->method, CG_SLICE("CONNECT")));
}

/* Where the application is mounted and what is behind that make up the path. */
static void check_mount(const struct cg_request *r) {
    size_t mount_len = r->script_name.len;
    CG_CHECK_INT(mount_len + r->path_info.len, r->path.len);
    CG_CHECK(fuzz_lies_in(r->path_info, r->path));
    CG_CHECK(mount_len == 0 || memcmp(r->script_name.at, r->path.at, mount_len) == 0);
}

static bool has_underscore(struct cg_slice name) {
    return memchr(name.at, '_', name.len) != NULL;
}

static void check_field(const struct cg_field *f, const struct cg_settings *settings,
                        struct cg_slice head) {
    CG_CHECK(fuzz_lies_in(f->name, head) && fuzz_lies_in(f->value, head));
    CG_CHECK(cg_field_is_token(f->name) && !fuzz_has_control(f->value, true));
    CG_CHECK(cg_slice_trim(f->value).len == f->value.len);
    CG_CHECK(f->id == cg_field_lookup(f->name));
    CG_CHECK(!has_underscore(f->name) || strcmp(settings->header_map, "dangerous") == 0 ||
             strcmp(settings->forwarded_allow_ips, "*") == 0);
}

/* One way only to say where the body ends (RFC 9112 section 6.3). */
static void check_framing(const struct cg_request *r) {
    int lengths = count_fields(r, CG_FIELD_CONTENT_LENGTH);
    int codings = count_fields(r, CG_FIELD_TRANSFER_ENCODING);
    CG_CHECK(lengths <= 1 && (lengths == 0 || codings == 0));
    CG_CHECK((r->framing == CG_FRAMING_LENGTH) == (lengths == 1));
    CG_CHECK((r->framing == CG_FRAMING_CHUNKED) == (codings > 0));
    CG_CHECK(codings == 0 || cg_request_is_1_1(r));
    int hosts = count_fields(r, CG_FIELD_HOST);
    CG_CHECK(hosts == 1 || (hosts == 0 && !cg_request_is_1_1(r)));
    CG_CHECK(count_fields(r, CG_FIELD_CONTENT_TYPE) <= 1);
}

/* The head, line by line, without the code under test. */
static void check_lines(const struct incoming *in, struct cg_slice head) {
    size_t lines_n = 0;
    for (size_t i = 0; i < head.len; i++) {
        CG_CHECK(head.at[i] != '\0');
        CG_CHECK((head.at[i] == '\r') == (i + 1 < head.len && head.at[i + 1] == '\n'));
        lines_n += head.at[i] == '\n';
    }
    if (!in->head.folded)
        CG_CHECK_INT(lines_n, in->head.start / 2 + 1 + in->head.fields_n + 1);
    CG_CHECK(in->request.fields_n <= in->head.fields_n);
    CG_CHECK(head.len >= 4 && memcmp(head.at + head.len - 4, "\r\n\r\n", 4) == 0);
}

static struct cg_slice cut_line(struct cg_slice *lines) {
    const char *end = memmem(lines->at, lines->len, "\r\n", 2);
    CG_CHECK(end);
    struct cg_slice line = fuzz_take(lines, (size_t)(end - lines->at));
    fuzz_take(lines, 2);
    return line;
}

static void join(struct cg_buf *value, struct cg_slice piece) {
    piece = cg_slice_trim(piece);
    if (value->len > 0 && piece.len > 0)
        CG_CHECK_INT(cg_buf_append_char(value, ' '), 0);
    CG_CHECK_INT(cg_buf_append(value, piece), 0);
}

/* A field and the lines that it is folded into, without the code under test. */
static struct cg_slice read_field(struct cg_slice *lines, struct cg_buf *value) {
    struct cg_slice line = cut_line(lines);
    const char *colon = memchr(line.at, ':', line.len);
    CG_CHECK(colon);
    struct cg_slice name = fuzz_take(&line, (size_t)(colon - line.at));
    fuzz_take(&line, 1);
    value->len = 0;
    join(value, line);
    while (lines->at[0] == ' ' || lines->at[0] == '\t')
        join(value, cut_line(lines));
    return cg_slice_trim(name);
}

static size_t skip_underscores(const struct cg_request *r, size_t at) {
    while (at < r->fields_n && has_underscore(r->fields[at].name))
        at++;
    return at;
}

/* All fields are there, in their order, but for those that header_map may have removed. */
static void check_fields(const struct incoming *in, struct cg_slice head) {
    struct cg_buf value = CG_BUF_INIT;
    const struct cg_request *r = &in->request;
    size_t at = 0;
    fuzz_take(&head, in->head.line_end + 2);
    while (head.len > 2) {
        struct cg_slice name = read_field(&head, &value);
        if (has_underscore(name))
            continue;
        at = skip_underscores(r, at);
        CG_CHECK(at < r->fields_n && cg_slice_eq(r->fields[at].name, name));
        cg_test_check_slice(__FILE__, __LINE__, r->fields[at].value, cg_buf_slice(&value));
        at++;
    }
    CG_CHECK_INT(skip_underscores(r, at), r->fields_n);
    cg_buf_done(&value);
}

static void check_limits(const struct incoming *in, const struct cg_settings *settings) {
    struct cg_head_limits limits = cg_policy_head_limits(settings);
    CG_CHECK(limits.line_bytes == 0 || in->request.line.len <= limits.line_bytes);
    CG_CHECK(in->request.fields_n <= limits.fields_n && in->head.end <= limits.head_bytes);
    for (size_t i = 0; i < in->request.fields_n; i++) {
        const struct cg_field *f = &in->request.fields[i];
        CG_CHECK(limits.field_bytes == 0 ||
                 f->name.len + 1 + f->value.len + 2 <= limits.field_bytes);
    }
    CG_CHECK(settings->limit_request_body == 0 ||
             in->body.size <= (uint64_t)settings->limit_request_body);
}

static void check_accepted(const struct incoming *in, const struct cg_settings *settings,
                           struct cg_slice input) {
    const struct cg_request *r = &in->request;
    struct cg_slice head = cg_slice_of(seen(in, input).at, in->head.end);
    CG_CHECK(in->head.end <= in->used && in->used <= input.len);
    check_lines(in, cg_slice_of(input.at, in->head.end));
    check_line(r, settings, head);
    check_mount(r);
    for (size_t i = 0; i < r->fields_n; i++)
        check_field(&r->fields[i], settings, head);
    check_fields(in, cg_slice_of(input.at, in->head.end));
    check_framing(r);
    check_limits(in, settings);
    CG_CHECK(in->body.complete);
    CG_CHECK(r->framing == CG_FRAMING_CHUNKED || in->used - in->head.end == in->body.size);
    CG_CHECK(r->framing != CG_FRAMING_LENGTH || in->body.size == r->content_length);
    CG_CHECK(r->framing != CG_FRAMING_NONE || in->body.size == 0);
}

static size_t offset(struct cg_slice part, struct cg_slice whole) {
    return fuzz_lies_in(part, whole) && part.len ? (size_t)(part.at - whole.at) : 0;
}

static void check_same_slice(struct cg_slice a, struct cg_slice in_a, struct cg_slice b,
                             struct cg_slice in_b) {
    CG_CHECK(cg_slice_eq(a, b));
    CG_CHECK_INT(offset(a, in_a), offset(b, in_b));
}

static void check_same_body(struct cg_body *a, struct cg_body *b) {
    struct cg_buf bytes_a = CG_BUF_INIT, bytes_b = CG_BUF_INIT;
    incoming_take_body(a, &bytes_a);
    incoming_take_body(b, &bytes_b);
    CG_CHECK_INT(bytes_a.len, a->size);
    cg_test_check_slice(__FILE__, __LINE__, cg_buf_slice(&bytes_b), cg_buf_slice(&bytes_a));
    cg_test_check_slice(__FILE__, __LINE__, cg_buf_slice(&b->chunked.trailers),
                        cg_buf_slice(&a->chunked.trailers));
    cg_buf_done(&bytes_a);
    cg_buf_done(&bytes_b);
    a->taken = 0;
}

static void check_same_request(const struct cg_request *a, struct cg_slice in_a,
                               const struct cg_request *b, struct cg_slice in_b) {
    check_same_slice(a->line, in_a, b->line, in_b);
    check_same_slice(a->method, in_a, b->method, in_b);
    check_same_slice(a->target, in_a, b->target, in_b);
    check_same_slice(a->path, in_a, b->path, in_b);
    check_same_slice(a->query, in_a, b->query, in_b);
    check_same_slice(a->script_name, in_a, b->script_name, in_b);
    check_same_slice(a->path_info, in_a, b->path_info, in_b);
    check_same_slice(a->host, in_a, b->host, in_b);
    CG_CHECK_INT(b->fields_n, a->fields_n);
    for (size_t i = 0; i < a->fields_n; i++) {
        check_same_slice(a->fields[i].name, in_a, b->fields[i].name, in_b);
        check_same_slice(a->fields[i].value, in_a, b->fields[i].value, in_b);
    }
    CG_CHECK(a->framing == b->framing && a->content_length == b->content_length);
    CG_CHECK(a->keep_alive == b->keep_alive && a->expects_continue == b->expects_continue);
}

/* The same input at another address, in another cut. */
static void check_other_way(struct incoming *in, enum cg_fault fault,
                            const struct cg_settings *settings, struct cg_slice input,
                            enum incoming_way way, unsigned seed) {
    struct incoming other;
    char *copy = malloc(input.len);
    CG_CHECK(copy);
    memcpy(copy, input.at, input.len);
    struct cg_slice input2 = cg_slice_of(copy, input.len);
    incoming_init(&other);
    enum cg_fault fault2 = incoming_run(&other, settings, input2, way, seed);
    if (fault != fault2)
        cg_test_fail(__FILE__, __LINE__, "%s whole, but %s in way %d with seed %u",
                     incoming_fault_name(fault), incoming_fault_name(fault2), way, seed);
    if (fault == CG_FAULT_NONE) {
        CG_CHECK_INT(other.used, in->used);
        check_same_request(&in->request, seen(in, input), &other.request, seen(&other, input2));
        check_same_body(&in->body, &other.body);
    }
    incoming_done(&other);
    free(copy);
}

/* With its last byte missing it is not whole, and what comes behind it does not matter. */
static void check_extent(const struct incoming *in, const struct cg_settings *settings,
                         struct cg_slice input) {
    struct incoming other;
    incoming_init(&other);
    CG_CHECK_INT(
        incoming_run(&other, settings, cg_slice_of(input.at, in->used - 1), INCOMING_WHOLE, 0),
        CG_FAULT_INCOMPLETE);
    CG_CHECK_INT(incoming_run(&other, settings, cg_slice_of(input.at, in->used), INCOMING_WHOLE, 0),
                 CG_FAULT_NONE);
    incoming_done(&other);
}

/* Returns how long the request is, 0 when it is none. */
static size_t try_request(const struct cg_settings *settings, struct cg_slice input,
                          unsigned seed) {
    struct incoming in;
    incoming_init(&in);
    enum cg_fault fault = incoming_run(&in, settings, input, INCOMING_WHOLE, 0);
    if (fault == CG_FAULT_NONE)
        check_accepted(&in, settings, input);
    if (input.len <= BYTES_MAX)
        check_other_way(&in, fault, settings, input, INCOMING_BYTES, 0);
    check_other_way(&in, fault, settings, input, INCOMING_SPLITS, seed);
    size_t used = fault == CG_FAULT_NONE ? in.used : 0;
    if (used)
        check_extent(&in, settings, input);
    incoming_done(&in);
    return used;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct cg_slice input = cg_slice_of((const char *)data, size);
    uint8_t choice = fuzz_take_byte(&input);
    struct cg_settings settings = choose_settings(choice, fuzz_take_byte(&input));
    unsigned seed = fuzz_take_byte(&input);
    while (input.len > 0) {
        size_t used = try_request(&settings, input, seed);
        if (used == 0)
            break;
        fuzz_take(&input, used);
    }
    return 0;
}
