/* SPDX-License-Identifier: MIT
 *
 * The connection: one sans-I/O state machine fed with bytes. It answers one question,
 * cg_conn_wants(); a driver (workers/) obeys and reports what happened. No driver interprets HTTP.
 *
 *            fed                 head, no body                     run: chunk
 *   IDLE ---------> HEAD ------------------------------> READY ---------------> SENDING
 *    ^               |                                    ^ |  ^    all sent        |
 *    |               +-> (CONTINUE ->) BODY -- complete --' |  '--------------------'
 *    |               |                  |                   | run: nothing left, end
 *    |               '--- fault --------'--> SENDING        |
 *    |                    (an error page)      |            |
 *    '------------------- keep-alive ----------+------------'
 *                                              | close
 *                                              v
 *                             SHUT --> LINGER --> CLOSED
 *
 * With proxy_protocol on, the first bytes of a connection take a way round:
 *
 *        fed               absent, or bytes behind the header
 *   IDLE -----> PROXY_HEAD -----------------------------------> HEAD
 *    ^           |      |
 *    '- nothing -'      '- fault --> SENDING
 *       behind it
 *
 * A request that comes as a uwsgi packet (server/uwsgi), told by its first byte or by the listener,
 * has a state of its own in the place of HEAD, and its connection no second request:
 *
 *   IDLE, PROXY_HEAD -----> PACKET ----------> READY or BODY
 *                            |   '- fault --> SENDING
 *                            '- empty: a ping --> CLOSED
 *
 * A close goes by way of SHUT and LINGER only when the client may still be sending (RFC 9112
 * section 9.6), else straight to CLOSED.
 *
 * The application is called from cg_conn_run() only (and cg_conn_free(), for a driver that tears
 * down), so a driver decides which thread runs it; also a broken connection passes through READY
 * once, so that `end` is called there.
 *
 * Timeouts, each a setting: IDLE keepalive (the first request: client_header_timeout), PROXY_HEAD,
 * HEAD and PACKET client_header_timeout from the first byte on, BODY client_body_timeout since the
 * last byte, CONTINUE and SENDING send_timeout since the last progress, LINGER CG_LINGER_MS. READY
 * has none here: the arbiter's `timeout` bounds the application.
 *
 * Every request whose head could be parsed gets exactly one access line, when it is over: with
 * status 499 when the client left before the response did as a whole.
 *
 * A connection belongs to one driver and is used by one thread at a time. With its surroundings,
 * which are one thread's too, it changes threads by cg_conn_move().
 */
#ifndef CG_HTTP_CONN_H
#define CG_HTTP_CONN_H

#include "server/base/list.h"
#include "server/base/log.h"
#include "server/base/protocol.h"
#include "server/http/app.h"
#include "server/http/date.h"
#include "server/http/exchange.h"
#include "server/http/head.h"
#include "server/http/trust.h"
#include "server/settings/settings.h"

#include <stdatomic.h>
#include <sys/uio.h>

enum {
    CG_LINGER_MS = 2000,
    CG_LINGER_BYTES = 256 * 1024,
    CG_CONN_IOV_MAX = 6,
};

enum cg_want {
    CG_WANT_READ,  /* get bytes into cg_conn_space(), then cg_conn_fed() or cg_conn_eof() */
    CG_WANT_WRITE, /* send cg_conn_output(), then cg_conn_sent() */
    CG_WANT_APP,   /* call cg_conn_run(), on a thread that may run the application */
    CG_WANT_SHUT,  /* shut the sending side down, then cg_conn_shut() */
    CG_WANT_CLOSE, /* cg_conn_free(), close the descriptor */
};

struct cg_conn;
struct cg_access;

/* What the core asks of its driver: the second seam. All may be called from within cg_conn_*(). */
struct cg_io {
    /* Push everything in cg_conn_output() out now, waiting for the client at most send_timeout, on
     * the thread that runs the application or one that stands in for it while it is in there;
     * calls cg_conn_sent() itself. 0 or -errno (the client is gone or stuck; the driver has called
     * cg_conn_broken()). */
    int (*drain)(void *io, struct cg_conn *conn);
    /* Has the client hung up? Asked while the application runs. fin_counts: also when it has only
     * finished sending, as far as can be told. */
    bool (*client_gone)(void *io, struct cg_conn *conn, bool fin_counts);
    /* Something the operator should read. */
    void (*report)(void *io, struct cg_conn *conn, enum cg_log_level level, const char *text);
    /* A finished exchange, when an access log is wanted: one line, without newline. */
    void (*access)(void *io, struct cg_slice line);
    /* The same, when metrics are wanted. */
    void (*measure)(void *io, int status, uint64_t took_us);
};

/* The surroundings of all connections of one worker (or of one test). Embedded: init/done. Used by
 * one thread at a time, as its connections are. */
struct cg_http {
    const struct cg_settings *settings; /* borrowed, immutable */
    const struct cg_app *app;
    void *app_ctx;
    const struct cg_io *io;
    void *io_ctx;
    struct cg_access *access; /* NULL = no access log; owned by the creator */
    bool measures;            /* metrics are wanted */
    uint64_t now_us;          /* monotonic; cg_http_tick() sets it */
    time_t wall_s;            /* for Date and log stamps; cg_http_tick() sets it */
    _Atomic bool draining;    /* finishing: answer Connection: close; any thread may set it */
    uint64_t requests_n;      /* exchanges begun */
    struct cg_head_limits limits;
    struct cg_trust trust;
    enum cg_proxy_versions proxy_versions;
    struct cg_allow *proxy_peers; /* who may send a PROXY header; owned, NULL when it is off */
    struct cg_allow *uwsgi_peers; /* who may send uwsgi packets; owned */
    struct cg_date date;
    struct cg_list spare; /* connections to use again */
    int spare_n;
};

/* 0, -ENOMEM, or -EINVAL when a list of addresses in settings cannot be read. */
int cg_http_init(struct cg_http *http, const struct cg_settings *settings, const struct cg_app *app,
                 void *app_ctx, const struct cg_io *io, void *io_ctx);
/* All connections must have been freed. Accepts what a failed init left. */
void cg_http_done(struct cg_http *http);
/* Reads the clocks. Drivers call it after each wait and each cg_conn_run(); the core reads none
 * itself. */
void cg_http_tick(struct cg_http *http);

/* A connection that was just accepted, on a listener with this protocol. peer is copied, local is
 * borrowed for the connection's life. `owner` is the driver's, returned by cg_conn_owner(). NULL
 * when there is no memory. */
struct cg_conn *cg_conn_new(struct cg_http *http, int fd, const struct cg_endpoint *peer,
                            const struct cg_endpoint *local, enum cg_protocol protocol,
                            void *owner);
/* Ends the exchange if one is under way (the application's end is called) and frees. */
void cg_conn_free(struct cg_conn *c);

/* Into the surroundings of another thread, with the same settings and application. It must be back
 * in those it was made in when it is freed, or they must last as long. */
void cg_conn_move(struct cg_conn *c, struct cg_http *http);

enum cg_want cg_conn_wants(const struct cg_conn *c);

/* Where to receive; at least one byte. Only when CG_WANT_READ. 0 or -ENOMEM. */
int cg_conn_space(struct cg_conn *c, char **ret_at, size_t *ret_len);
void cg_conn_fed(struct cg_conn *c, size_t n);
/* The client has finished sending. A complete request is still answered. */
void cg_conn_eof(struct cg_conn *c);

/* What to send: iovecs first, then the file range. Valid until cg_conn_sent(). A file that ends
 * before the range does is a broken connection. */
struct cg_output {
    struct iovec iov[CG_CONN_IOV_MAX];
    int iov_n;
    int fd; /* -1: no file range */
    uint64_t file_offset, file_len;
    /* The application has more to say. The transport may hold these bytes back for as long as it
     * takes to ask for that, if it sees to it that they leave when it takes long (PEP 3333,
     * "Buffering and Streaming"). */
    bool more;
};
const struct cg_output *cg_conn_output(struct cg_conn *c);
/* n bytes of it were accepted by the transport, counted over iovecs and file range. */
void cg_conn_sent(struct cg_conn *c, size_t n);

/* Calls the application: begin and the first chunk, the next chunk, or end. */
void cg_conn_run(struct cg_conn *c);

void cg_conn_shut(struct cg_conn *c);

/* The transport failed, or the client is gone: no more I/O. CG_WANT_CLOSE follows, after one
 * CG_WANT_APP if an exchange is under way. */
void cg_conn_broken(struct cg_conn *c);

/* Instead of cg_conn_run(), for a request that is complete and has not begun: nobody will come to
 * it any more, so it gets a 503 and the connection's end. */
void cg_conn_decline(struct cg_conn *c);

/* Monotonic microseconds when the state times out, UINT64_MAX for never; and that it has. */
uint64_t cg_conn_deadline_us(const struct cg_conn *c);
void cg_conn_expire(struct cg_conn *c);

/* For a driver that gives up a connection which another thread is stuck with in the application;
 * both read of it only what nobody writes meanwhile. answer_in_place: c, just made on a copy of its
 * descriptor, answers that the time is over. log_in_place: its access line, through http, which the
 * driver must then keep from being written again. */
void cg_conn_answer_in_place(struct cg_conn *c, const struct cg_conn *stuck);
void cg_conn_log_in_place(const struct cg_conn *stuck, struct cg_http *http, int status,
                          uint64_t body_bytes);

/* No request has begun, whatever empty lines have come: may be closed at will when the worker
 * stops. */
bool cg_conn_idle(const struct cg_conn *c);
/* begin was called and end is still owed. */
bool cg_conn_has_begun(const struct cg_conn *c);
/* The application is between begin and its last chunk: the driver must not leave it for long. */
bool cg_conn_in_app(const struct cg_conn *c);
/* Gives back the input buffer of an idle connection with nothing in it. */
void cg_conn_trim(struct cg_conn *c);

void *cg_conn_owner(const struct cg_conn *c);
struct cg_exchange *cg_conn_exchange(struct cg_conn *c);
const char *cg_conn_doing(const struct cg_conn *c); /* conn_state.def's text */

#endif
