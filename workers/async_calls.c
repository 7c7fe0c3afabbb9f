/* SPDX-License-Identifier: MIT
 *
 * What an application thread does with the client that it was given, how long it may take, and what
 * the scoreboard shows of it. Owns the worker's slot. Waits for nothing but the host, and the
 * reader of WSGI's write().
 *
 * A call that takes longer than `timeout` cannot be broken off, so it is given up: the leader takes
 * from its thread the right to let anything out (async.h, enum cg_async_hold), answers in its
 * place, and lets the worker finish what else it does. The thread learns of it when it comes back.
 */
#include "workers/async.h"

#include "server/arbiter/stack.h"
#include "workers/core.h"
#include "workers/io_socket.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <unistd.h>

enum {
    SECOND_US = 1000 * 1000,
    /* What one exchange may have before others get their turn: steps, or time. */
    STEPS_MAX = 16,
    SHARE_US = 1000,
    /* A response that has begun to leave, and is not over so long after its application was
     * entered, is a stream. */
    STREAM_US = 100 * 1000,
    GATEWAY_TIMEOUT = 504,
};

/* The host: the interpreter, without which no application code runs */

void cg_async_thread_take_host(struct cg_async_thread *t) {
    const struct cg_child *child = t->engine->worker->child;
    if (t->has_host)
        return;
    atomic_fetch_add(&t->engine->waiting_n, 1);
    child->runtime->wait_end(child->rt);
    atomic_fetch_sub(&t->engine->waiting_n, 1);
    t->has_host = true;
}

void cg_async_thread_give_host(struct cg_async_thread *t) {
    const struct cg_child *child = t->engine->worker->child;
    if (t->has_host)
        child->runtime->wait_begin(child->rt);
    t->has_host = false;
}

/* Who may let something out */

bool cg_async_thread_come_out(struct cg_async_thread *t) {
    int inside = CG_ASYNC_INSIDE;
    return atomic_load_explicit(&t->hold, memory_order_relaxed) == CG_ASYNC_OUTSIDE ||
           atomic_compare_exchange_strong(&t->hold, &inside, CG_ASYNC_OUTSIDE);
}

static void go_in(struct cg_async_thread *t) {
    const struct cg_response *r = &cg_conn_exchange(t->client->conn)->response;
    atomic_store_explicit(&t->status_left, r->head_left ? r->status : 0, memory_order_relaxed);
    t->body_left_bytes = r->body_bytes;
    atomic_store_explicit(&t->hold, CG_ASYNC_INSIDE, memory_order_release);
}

static bool is_given_up(const struct cg_async_thread *t) {
    return atomic_load_explicit(&t->hold, memory_order_relaxed) == CG_ASYNC_GIVEN_UP;
}

/* The scoreboard */

static uint64_t since_us(const struct cg_async_thread *t) {
    return atomic_load_explicit(&t->since_us, memory_order_relaxed);
}

static struct cg_async_thread *oldest(const struct cg_async *e) {
    struct cg_async_thread *found = NULL;
    for (struct cg_list *node = e->calling.next; node != &e->calling; node = node->next) {
        struct cg_async_thread *t = CG_LIST_ENTRY(node, struct cg_async_thread, calling);
        if (!found || since_us(t) < since_us(found))
            found = t;
    }
    return found;
}

static void copy_cut(char *to, size_t size, struct cg_slice from) {
    size_t len = from.len < size ? from.len : size - 1;
    if (len > 0)
        memcpy(to, from.at, len);
    to[len] = '\0';
}

/* One that waits for its client is as young as can be. */
static void show(const struct cg_async_thread *t) {
    struct cg_slot *slot = t->engine->worker->child->slot;
    uint64_t now_us = t->engine->http.now_us;
    cg_slot_begin_request(slot, cg_slice_str(t->shown.client), cg_slice_str(t->shown.line),
                          since_us(t) < now_us ? since_us(t) : now_us);
    cg_slot_beat(slot, now_us); /* however old it is: the loop is well */
}

/* Requests and streams */

static uint64_t streams_max(const struct cg_async *e) {
    const struct cg_settings *s = e->worker->settings;
    return s->threads > 1 ? (uint64_t)s->max_streams : 0; /* one thread, one call at a time */
}

static bool has_become_stream(const struct cg_async *e, const struct cg_async_client *c) {
    return e->http.now_us - c->entered_us >= STREAM_US;
}

static bool is_stream(const struct cg_async_thread *t) {
    return atomic_load_explicit(&t->status_left, memory_order_relaxed) != 0 &&
           has_become_stream(t->engine, t->client);
}

bool cg_async_calls_have_room(const struct cg_async *e) {
    size_t streams_n = e->calls_n[CG_ASYNC_STREAM];
    size_t beyond_n = streams_n > streams_max(e) ? streams_n - streams_max(e) : 0;
    return e->calls_n[CG_ASYNC_REQUEST] + beyond_n < (size_t)e->worker->settings->threads;
}

bool cg_async_calls_have_place(const struct cg_async *e, const struct cg_async_client *c) {
    return cg_async_calls_have_room(e) ||
           (c->thread && cg_conn_exchange(c->conn)->response.head_left && has_become_stream(e, c));
}

size_t cg_async_calls_want_threads(const struct cg_async *e) {
    size_t streams_n = e->calls_n[CG_ASYNC_STREAM];
    size_t beside_n = streams_n < streams_max(e) ? streams_n : streams_max(e);
    return (size_t)e->worker->settings->threads + beside_n + e->calls_n[CG_ASYNC_STUCK];
}

static void set_kind(struct cg_async_thread *t, enum cg_async_kind kind) {
    t->engine->calls_n[t->kind]--;
    t->engine->calls_n[kind]++;
    t->kind = kind;
}

/* Entering and leaving. The slot shows the oldest call. Any call may become it, when its request is
 * no longer ours to read: the texts are kept. */
void cg_async_thread_enter(struct cg_async_thread *t, bool begins) {
    struct cg_async *e = t->engine;
    const struct cg_exchange *ex = cg_conn_exchange(t->client->conn);
    bool alone = cg_list_empty(&e->calling);
    t->counts = begins;
    atomic_store_explicit(&t->since_us, e->http.now_us, memory_order_relaxed);
    copy_cut(t->shown.client, sizeof(t->shown.client), cg_endpoint_host(ex->client));
    copy_cut(t->shown.line, sizeof(t->shown.line), ex->request.line);
    go_in(t);
    t->kind = is_stream(t) ? CG_ASYNC_STREAM : CG_ASYNC_REQUEST;
    e->calls_n[t->kind]++;
    cg_list_push_back(&e->calling, &t->calling);
    if (alone)
        show(t);
    if (begins)
        cg_worker_count_request(e->worker, e->http.now_us);
}

void cg_async_thread_leave(struct cg_async_thread *t) {
    struct cg_async *e = t->engine;
    struct cg_slot *slot = e->worker->child->slot;
    e->calls_n[t->kind]--;
    cg_list_remove(&t->calling);
    if (t->counts)
        cg_slot_end_request(slot, e->http.now_us);
    else
        cg_slot_hide_request(slot, e->http.now_us);
    const struct cg_async_thread *next = oldest(e);
    if (next)
        show(next);
}

/* Calling the application */

/* Waits for the reader of WSGI's write(), without the host: at most send_timeout. `timeout` is
 * about the application and not about the client, so the call has no age meanwhile. Whichever
 * thread writes, it has the host, and t uses neither that nor the client before it is done. */
static int wait_writable(struct cg_async_thread *t, int fd) {
    const struct cg_async *e = t->engine;
    struct pollfd fds[] = {{.fd = fd, .events = POLLOUT},
                           {.fd = e->finish_fds[0], .events = POLLIN}};
    atomic_store_explicit(&t->since_us, UINT64_MAX, memory_order_relaxed);
    cg_async_thread_give_host(t);
    int64_t timeout_ms = e->worker->settings->send_timeout * 1000;
    int n;
    do {
        n = poll(fds, 2, timeout_ms > 0 && timeout_ms < INT_MAX ? (int)timeout_ms : -1);
    } while (n < 0 && errno == EINTR);
    cg_async_thread_take_host(t);
    if (n > 0)
        return fds[1].revents ? -ECANCELED : 0;
    return n == 0 ? -ETIMEDOUT : -errno;
}

int cg_async_thread_drain(void *io, struct cg_conn *conn) {
    struct cg_async_thread *t = io;
    struct cg_async_client *c = cg_conn_owner(conn);
    int rc = cg_async_thread_come_out(t) ? 0 : -ECANCELED;
    while (rc == 0 && cg_conn_wants(conn) == CG_WANT_WRITE) {
        rc = cg_async_client_send(t->engine->worker->settings, c, false);
        if (rc == -EAGAIN)
            rc = wait_writable(t, c->fd);
    }
    if (rc < 0)
        cg_conn_broken(conn);
    cg_http_tick(&t->http);
    atomic_store_explicit(&t->since_us, t->http.now_us, memory_order_relaxed); /* as by a chunk */
    if (rc != -ECANCELED)
        go_in(t);
    return rc;
}

/* Holding back: while the application makes its next chunk, the kernel may wait for that with the
 * last one, as long as the keeper looks. Whoever takes the baton meanwhile, the keeper when the
 * chunk is not made at once, pushes. Whichever comes first, that or our sending, the other one sees
 * it. */

static bool is_looked_after(const struct cg_async_thread *t) {
    return t->lies != 0 && atomic_load(&t->engine->baton) == t->lies;
}

static void push(struct cg_async_thread *t) {
    if (atomic_load_explicit(&t->holds, memory_order_relaxed))
        cg_socket_push(t->client->fd);
    atomic_store_explicit(&t->holds, false, memory_order_relaxed);
}

static int send_chunk(struct cg_async_thread *t) {
    struct cg_async_client *c = t->client;
    bool may_hold = is_looked_after(t);
    atomic_store(&t->holds, may_hold && cg_conn_output(c->conn)->more);
    int rc = cg_async_client_send(t->engine->worker->settings, c, may_hold);
    if (!is_looked_after(t))
        push(t);
    return rc;
}

void cg_async_calls_push(struct cg_async *e) {
    for (struct cg_list *node = e->calling.next; node != &e->calling; node = node->next) {
        struct cg_async_thread *t = CG_LIST_ENTRY(node, struct cg_async_thread, calling);
        if (atomic_load(&t->holds))
            cg_socket_push(t->client->fd);
    }
}

/* Sends what the application has just said: the head with what is in memory, and, in a second
 * attempt, of a file what goes at once. False when there is more, which the loop sends as the
 * client reads. */
static bool transmit(struct cg_async_thread *t) {
    struct cg_async_client *c = t->client;
    for (int i = 0; i < 2 && cg_conn_wants(c->conn) == CG_WANT_WRITE; i++) {
        int rc = send_chunk(t);
        if (rc == -EAGAIN)
            break;
        if (rc < 0)
            cg_conn_broken(c->conn);
    }
    return cg_conn_wants(c->conn) != CG_WANT_WRITE;
}

/* Nobody hears of the exchange any more, but it gets its end. */
static void abandon(struct cg_conn *conn) {
    cg_conn_broken(conn);
    if (cg_conn_has_begun(conn))
        cg_conn_run(conn);
}

/* One step. False when it was the last one for now. */
static bool step(struct cg_async_thread *t) {
    struct cg_conn *conn = t->client->conn;
    if (!is_given_up(t))
        cg_conn_run(conn);
    cg_http_tick(&t->http);
    if (!cg_async_thread_come_out(t)) {
        abandon(conn);
        return false;
    }
    return !cg_worker_is_quick() && transmit(t) && cg_conn_has_begun(conn);
}

void cg_async_thread_call(struct cg_async_thread *t) {
    struct cg_worker *w = t->engine->worker;
    cg_log_try_flush(); /* what is finished is not lost if the application ends the process */
    cg_async_thread_take_host(t);
    cg_worker_enter_app(w);
    uint64_t begun_us = since_us(t);
    for (int i = 1; step(t) && i < STEPS_MAX && t->http.now_us - begun_us < SHARE_US; i++) {
        atomic_store_explicit(&t->since_us, t->http.now_us, memory_order_relaxed);
        go_in(t);
    }
    push(t);
    cg_worker_leave_app(w);
}

/* Calls that last, and calls that take too long */

static uint64_t timeout_us(const struct cg_async *e) {
    return (uint64_t)e->worker->settings->timeout * SECOND_US;
}

/* When it is to be given up; UINT64_MAX: not as things are. */
static uint64_t due_us(const struct cg_async_thread *t) {
    uint64_t since = since_us(t);
    bool is_bounded = timeout_us(t->engine) > 0 && since != UINT64_MAX && !is_given_up(t);
    return is_bounded ? since + timeout_us(t->engine) : UINT64_MAX;
}

/* Whether a call is a stream matters when others wait for its place. */
static uint64_t look_us(const struct cg_async *e) {
    return streams_max(e) == 0 || cg_async_calls_have_room(e) ? UINT64_MAX
                                                              : e->http.now_us + STREAM_US;
}

uint64_t cg_async_calls_due_us(const struct cg_async *e) {
    uint64_t first_us = look_us(e);
    for (struct cg_list *node = e->calling.next; node != &e->calling; node = node->next) {
        uint64_t at_us = due_us(CG_LIST_ENTRY(node, struct cg_async_thread, calling));
        first_us = at_us < first_us ? at_us : first_us;
    }
    return first_us;
}

/* The words are the arbiter's, for workers that cannot say it themselves. Who is stuck answers at
 * once, or not at all. */
static void report(const struct cg_async_thread *t) {
    const struct cg_child *child = t->engine->worker->child;
    struct cg_slot_view view;
    char words[CG_SLOT_WORDS_MAX], stack[CG_SLOT_STACK_MAX];
    show(t); /* until it comes back: it is the oldest */
    cg_slot_read(child->slot, &view);
    size_t len = child->runtime->stack(child->rt, t->id, stack, sizeof(stack));
    cg_stack_log(getpid(), cg_slot_words(&view, t->engine->http.now_us, words),
                 cg_slice_of(stack, len));
}

/* The client is told now, so that no proxy asks the next worker the same thing. */
static void give_up(struct cg_async_thread *t) {
    struct cg_async *e = t->engine;
    const struct cg_conn *conn = t->client->conn;
    int status_left = atomic_load_explicit(&t->status_left, memory_order_relaxed);
    report(t);
    set_kind(t, CG_ASYNC_STUCK);
    cg_conn_log_in_place(conn, &e->http, status_left ? status_left : GATEWAY_TIMEOUT,
                         t->body_left_bytes);
    cg_async_client_answer_in_place(e, t->client, status_left != 0);
    cg_worker_give_up(e->worker, e->http.now_us);
}

void cg_async_calls_expire(struct cg_async *e) {
    uint64_t now_us = e->http.now_us;
    for (struct cg_list *node = e->calling.next; node != &e->calling; node = node->next) {
        struct cg_async_thread *t = CG_LIST_ENTRY(node, struct cg_async_thread, calling);
        int inside = CG_ASYNC_INSIDE;
        if (t->kind == CG_ASYNC_REQUEST && is_stream(t))
            set_kind(t, CG_ASYNC_STREAM);
        if (due_us(t) <= now_us &&
            atomic_compare_exchange_strong(&t->hold, &inside, CG_ASYNC_GIVEN_UP))
            give_up(t);
    }
}

/* A call whose thread says something else meanwhile has begun anew. */
void cg_async_calls_excuse(struct cg_async *e, uint64_t late_us) {
    for (struct cg_list *node = e->calling.next; node != &e->calling; node = node->next) {
        struct cg_async_thread *t = CG_LIST_ENTRY(node, struct cg_async_thread, calling);
        uint64_t since = since_us(t);
        if (since != UINT64_MAX)
            atomic_compare_exchange_strong(&t->since_us, &since, since + late_us);
    }
}
