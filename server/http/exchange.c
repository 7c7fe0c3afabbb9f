/* SPDX-License-Identifier: MIT
 *
 * The connection and the application: begin, the chunks as the client takes them, end, the access
 * line; and what the application may ask for meanwhile. Owns no state but the connection's.
 */
#include "server/http/exchange.h"

#include "server/base/assert.h"
#include "server/base/copy.h"
#include "server/http/access.h"
#include "server/http/conn_internal.h"

#include <errno.h>

enum { REPORT_LINE_MAX = 200 }; /* bytes of the request line in a report */

/* "... : GET /path HTTP/1.1" */
static void report(struct cg_conn *c, enum cg_log_level level, const char *text) {
    struct cg_slice line = c->exchange.request.line;
    cg_conn_report(c, level, "%s: %.*s", text,
                   (int)(line.len < REPORT_LINE_MAX ? line.len : REPORT_LINE_MAX), line.at);
}

/* Before the head has left the client gets a page; afterwards a response that visibly does not end
 * as it should. */
static void fail(struct cg_conn *c) {
    c->stage = CG_STAGE_ENDING;
    c->must_close = true;
    if (c->broken)
        return;
    if (c->exchange.response.head_sent) {
        c->exchange.aborted = true;
        return;
    }
    if (cg_output_add_error_page(c, cg_fault_status(CG_FAULT_APPLICATION), "") < 0)
        cg_conn_broken(c);
    else
        cg_conn_enter(c, CG_CONN_SENDING);
}

/* Queues the head unless it has left. False when the response has failed. */
static bool ensure_head(struct cg_conn *c, int64_t known_length) {
    const struct cg_response *r = &c->exchange.response;
    if (r->head_sent)
        return true;
    if (!r->started) {
        report(c, CG_LOG_ERROR, "Application did not call start_response");
        fail(c);
        return false;
    }
    if (cg_output_add_head(c, known_length) < 0) {
        cg_conn_broken(c);
        return false;
    }
    return true;
}

static uint64_t chunk_len(const struct cg_chunk *chunk) {
    return chunk->fd < 0 ? chunk->bytes.len : chunk->file_len;
}

/* A client must not see body bytes that the head has not promised. True when chunk has such. */
static bool is_too_much(struct cg_conn *c, const struct cg_chunk *chunk) {
    const struct cg_response *r = &c->exchange.response;
    bool no_body = r->framing == CG_RESPONSE_NO_BODY;
    bool too_long =
        r->framing == CG_RESPONSE_LENGTH && chunk_len(chunk) > r->length - r->body_bytes;
    bool is_error = too_long || (no_body && !c->exchange.request.is_head);
    if (is_error && !c->excess_reported) {
        c->excess_reported = true;
        report(c, CG_LOG_WARNING,
               no_body ? "Application sent a body with a status that has none, it is dropped"
                       : "Application sent more bytes than its Content-Length, the rest is cut");
    }
    return no_body || too_long;
}

static void send_chunk(struct cg_conn *c, const struct cg_chunk *chunk) {
    CG_ASSERT(chunk->fd < 0 || chunk->last);
    if (!ensure_head(c, chunk->last ? (int64_t)chunk_len(chunk) : -1))
        return;
    bool last = is_too_much(c, chunk) || chunk->last;
    if (last)
        c->stage = CG_STAGE_ENDING;
    cg_output_add_chunk(c, chunk, last);
    if (!cg_output_empty(c))
        cg_conn_enter(c, CG_CONN_SENDING);
}

static void send_end(struct cg_conn *c) {
    static const struct cg_chunk nothing = {.fd = -1, .last = true};
    if (!ensure_head(c, 0))
        return;
    c->stage = CG_STAGE_ENDING;
    cg_output_add_chunk(c, &nothing, true);
    if (!cg_output_empty(c))
        cg_conn_enter(c, CG_CONN_SENDING);
}

/* A client that has finished sending may still wait for its answer, so the end of a connection that
 * came in good order looks like that, until something is sent into it. Event streams have no end to
 * wait for. */
static bool client_gone(struct cg_conn *c) {
    return c->http->io->client_gone(c->http->io_ctx, c, c->exchange.response.is_event_stream);
}

/* Asks for the next chunk. An empty one sends nothing: the head waits for the first byte (PEP 3333,
 * "Handling the start_response callable"), and it would end a chunked body. It says that the
 * application is well and waits for something, so it is asked again, if its client is still there.
 */
static void pull(struct cg_conn *c) {
    struct cg_http *http = c->http;
    struct cg_chunk chunk = {.fd = -1};
    enum cg_app_result result = http->app->next(http->app_ctx, &c->exchange, &chunk);
    if (c->broken)
        return;
    bool is_empty = result == CG_APP_CHUNK && chunk_len(&chunk) == 0;
    if (result == CG_APP_FAILED)
        fail(c);
    else if (result == CG_APP_END || (is_empty && chunk.last))
        send_end(c);
    else if ((is_empty || c->exchange.response.is_event_stream) && client_gone(c))
        cg_conn_broken(c);
    else if (!is_empty)
        send_chunk(c, &chunk);
}

static void begin(struct cg_conn *c) {
    struct cg_http *http = c->http;
    http->requests_n++;
    c->exchange.number++;
    c->exchange.entered_us = http->now_us;
    c->exchange.waited_us = http->now_us - c->since_us;
    c->stage = CG_STAGE_PULLING;
    if (http->app->begin(http->app_ctx, &c->exchange) == CG_APP_FAILED)
        fail(c);
}

void cg_conn_run(struct cg_conn *c) {
    CG_ASSERT(c->state == CG_CONN_READY);
    if (c->stage == CG_STAGE_NONE)
        begin(c);
    if (c->stage == CG_STAGE_PULLING && !c->broken)
        pull(c);
    if (c->state != CG_CONN_SENDING && (c->stage == CG_STAGE_ENDING || c->broken))
        cg_exchange_finish(c);
}

/* A length that was not kept must not be taken for the beginning of the next response. */
static void check_length(struct cg_conn *c) {
    const struct cg_response *r = &c->exchange.response;
    if (c->must_close || c->broken || r->framing != CG_RESPONSE_LENGTH ||
        r->body_bytes == r->length)
        return;
    report(c, CG_LOG_WARNING,
           "Application sent fewer bytes than its Content-Length, the connection is closed");
    c->must_close = true;
    c->exchange.aborted = true;
}

void cg_exchange_finish(struct cg_conn *c) {
    check_length(c);
    c->stage = CG_STAGE_ENDING;
    c->http->app->end(c->http->app_ctx, &c->exchange);
    c->stage = CG_STAGE_NONE;
    c->exchange.app_state = NULL;
    cg_exchange_log(c);
    if (c->broken)
        cg_conn_enter(c, CG_CONN_CLOSED);
    else if (c->must_close || !c->exchange.response.keep_alive)
        cg_conn_close(c);
    else
        cg_conn_next_request(c);
}

void cg_exchange_log(struct cg_conn *c) {
    struct cg_http *http = c->http;
    if (!c->line_owed)
        return;
    c->line_owed = false;
    if (http->measures)
        http->io->measure(http->io_ctx, cg_exchange_status(&c->exchange),
                          http->now_us - c->exchange.begun_us);
    if (!http->access)
        return;
    c->scratch.len = 0;
    if (cg_access_render(http->access, &c->exchange, http->now_us, http->wall_s, &c->scratch) == 0)
        http->io->access(http->io_ctx, cg_buf_slice(&c->scratch));
}

void cg_conn_answer_in_place(struct cg_conn *c, const struct cg_conn *stuck) {
    const struct cg_request *of = &stuck->exchange.request;
    struct cg_request *r = &c->exchange.request;
    r->is_head = of->is_head;
    r->is_uwsgi = of->is_uwsgi;
    r->version_major = of->version_major;
    r->version_minor = of->version_minor;
    enum cg_fault fault = CG_FAULT_APPLICATION_TIMEOUT;
    if (cg_output_add_error_page(c, cg_fault_status(fault), cg_fault_text(fault)) < 0)
        cg_conn_broken(c);
    else
        cg_conn_enter(c, CG_CONN_SENDING);
}

void cg_conn_log_in_place(const struct cg_conn *stuck, struct cg_http *http, int status,
                          uint64_t body_bytes) {
    const struct cg_exchange *of = &stuck->exchange;
    struct cg_exchange ex = {
        .request = of->request,
        .response = {.status = status, .body_bytes = body_bytes},
        .peer = of->peer,
        .client = of->client,
        .local = of->local,
        .proxy = of->proxy,
        .fd = -1,
        .begun_us = of->begun_us,
    };
    struct cg_buf line = CG_BUF_INIT;
    if (http->access && cg_access_render(http->access, &ex, http->now_us, http->wall_s, &line) == 0)
        http->io->access(http->io_ctx, cg_buf_slice(&line));
    cg_buf_done(&line);
}

/* Sends what is queued from within the application's call. To a copy of this process the client is
 * gone. */
static int drain(struct cg_conn *c) {
    if (cg_output_empty(c))
        return 0;
    if (cg_is_copy()) {
        cg_conn_broken(c);
        return -EPIPE;
    }
    cg_conn_enter(c, CG_CONN_SENDING);
    int rc = c->http->io->drain(c->http->io_ctx, c);
    if (rc < 0 && !c->broken)
        cg_conn_broken(c);
    CG_ASSERT(c->state == CG_CONN_READY);
    return c->broken && rc == 0 ? -EPIPE : rc;
}

int cg_exchange_status(const struct cg_exchange *ex) {
    return ex->client_left ? CG_STATUS_CLIENT_LEFT : ex->response.status;
}

static struct cg_conn *conn_of(struct cg_exchange *ex) {
    return CG_LIST_ENTRY(ex, struct cg_conn, exchange);
}

int cg_exchange_push(struct cg_exchange *ex, struct cg_slice bytes) {
    struct cg_conn *c = conn_of(ex);
    if (c->broken)
        return -EPIPE;
    if (c->stage != CG_STAGE_PULLING)
        return -ESHUTDOWN;
    if (!ex->response.started)
        return -EINVAL;
    if (bytes.len == 0)
        return 0;
    if (!ensure_head(c, -1))
        return -ENOMEM;
    struct cg_chunk chunk = {.bytes = bytes, .fd = -1};
    is_too_much(c, &chunk);
    cg_output_add_chunk(c, &chunk, false);
    return drain(c);
}

int cg_exchange_inform(struct cg_exchange *ex, int status, struct cg_slice fields) {
    struct cg_conn *c = conn_of(ex);
    if (c->broken)
        return -EPIPE;
    if (c->stage != CG_STAGE_PULLING || ex->response.head_sent || status < 100 || status > 199)
        return -EINVAL;
    /* RFC 9110 section 15.2; over uwsgi nginx takes the first head for the final one. */
    if (!cg_request_is_1_1(&ex->request) || ex->request.is_uwsgi)
        return 0;
    c->scratch.len = 0;
    if (cg_buf_appendf(&c->scratch, "HTTP/1.1 %d %s\r\n", status, cg_status_reason(status)) < 0 ||
        cg_buf_append(&c->scratch, fields) < 0 || cg_buf_append(&c->scratch, CG_SLICE("\r\n")) < 0)
        return -ENOMEM;
    cg_output_add_lead(c, cg_buf_slice(&c->scratch));
    return drain(c);
}

bool cg_exchange_client_gone(struct cg_exchange *ex) {
    struct cg_conn *c = conn_of(ex);
    return c->broken || cg_is_copy() || c->http->io->client_gone(c->http->io_ctx, c, true);
}
