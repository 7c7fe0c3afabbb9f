/* SPDX-License-Identifier: MIT
 *
 * The clients of an async worker: where a cg_conn's wishes become system calls and watched
 * descriptors. Owns the clients' descriptors, connections and deadlines; a client that is away is
 * its thread's. Interprets no HTTP.
 *
 * As in clients.c, system calls are the budget: a new client is served before it is watched, a
 * watched one stays watched as it is over all its requests, and a short read is taken for the last.
 */
#include "workers/async.h"

#include "server/base/copy.h"
#include "server/base/fd.h"
#include "workers/client_io.h"
#include "workers/core.h"
#include "workers/io_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>

enum {
    /* What one client may do in one turn, some MiB of a file; what is left over is watched for. */
    STEPS_MAX = 16,
    /* With few clients their input buffers are kept over keep-alive, to spare the allocator. */
    TRIM_FROM_N = 64,
};

static void on_closed(uv_handle_t *handle) {
    free(handle->data);
}

static void client_free(struct cg_async *e, struct cg_async_client *c) {
    cg_deadlines_remove(&e->deadlines, &c->deadline);
    cg_list_remove(&c->place);
    cg_list_remove(&c->all);
    cg_conn_free(c->conn);
    e->n--;
    if (c->has_handle)
        uv_close((uv_handle_t *)&c->poll, on_closed); /* before the descriptor goes */
    cg_fd_close(&c->fd);
    if (!c->has_handle)
        free(c);
}

int cg_async_client_send(const struct cg_settings *settings, struct cg_async_client *c,
                         bool may_hold) {
    return cg_client_send(c->conn, c->fd, settings, may_hold);
}

static bool transmit(struct cg_async *e, struct cg_async_client *c) {
    int rc = cg_async_client_send(e->worker->settings, c, false);
    if (rc < 0 && rc != -EAGAIN)
        cg_conn_broken(c->conn);
    return rc != -EAGAIN;
}

/* Does what the connection wants. False when it has to wait, for whatever it is. */
static bool step(struct cg_async *e, struct cg_async_client *c) {
    switch (cg_conn_wants(c->conn)) {
    case CG_WANT_READ:
        return cg_client_receive(c->conn, c->fd, &c->readable);
    case CG_WANT_WRITE:
        return transmit(e, c);
    case CG_WANT_SHUT:
        cg_client_shut(c->conn, c->fd, &c->readable);
        return true;
    case CG_WANT_APP:
    case CG_WANT_CLOSE:
        break;
    }
    return false;
}

/* Nobody is too late, or idle, who has not been looked at once more, see clients.c. */
static bool look(struct cg_async *e, struct cg_async_client *c) {
    c->readable = true;
    return step(e, c);
}

static void unwatch(struct cg_async_client *c) {
    if (c->events)
        uv_poll_stop(&c->poll);
    c->events = 0;
}

static void pump(struct cg_async *e, struct cg_async_client *c);

/* What a client sends while it is away is left where it is. Being told of it again in every turn
 * would keep the loop from waiting, hence unwatch(). */
static void on_event(uv_poll_t *poll, int status, int events) {
    struct cg_async_client *c = poll->data;
    struct cg_async *e = poll->loop->data;
    cg_async_tick(e);
    if (status < 0 || c->away)
        unwatch(c);
    if (c->away)
        return;
    if (status < 0 || (events & UV_READABLE))
        c->readable = true;
    pump(e, c);
}

static int watch(struct cg_async *e, struct cg_async_client *c) {
    int events = cg_conn_wants(c->conn) == CG_WANT_WRITE ? UV_WRITABLE : UV_READABLE;
    if (events == c->events)
        return 0;
    if (!c->has_handle) {
        int rc = uv_poll_init(&e->loop, &c->poll, c->fd);
        if (rc < 0)
            return rc;
        c->poll.data = c;
        c->has_handle = true;
    }
    int rc = uv_poll_start(&c->poll, events, on_event);
    c->events = rc == 0 ? events : 0;
    return rc;
}

static void park(struct cg_async *e, struct cg_async_client *c) {
    bool idle = cg_conn_idle(c->conn);
    if (idle && e->silence_over) {
        if (look(e, c))
            pump(e, c);
        else
            client_free(e, c);
        return;
    }
    int rc = watch(e, c);
    if (rc == 0)
        rc = cg_client_schedule(c->conn, &e->deadlines, &c->deadline);
    if (rc < 0) {
        cg_log(CG_LOG_ERROR, "Cannot wait for a client: %s", strerror(-rc));
        cg_conn_broken(c->conn);
        pump(e, c);
        return;
    }
    if (!idle)
        return;
    cg_list_push_back(&e->idle, &c->place);
    if (e->n > TRIM_FROM_N)
        cg_conn_trim(c->conn);
}

/* A new request is for whoever leads; an exchange goes on where it began. */
static void queue(struct cg_async *e, struct cg_async_client *c) {
    c->away = true;
    cg_list_push_back(c->thread ? &c->thread->inbox : &e->ready, &c->place);
}

/* Follows the connection's wishes until it has to wait. */
static void pump(struct cg_async *e, struct cg_async_client *c) {
    cg_list_remove(&c->place);
    for (int i = 0; i < STEPS_MAX && step(e, c); i++)
        ;
    switch (cg_conn_wants(c->conn)) {
    case CG_WANT_APP:
        queue(e, c);
        break;
    case CG_WANT_CLOSE:
        client_free(e, c);
        break;
    default:
        park(e, c);
    }
}

void cg_async_client_enter(struct cg_async *e, struct cg_async_thread *t,
                           struct cg_async_client *c) {
    cg_list_remove(&c->place);
    bool begins = !cg_conn_has_begun(c->conn);
    t->goes_on = !begins;
    if (begins) {
        c->thread = t;
        c->entered_us = e->http.now_us;
        t->exchanges_n++;
    }
    t->client = c;
    cg_async_thread_enter(t, begins);
    t->http.draining = e->worker->stop != CG_STOP_NO;
    t->http.now_us = e->http.now_us;
    t->http.wall_s = e->http.wall_s;
    cg_conn_move(c->conn, &t->http);
}

void cg_async_client_settle(struct cg_async *e, struct cg_async_client *c) {
    cg_async_thread_leave(c->thread);
    cg_conn_move(c->conn, &e->http);
    c->away = false;
    struct cg_async_thread *t = c->thread;
    bool has_begun = cg_conn_has_begun(c->conn);
    t->goes_on = has_begun && (t->goes_on || cg_list_empty(&t->inbox));
    if (!has_begun) {
        t->exchanges_n--;
        c->thread = NULL;
    }
    if (!cg_worker_is_quick())
        pump(e, c);
}

void cg_async_clients_expire(struct cg_async *e) {
    struct cg_deadline *d;
    while ((d = cg_deadlines_first(&e->deadlines)) && d->at_us <= e->http.now_us) {
        struct cg_async_client *c = CG_LIST_ENTRY(d, struct cg_async_client, deadline);
        if (c->away) { /* it gets a new one when it is back */
            cg_deadlines_remove(&e->deadlines, d);
            continue;
        }
        uint64_t at_us = cg_conn_deadline_us(c->conn);
        if (at_us > e->http.now_us) {
            cg_deadlines_set(&e->deadlines, d, at_us);
            continue;
        }
        look(e, c);
        if (cg_conn_deadline_us(c->conn) <= e->http.now_us)
            cg_conn_expire(c->conn);
        pump(e, c);
    }
}

static bool is_full(const struct cg_async *e) {
    return e->n >= (size_t)e->worker->settings->worker_connections;
}

bool cg_async_clients_have_room(const struct cg_async *e) {
    return !is_full(e) || !cg_list_empty(&e->idle);
}

/* The longest idle client that has said nothing; NULL: there is none. Others on the way are idle no
 * more. */
static struct cg_async_client *find_silent(struct cg_async *e) {
    while (!cg_list_empty(&e->idle)) {
        struct cg_async_client *c = CG_LIST_ENTRY(e->idle.next, struct cg_async_client, place);
        if (!look(e, c))
            return c;
        pump(e, c);
    }
    return NULL;
}

bool cg_async_clients_find_room(struct cg_async *e) {
    return !is_full(e) || find_silent(e);
}

/* NULL: there was no memory for it. Takes fd. */
static struct cg_async_client *take_in(struct cg_async *e, int fd, const struct cg_endpoint *peer,
                                       const struct cg_endpoint *local, enum cg_protocol protocol) {
    struct cg_async_client *silent = is_full(e) ? find_silent(e) : NULL;
    if (silent)
        client_free(e, silent);
    struct cg_async_client *c = malloc(sizeof(*c));
    struct cg_conn *conn = c ? cg_conn_new(&e->http, fd, peer, local, protocol, c) : NULL;
    if (!conn) {
        cg_log(CG_LOG_ERROR, "Out of memory: a client is dropped.");
        cg_fd_close(&fd);
        free(c);
        return NULL;
    }
    *c = (struct cg_async_client){
        .fd = fd,
        .conn = conn,
        .deadline = CG_DEADLINE_INIT,
        .readable = true,
    };
    cg_list_init(&c->place);
    cg_list_push_back(&e->all, &c->all);
    e->n++;
    return c;
}

void cg_async_clients_admit(struct cg_async *e, int fd, const struct cg_endpoint *peer,
                            const struct cg_listener *listener) {
    struct cg_async_client *c = take_in(e, fd, peer, &listener->local, listener->protocol);
    if (c)
        pump(e, c);
}

/* By another client on a descriptor of its own, as the thread goes on to have this one. */
void cg_async_client_answer_in_place(struct cg_async *e, const struct cg_async_client *c,
                                     bool has_begun) {
    const struct cg_exchange *ex = cg_conn_exchange(c->conn);
    int fd = has_begun ? -1 : fcntl(c->fd, F_DUPFD_CLOEXEC, 0);
    cg_copy_deny(fd);
    struct cg_async_client *other =
        fd < 0 ? NULL : take_in(e, fd, ex->peer, ex->local, CG_PROTOCOL_AUTO);
    if (!other) {
        shutdown(c->fd, SHUT_RDWR);
        return;
    }
    cg_conn_answer_in_place(other->conn, c->conn);
    pump(e, other);
}

void cg_async_clients_decline(struct cg_async *e) {
    while (!cg_list_empty(&e->ready)) {
        struct cg_async_client *c = CG_LIST_ENTRY(e->ready.next, struct cg_async_client, place);
        cg_list_remove(&c->place);
        c->away = false;
        cg_conn_decline(c->conn);
        pump(e, c);
    }
}

void cg_async_clients_close_idle(struct cg_async *e) {
    struct cg_async_client *c;
    e->silence_over = true;
    while ((c = find_silent(e)))
        client_free(e, c);
}

/* The I/O table of the core: any thread that has the connection uses it, only for drain it must be
 * one that calls the application. */

static bool io_client_gone(void *io, struct cg_conn *conn, bool fin_counts) {
    (void)io;
    const struct cg_async_client *c = cg_conn_owner(conn);
    return cg_socket_gone(c->fd, fin_counts);
}

/* io is the thread, or NULL for the loop. */
static void io_access(void *io, struct cg_slice line) {
    if (!io || cg_async_thread_come_out(io))
        cg_core_access(io, line);
}

static const struct cg_io client_io = {
    .drain = cg_async_thread_drain,
    .client_gone = io_client_gone,
    .report = cg_core_report,
    .access = io_access,
    .measure = cg_core_measure,
};

int cg_async_http_init(struct cg_async *e, struct cg_http *http, struct cg_async_thread *t) {
    return cg_core_init(http, e->worker, &client_io, t);
}

int cg_async_clients_init(struct cg_async *e) {
    cg_list_init(&e->all);
    cg_list_init(&e->idle);
    cg_list_init(&e->ready);
    return cg_async_http_init(e, &e->http, NULL);
}

void cg_async_clients_done(struct cg_async *e) {
    while (!cg_list_empty(&e->all))
        client_free(e, CG_LIST_ENTRY(e->all.next, struct cg_async_client, all));
    cg_deadlines_done(&e->deadlines);
    cg_core_done(&e->http);
}
