/* SPDX-License-Identifier: MIT
 *
 * The connection's way out: one queue of a few iovecs and a file range, filled as a whole and sent
 * before it is filled again; framing of the body; error pages. Owns no state but the connection's.
 */
#include "server/base/assert.h"
#include "server/http/conn_internal.h"

#include <errno.h>

void cg_output_clear(struct cg_conn *c) {
    c->output.iov_n = 0;
    c->output.fd = -1;
    c->output.file_len = 0;
    c->output.more = false;
    c->output_lead = 0;
    c->output_body = 0;
}

bool cg_output_empty(const struct cg_conn *c) {
    return c->output.iov_n == 0 && c->output.file_len == 0;
}

static void add_iov(struct cg_conn *c, struct cg_slice bytes) {
    struct cg_output *out = &c->output;
    CG_ASSERT(out->iov_n < CG_CONN_IOV_MAX && out->file_len == 0);
    if (bytes.len)
        out->iov[out->iov_n++] = (struct iovec){(void *)bytes.at, bytes.len};
}

void cg_output_add_lead(struct cg_conn *c, struct cg_slice bytes) {
    CG_ASSERT(c->output_body == 0);
    add_iov(c, bytes);
    c->output_lead += bytes.len;
}

int cg_output_add_head(struct cg_conn *c, int64_t known_length) {
    struct cg_http *http = c->http;
    struct cg_response *r = &c->exchange.response;
    bool may_keep_alive = http->settings->keepalive > 0 && !http->draining && !c->must_close;
    int rc = cg_response_build_head(r, &c->exchange.request, known_length, may_keep_alive,
                                    cg_date_now(&http->date, http->wall_s));
    if (rc < 0)
        return rc;
    r->head_sent = true;
    cg_output_add_lead(c, cg_buf_slice(&r->head));
    return 0;
}

static void add_body(struct cg_conn *c, const struct cg_chunk *chunk, uint64_t len) {
    if (len == 0)
        return;
    c->output_body = len;
    if (chunk->fd < 0) {
        add_iov(c, cg_slice_of(chunk->bytes.at, (size_t)len));
        return;
    }
    c->output.fd = chunk->fd;
    c->output.file_offset = chunk->file_offset;
    c->output.file_len = len;
}

static void add_chunked(struct cg_conn *c, struct cg_slice bytes, bool last) {
    if (bytes.len) {
        size_t len = cg_num_format_hex(c->size_line, bytes.len);
        c->size_line[len++] = '\r';
        c->size_line[len++] = '\n';
        cg_output_add_lead(c, cg_slice_of(c->size_line, len));
        c->output_body = bytes.len;
        add_iov(c, bytes);
        add_iov(c, last ? CG_SLICE("\r\n0\r\n\r\n") : CG_SLICE("\r\n"));
    } else if (last) {
        add_iov(c, CG_SLICE("0\r\n\r\n"));
    }
}

/* Behind a chunk of so many bytes. An event is worth nothing later. */
static bool has_more(const struct cg_response *r, uint64_t len, bool last) {
    bool fills_length = r->framing == CG_RESPONSE_LENGTH && len >= r->length - r->body_bytes;
    return !last && !fills_length && !r->is_event_stream;
}

void cg_output_add_chunk(struct cg_conn *c, const struct cg_chunk *chunk, bool last) {
    const struct cg_response *r = &c->exchange.response;
    uint64_t len = chunk->fd < 0 ? chunk->bytes.len : chunk->file_len;
    c->output.more = has_more(r, len, last);
    switch (r->framing) {
    case CG_RESPONSE_NO_BODY:
        break;
    case CG_RESPONSE_LENGTH: {
        uint64_t left = r->length - r->body_bytes;
        add_body(c, chunk, len < left ? len : left);
        break;
    }
    case CG_RESPONSE_CHUNKED:
        CG_ASSERT(chunk->fd < 0);
        add_chunked(c, chunk->bytes, last);
        break;
    case CG_RESPONSE_CLOSE:
        add_body(c, chunk, len);
        break;
    }
}

static int append_escaped_html(struct cg_buf *b, const char *text) {
    int rc = 0;
    for (; *text && rc == 0; text++) {
        switch (*text) {
        case '&':
            rc = cg_buf_append(b, CG_SLICE("&amp;"));
            break;
        case '<':
            rc = cg_buf_append(b, CG_SLICE("&lt;"));
            break;
        case '>':
            rc = cg_buf_append(b, CG_SLICE("&gt;"));
            break;
        default:
            rc = cg_buf_append_char(b, *text);
        }
    }
    return rc;
}

int cg_output_add_error_page(struct cg_conn *c, int status, const char *text) {
    struct cg_response *r = &c->exchange.response;
    const char *reason = cg_status_reason(status);
    struct cg_buf *page = &c->scratch;
    page->len = 0;
    cg_output_clear(c);
    cg_response_reset(r);
    c->must_close = true;

    if (cg_buf_appendf(page, "%d %s", status, reason) < 0 ||
        cg_response_start(r, cg_buf_slice(page)) != CG_RESPONSE_OK ||
        cg_response_add_field(r, CG_SLICE("Content-Type"), CG_SLICE("text/html")) != CG_RESPONSE_OK)
        return -ENOMEM;
    page->len = 0;
    if (cg_buf_appendf(page,
                       "<html>\n  <head>\n    <title>%s</title>\n  </head>\n  <body>\n"
                       "    <h1><p>%s</p></h1>\n    ",
                       reason, reason) < 0 ||
        append_escaped_html(page, text) < 0 ||
        cg_buf_append(page, CG_SLICE("\n  </body>\n</html>\n")) < 0)
        return -ENOMEM;

    struct cg_chunk chunk = {.bytes = cg_buf_slice(page), .fd = -1, .last = true};
    int rc = cg_output_add_head(c, (int64_t)page->len);
    if (rc == 0)
        cg_output_add_chunk(c, &chunk, true);
    return rc;
}

const struct cg_output *cg_conn_output(struct cg_conn *c) {
    return &c->output;
}

/* Body bytes among the next n. What follows the body in the queue is framing again. */
static void count(struct cg_conn *c, size_t n) {
    size_t lead = n < c->output_lead ? n : c->output_lead;
    c->output_lead -= lead;
    uint64_t body = n - lead < c->output_body ? n - lead : c->output_body;
    c->output_body -= body;
    c->exchange.response.body_bytes += body;
}

static void advance(struct cg_output *out, size_t n) {
    int gone = 0;
    while (gone < out->iov_n && n >= out->iov[gone].iov_len)
        n -= out->iov[gone++].iov_len;
    out->iov_n -= gone;
    if (gone && out->iov_n)
        memmove(out->iov, out->iov + gone, (size_t)out->iov_n * sizeof(out->iov[0]));
    if (out->iov_n) {
        out->iov[0].iov_base = (char *)out->iov[0].iov_base + n;
        out->iov[0].iov_len -= n;
        return;
    }
    CG_ASSERT(n <= out->file_len);
    out->file_offset += n;
    out->file_len -= n;
}

void cg_conn_sent(struct cg_conn *c, size_t n) {
    CG_ASSERT(cg_conn_wants(c) == CG_WANT_WRITE);
    if (n == 0)
        return;
    c->since_us = c->http->now_us;
    c->exchange.response.head_left |= c->exchange.response.head_sent;
    count(c, n);
    advance(&c->output, n);
    if (!cg_output_empty(c))
        return;
    cg_output_clear(c);
    if (c->state == CG_CONN_CONTINUE) {
        cg_conn_await_body(c);
    } else if (c->stage != CG_STAGE_NONE) {
        cg_conn_enter(c, CG_CONN_READY);
    } else {
        cg_exchange_log(c); /* an error page */
        cg_conn_close(c);
    }
}
