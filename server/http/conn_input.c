/* SPDX-License-Identifier: MIT
 *
 * The connection's way in: where bytes are received, and from bytes to a head, a judged request, a
 * body, or a fault. Owns no state but the connection's.
 */
#include "server/base/assert.h"
#include "server/base/cidr.h"
#include "server/http/conn_internal.h"
#include "server/http/lenient.h"
#include "server/http/parser.h"
#include "server/http/policy.h"
#include "server/uwsgi/packet.h"
#include "server/uwsgi/request.h"

enum {
    /* One receive takes a usual head, or a head with a small body. Only pages that the kernel
     * writes to become resident. */
    INPUT_BYTES = 32 * 1024,
    INPUT_ROOM = 1024, /* less than this behind pipelined bytes: move them to the front */
    OVERFLOW_BYTES = 32 * 1024,
};

bool cg_conn_has_unread_input(const struct cg_conn *c) {
    return !c->head_taken || !c->exchange.body.complete || c->input_at < c->input.len ||
           c->overflow_at < c->overflow.len;
}

/* For heads: no slice into the input is alive here, so it may move. It stays below twice
 * limits.head_bytes, because the scanner has refused a longer head, or twice the longest packet. */
static int head_space(struct cg_conn *c, char **ret_at, size_t *ret_len) {
    struct cg_buf *in = &c->input;
    if (c->input_at && in->cap - in->len < INPUT_ROOM) {
        cg_buf_drop_front(in, c->input_at);
        c->input_at = 0;
    }
    if (in->len == in->cap) {
        int rc = cg_buf_reserve(in, in->cap ? 1 : INPUT_BYTES);
        if (rc < 0)
            return rc;
    }
    *ret_at = in->at + in->len;
    *ret_len = in->cap - in->len;
    return 0;
}

static int overflow_space(struct cg_conn *c, char **ret_at, size_t *ret_len) {
    c->overflow.len = c->overflow_at = 0;
    int rc = cg_buf_reserve(&c->overflow, OVERFLOW_BYTES);
    if (rc < 0)
        return rc;
    *ret_at = c->overflow.at;
    *ret_len = c->overflow.cap;
    return 0;
}

static int body_space(struct cg_conn *c, char **ret_at, size_t *ret_len) {
    int rc = cg_body_space(&c->exchange.body, ret_at, ret_len);
    if (rc < 0)
        return rc;
    c->receives_direct = *ret_len > 0;
    return c->receives_direct ? 0 : overflow_space(c, ret_at, ret_len);
}

int cg_conn_space(struct cg_conn *c, char **ret_at, size_t *ret_len) {
    CG_ASSERT(cg_conn_wants(c) == CG_WANT_READ);
    switch (c->state) {
    case CG_CONN_BODY:
        return body_space(c, ret_at, ret_len);
    case CG_CONN_LINGER:
        return overflow_space(c, ret_at, ret_len);
    default:
        return head_space(c, ret_at, ret_len);
    }
}

static bool is_client_fault(enum cg_fault fault) {
    int status = cg_fault_status(fault);
    return status < 500 || status == 501 || status == 505;
}

void cg_conn_refuse(struct cg_conn *c, enum cg_fault fault) {
    const char *text = cg_fault_text(fault);
    struct cg_slice host = cg_endpoint_host(c->exchange.client);
    if (fault == CG_FAULT_INCOMPLETE) /* health checks and port scanners do that all the time */
        cg_conn_report(c, CG_LOG_DEBUG, "Ignored premature client disconnection. %s, from ip=%.*s",
                       text, (int)host.len, host.at);
    else if (is_client_fault(fault))
        cg_conn_report(c, CG_LOG_WARNING, "Invalid request from ip=%.*s: %s", (int)host.len,
                       host.at, text);
    else
        cg_conn_report(c, CG_LOG_ERROR, "%s", text);
    c->must_close = true;
    if (cg_output_add_error_page(c, cg_fault_status(fault), text) < 0)
        cg_conn_broken(c);
    else
        cg_conn_enter(c, CG_CONN_SENDING);
}

void cg_conn_await_body(struct cg_conn *c) {
    if (c->eof)
        cg_conn_refuse(c, CG_FAULT_INCOMPLETE);
    else
        cg_conn_enter(c, CG_CONN_BODY);
}

/* Puts what has arrived at from[*at..] into the body. */
static void take_body(struct cg_conn *c, struct cg_buf *from, size_t *at) {
    struct cg_body *body = &c->exchange.body;
    size_t used = 0;
    enum cg_fault fault =
        cg_body_put(body, from->at + *at, from->len - *at, from == &c->input, &used);
    *at += used;
    if (fault)
        cg_conn_refuse(c, fault);
    else if (body->complete)
        cg_conn_enter(c, CG_CONN_READY);
    else
        cg_conn_await_body(c);
}

static void begin_body(struct cg_conn *c) {
    const struct cg_settings *s = c->http->settings;
    struct cg_exchange *ex = &c->exchange;
    enum cg_fault fault = cg_body_begin(&ex->body, &ex->request, (uint64_t)s->limit_request_body,
                                        (uint64_t)s->client_body_buffer_size, s->tmp_upload_dir);
    if (fault) {
        cg_conn_refuse(c, fault);
    } else if (ex->body.complete) {
        cg_conn_enter(c, CG_CONN_READY);
    } else if (c->input_at < c->input.len) {
        take_body(c, &c->input, &c->input_at);
    } else if (ex->request.expects_continue) {
        /* RFC 9110 section 10.1.1: only while nothing of the body has come. */
        cg_output_add_lead(c, CG_SLICE("HTTP/1.1 100 Continue\r\n\r\n"));
        cg_conn_enter(c, CG_CONN_CONTINUE);
    } else {
        cg_conn_await_body(c);
    }
}

/* The head is consumed, and no fault was found in it, or this one. */
static void end_head(struct cg_conn *c, enum cg_fault fault) {
    if (fault)
        cg_conn_refuse(c, fault);
    else
        begin_body(c);
}

static void take_head(struct cg_conn *c) {
    struct cg_exchange *ex = &c->exchange;
    const struct cg_settings *settings = c->http->settings;
    char *data = c->input.at + c->input_at;
    c->input_at += c->head.end;
    c->head_taken = true;
    ex->begun_us = c->http->now_us;
    cg_lenient_rewrite(&c->head, data, settings);
    enum cg_fault fault = cg_parser_parse(&ex->request, &c->head, data);
    if (!fault) {
        c->line_owed = true;
        fault = cg_policy_judge(&ex->request, settings);
    }
    if (!fault)
        fault = cg_trust_judge(&c->http->trust, &ex->request, ex->peer);
    end_head(c, fault);
}

/* nginx's REMOTE_ADDR, if it is an address: a client on a unix socket has none. */
static void name_client(struct cg_conn *c) {
    struct cg_exchange *ex = &c->exchange;
    uint64_t port;
    if (cg_num_parse_u64(ex->request.remote_port, &port) < 0 || port > UINT16_MAX)
        port = 0;
    if (cg_endpoint_parse_ip(ex->request.remote_addr, (uint16_t)port, &c->forwarded))
        ex->client = &c->forwarded;
}

static void take_packet(struct cg_conn *c, size_t len) {
    struct cg_exchange *ex = &c->exchange;
    char *packet = c->input.at + c->input_at;
    c->input_at += len;
    c->head_taken = true;
    ex->begun_us = c->http->now_us;
    enum cg_fault fault = cg_uwsgi_read(&ex->request, packet, len);
    if (!fault) {
        c->line_owed = true;
        name_client(c);
        fault = cg_policy_judge_forwarded(&ex->request, c->http->settings);
    }
    if (!fault)
        fault = cg_trust_judge_forwarded(&c->http->trust, &ex->request, ex->peer);
    end_head(c, fault);
}

bool cg_conn_has_blank_head(const struct cg_conn *c) {
    for (size_t i = c->input_at; i < c->input.len; i++)
        if (c->input.at[i] != "\r\n"[(i - c->input_at) % 2])
            return false;
    return true;
}

/* No slice into the input is alive. */
static void forget_consumed(struct cg_conn *c) {
    if (c->input_at == c->input.len)
        c->input.len = c->input_at = 0;
}

/* The client has finished sending within a head. */
static void end_in_head(struct cg_conn *c) {
    if (cg_conn_has_blank_head(c))
        cg_conn_enter(c, CG_CONN_CLOSED);
    else
        cg_conn_refuse(c, CG_FAULT_INCOMPLETE);
}

static void scan_head(struct cg_conn *c) {
    enum cg_fault fault = cg_head_scan(&c->head, &c->http->limits, c->input.at + c->input_at,
                                       c->input.len - c->input_at);
    if (fault)
        cg_conn_refuse(c, fault);
    else if (c->head.complete)
        take_head(c);
    else if (c->eof)
        end_in_head(c);
}

static void scan_packet(struct cg_conn *c) {
    size_t have = c->input.len - c->input_at;
    size_t len = cg_uwsgi_packet_len(cg_slice_of(c->input.at + c->input_at, have));
    if (len == CG_UWSGI_HEAD_LEN)
        cg_conn_enter(c, CG_CONN_CLOSED); /* somebody asks whether we are there */
    else if (len > 0 && have >= len)
        take_packet(c, len);
    else if (c->eof)
        cg_conn_refuse(c, CG_FAULT_INCOMPLETE);
}

static void begin_packet(struct cg_conn *c) {
    c->exchange.request.is_uwsgi = true; /* so is the answer to one that cannot be read */
    if (!cg_allow_has(c->http->uwsgi_peers, &c->peer)) {
        cg_conn_refuse(c, CG_FAULT_UWSGI_FORBIDDEN);
        return;
    }
    cg_conn_enter(c, CG_CONN_PACKET);
    scan_packet(c);
}

static void begin_head(struct cg_conn *c) {
    cg_conn_enter(c, CG_CONN_HEAD);
    scan_head(c);
}

/* What does not begin like a packet where only those are taken: somebody has mixed up proxy_pass
 * and uwsgi_pass, or talks TLS, or something else. */
static enum cg_fault fault_of_other(char first) {
    bool is_http = cg_field_is_token(cg_slice_of(&first, 1)) || first == '\r';
    return is_http ? CG_FAULT_HTTP_ON_UWSGI : CG_FAULT_UWSGI_PACKET;
}

/* The first byte of a request is there. That of a connection's first request tells what is spoken
 * on it. */
static void begin_request(struct cg_conn *c) {
    char first = c->input.at[c->input_at];
    bool is_packet = cg_uwsgi_begins(first);
    if (c->protocol == CG_PROTOCOL_AUTO)
        c->protocol = is_packet ? CG_PROTOCOL_UWSGI : CG_PROTOCOL_HTTP;
    bool takes_packets = c->protocol == CG_PROTOCOL_UWSGI;
    if (is_packet && takes_packets)
        begin_packet(c);
    else if (is_packet)
        cg_conn_refuse(c, CG_FAULT_UWSGI_ON_HTTP);
    else if (takes_packets)
        cg_conn_refuse(c, fault_of_other(first));
    else
        begin_head(c);
}

/* Behind the PROXY header. Nothing of a request has begun when it is all that has come. */
static void take_proxy(struct cg_conn *c, size_t header_len) {
    struct cg_exchange *ex = &c->exchange;
    ex->proxy = &c->proxy;
    if (cg_proxy_has_addresses(&c->proxy))
        ex->client = &c->proxy.source;
    c->proxy_possible = false;
    c->input_at += header_len;
    forget_consumed(c);
    if (c->input.len)
        begin_request(c);
    else
        cg_conn_enter(c, CG_CONN_IDLE);
}

static void read_proxy(struct cg_conn *c, enum cg_proxy_start start) {
    size_t header_len = 0;
    if (!cg_allow_has(c->http->proxy_peers, &c->peer)) {
        cg_conn_refuse(c, CG_FAULT_PROXY_FORBIDDEN);
        return;
    }
    enum cg_fault fault = cg_proxy_read(start, cg_buf_slice(&c->input), &c->proxy, &header_len);
    if (fault)
        cg_conn_refuse(c, fault);
    else if (header_len)
        take_proxy(c, header_len);
    else if (c->eof)
        end_in_head(c);
}

/* The connection's first bytes; input_at is 0. */
static void scan_proxy(struct cg_conn *c) {
    enum cg_proxy_start start = cg_proxy_detect(c->http->proxy_versions, cg_buf_slice(&c->input));
    switch (start) {
    case CG_PROXY_UNDECIDED:
        if (c->eof)
            end_in_head(c);
        break;
    case CG_PROXY_ABSENT:
        c->proxy_possible = false;
        begin_request(c);
        break;
    case CG_PROXY_STARTS_V1:
    case CG_PROXY_STARTS_V2:
        read_proxy(c, start);
        break;
    }
}

/* More of the input has come, or its end. */
static void scan_input(struct cg_conn *c) {
    switch (c->state) {
    case CG_CONN_IDLE:
        if (!c->proxy_possible) {
            begin_request(c);
            break;
        }
        cg_conn_enter(c, CG_CONN_PROXY_HEAD);
        /* fall through */
    case CG_CONN_PROXY_HEAD:
        scan_proxy(c);
        break;
    case CG_CONN_PACKET:
        scan_packet(c);
        break;
    default:
        scan_head(c);
    }
}

static void feed_body(struct cg_conn *c, size_t n) {
    if (c->receives_direct) {
        cg_body_filled(&c->exchange.body, n);
        cg_conn_enter(c, c->exchange.body.complete ? CG_CONN_READY : CG_CONN_BODY);
    } else {
        CG_ASSERT(n <= c->overflow.cap);
        c->overflow.len = n;
        take_body(c, &c->overflow, &c->overflow_at);
    }
}

static void linger(struct cg_conn *c, size_t n) {
    c->lingered_bytes += n;
    if (c->lingered_bytes > CG_LINGER_BYTES)
        cg_conn_enter(c, CG_CONN_CLOSED);
}

void cg_conn_fed(struct cg_conn *c, size_t n) {
    CG_ASSERT(cg_conn_wants(c) == CG_WANT_READ);
    switch (c->state) {
    case CG_CONN_IDLE:
    case CG_CONN_PROXY_HEAD:
    case CG_CONN_HEAD:
    case CG_CONN_PACKET:
        CG_ASSERT(n <= c->input.cap - c->input.len);
        c->input.len += n;
        scan_input(c);
        break;
    case CG_CONN_BODY:
        feed_body(c, n);
        break;
    case CG_CONN_LINGER:
        linger(c, n);
        break;
    default:
        break;
    }
}

void cg_conn_eof(struct cg_conn *c) {
    c->eof = true;
    switch (c->state) {
    case CG_CONN_PROXY_HEAD:
    case CG_CONN_HEAD:
    case CG_CONN_PACKET:
        scan_input(c);
        break;
    case CG_CONN_BODY:
        cg_conn_refuse(c, CG_FAULT_INCOMPLETE);
        break;
    case CG_CONN_IDLE:
    case CG_CONN_SHUT:
    case CG_CONN_LINGER:
        cg_conn_enter(c, CG_CONN_CLOSED);
        break;
    default:
        break; /* what is complete is answered */
    }
}

/* Makes the unconsumed bytes the input, at offset input_at. */
static void keep_leftover(struct cg_conn *c) {
    if (c->overflow_at < c->overflow.len) {
        CG_ASSERT(c->input_at == c->input.len);
        struct cg_buf input = c->input;
        c->input = c->overflow;
        c->input_at = c->overflow_at;
        c->overflow = input;
    }
    c->overflow.len = c->overflow_at = 0;
    forget_consumed(c);
}

void cg_conn_next_request(struct cg_conn *c) {
    cg_conn_forget_exchange(c);
    keep_leftover(c);
    c->reused = true;
    if (c->input.len)
        begin_request(c);
    else
        cg_conn_enter(c, c->eof ? CG_CONN_CLOSED : CG_CONN_IDLE);
}
