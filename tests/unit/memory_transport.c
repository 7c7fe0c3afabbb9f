/* SPDX-License-Identifier: MIT
 *
 * The driver over memory of memory_transport.h.
 */
#include "tests/unit/memory_transport.h"

#include "server/http/access.h"
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

static size_t cut(struct memory_transport *t, enum mt_cut way, size_t max) {
    if (way == MT_BYTES)
        return 1;
    return way == MT_WHOLE ? max : 1 + (size_t)rand_r(&t->seed) % max;
}

static void keep(struct cg_buf *b, const char *at, size_t len) {
    CG_CHECK_INT(cg_buf_append(b, cg_slice_of(at, len)), 0);
}

static size_t output_len(const struct cg_output *out) {
    size_t len = (size_t)out->file_len;
    for (int i = 0; i < out->iov_n; i++)
        len += out->iov[i].iov_len;
    return len;
}

/* Takes n bytes of the output, as writev and sendfile would. */
static void take_output(struct memory_transport *t, const struct cg_output *out, size_t n) {
    for (int i = 0; i < out->iov_n && n; i++) {
        size_t part = n < out->iov[i].iov_len ? n : out->iov[i].iov_len;
        keep(&t->sent, out->iov[i].iov_base, part);
        n -= part;
    }
    if (n == 0)
        return;
    CG_CHECK(out->fd >= 0);
    CG_CHECK_INT(cg_buf_reserve(&t->sent, n), 0);
    CG_CHECK_INT(pread(out->fd, t->sent.at + t->sent.len, n, (off_t)out->file_offset), n);
    t->sent.len += n;
}

static int send_some(struct memory_transport *t) {
    const struct cg_output *out = cg_conn_output(t->conn);
    size_t len = output_len(out);
    CG_CHECK(len > 0);
    size_t n = cut(t, t->writes, len), room = t->sends_max - t->sent.len;
    if (n > room)
        n = room;
    if (n == 0) {
        cg_conn_broken(t->conn);
        return -EPIPE;
    }
    take_output(t, out, n);
    cg_conn_sent(t->conn, n);
    return 0;
}

static int io_drain(void *io, struct cg_conn *conn) {
    struct memory_transport *t = io;
    CG_CHECK(conn == t->conn);
    int rc = 0;
    while (rc == 0 && cg_conn_wants(conn) == CG_WANT_WRITE)
        rc = send_some(t);
    return rc;
}

static bool io_client_gone(void *io, struct cg_conn *conn, bool fin_counts) {
    struct memory_transport *t = io;
    CG_CHECK(conn == t->conn);
    return t->client_gone || (fin_counts && t->client_finished);
}

static void io_report(void *io, struct cg_conn *conn, enum cg_log_level level, const char *text) {
    static const char *const names[] = {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"};
    struct memory_transport *t = io;
    CG_CHECK(conn == t->conn);
    CG_CHECK_INT(cg_buf_appendf(&t->reports, "%s %s\n", names[level], text), 0);
}

static void io_access(void *io, struct cg_slice line) {
    struct memory_transport *t = io;
    keep(&t->lines, line.at, line.len);
    keep(&t->lines, "\n", 1);
}

static const struct cg_io io_table = {
    .drain = io_drain,
    .client_gone = io_client_gone,
    .report = io_report,
    .access = io_access,
};

static struct cg_endpoint endpoint(const char *host, uint16_t port) {
    struct cg_endpoint e = {.family = CG_FAMILY_IPV4, .port = port};
    e.host_len = (uint8_t)strlen(host);
    memcpy(e.host, host, e.host_len);
    e.ip[10] = e.ip[11] = 0xff;
    CG_CHECK_INT(inet_pton(AF_INET, host, e.ip + 12), 1);
    return e;
}

struct cg_settings mt_default_settings(void) {
    return (struct cg_settings){
        .keepalive = 5,
        .client_header_timeout = 10,
        .client_body_timeout = 10,
        .send_timeout = 10,
        .limit_request_line = 4094,
        .limit_request_fields = 100,
        .limit_request_field_size = 8190,
        .client_body_buffer_size = 1024 * 1024,
    };
}

void mt_open(struct memory_transport *t, const struct fake_script *script,
             const struct cg_settings *settings) {
    *t = (struct memory_transport){.seed = 1, .sends_max = SIZE_MAX};
    t->app.script = script;
    t->settings = settings ? *settings : mt_default_settings();
    t->peer = endpoint("192.0.2.1", 4711);
    t->local = endpoint("127.0.0.1", 8000);
    CG_CHECK_INT(cg_http_init(&t->http, &t->settings, &fake_app_table, &t->app, &io_table, t), 0);
    t->http.now_us = 1000000;
    t->http.wall_s = 0;
    t->conn =
        cg_conn_new(&t->http, -1, &t->peer, &t->local, cg_protocol_of(t->settings.protocol), t);
    CG_CHECK(t->conn && cg_conn_owner(t->conn) == t);
}

void mt_log_access(struct memory_transport *t, const char *format) {
    t->http.access = cg_access_new(format);
    CG_CHECK(t->http.access);
}

void mt_close(struct memory_transport *t) {
    cg_conn_free(t->conn);
    CG_CHECK_INT(t->app.begin_n, t->app.end_n);
    cg_http_done(&t->http);
    cg_access_free(t->http.access);
    fake_app_done(&t->app);
    cg_buf_done(&t->sent);
    cg_buf_done(&t->reports);
    cg_buf_done(&t->lines);
}

/* False when there is nothing to read. */
static bool receive(struct memory_transport *t) {
    char *at;
    size_t room;
    if (!t->input.len)
        return false;
    CG_CHECK_INT(cg_conn_space(t->conn, &at, &room), 0);
    CG_CHECK(room > 0);
    size_t n = cut(t, t->reads, room < t->input.len ? room : t->input.len);
    memcpy(at, t->input.at, n);
    t->input = cg_slice_of(t->input.at + n, t->input.len - n);
    cg_conn_fed(t->conn, n);
    return true;
}

static bool step(struct memory_transport *t) {
    switch (cg_conn_wants(t->conn)) {
    case CG_WANT_READ:
        return receive(t);
    case CG_WANT_WRITE:
        send_some(t);
        return true;
    case CG_WANT_APP:
        cg_conn_run(t->conn);
        return true;
    case CG_WANT_SHUT:
        t->shut = true;
        cg_conn_shut(t->conn);
        return true;
    case CG_WANT_CLOSE:
        t->closed = true;
        return false;
    }
    return false;
}

void mt_step(struct memory_transport *t, int steps) {
    while (steps-- > 0 && step(t))
        continue;
}

void mt_feed(struct memory_transport *t, struct cg_slice bytes) {
    t->input = bytes;
    mt_step(t, INT_MAX);
}

void mt_eof(struct memory_transport *t) {
    cg_conn_eof(t->conn);
    mt_step(t, INT_MAX);
}

static void try_cut(const char *file, int line, const struct mt_talk *talk, enum mt_cut reads,
                    enum mt_cut writes, unsigned seed) {
    struct memory_transport t;
    mt_open(&t, talk->script, talk->settings);
    t.reads = reads;
    t.writes = writes;
    t.seed = seed;
    mt_feed(&t, talk->input);
    if (talk->has_eof && !t.closed)
        mt_eof(&t);
    cg_test_check_slice(file, line, cg_buf_slice(&t.sent), talk->want);
    cg_test_check_slice(file, line, cg_buf_slice(&t.reports), cg_slice_str(talk->reports));
    if (t.closed != talk->closed || t.shut != talk->shut || t.app.end_n != talk->exchanges_n)
        cg_test_fail(file, line, "closed %d, shut %d, %d exchanges (reads %d, writes %d)", t.closed,
                     t.shut, t.app.end_n, reads, writes);
    mt_close(&t);
}

void mt_try(const char *file, int line, const struct mt_talk *talk) {
    enum { RANDOM_N = 10 };
    for (int reads = MT_WHOLE; reads <= MT_RANDOM; reads++)
        for (int writes = MT_WHOLE; writes <= MT_RANDOM; writes++)
            for (unsigned seed = 1; seed <= RANDOM_N; seed++)
                try_cut(file, line, talk, (enum mt_cut)reads, (enum mt_cut)writes, seed);
}
