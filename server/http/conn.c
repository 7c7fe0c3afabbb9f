/* SPDX-License-Identifier: MIT
 *
 * The connection's life, its clock and the questions that a driver asks. The states and edges are
 * drawn in conn.h; the table of states is conn_state.def. Owns struct cg_http's list of spare
 * connections.
 */
#include "server/http/conn.h"

#include "server/base/assert.h"
#include "server/base/cidr.h"
#include "server/base/clock.h"
#include "server/http/conn_internal.h"
#include "server/http/policy.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    SPARE_MAX = 64,
    KEEP_CAP = 32 * 1024, /* larger buffers are not kept for the next client */
    REPORT_MAX = 512,
};

static const struct {
    enum cg_want want;
    const char *text;
} STATES[] = {
#define CG_CONN_STATE(id, want, text) {CG_WANT_##want, text},
#include "server/http/conn_state.def"
#undef CG_CONN_STATE
};

static int init_allow(struct cg_allow **ret_allow, const char *list) {
    struct cg_slice bad;
    struct cg_allow *allow = cg_allow_new(list, &bad);
    if (!allow)
        return bad.len ? -EINVAL : -ENOMEM;
    *ret_allow = allow;
    return 0;
}

int cg_http_init(struct cg_http *http, const struct cg_settings *settings, const struct cg_app *app,
                 void *app_ctx, const struct cg_io *io, void *io_ctx) {
    *http = (struct cg_http){
        .settings = settings,
        .app = app,
        .app_ctx = app_ctx,
        .io = io,
        .io_ctx = io_ctx,
        .limits = cg_policy_head_limits(settings),
        .proxy_versions = cg_proxy_versions(settings->proxy_protocol),
    };
    cg_list_init(&http->spare);
    cg_http_tick(http);
    int rc = cg_trust_init(&http->trust, settings);
    if (rc == 0)
        rc = init_allow(&http->uwsgi_peers, settings->uwsgi_allow_ips);
    if (rc < 0 || http->proxy_versions == CG_PROXY_OFF)
        return rc;
    return init_allow(&http->proxy_peers, settings->proxy_allow_ips);
}

void cg_http_tick(struct cg_http *http) {
    http->now_us = cg_clock_us();
    http->wall_s = cg_clock_wall_s();
}

static void destroy(struct cg_conn *c) {
    cg_request_done(&c->exchange.request);
    cg_body_done(&c->exchange.body);
    cg_response_done(&c->exchange.response);
    cg_buf_done(&c->exchange.notes);
    cg_buf_done(&c->input);
    cg_buf_done(&c->overflow);
    cg_buf_done(&c->scratch);
    free(c);
}

void cg_http_done(struct cg_http *http) {
    while (!cg_list_empty(&http->spare)) {
        struct cg_conn *c = CG_LIST_ENTRY(http->spare.next, struct cg_conn, spare_node);
        cg_list_remove(&c->spare_node);
        destroy(c);
    }
    http->spare_n = 0;
    cg_trust_done(&http->trust);
    cg_allow_free(http->proxy_peers);
    cg_allow_free(http->uwsgi_peers);
    http->proxy_peers = http->uwsgi_peers = NULL;
}

/* A connection with its buffers and no exchange, otherwise in no particular state. */
static struct cg_conn *take_spare(struct cg_http *http) {
    if (!cg_list_empty(&http->spare)) {
        struct cg_conn *c = CG_LIST_ENTRY(http->spare.prev, struct cg_conn, spare_node);
        cg_list_remove(&c->spare_node);
        http->spare_n--;
        return c;
    }
    struct cg_conn *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    cg_list_init(&c->spare_node);
    cg_request_init(&c->exchange.request);
    cg_body_init(&c->exchange.body);
    cg_response_init(&c->exchange.response);
    cg_head_reset(&c->head);
    return c;
}

static void trim_buf(struct cg_buf *b) {
    b->len = 0;
    if (b->cap > KEEP_CAP)
        cg_buf_done(b);
}

void cg_conn_forget_exchange(struct cg_conn *c) {
    struct cg_exchange *ex = &c->exchange;
    cg_body_reset(&ex->body);
    cg_request_reset(&ex->request);
    cg_response_reset(&ex->response);
    trim_buf(&ex->notes);
    ex->begun_us = ex->entered_us = ex->waited_us = 0;
    ex->aborted = ex->client_left = false;
    cg_head_reset(&c->head);
    c->head_taken = c->excess_reported = c->line_owed = false;
}

static void give_back(struct cg_conn *c) {
    struct cg_http *http = c->http;
    if (http->spare_n >= SPARE_MAX) {
        destroy(c);
        return;
    }
    cg_conn_forget_exchange(c);
    trim_buf(&c->input);
    trim_buf(&c->overflow);
    trim_buf(&c->scratch);
    cg_list_push_back(&http->spare, &c->spare_node);
    http->spare_n++;
}

struct cg_conn *cg_conn_new(struct cg_http *http, int fd, const struct cg_endpoint *peer,
                            const struct cg_endpoint *local, enum cg_protocol protocol,
                            void *owner) {
    struct cg_conn *c = take_spare(http);
    if (!c)
        return NULL;
    c->http = http;
    c->owner = owner;
    c->protocol = protocol;
    c->peer = *peer;
    c->exchange.peer = c->exchange.client = &c->peer;
    c->exchange.proxy = NULL;
    c->exchange.local = local;
    c->exchange.fd = fd;
    c->exchange.number = 0;
    c->stage = CG_STAGE_NONE;
    c->proxy_possible = http->proxy_versions != CG_PROXY_OFF;
    c->reused = c->eof = c->broken = c->must_close = false;
    c->input_at = c->overflow_at = c->lingered_bytes = 0;
    cg_output_clear(c);
    cg_conn_enter(c, CG_CONN_IDLE);
    return c;
}

void cg_conn_free(struct cg_conn *c) {
    if (!c)
        return;
    cg_conn_broken(c);
    if (c->stage != CG_STAGE_NONE)
        cg_exchange_finish(c);
    give_back(c);
}

void cg_conn_enter(struct cg_conn *c, enum cg_conn_state state) {
    c->state = state;
    c->since_us = c->http->now_us;
}

/* RFC 9112 section 9.6: closing with input unread makes the kernel answer with a reset, which may
 * destroy the response on its way. */
void cg_conn_close(struct cg_conn *c) {
    bool unread = !c->eof && !c->broken && cg_conn_has_unread_input(c);
    cg_conn_enter(c, unread ? CG_CONN_SHUT : CG_CONN_CLOSED);
}

void cg_conn_shut(struct cg_conn *c) {
    CG_ASSERT(c->state == CG_CONN_SHUT);
    cg_conn_enter(c, CG_CONN_LINGER);
}

void cg_conn_broken(struct cg_conn *c) {
    c->broken = true;
    /* Otherwise the response has left as a whole, and only `end` is owed. */
    if (c->stage != CG_STAGE_ENDING || !cg_output_empty(c))
        c->exchange.aborted = c->exchange.client_left = true;
    cg_output_clear(c);
    if (c->stage != CG_STAGE_NONE) {
        c->state = CG_CONN_READY;
        return;
    }
    cg_exchange_log(c);
    c->state = CG_CONN_CLOSED;
}

void cg_conn_move(struct cg_conn *c, struct cg_http *http) {
    c->http = http;
}

enum cg_want cg_conn_wants(const struct cg_conn *c) {
    return STATES[c->state].want;
}

const char *cg_conn_doing(const struct cg_conn *c) {
    return STATES[c->state].text;
}

/* 0 for never. */
static uint64_t timeout_us(const struct cg_conn *c) {
    const struct cg_settings *s = c->http->settings;
    int64_t seconds = 0;
    switch (c->state) {
    case CG_CONN_IDLE:
        seconds = c->reused ? s->keepalive : s->client_header_timeout;
        break;
    case CG_CONN_PROXY_HEAD:
    case CG_CONN_HEAD:
    case CG_CONN_PACKET:
        seconds = s->client_header_timeout;
        break;
    case CG_CONN_BODY:
        seconds = s->client_body_timeout;
        break;
    case CG_CONN_CONTINUE:
    case CG_CONN_SENDING:
        seconds = s->send_timeout;
        break;
    case CG_CONN_LINGER:
        return CG_LINGER_MS * UINT64_C(1000);
    case CG_CONN_READY:
    case CG_CONN_SHUT:
    case CG_CONN_CLOSED:
        break;
    }
    return seconds > 0 ? (uint64_t)seconds * 1000000 : 0;
}

uint64_t cg_conn_deadline_us(const struct cg_conn *c) {
    uint64_t timeout = timeout_us(c), deadline;
    if (timeout == 0 || __builtin_add_overflow(c->since_us, timeout, &deadline))
        return UINT64_MAX;
    return deadline;
}

void cg_conn_expire(struct cg_conn *c) {
    if (cg_conn_idle(c)) {
        cg_conn_enter(c, CG_CONN_CLOSED);
        return;
    }
    switch (c->state) {
    case CG_CONN_PROXY_HEAD:
    case CG_CONN_HEAD:
    case CG_CONN_PACKET:
        cg_conn_refuse(c, CG_FAULT_HEAD_TIMEOUT);
        break;
    case CG_CONN_BODY:
        cg_conn_refuse(c, CG_FAULT_BODY_TIMEOUT);
        break;
    case CG_CONN_CONTINUE:
    case CG_CONN_SENDING:
        cg_conn_report(
            c, CG_LOG_WARNING, "Client ip=%.*s took nothing within send_timeout, while %s",
            (int)c->exchange.client->host_len, c->exchange.client->host, cg_conn_doing(c));
        cg_conn_broken(c);
        break;
    case CG_CONN_LINGER:
        cg_conn_enter(c, CG_CONN_CLOSED);
        break;
    case CG_CONN_IDLE:
    case CG_CONN_READY:
    case CG_CONN_SHUT:
    case CG_CONN_CLOSED:
        break;
    }
}

void cg_conn_decline(struct cg_conn *c) {
    CG_ASSERT(c->state == CG_CONN_READY && c->stage == CG_STAGE_NONE);
    cg_conn_refuse(c, CG_FAULT_UNSERVED);
}

bool cg_conn_idle(const struct cg_conn *c) {
    return c->state == CG_CONN_IDLE || (c->state == CG_CONN_HEAD && cg_conn_has_blank_head(c));
}

bool cg_conn_has_begun(const struct cg_conn *c) {
    return c->stage != CG_STAGE_NONE;
}

bool cg_conn_in_app(const struct cg_conn *c) {
    return c->stage == CG_STAGE_PULLING;
}

void cg_conn_trim(struct cg_conn *c) {
    if (c->state != CG_CONN_IDLE || c->input.len)
        return;
    cg_buf_done(&c->input);
    cg_buf_done(&c->overflow);
}

void *cg_conn_owner(const struct cg_conn *c) {
    return c->owner;
}

struct cg_exchange *cg_conn_exchange(struct cg_conn *c) {
    return &c->exchange;
}

void cg_conn_report(struct cg_conn *c, enum cg_log_level level, const char *format, ...) {
    char text[REPORT_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    c->http->io->report(c->http->io_ctx, c, level, text);
}
