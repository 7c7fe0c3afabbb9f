/* SPDX-License-Identifier: MIT
 *
 * A response's head and framing: what the application said, checked, and what the server adds.
 * Nothing that could end a line gets out (RFC 9110 section 5.5, PEP 3333 "Details").
 */
#ifndef CG_HTTP_RESPONSE_H
#define CG_HTTP_RESPONSE_H

#include "server/base/buf.h"
#include "server/http/request.h"

#include <stdint.h>

enum { CG_RESPONSE_FIELDS_MAX = 256 * 1024 }; /* bytes of an application's fields, all together */

/* What an application can do wrong with its head; the texts complete "the application ...". */
enum cg_response_error {
    CG_RESPONSE_OK,
    CG_RESPONSE_BAD_STATUS,
    CG_RESPONSE_BAD_NAME,
    CG_RESPONSE_BAD_VALUE,
    CG_RESPONSE_BAD_LENGTH,
    CG_RESPONSE_TWO_LENGTHS,
    CG_RESPONSE_HOP_BY_HOP,
    CG_RESPONSE_TOO_LARGE,
    CG_RESPONSE_NO_MEMORY,
};

enum cg_response_framing {
    CG_RESPONSE_NO_BODY, /* HEAD, 204, 304: no byte follows the head */
    CG_RESPONSE_LENGTH,
    CG_RESPONSE_CHUNKED,
    CG_RESPONSE_CLOSE, /* the end of the connection ends the body: HTTP/1.0, uwsgi */
};

struct cg_response {
    bool started;     /* cg_response_start() was called */
    bool head_sent;   /* the head is on its way and cannot be replaced */
    bool head_left;   /* and a byte of it has been taken by the transport */
    int status;       /* three digits as a number */
    bool has_length;  /* the application gave a Content-Length */
    uint64_t length;  /* that, or what the framing found out */
    bool adds_length; /* nobody but the server knew it: it goes into the head */
    bool has_date, has_server, wants_close;
    bool is_upgrade;      /* the application answered Connection: upgrade */
    bool is_event_stream; /* by its Content-Type: whose client listens until it leaves */
    enum cg_response_framing framing;
    bool keep_alive;                /* decided with the framing */
    uint64_t body_bytes;            /* body bytes handed to the transport, framing excluded */
    struct cg_buf status_line_rest; /* "200 OK" */
    struct cg_buf fields;           /* "Name: value\r\n" lines of the application */
    struct cg_buf upgrade;          /* its Upgrade lines, sent only with Connection: upgrade */
    struct cg_buf head;             /* the complete head, once built */
};

void cg_response_init(struct cg_response *r);
void cg_response_reset(struct cg_response *r);
void cg_response_done(struct cg_response *r);

/* Begins, or with exc_info replaces, the head: "200 OK". Fields given before are dropped. Must not
 * be called when head_sent. */
enum cg_response_error cg_response_start(struct cg_response *r, struct cg_slice status);

/* Adds one field. Hop-by-hop fields are an error (PEP 3333, "Other HTTP Features"), but Connection
 * may ask for "close", which is obeyed, for "keep-alive", which recipes for event streams send and
 * which means nothing, and for "upgrade", together with Upgrade: cg_response_check_fields(). */
enum cg_response_error cg_response_add_field(struct cg_response *r, struct cg_slice name,
                                             struct cg_slice value);
/* What only all fields together show: to be called when the last one was added. */
enum cg_response_error cg_response_check_fields(const struct cg_response *r);

const char *cg_response_error_text(enum cg_response_error error);

/* Decides framing and keep-alive and builds the head. known_length: the body's length when it is
 * known without the application's word, -1 otherwise. may_keep_alive: the server is willing. date:
 * "Fri, 20 Nov 2026 12:00:00 GMT". 0 or -ENOMEM. */
int cg_response_build_head(struct cg_response *r, const struct cg_request *req,
                           int64_t known_length, bool may_keep_alive, struct cg_slice date);

/* All fields as they stand in the head; and the next of them, cut off. False at the end. */
struct cg_slice cg_response_all_fields(const struct cg_response *r);
bool cg_response_next_field(struct cg_slice *rest, struct cg_slice *ret_name,
                            struct cg_slice *ret_value);

/* The value of the last response field with this name (access log's {name}o); empty slice with at
 * == NULL when absent. Includes Server, Date, Connection and what else the server added, once the
 * head is built. */
struct cg_slice cg_response_field(const struct cg_response *r, struct cg_slice name);

#endif
