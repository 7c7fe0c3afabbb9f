/* SPDX-License-Identifier: MIT
 *
 * Access lines: rendering, and the escaping that keeps a line one line. The compiler of formats is
 * access_format.c. Owns no state but struct cg_access.
 */
#include "server/http/access.h"

#include "server/base/num.h"
#include "server/http/access_format.h"
#include "server/http/date.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct cg_access {
    struct cg_access_format format;
    time_t time_at;
    char time_text[32]; /* "[20/Nov/2026:11:54:53 +0000]" for time_at, empty at first */
    char pid_text[24];  /* "<123>" */
};

struct cg_access *cg_access_new(const char *format) {
    struct cg_access *a = calloc(1, sizeof(*a));
    if (!a)
        return NULL;
    if (cg_access_format_compile(&a->format, cg_slice_str(format)) < 0) {
        cg_access_free(a);
        return NULL;
    }
    snprintf(a->pid_text, sizeof(a->pid_text), "<%ld>", (long)getpid());
    tzset();
    return a;
}

void cg_access_free(struct cg_access *a) {
    if (!a)
        return;
    cg_access_format_done(&a->format);
    free(a);
}

static bool is_plain(unsigned char c) {
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* Room for four bytes must be at `at`. */
static char *put_escaped(char *at, unsigned char c) {
    static const char hex[] = "0123456789abcdef";
    if (is_plain(c)) {
        *at++ = (char)c;
    } else if (c == '"' || c == '\\') {
        *at++ = '\\';
        *at++ = (char)c;
    } else {
        *at++ = '\\';
        *at++ = 'x';
        *at++ = hex[c >> 4];
        *at++ = hex[c & 0xf];
    }
    return at;
}

static int append_escaped(struct cg_buf *out, struct cg_slice s) {
    if (s.len == 0)
        return 0;
    if (s.len > SIZE_MAX / 4 || cg_buf_reserve(out, s.len * 4) < 0)
        return -ENOMEM;
    char *at = out->at + out->len;
    for (size_t i = 0; i < s.len; i++)
        at = put_escaped(at, (unsigned char)s.at[i]);
    out->len = (size_t)(at - out->at);
    return 0;
}

static int append_or_dash(struct cg_buf *out, struct cg_slice s) {
    return s.len ? append_escaped(out, s) : cg_buf_append_char(out, '-');
}

/* PATH_INFO: percent-decoded; what is no escape stays as it is. */
static int append_path(struct cg_buf *out, struct cg_slice s) {
    if (s.len == 0)
        return 0;
    if (s.len > SIZE_MAX / 4 || cg_buf_reserve(out, s.len * 4) < 0)
        return -ENOMEM;
    char *at = out->at + out->len;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.at[i];
        if (c == '%' && s.len - i > 2) {
            int high = cg_num_hex_digit((unsigned char)s.at[i + 1]);
            int low = cg_num_hex_digit((unsigned char)s.at[i + 2]);
            if (high >= 0 && low >= 0) {
                c = (unsigned char)(high << 4 | low);
                i += 2;
            }
        }
        at = put_escaped(at, c);
    }
    out->len = (size_t)(at - out->at);
    return 0;
}

/* The value of a base64 digit, or -1. */
static int base64_digit(char c) {
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Cuts the padding off; false when s is not base64 (RFC 4648 section 4), unused bits not zero
 * included. */
static bool is_base64(struct cg_slice *s) {
    if (s->len == 0 || s->len % 4 != 0)
        return false;
    for (int i = 0; i < 2 && s->at[s->len - 1] == '='; i++)
        s->len--;
    for (size_t i = 0; i < s->len; i++)
        if (base64_digit(s->at[i]) < 0)
            return false;
    int unused = s->len % 4 == 2 ? 0xf : s->len % 4 == 3 ? 0x3 : 0;
    return (base64_digit(s->at[s->len - 1]) & unused) == 0;
}

/* Appends what stands before the first ':' of the decoded text; false, with nothing appended, when
 * there is no ':' or nothing before it: the rest might be a secret (RFC 7617 section 2). */
static bool append_user_id(struct cg_buf *out, struct cg_slice base64) {
    size_t before = out->len;
    unsigned bits = 0, bits_n = 0;
    for (size_t i = 0; i < base64.len; i++) {
        bits = bits << 6 | (unsigned)base64_digit(base64.at[i]);
        bits_n += 6;
        if (bits_n < 8)
            continue;
        bits_n -= 8;
        unsigned char c = (unsigned char)(bits >> bits_n);
        if (c == ':')
            return out->len > before;
        if (cg_buf_reserve(out, 4) < 0)
            break;
        out->len = (size_t)(put_escaped(out->at + out->len, c) - out->at);
    }
    out->len = before;
    return false;
}

static int append_user(struct cg_buf *out, const struct cg_request *r) {
    const struct cg_field *f = cg_request_field(r, CG_FIELD_AUTHORIZATION);
    if (f && f->value.len > 6 && cg_slice_eq_ci(cg_slice_of(f->value.at, 6), CG_SLICE("basic "))) {
        struct cg_slice token = cg_slice_trim(cg_slice_of(f->value.at + 6, f->value.len - 6));
        if (is_base64(&token) && append_user_id(out, token))
            return 0;
    }
    return cg_buf_append_char(out, '-');
}

/* Local time, as Gunicorn's. */
static int append_time(struct cg_access *a, time_t wall_s, struct cg_buf *out) {
    if (a->time_at != wall_s || !a->time_text[0]) {
        struct tm tm = {0};
        localtime_r(&wall_s, &tm);
        unsigned offset_min = (unsigned)labs(tm.tm_gmtoff) / 60;
        snprintf(a->time_text, sizeof(a->time_text), "[%02u/%s/%04u:%02u:%02u:%02u %c%02u%02u]",
                 (unsigned)tm.tm_mday % 100, cg_date_month(tm.tm_mon),
                 (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)tm.tm_hour % 100,
                 (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100, tm.tm_gmtoff < 0 ? '-' : '+',
                 offset_min / 60 % 100, offset_min % 60);
        a->time_at = wall_s;
    }
    return cg_buf_append(out, cg_slice_str(a->time_text));
}

static int append_protocol(struct cg_buf *out, const struct cg_request *r) {
    char text[] = "HTTP/1.1";
    text[5] = (char)('0' + r->version_major % 10);
    text[7] = (char)('0' + r->version_minor % 10);
    return cg_buf_append(out, cg_slice_str(text));
}

static int append_decimal_seconds(struct cg_buf *out, uint64_t us) {
    char text[CG_NUM_U64_MAX_LEN + 8];
    int len = snprintf(text, sizeof(text), "%llu.%06llu", (unsigned long long)(us / 1000000),
                       (unsigned long long)(us % 1000000));
    return cg_buf_append(out, cg_slice_of(text, (size_t)len));
}

static int append_request_field(struct cg_buf *out, const struct cg_request *r, enum cg_field_id id,
                                struct cg_slice name) {
    const struct cg_field *f =
        id != CG_FIELD_OTHER ? cg_request_field(r, id) : cg_request_field_named(r, name);
    return f ? append_or_dash(out, f->value) : cg_buf_append_char(out, '-');
}

static int render_piece(struct cg_access *a, const struct cg_access_piece *p,
                        const struct cg_exchange *ex, uint64_t took_us, time_t wall_s,
                        struct cg_buf *out) {
    const struct cg_request *r = &ex->request;
    struct cg_slice text = cg_access_format_text(&a->format, p);
    switch (p->kind) {
    case CG_PIECE_LITERAL:
        return cg_buf_append(out, text);
    case CG_PIECE_HOST:
        return append_or_dash(out, cg_endpoint_host(ex->client));
    case CG_PIECE_USER:
        return append_user(out, r);
    case CG_PIECE_TIME:
        return append_time(a, wall_s, out);
    case CG_PIECE_REQUEST_LINE:
        return append_escaped(out, r->line);
    case CG_PIECE_METHOD:
        return append_escaped(out, r->method);
    case CG_PIECE_TARGET:
        return append_escaped(out, r->target);
    case CG_PIECE_PATH:
        return append_path(out, r->path);
    case CG_PIECE_QUERY:
        return append_escaped(out, r->query);
    case CG_PIECE_PROTOCOL:
        return append_protocol(out, r);
    case CG_PIECE_STATUS:
        return cg_buf_append_u64(out, (unsigned)ex->response.status);
    case CG_PIECE_BYTES:
        return cg_buf_append_u64(out, ex->response.body_bytes);
    case CG_PIECE_REFERER:
        return append_request_field(out, r, CG_FIELD_REFERER, text);
    case CG_PIECE_USER_AGENT:
        return append_request_field(out, r, CG_FIELD_USER_AGENT, text);
    case CG_PIECE_REQUEST_FIELD:
        return append_request_field(out, r, p->field, text);
    case CG_PIECE_RESPONSE_FIELD:
        return append_or_dash(out, cg_response_field(&ex->response, text));
    case CG_PIECE_SECONDS:
        return cg_buf_append_u64(out, took_us / 1000000);
    case CG_PIECE_MILLISECONDS:
        return cg_buf_append_u64(out, took_us / 1000);
    case CG_PIECE_MICROSECONDS:
        return cg_buf_append_u64(out, took_us);
    case CG_PIECE_DECIMAL_SECONDS:
        return append_decimal_seconds(out, took_us);
    case CG_PIECE_PID:
        return cg_buf_append(out, cg_slice_str(a->pid_text));
    }
    return 0;
}

int cg_access_render(struct cg_access *a, const struct cg_exchange *ex, uint64_t now_us,
                     time_t wall_s, struct cg_buf *out) {
    uint64_t took_us = now_us > ex->begun_us ? now_us - ex->begun_us : 0;
    for (size_t i = 0; i < a->format.pieces_n; i++)
        if (render_piece(a, &a->format.pieces[i], ex, took_us, wall_s, out) < 0)
            return -ENOMEM;
    return 0;
}
