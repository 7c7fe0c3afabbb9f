/* SPDX-License-Identifier: MIT
 *
 * The response's head: checks what the application gives, decides framing and keep-alive, writes
 * the bytes. Sends nothing and owns no state but the caller's struct cg_response.
 */
#include "server/http/response.h"

#include "server/base/assert.h"
#include "server/base/num.h"

enum {
    KEEP_CAP = 16 * 1024, /* reset gives larger buffers back */
    /* Everything build_head adds to the application's bytes: status line, Server, Date, Connection,
     * Transfer-Encoding or Content-Length, the last CRLF. */
    ADDED_MAX = 256,
};

/* Fields of an application's response that mean something to the server. */
enum kind {
    PLAIN,
    HOP_BY_HOP, /* refused: the connection is ours to describe (RFC 9110 section 7.6.1) */
    CONNECTION,
    UPGRADE,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    DATE,
    SERVER,
};

static const struct special {
    const char *name;
    size_t len;
    enum kind kind;
} SPECIALS[] = {
#define SPECIAL(name, kind)                                                                        \
    { name, sizeof(name) - 1, kind }
    SPECIAL("connection", CONNECTION),
    SPECIAL("content-length", CONTENT_LENGTH),
    SPECIAL("content-type", CONTENT_TYPE),
    SPECIAL("date", DATE),
    SPECIAL("keep-alive", HOP_BY_HOP),
    SPECIAL("proxy-authenticate", HOP_BY_HOP),
    SPECIAL("proxy-authorization", HOP_BY_HOP),
    SPECIAL("server", SERVER),
    SPECIAL("te", HOP_BY_HOP),
    SPECIAL("trailer", HOP_BY_HOP),
    SPECIAL("trailers", HOP_BY_HOP),
    SPECIAL("transfer-encoding", HOP_BY_HOP),
    SPECIAL("upgrade", UPGRADE),
#undef SPECIAL
};

static void trim_buf(struct cg_buf *b) {
    b->len = 0;
    if (b->cap > KEEP_CAP)
        cg_buf_done(b);
}

void cg_response_init(struct cg_response *r) {
    *r = (struct cg_response){0};
}

static void forget_head(struct cg_response *r) {
    r->started = r->head_sent = r->head_left = r->has_length = r->has_date = r->has_server = false;
    r->adds_length = r->wants_close = r->is_upgrade = r->is_event_stream = false;
    r->keep_alive = false;
    r->status = 0;
    r->length = 0;
    r->framing = CG_RESPONSE_NO_BODY;
    r->status_line_rest.len = r->fields.len = r->upgrade.len = r->head.len = 0;
}

void cg_response_reset(struct cg_response *r) {
    forget_head(r);
    r->body_bytes = 0;
    trim_buf(&r->status_line_rest);
    trim_buf(&r->fields);
    trim_buf(&r->upgrade);
    trim_buf(&r->head);
}

void cg_response_done(struct cg_response *r) {
    cg_buf_done(&r->status_line_rest);
    cg_buf_done(&r->fields);
    cg_buf_done(&r->upgrade);
    cg_buf_done(&r->head);
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* SP, VCHAR and obs-text, with_tab also HTAB: field-content and reason-phrase have no other bytes.
 */
static bool is_text(struct cg_slice s, bool with_tab) {
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.at[i];
        if ((c < 0x20 && !(with_tab && c == '\t')) || c == 0x7f)
            return false;
    }
    return true;
}

/* "NNN" or "NNN Reason". 1xx is not for start_response: an interim answer has no body and is not
 * the last one. */
static bool is_status(struct cg_slice s) {
    if (s.len < 3 || s.at[0] < '2' || s.at[0] > '9' || !is_digit(s.at[1]) || !is_digit(s.at[2]))
        return false;
    return (s.len == 3 || s.at[3] == ' ') && is_text(s, false);
}

enum cg_response_error cg_response_start(struct cg_response *r, struct cg_slice status) {
    CG_ASSERT(!r->head_sent);
    if (!is_status(status))
        return CG_RESPONSE_BAD_STATUS;
    if (status.len > CG_RESPONSE_FIELDS_MAX)
        return CG_RESPONSE_TOO_LARGE;
    forget_head(r);
    if (cg_buf_append(&r->status_line_rest, status) < 0)
        return CG_RESPONSE_NO_MEMORY;
    /* RFC 9112 section 4: the space stays even without a reason. */
    if (status.len == 3 && cg_buf_append_char(&r->status_line_rest, ' ') < 0)
        return CG_RESPONSE_NO_MEMORY;
    r->status = (status.at[0] - '0') * 100 + (status.at[1] - '0') * 10 + (status.at[2] - '0');
    r->started = true;
    return CG_RESPONSE_OK;
}

static enum kind kind_of(struct cg_slice name) {
    for (size_t i = 0; i < sizeof(SPECIALS) / sizeof(SPECIALS[0]); i++) {
        const struct special *s = &SPECIALS[i];
        if (s->len == name.len && cg_slice_eq_ci(cg_slice_of(s->name, s->len), name))
            return s->kind;
    }
    return PLAIN;
}

static enum cg_response_error obey_connection(struct cg_response *r, struct cg_slice value) {
    struct cg_slice option;
    while (cg_slice_next_element(&value, &option)) {
        if (cg_slice_eq_ci(option, CG_SLICE("close")))
            r->wants_close = true;
        else if (cg_slice_eq_ci(option, CG_SLICE("upgrade")))
            r->is_upgrade = true;
        else if (option.len > 0 && !cg_slice_eq_ci(option, CG_SLICE("keep-alive")))
            return CG_RESPONSE_HOP_BY_HOP;
    }
    return CG_RESPONSE_OK;
}

/* Whatever parameters follow. */
static bool names_event_stream(struct cg_slice value) {
    struct cg_slice name = CG_SLICE("text/event-stream");
    return value.len >= name.len && cg_slice_eq_ci(cg_slice_of(value.at, name.len), name) &&
           (value.len == name.len || value.at[name.len] == ';' || value.at[name.len] == ' ');
}

static char *put(char *at, struct cg_slice s) {
    if (s.len)
        memcpy(at, s.at, s.len);
    return at + s.len;
}

static enum cg_response_error append_line(struct cg_buf *lines, struct cg_slice name,
                                          struct cg_slice value) {
    if (name.len > CG_RESPONSE_FIELDS_MAX || value.len > CG_RESPONSE_FIELDS_MAX ||
        lines->len + name.len + value.len + 4 > CG_RESPONSE_FIELDS_MAX)
        return CG_RESPONSE_TOO_LARGE;
    if (cg_buf_reserve(lines, name.len + value.len + 4) < 0)
        return CG_RESPONSE_NO_MEMORY;
    char *at = put(lines->at + lines->len, name);
    at = put(at, CG_SLICE(": "));
    at = put(at, value);
    at = put(at, CG_SLICE("\r\n"));
    lines->len = (size_t)(at - lines->at);
    return CG_RESPONSE_OK;
}

static enum cg_response_error add_length(struct cg_response *r, struct cg_slice name,
                                         struct cg_slice value) {
    if (r->has_length)
        return CG_RESPONSE_TWO_LENGTHS;
    if (cg_num_parse_u64(value, &r->length) < 0 || r->length > INT64_MAX)
        return CG_RESPONSE_BAD_LENGTH;
    if (r->status == 204)
        return CG_RESPONSE_OK; /* RFC 9110 section 8.6: must not be sent */
    r->has_length = true;
    return append_line(&r->fields, name, value);
}

enum cg_response_error cg_response_add_field(struct cg_response *r, struct cg_slice name,
                                             struct cg_slice value) {
    CG_ASSERT(r->started && !r->head_sent);
    value = cg_slice_trim(value);
    if (!cg_field_is_token(name))
        return CG_RESPONSE_BAD_NAME;
    if (!is_text(value, true))
        return CG_RESPONSE_BAD_VALUE;
    switch (kind_of(name)) {
    case HOP_BY_HOP:
        return CG_RESPONSE_HOP_BY_HOP;
    case CONNECTION:
        return obey_connection(r, value);
    case UPGRADE:
        return append_line(&r->upgrade, name, value);
    case CONTENT_LENGTH:
        return add_length(r, name, value);
    case CONTENT_TYPE:
        r->is_event_stream = names_event_stream(value);
        break;
    case DATE:
        r->has_date = true;
        break;
    case SERVER:
        r->has_server = true;
        break;
    case PLAIN:
        break;
    }
    return append_line(&r->fields, name, value);
}

enum cg_response_error cg_response_check_fields(const struct cg_response *r) {
    return r->upgrade.len && !r->is_upgrade ? CG_RESPONSE_HOP_BY_HOP : CG_RESPONSE_OK;
}

const char *cg_response_error_text(enum cg_response_error error) {
    switch (error) {
    case CG_RESPONSE_OK:
        return "did nothing wrong";
    case CG_RESPONSE_BAD_STATUS:
        return "gave a status that is not a final one of the form '200 OK'";
    case CG_RESPONSE_BAD_NAME:
        return "gave a header name that is not a token";
    case CG_RESPONSE_BAD_VALUE:
        return "gave a header value with a control character";
    case CG_RESPONSE_BAD_LENGTH:
        return "gave a Content-Length that is not a number";
    case CG_RESPONSE_TWO_LENGTHS:
        return "gave Content-Length more than once";
    case CG_RESPONSE_HOP_BY_HOP:
        return "gave a hop-by-hop header, which is the server's to send";
    case CG_RESPONSE_TOO_LARGE:
        return "gave headers that are too large";
    case CG_RESPONSE_NO_MEMORY:
        return "could not be given memory for its headers";
    }
    return "failed";
}

static void decide_framing(struct cg_response *r, const struct cg_request *req,
                           int64_t known_length) {
    bool bodyless = r->status == 204 || r->status == 304;
    if (req->is_head || bodyless)
        r->framing = CG_RESPONSE_NO_BODY;
    else if (r->has_length || known_length >= 0)
        r->framing = CG_RESPONSE_LENGTH;
    else
        r->framing =
            cg_request_is_1_1(req) && !req->is_uwsgi ? CG_RESPONSE_CHUNKED : CG_RESPONSE_CLOSE;
    /* A HEAD is told what GET would be told (RFC 9110 section 8.6), unless the application has left
     * the body out by itself: then nobody knows. */
    r->adds_length = !r->has_length && !bodyless && known_length >= (req->is_head ? 1 : 0);
    if (r->adds_length)
        r->length = (uint64_t)known_length;
}

/* What a server of HTTP says of itself. nginx would pass it on in the place of its own over
 * uwsgi. */
static char *put_server(char *at, const struct cg_response *r, struct cg_slice date) {
    if (!r->has_server)
        at = put(at, CG_SLICE("Server: cgunicorn\r\n"));
    if (r->has_date)
        return at;
    at = put(at, CG_SLICE("Date: "));
    at = put(at, date);
    return put(at, CG_SLICE("\r\n"));
}

static char *put_connection(char *at, const struct cg_response *r) {
    at =
        put(at, r->keep_alive ? CG_SLICE("Connection: keep-alive") : CG_SLICE("Connection: close"));
    return put(at, r->is_upgrade && r->upgrade.len ? CG_SLICE(", upgrade\r\n") : CG_SLICE("\r\n"));
}

static char *put_framing(char *at, const struct cg_response *r) {
    if (r->framing == CG_RESPONSE_CHUNKED)
        return put(at, CG_SLICE("Transfer-Encoding: chunked\r\n"));
    if (!r->adds_length)
        return at;
    at = put(at, CG_SLICE("Content-Length: "));
    at += cg_num_format_u64(at, r->length);
    return put(at, CG_SLICE("\r\n"));
}

int cg_response_build_head(struct cg_response *r, const struct cg_request *req,
                           int64_t known_length, bool may_keep_alive, struct cg_slice date) {
    decide_framing(r, req, known_length);
    r->keep_alive = may_keep_alive && req->keep_alive && !r->wants_close && !req->is_connect &&
                    r->framing != CG_RESPONSE_CLOSE;

    r->head.len = 0;
    int rc = cg_buf_reserve(&r->head, ADDED_MAX + r->status_line_rest.len + date.len +
                                          r->upgrade.len + r->fields.len);
    if (rc < 0)
        return rc;
    /* A request that could not be parsed has version 0.0. */
    bool is_1_0 = req->version_major == 1 && req->version_minor == 0;
    char *at = put(r->head.at, is_1_0 ? CG_SLICE("HTTP/1.0 ") : CG_SLICE("HTTP/1.1 "));
    at = put(at, cg_buf_slice(&r->status_line_rest));
    at = put(at, CG_SLICE("\r\n"));
    if (!req->is_uwsgi) {
        at = put_server(at, r, date);
        at = put_connection(at, r);
        if (r->is_upgrade)
            at = put(at, cg_buf_slice(&r->upgrade));
    }
    at = put_framing(at, r);
    at = put(at, cg_buf_slice(&r->fields));
    at = put(at, CG_SLICE("\r\n"));
    r->head.len = (size_t)(at - r->head.at);
    return 0;
}

/* Cuts the next line off lines; false at the end or at an empty line. */
static bool next_line(struct cg_slice *lines, struct cg_slice *ret_line) {
    const char *cr = lines->len ? memchr(lines->at, '\r', lines->len) : NULL;
    if (!cr || cr == lines->at)
        return false;
    size_t len = (size_t)(cr - lines->at);
    *ret_line = cg_slice_of(lines->at, len);
    *lines = cg_slice_of(cr + 2, lines->len - len - 2);
    return true;
}

struct cg_slice cg_response_all_fields(const struct cg_response *r) {
    struct cg_slice lines = cg_buf_slice(r->head.len ? &r->head : &r->fields), status_line;
    if (r->head.len)
        next_line(&lines, &status_line);
    return lines;
}

bool cg_response_next_field(struct cg_slice *rest, struct cg_slice *ret_name,
                            struct cg_slice *ret_value) {
    struct cg_slice line;
    while (next_line(rest, &line)) {
        const char *colon = line.len ? memchr(line.at, ':', line.len) : NULL;
        if (!colon)
            continue; /* the empty line behind the head */
        *ret_name = cg_slice_of(line.at, (size_t)(colon - line.at));
        *ret_value = cg_slice_trim(cg_slice_of(colon + 1, line.len - ret_name->len - 1));
        return true;
    }
    return false;
}

struct cg_slice cg_response_field(const struct cg_response *r, struct cg_slice name) {
    struct cg_slice rest = cg_response_all_fields(r), found, value, last = {0};
    while (cg_response_next_field(&rest, &found, &value))
        if (cg_slice_eq_ci(found, name))
            last = value;
    return last;
}
