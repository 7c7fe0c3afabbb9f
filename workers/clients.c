/* SPDX-License-Identifier: MIT
 *
 * The clients of clients.h. Owns their descriptors, connections and deadlines. Interprets no HTTP:
 * it asks cg_conn_wants() and obeys.
 *
 * System calls are the budget. A client that never has to wait costs accept4, recv, sendmsg and
 * close, and is never registered; one that does is registered once, level-triggered, and changed
 * only when it turns from reading to writing. So a short read is taken for the last: if more comes,
 * the wait set says so.
 */
#include "workers/clients.h"

#include "server/base/fd.h"
#include "workers/client_io.h"
#include "workers/core.h"
#include "workers/io_socket.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>

enum {
    /* What one client may do in one turn: about sixteen pipelined requests, or some MiB of a body.
     */
    STEPS_MAX = 64,
    /* With few clients their input buffers are kept over keep-alive, to spare the allocator. */
    TRIM_FROM_N = 64,
    SECOND_US = 1000 * 1000,
};

struct client {
    struct cg_source source; /* first: the wait set's token */
    struct cg_conn *conn;
    struct cg_deadline deadline;
    struct cg_list all, place; /* place: in idle, in ready, or nowhere */
    int events;                /* what the wait set watches; 0 = not registered */
    bool readable;             /* receiving is worth a try */
};

static bool leaving_now(const struct cg_clients *s) {
    return s->worker->stop == CG_STOP_QUICK;
}

static void client_free(struct cg_clients *s, struct client *c) {
    /* Not left to close(): a child of the application may hold the descriptor too, and the wait set
     * would go on reporting it. */
    if (c->events)
        cg_waitset_remove(s->waits, c->source.fd);
    cg_deadlines_remove(&s->deadlines, &c->deadline);
    cg_list_remove(&c->place);
    cg_list_remove(&c->all);
    cg_conn_free(c->conn);
    cg_fd_close(&c->source.fd);
    free(c);
    s->n--;
}

/* The slot shows a request from begin until its client is left alone, so that close() of the
 * response is covered as well. */
static void end_request(struct cg_clients *s) {
    if (s->in_request)
        cg_worker_end_request(s->worker, s->http.now_us);
    s->in_request = false;
}

static void begin_request(struct cg_clients *s, const struct cg_exchange *ex) {
    end_request(s);
    cg_worker_begin_request(s->worker, ex, s->http.now_us);
    s->in_request = true;
    s->http.draining = s->worker->stop != CG_STOP_NO;
}

/* The application has said something, or waits for its client: that is a sign of life. */
static void show_life(struct cg_clients *s) {
    cg_http_tick(&s->http);
    cg_worker_beat(s->worker, s->http.now_us);
    cg_worker_take_signals(s->worker, s->http.now_us);
}

static void run_app(struct cg_clients *s, struct client *c) {
    const struct cg_exchange *ex = cg_conn_exchange(c->conn);
    if (!ex->response.started && !cg_conn_in_app(c->conn))
        begin_request(s, ex);
    cg_log_flush(); /* nothing finished is lost if the application takes the process down */
    cg_worker_enter_app(s->worker);
    cg_conn_run(c->conn);
    cg_worker_leave_app(s->worker);
    show_life(s);
}

int cg_clients_wait_ms(const struct cg_clients *s, uint64_t at_us) {
    int beat_ms = cg_worker_beat_ms(s->worker);
    if (at_us == UINT64_MAX)
        return beat_ms;
    uint64_t now_us = s->http.now_us;
    uint64_t ms = at_us > now_us ? (at_us - now_us + 999) / 1000 : 0;
    uint64_t most = beat_ms < 0 ? INT_MAX : (uint64_t)beat_ms;
    return (int)(ms < most ? ms : most);
}

/* Waits for one client to read on while its exchange is in the application, where nobody else can
 * be served: at most send_timeout. The worker beats meanwhile, because `timeout` is about the
 * application and not about the client. 0, -ETIMEDOUT, or -ECANCELED when the worker leaves. */
static int wait_writable(struct cg_clients *s, int fd) {
    struct cg_worker *w = s->worker;
    int64_t timeout_s = w->settings->send_timeout;
    cg_http_tick(&s->http); /* the application may have taken its time */
    uint64_t until_us =
        timeout_s > 0 ? s->http.now_us + (uint64_t)timeout_s * SECOND_US : UINT64_MAX;
    while (!leaving_now(s)) {
        struct pollfd fds[] = {{.fd = fd, .events = POLLOUT}, {.fd = w->wake_fd, .events = POLLIN}};
        uint64_t next_us = w->stop == CG_STOP_GRACEFUL && w->stop_deadline_us < until_us
                               ? w->stop_deadline_us
                               : until_us;
        int timeout_ms = cg_clients_wait_ms(s, next_us);
        w->child->runtime->wait_begin(w->child->rt);
        int n = poll(fds, 2, timeout_ms);
        w->child->runtime->wait_end(w->child->rt);
        show_life(s);
        if (n > 0 && fds[0].revents)
            return 0;
        if (s->http.now_us >= until_us)
            return -ETIMEDOUT;
    }
    return -ECANCELED;
}

static int send_some(struct cg_clients *s, struct client *c) {
    return cg_client_send(c->conn, c->source.fd, s->worker->settings, false);
}

static bool transmit(struct cg_clients *s, struct client *c) {
    int rc = send_some(s, c);
    if (rc == -EAGAIN) {
        if (!cg_conn_in_app(c->conn))
            return false;
        rc = wait_writable(s, c->source.fd);
        if (rc == -ETIMEDOUT)
            cg_conn_expire(c->conn);
    } else if (rc < 0) {
        cg_conn_broken(c->conn);
    }
    return true;
}

/* Does what the connection wants. False when it has to wait or is finished. */
static bool step(struct cg_clients *s, struct client *c) {
    switch (cg_conn_wants(c->conn)) {
    case CG_WANT_READ:
        return cg_client_receive(c->conn, c->source.fd, &c->readable);
    case CG_WANT_WRITE:
        return transmit(s, c);
    case CG_WANT_APP:
        run_app(s, c);
        return true;
    case CG_WANT_SHUT:
        cg_client_shut(c->conn, c->source.fd, &c->readable);
        return true;
    case CG_WANT_CLOSE:
        break;
    }
    return false;
}

static int watch(struct cg_clients *s, struct client *c) {
    int events = cg_conn_wants(c->conn) == CG_WANT_WRITE ? CG_WAIT_WRITE : CG_WAIT_READ;
    if (events == c->events)
        return 0;
    int rc = c->events ? cg_waitset_change(s->waits, c->source.fd, events, c)
                       : cg_waitset_add(s->waits, c->source.fd, events, c);
    if (rc == 0)
        c->events = events;
    return rc;
}

static void park(struct cg_clients *s, struct client *c) {
    bool idle = cg_conn_idle(c->conn);
    int rc = watch(s, c);
    if (rc == 0)
        rc = cg_client_schedule(c->conn, &s->deadlines, &c->deadline);
    if (rc < 0) {
        cg_log(CG_LOG_ERROR, "Cannot wait for a client: %s", strerror(-rc));
        client_free(s, c);
        return;
    }
    if (!idle)
        return;
    cg_list_push_back(&s->idle, &c->place);
    if (s->n > TRIM_FROM_N)
        cg_conn_trim(c->conn);
}

/* Follows the connection's wishes until it has to wait. An exchange that is in the application is
 * not left halfway, whatever it takes: there is one interpreter thread, and it belongs to that
 * exchange. */
static void pump(struct cg_clients *s, struct client *c) {
    bool going = true;
    cg_list_remove(&c->place);
    for (int i = 0; going && (i < STEPS_MAX || cg_conn_in_app(c->conn)); i++)
        going = !leaving_now(s) && step(s, c);
    end_request(s);
    if (leaving_now(s))
        return;
    if (cg_conn_wants(c->conn) == CG_WANT_CLOSE)
        client_free(s, c);
    else if (going)
        cg_list_push_back(&s->ready, &c->place);
    else
        park(s, c);
}

/* Each that is in the list now, once, also when it comes back to the list. */
void cg_clients_serve_ready(struct cg_clients *s) {
    struct cg_list *last = s->ready.prev;
    for (struct cg_list *node = s->ready.next, *next; node != &s->ready; node = next) {
        next = node == last ? &s->ready : node->next;
        pump(s, CG_LIST_ENTRY(node, struct client, place));
    }
}

void cg_clients_event(struct cg_clients *s, struct cg_source *source, int events) {
    struct client *c = (struct client *)source;
    if (events & CG_WAIT_READ)
        c->readable = true;
    pump(s, c);
}

/* The wait does not tell of everybody: it ends early when the process has been stopped and goes on.
 * So nobody is too late, or idle, who has not been looked at once more. True: something came. */
static bool look(struct cg_clients *s, struct client *c) {
    c->readable = true;
    return step(s, c);
}

void cg_clients_expire(struct cg_clients *s) {
    struct cg_deadline *d;
    while ((d = cg_deadlines_first(&s->deadlines)) && d->at_us <= s->http.now_us &&
           !leaving_now(s)) {
        struct client *c = CG_LIST_ENTRY(d, struct client, deadline);
        uint64_t at_us = cg_conn_deadline_us(c->conn);
        if (at_us > s->http.now_us) {
            cg_deadlines_set(&s->deadlines, d, at_us);
            continue;
        }
        look(s, c);
        if (cg_conn_deadline_us(c->conn) <= s->http.now_us)
            cg_conn_expire(c->conn);
        pump(s, c);
    }
}

uint64_t cg_clients_expire_us(const struct cg_clients *s) {
    const struct cg_deadline *first = cg_deadlines_first(&s->deadlines);
    return first ? first->at_us : UINT64_MAX;
}

static bool is_full(const struct cg_clients *s) {
    return s->n >= (size_t)s->worker->settings->worker_connections;
}

bool cg_clients_have_room(const struct cg_clients *s) {
    return !is_full(s) || !cg_list_empty(&s->idle);
}

/* The longest idle client that has said nothing; NULL: there is none. Others on the way are idle no
 * more. */
static struct client *find_silent(struct cg_clients *s) {
    while (!cg_list_empty(&s->idle)) {
        struct client *c = CG_LIST_ENTRY(s->idle.next, struct client, place);
        if (!look(s, c))
            return c;
        cg_list_remove(&c->place);
        cg_list_push_back(&s->ready, &c->place);
    }
    return NULL;
}

bool cg_clients_find_room(struct cg_clients *s) {
    return !is_full(s) || find_silent(s);
}

/* NULL: there was no memory for it. */
static struct client *take_in(struct cg_clients *s, int fd, const struct cg_endpoint *peer,
                              const struct cg_listener *listener) {
    struct client *silent = is_full(s) ? find_silent(s) : NULL;
    if (silent)
        client_free(s, silent);
    struct client *c = malloc(sizeof(*c));
    struct cg_conn *conn =
        c ? cg_conn_new(&s->http, fd, peer, &listener->local, listener->protocol, c) : NULL;
    if (!conn) {
        cg_log(CG_LOG_ERROR, "Out of memory: a client is dropped.");
        cg_fd_close(&fd);
        free(c);
        return NULL;
    }
    *c = (struct client){
        .source = {CG_SOURCE_CLIENT, fd},
        .conn = conn,
        .deadline = CG_DEADLINE_INIT,
        .readable = true,
    };
    cg_list_init(&c->place);
    cg_list_push_back(&s->all, &c->all);
    s->n++;
    return c;
}

void cg_clients_admit(struct cg_clients *s, int fd, const struct cg_endpoint *peer,
                      const struct cg_listener *listener) {
    struct client *c = take_in(s, fd, peer, listener);
    if (c)
        pump(s, c);
}

void cg_clients_admit_later(struct cg_clients *s, int fd, const struct cg_endpoint *peer,
                            const struct cg_listener *listener) {
    struct client *c = take_in(s, fd, peer, listener);
    if (c)
        cg_list_push_back(&s->ready, &c->place);
}

void cg_clients_drain(struct cg_clients *s) {
    s->http.draining = true;
}

void cg_clients_close_idle(struct cg_clients *s) {
    struct client *c;
    while ((c = find_silent(s)))
        client_free(s, c);
}

/* The I/O table of the core. */

static int io_drain(void *io, struct cg_conn *conn) {
    struct cg_clients *s = io;
    struct client *c = cg_conn_owner(conn);
    while (cg_conn_wants(conn) == CG_WANT_WRITE) {
        int rc = send_some(s, c);
        if (rc == -EAGAIN)
            rc = wait_writable(s, c->source.fd);
        if (rc < 0) {
            cg_conn_broken(conn);
            return rc;
        }
    }
    show_life(s);
    return 0;
}

static bool io_client_gone(void *io, struct cg_conn *conn, bool fin_counts) {
    (void)io;
    const struct client *c = cg_conn_owner(conn);
    return cg_socket_gone(c->source.fd, fin_counts);
}

static const struct cg_io client_io = {
    .drain = io_drain,
    .client_gone = io_client_gone,
    .report = cg_core_report,
    .access = cg_core_access,
    .measure = cg_core_measure,
};

int cg_clients_init(struct cg_clients *s, struct cg_worker *w, struct cg_waitset *waits) {
    *s = (struct cg_clients){
        .worker = w,
        .waits = waits,
        .deadlines = CG_DEADLINES_INIT,
    };
    cg_list_init(&s->all);
    cg_list_init(&s->idle);
    cg_list_init(&s->ready);
    return cg_core_init(&s->http, w, &client_io, s);
}

void cg_clients_done(struct cg_clients *s) {
    cg_worker_enter_app(s->worker); /* an exchange under way gets its end here */
    while (!cg_list_empty(&s->all))
        client_free(s, CG_LIST_ENTRY(s->all.next, struct client, all));
    cg_worker_leave_app(s->worker);
    cg_deadlines_done(&s->deadlines);
    cg_core_done(&s->http);
}
