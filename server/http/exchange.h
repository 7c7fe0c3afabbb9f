/* SPDX-License-Identifier: MIT
 *
 * One request and its response: what the application sees of a connection. Part of struct cg_conn,
 * which owns it.
 */
#ifndef CG_HTTP_EXCHANGE_H
#define CG_HTTP_EXCHANGE_H

#include "server/base/endpoint.h"
#include "server/http/body.h"
#include "server/http/proxy.h"
#include "server/http/request.h"
#include "server/http/response.h"

struct cg_exchange {
    struct cg_request request;
    struct cg_body body;
    struct cg_response response;
    /* Who connected to us, whom allow lists are asked about; and whom the request is from, which
     * logs and REMOTE_ADDR show. They differ when a PROXY header or a uwsgi packet names the
     * client: never ask an allow list about that one. */
    const struct cg_endpoint *peer, *client;
    const struct cg_endpoint *local; /* the listener's end, as bound */
    const struct cg_proxy *proxy;    /* the connection's PROXY header; NULL when it had none */
    int fd;              /* the connection's descriptor for the application's use, -1 in tests */
    uint64_t begun_us;   /* monotonic: when the head was complete */
    uint64_t entered_us; /* when the application was entered; 0 = it was not */
    uint64_t waited_us;  /* how long the complete request had waited for that */
    unsigned number;     /* which request of its connection that reached the application, from 1 */
    struct cg_buf notes; /* access_note.h */
    bool aborted;        /* the client does not get the whole response */
    bool client_left;    /* because it has gone, or takes nothing any more */
    void *app_state;     /* the application's own; NULL outside begin..end */
};

enum { CG_STATUS_CLIENT_LEFT = 499 }; /* in the access log only, as nginx's */

/* What the access log says: the response's, or CG_STATUS_CLIENT_LEFT. */
int cg_exchange_status(const struct cg_exchange *ex);

/* WSGI write(), from within begin or next: sends the head if it has not left, then these bytes, and
 * returns when they are on their way. Empty bytes send nothing. 0; -EINVAL when there is no head to
 * send, -ESHUTDOWN when the body has had its end; or another -errno when the client is gone (the
 * application should be told nothing, see conn.h). */
int cg_exchange_push(struct cg_exchange *ex, struct cg_slice bytes);

/* Sends an informational response (103) at once; fields are validated "Name: value\r\n" lines.
 * Nothing is sent to an HTTP/1.0 client and over uwsgi. 0 or -errno; -EINVAL for a status that is
 * not 1xx, and when the final head has left. */
int cg_exchange_inform(struct cg_exchange *ex, int status, struct cg_slice fields);

/* True when the client has hung up, or will send nothing more, which nearly always is the same. */
bool cg_exchange_client_gone(struct cg_exchange *ex);

#endif
