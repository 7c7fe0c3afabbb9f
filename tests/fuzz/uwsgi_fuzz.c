/* SPDX-License-Identifier: MIT
 *
 * uwsgi packets. What is read from one is what a simple second reader finds in it; what the server
 * keeps to itself never becomes a variable; and a connection says the same however reads and writes
 * are cut, closes, and never answers in chunks.
 *
 * Input: a byte of choices, then a connection's bytes; or, so that mutations keep the lengths
 * right, the lines "NAME=value" of a packet, an empty line, and the body.
 */
#include "server/base/num.h"
#include "server/uwsgi/packet.h"
#include "server/uwsgi/request.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/memory_transport.h"
#include "tests/unit/packet.h"
#include "tests/unit/test.h"

#include <stdlib.h>

const struct fuzz_target fuzz_target = {"uwsgi", NULL, 0};

enum { IS_TEXT = 1, IS_MOUNTED = 2, HTTP_1_0_APP = 4, HAS_EOF = 8 };

static const struct fake_script echo = {.status = "200 OK", .echoes = true};
static const struct fake_script streams = {.status = "200 OK", .chunks = {"a", "bc", "def"}};

static bool cut_line(struct cg_slice *text, struct cg_slice *ret_line) {
    const char *end = text->len ? memchr(text->at, '\n', text->len) : NULL;
    if (!end)
        return false;
    *ret_line = cg_slice_of(text->at, (size_t)(end - text->at));
    *text = cg_slice_of(end + 1, text->len - ret_line->len - 1);
    return ret_line->len > 0;
}

/* The packet of these lines, and what follows them. */
static void write_packet(struct cg_buf *b, char modifier1, struct cg_slice text) {
    struct cg_slice line;
    packet_begin(b, modifier1);
    while (cut_line(&text, &line)) {
        const char *mark = memchr(line.at, '=', line.len);
        size_t name_len = mark ? (size_t)(mark - line.at) : line.len, rest = name_len + !!mark;
        if (b->len + line.len + 4 > CG_UWSGI_VARS_BYTES_MAX)
            break;
        packet_add(b, cg_slice_of(line.at, name_len), cg_slice_of(line.at + rest, line.len - rest));
    }
    packet_end(b);
    CG_CHECK_INT(cg_buf_append(b, text), 0);
}

static bool begins(struct cg_slice s, const char *prefix) {
    return s.len >= strlen(prefix) && memcmp(s.at, prefix, strlen(prefix)) == 0;
}

static bool is_one_of(struct cg_slice s, const char *const *names) {
    for (; *names; names++)
        if (cg_slice_eq(s, cg_slice_str(*names)))
            return true;
    return false;
}

static void check_variable(struct cg_slice name) {
    static const char *const withheld[] = {
        "REQUEST_METHOD", "PATH_INFO",      "SCRIPT_NAME", "QUERY_STRING",    "SERVER_PROTOCOL",
        "CONTENT_TYPE",   "CONTENT_LENGTH", "RAW_URI",     "SERVER_SOFTWARE", NULL};
    CG_CHECK(name.len > 0 && !memchr(name.at, '.', name.len) && !is_one_of(name, withheld));
    CG_CHECK(!(begins(name, "HTTP_") && name.len > 5) && !(begins(name, "UWSGI_") && name.len > 6));
}

static void check_field(const struct cg_request *r, const struct cg_field *f) {
    CG_CHECK(cg_field_is_token(f->name) && !memchr(f->name.at, '_', f->name.len));
    CG_CHECK(f->id != CG_FIELD_TRANSFER_ENCODING);
    if (f->id != CG_FIELD_CONTENT_LENGTH)
        return;
    uint64_t length;
    CG_CHECK_INT(cg_num_parse_u64(f->value, &length), 0);
    CG_CHECK(r->framing == CG_FRAMING_LENGTH && length == r->content_length);
}

static void check_line(const struct cg_request *r) {
    size_t len = r->method.len + 1 + r->target.len + 1 + r->version.len;
    CG_CHECK_INT(r->line.len, len);
    CG_CHECK(cg_slice_eq(cg_slice_of(r->line.at, r->method.len), r->method));
    CG_CHECK(cg_slice_eq(cg_slice_of(r->line.at + r->method.len + 1, r->target.len), r->target));
}

static void check_request(const struct cg_request *r, struct cg_slice packet) {
    for (size_t i = 0; i < r->variables_n; i++) {
        CG_CHECK(fuzz_lies_in(r->variables[i].name, packet));
        CG_CHECK(fuzz_lies_in(r->variables[i].value, packet));
        check_variable(r->variables[i].name);
    }
    for (size_t i = 0; i < r->fields_n; i++) {
        CG_CHECK(fuzz_lies_in(r->fields[i].value, packet));
        check_field(r, &r->fields[i]);
    }
    CG_CHECK(fuzz_lies_in(r->path, packet) && fuzz_lies_in(r->path_info, r->path));
    CG_CHECK(fuzz_lies_in(r->query, packet) && fuzz_lies_in(r->remote_addr, packet));
    check_line(r);
}

/* The number of variables, -1 when the packet is not made of such. */
static int count_vars(struct cg_slice vars) {
    const unsigned char *at = (const unsigned char *)vars.at, *end = at + vars.len;
    int n = 0;
    for (; at < end; n++) {
        for (int part = 0; part < 2; part++) {
            if (end - at < 2)
                return -1;
            ptrdiff_t len = at[0] + 256 * at[1];
            at += 2;
            if (len > end - at || (part == 0 && len == 0))
                return -1;
            at += len;
        }
    }
    return n;
}

/* At a copy, so that a sanitizer sees a look too far. */
static void check_packet(struct cg_slice input) {
    size_t len = cg_uwsgi_packet_len(input);
    if (len <= CG_UWSGI_HEAD_LEN || len > input.len || !cg_uwsgi_begins(input.at[0]))
        return;
    struct cg_request r;
    cg_request_init(&r);
    char *copy = malloc(len);
    CG_CHECK(copy);
    memcpy(copy, input.at, len);
    int vars_n = count_vars(cg_slice_of(copy + CG_UWSGI_HEAD_LEN, len - CG_UWSGI_HEAD_LEN));
    enum cg_fault fault = cg_uwsgi_read(&r, copy, len);
    if (fault == CG_FAULT_NONE)
        check_request(&r, cg_slice_of(copy, len));
    CG_CHECK(fault != CG_FAULT_NONE || (vars_n >= 0 && vars_n <= CG_UWSGI_VARS_N_MAX));
    if (vars_n >= 0 && vars_n <= CG_UWSGI_VARS_N_MAX)
        CG_CHECK(fault == CG_FAULT_NONE || fault == CG_FAULT_CONTENT_LENGTH);
    cg_request_done(&r);
    free(copy);
}

static void talk(struct memory_transport *t, uint8_t choice, struct cg_slice input,
                 enum mt_cut cut) {
    struct cg_settings settings = mt_default_settings();
    settings.protocol = "uwsgi";
    settings.uwsgi_allow_ips = "*";
    settings.limit_request_body = 64;
    mt_open(t, choice & HTTP_1_0_APP ? &streams : &echo, &settings);
    mt_log_access(t, "%(h)s %(r)s %(U)s %(q)s %(s)s %(b)s");
    t->reads = t->writes = cut;
    t->seed = (unsigned)input.len;
    mt_feed(t, input);
    if ((choice & HAS_EOF) && !t->closed)
        mt_eof(t);
}

static void check_sent(struct memory_transport *t) {
    struct cg_slice sent = cg_buf_slice(&t->sent);
    CG_CHECK(sent.len == 0 || begins(sent, "HTTP/1."));
    CG_CHECK(cg_conn_exchange(t->conn)->response.framing != CG_RESPONSE_CHUNKED);
    CG_CHECK(t->app.begin_n <= 1 && (t->app.begin_n == 0 || t->closed || t->shut));
}

static void check_talk(uint8_t choice, struct cg_slice input) {
    static struct memory_transport whole, cut;
    talk(&whole, choice, input, MT_WHOLE);
    check_sent(&whole);
    for (int way = MT_BYTES; way <= MT_RANDOM; way++) {
        talk(&cut, choice, input, (enum mt_cut)way);
        cg_test_check_slice(__FILE__, __LINE__, cg_buf_slice(&cut.sent), cg_buf_slice(&whole.sent));
        cg_test_check_slice(__FILE__, __LINE__, cg_buf_slice(&cut.reports),
                            cg_buf_slice(&whole.reports));
        cg_test_check_slice(__FILE__, __LINE__, cg_buf_slice(&cut.lines),
                            cg_buf_slice(&whole.lines));
        mt_close(&cut);
    }
    mt_close(&whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct cg_slice input = cg_slice_of((const char *)data, size);
    struct cg_buf packet = CG_BUF_INIT;
    uint8_t choice = fuzz_take_byte(&input);
    if (choice & IS_TEXT)
        write_packet(&packet, choice & IS_MOUNTED ? CG_UWSGI_WSGI_MOUNTED : CG_UWSGI_WSGI, input);
    else
        CG_CHECK_INT(cg_buf_append(&packet, input), 0);
    check_packet(cg_buf_slice(&packet));
    check_talk(choice, cg_buf_slice(&packet));
    cg_buf_done(&packet);
    return 0;
}
