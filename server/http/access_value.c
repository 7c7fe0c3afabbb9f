/* SPDX-License-Identifier: MIT
 *
 * The values of atoms. Owns no state but struct cg_access_values.
 */
#include "server/http/access_value.h"

#include "server/base/clock.h"
#include "server/base/num.h"
#include "server/http/access_note.h"
#include "server/http/date.h"
#include "server/http/request_start.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void cg_access_values_set_pid(struct cg_access_values *v, pid_t pid) {
    snprintf(v->pid_text, sizeof(v->pid_text), "<%ld>", (long)pid);
    snprintf(v->pid_number, sizeof(v->pid_number), "%ld", (long)pid);
}

void cg_access_values_init(struct cg_access_values *v) {
    cg_access_values_set_pid(v, getpid());
    tzset();
}

void cg_access_values_done(struct cg_access_values *v) {
    cg_buf_done(&v->decoded);
}

static struct cg_access_value nothing(void) {
    return (struct cg_access_value){.form = CG_ACCESS_NOTHING};
}

static struct cg_access_value text(struct cg_slice s) {
    return (struct cg_access_value){CG_ACCESS_TEXT, s};
}

static struct cg_access_value text_or_nothing(struct cg_slice s) {
    return s.len ? text(s) : nothing();
}

static struct cg_access_value word(const char *s) {
    return (struct cg_access_value){CG_ACCESS_WORD, cg_slice_str(s)};
}

static struct cg_access_value number(struct cg_access_values *v, uint64_t n) {
    size_t len = cg_num_format_u64(v->number, n);
    return (struct cg_access_value){CG_ACCESS_NUMBER, cg_slice_of(v->number, len)};
}

static struct cg_access_value seconds(struct cg_access_values *v, uint64_t us) {
    int len = snprintf(v->number, sizeof(v->number), "%llu.%06llu",
                       (unsigned long long)(us / 1000000), (unsigned long long)(us % 1000000));
    return (struct cg_access_value){CG_ACCESS_DECIMAL, cg_slice_of(v->number, (size_t)len)};
}

/* PATH_INFO, percent-decoded unless it came so; what is no escape stays as it is. A request that
 * was refused early has only its path. */
static int decode_path(struct cg_access_values *v, const struct cg_request *r,
                       struct cg_access_value *ret_value) {
    struct cg_slice s = r->path_info.at ? r->path_info : r->path;
    if (r->path_is_decoded) {
        *ret_value = text(s);
        return 0;
    }
    v->decoded.len = 0;
    if (s.len && cg_buf_reserve(&v->decoded, s.len) < 0)
        return -ENOMEM;
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
        v->decoded.at[v->decoded.len++] = (char)c;
    }
    *ret_value = text(cg_buf_slice(&v->decoded));
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

/* Decodes up to the first ':'; false when there is none or nothing before it: the rest might be a
 * secret (RFC 7617 section 2). `out` has room. */
static bool decode_user_id(struct cg_buf *out, struct cg_slice base64) {
    unsigned bits = 0, bits_n = 0;
    for (size_t i = 0; i < base64.len; i++) {
        bits = bits << 6 | (unsigned)base64_digit(base64.at[i]);
        bits_n += 6;
        if (bits_n < 8)
            continue;
        bits_n -= 8;
        unsigned char c = (unsigned char)(bits >> bits_n);
        if (c == ':')
            return out->len > 0;
        out->at[out->len++] = (char)c;
    }
    return false;
}

static int find_user(struct cg_access_values *v, const struct cg_request *r,
                     struct cg_access_value *ret_value) {
    const struct cg_field *f = cg_request_field(r, CG_FIELD_AUTHORIZATION);
    *ret_value = nothing();
    if (!f || f->value.len <= 6 || !cg_slice_eq_ci(cg_slice_of(f->value.at, 6), CG_SLICE("basic ")))
        return 0;
    struct cg_slice token = cg_slice_trim(cg_slice_of(f->value.at + 6, f->value.len - 6));
    v->decoded.len = 0;
    if (!is_base64(&token))
        return 0;
    if (cg_buf_reserve(&v->decoded, token.len) < 0)
        return -ENOMEM;
    if (decode_user_id(&v->decoded, token))
        *ret_value = text(cg_buf_slice(&v->decoded));
    return 0;
}

/* Local time, as Gunicorn's. */
static void render_times(struct cg_access_values *v, time_t wall_s) {
    if (v->time_at == wall_s && v->log_time[0])
        return;
    struct tm tm = {0};
    localtime_r(&wall_s, &tm);
    unsigned offset_min = (unsigned)labs(tm.tm_gmtoff) / 60;
    unsigned day = (unsigned)tm.tm_mday % 100, year = (unsigned)(tm.tm_year + 1900) % 10000;
    unsigned hour = (unsigned)tm.tm_hour % 100, min = (unsigned)tm.tm_min % 100;
    unsigned sec = (unsigned)tm.tm_sec % 100;
    char sign = tm.tm_gmtoff < 0 ? '-' : '+';
    snprintf(v->log_time, sizeof(v->log_time), "[%02u/%s/%04u:%02u:%02u:%02u %c%02u%02u]", day,
             cg_date_month(tm.tm_mon), year, hour, min, sec, sign, offset_min / 60 % 100,
             offset_min % 60);
    snprintf(v->iso_time, sizeof(v->iso_time), "%04u-%02u-%02uT%02u:%02u:%02u%c%02u:%02u", year,
             (unsigned)(tm.tm_mon + 1) % 100, day, hour, min, sec, sign, offset_min / 60 % 100,
             offset_min % 60);
    v->time_at = wall_s;
}

static struct cg_access_value protocol(struct cg_access_values *v, const struct cg_request *r) {
    memcpy(v->number, "HTTP/1.1", sizeof("HTTP/1.1"));
    v->number[5] = (char)('0' + r->version_major % 10);
    v->number[7] = (char)('0' + r->version_minor % 10);
    return word(v->number);
}

/* How long the request waited to get into the application: since the time that a trusted proxy gave
 * it, else since it was complete. */
static struct cg_access_value queue_time(struct cg_access_values *v,
                                         const struct cg_access_event *event) {
    const struct cg_exchange *ex = event->ex;
    if (ex->entered_us == 0)
        return nothing();
    uint64_t start_us, waited_us = ex->waited_us;
    if (ex->request.from_forwarder && cg_request_start_us(&ex->request, &start_us)) {
        uint64_t ago_us = event->now_us > ex->entered_us ? event->now_us - ex->entered_us : 0;
        uint64_t wall_us = cg_clock_wall_us();
        if (start_us + waited_us + ago_us < wall_us)
            waited_us = wall_us - ago_us - start_us;
    }
    return seconds(v, waited_us);
}

/* The last of them, as everywhere in the line. */
static struct cg_access_value request_field(const struct cg_request *r, enum cg_field_id id,
                                            struct cg_slice name) {
    for (size_t i = r->fields_n; i > 0; i--) {
        const struct cg_field *f = &r->fields[i - 1];
        if (id != CG_FIELD_OTHER ? f->id == id : cg_slice_eq_ci(f->name, name))
            return text_or_nothing(f->value);
    }
    return nothing();
}

static struct cg_access_value time_value(struct cg_access_values *v, enum cg_access_kind kind,
                                         const struct cg_access_event *event) {
    uint64_t begun_us = event->ex->begun_us;
    uint64_t took_us = event->now_us > begun_us ? event->now_us - begun_us : 0;
    switch (kind) {
    case CG_PIECE_SECONDS:
        return number(v, took_us / 1000000);
    case CG_PIECE_MILLISECONDS:
        return number(v, took_us / 1000);
    case CG_PIECE_MICROSECONDS:
        return number(v, took_us);
    default:
        return seconds(v, took_us);
    }
}

static struct cg_slice request_text(const struct cg_request *r, enum cg_access_kind kind) {
    switch (kind) {
    case CG_PIECE_REQUEST_LINE:
        return r->line;
    case CG_PIECE_METHOD:
        return r->method;
    case CG_PIECE_TARGET:
        return r->target;
    default:
        return r->query;
    }
}

/* By the application's word, if it has noted one: the first variable is REMOTE_ADDR. That is empty
 * for a client of a unix socket, which may have a path. */
static struct cg_access_value client(const struct cg_exchange *ex) {
    struct cg_slice host;
    bool is_noted = cg_access_noted(ex, 0, &host);
    if (!is_noted || (host.len == 0 && ex->client->family == CG_FAMILY_UNIX))
        host = cg_endpoint_host(ex->client);
    return text_or_nothing(host);
}

/* The kinds that need no memory. */
static struct cg_access_value plain_value(struct cg_access_values *v,
                                          const struct cg_access_piece *piece, struct cg_slice name,
                                          const struct cg_access_event *event) {
    const struct cg_exchange *ex = event->ex;
    switch (piece->kind) {
    case CG_PIECE_LITERAL:
        return (struct cg_access_value){CG_ACCESS_WORD, name};
    case CG_PIECE_HOST:
        return client(ex);
    case CG_PIECE_TIME:
        render_times(v, event->wall_s);
        return word(v->log_time);
    case CG_PIECE_ISO_TIME:
        render_times(v, event->wall_s);
        return word(v->iso_time);
    case CG_PIECE_REQUEST_LINE:
    case CG_PIECE_METHOD:
    case CG_PIECE_TARGET:
    case CG_PIECE_QUERY:
        return text(request_text(&ex->request, piece->kind));
    case CG_PIECE_PROTOCOL:
        return protocol(v, &ex->request);
    case CG_PIECE_STATUS:
        return number(v, (unsigned)cg_exchange_status(ex));
    case CG_PIECE_BYTES:
        return number(v, ex->response.body_bytes);
    case CG_PIECE_REQUEST_FIELD:
        return request_field(&ex->request, piece->field, name);
    case CG_PIECE_RESPONSE_FIELD:
        return text_or_nothing(cg_response_field(&ex->response, name));
    case CG_PIECE_SECONDS:
    case CG_PIECE_MILLISECONDS:
    case CG_PIECE_MICROSECONDS:
    case CG_PIECE_DECIMAL_SECONDS:
        return time_value(v, piece->kind, event);
    case CG_PIECE_QUEUE_TIME:
        return queue_time(v, event);
    case CG_PIECE_PID:
        return word(v->pid_text);
    case CG_PIECE_PID_NUMBER:
        return (struct cg_access_value){CG_ACCESS_NUMBER, cg_slice_str(v->pid_number)};
    case CG_PIECE_ABORTED:
        return (struct cg_access_value){CG_ACCESS_BOOL,
                                        cg_slice_str(ex->aborted ? "true" : "false")};
    default:
        return nothing();
    }
}

int cg_access_value_get(struct cg_access_values *v, const struct cg_access_piece *piece,
                        struct cg_slice name, const struct cg_access_event *event,
                        struct cg_access_value *ret_value) {
    struct cg_slice note;
    if (piece->key_n > 0 && cg_access_noted(event->ex, piece->key_n - 1, &note)) {
        *ret_value = note.at ? text(note) : nothing();
        return 0;
    }
    if (piece->kind == CG_PIECE_PATH)
        return decode_path(v, &event->ex->request, ret_value);
    if (piece->kind == CG_PIECE_USER)
        return find_user(v, &event->ex->request, ret_value);
    *ret_value = plain_value(v, piece, name, event);
    return 0;
}
