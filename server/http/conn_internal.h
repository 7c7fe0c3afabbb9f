/* SPDX-License-Identifier: MIT
 *
 * struct cg_conn and what its files say to each other: conn.c (life and questions), conn_input.c
 * (the way in), conn_output.c (the way out) and exchange.c (the application). Nobody else includes
 * it.
 */
#ifndef CG_HTTP_CONN_INTERNAL_H
#define CG_HTTP_CONN_INTERNAL_H

#include "server/base/num.h"
#include "server/http/conn.h"

enum cg_conn_state {
#define CG_CONN_STATE(id, want, text) CG_CONN_##id,
#include "server/http/conn_state.def"
#undef CG_CONN_STATE
};

/* How far the application is with this exchange. */
enum cg_stage {
    CG_STAGE_NONE,    /* begin was not called; also while an error page for a fault leaves */
    CG_STAGE_PULLING, /* begun; next has more to say */
    CG_STAGE_ENDING,  /* next is not called any more, end is still owed */
};

struct cg_conn {
    struct cg_list spare_node; /* in cg_http.spare while unused */
    struct cg_http *http;
    void *owner;
    struct cg_endpoint peer;
    struct cg_proxy proxy;        /* exchange.proxy points here once a PROXY header has been read */
    struct cg_endpoint forwarded; /* exchange.client points here once a uwsgi packet names one */

    enum cg_conn_state state;
    enum cg_stage stage;
    enum cg_protocol protocol; /* CG_PROTOCOL_AUTO until the first byte of a request has come */
    uint64_t since_us;         /* what the state's timeout counts from */
    bool proxy_possible;       /* nothing has come yet that tells whether there is a PROXY header */
    bool head_taken;           /* the request's head is whole and not in the way any more */
    bool reused;               /* a request was answered on this connection */
    bool eof;                  /* the client has finished sending */
    bool broken;               /* no more I/O */
    bool must_close;           /* whatever the head says */
    bool excess_reported;      /* that the application sent more than it may */
    bool line_owed;            /* the access line of a parsed request is not written yet */

    struct cg_exchange exchange;
    struct cg_head head;

    /* The request's head lies in input and all slices point there, so from a complete head to the
     * end of the exchange nothing is received into it. input_at: what is not consumed yet. */
    struct cg_buf input;
    size_t input_at;
    /* Framed body bytes that cannot be received where they belong. Input must be used up before
     * anything lands here; the bytes of a next request left in it become the input. */
    struct cg_buf overflow;
    size_t overflow_at;
    bool receives_direct; /* the last cg_conn_space() pointed into the body */
    size_t lingered_bytes;

    struct cg_output output;
    size_t output_lead;    /* unsent bytes before the body's: head, chunk size */
    uint64_t output_body;  /* unsent body bytes behind them */
    struct cg_buf scratch; /* an error page, a 1xx head, an access line: never two at once */
    char size_line[CG_NUM_HEX64_MAX_LEN + 2];
};

/* conn.c */
void cg_conn_enter(struct cg_conn *c, enum cg_conn_state state);
/* The exchange is over: nothing of it is left for the next one, be that this connection's or, when
 * it is used again, another client's. */
void cg_conn_forget_exchange(struct cg_conn *c);
/* Closes in order: at once, or by way of SHUT and LINGER when input may still come. */
void cg_conn_close(struct cg_conn *c);
__attribute__((format(printf, 3, 4))) void
cg_conn_report(struct cg_conn *c, enum cg_log_level level, const char *format, ...);

/* conn_input.c */
/* The exchange is over and the connection stays: what has arrived already is the next request. */
void cg_conn_next_request(struct cg_conn *c);
/* The client did something wrong: an error page, then the end. */
void cg_conn_refuse(struct cg_conn *c, enum cg_fault fault);
bool cg_conn_has_unread_input(const struct cg_conn *c);
/* Within a head: nothing has come but empty lines, which may precede a request and sometimes follow
 * a body (RFC 9112 section 2.2). At most a few bytes are looked at: the scanner refuses more. */
bool cg_conn_has_blank_head(const struct cg_conn *c);
/* More of the body must come: will not when the client has finished sending already. */
void cg_conn_await_body(struct cg_conn *c);

/* conn_output.c: each queues something behind what is queued already; the state is the caller's. */
void cg_output_clear(struct cg_conn *c);
bool cg_output_empty(const struct cg_conn *c);
/* Bytes that are not the response's body; valid until sent. */
void cg_output_add_lead(struct cg_conn *c, struct cg_slice bytes);
/* Builds and queues the response's head. 0 or -ENOMEM. */
int cg_output_add_head(struct cg_conn *c, int64_t known_length);
/* Frames a piece of the body as the head has promised; `last` when nothing follows. */
void cg_output_add_chunk(struct cg_conn *c, const struct cg_chunk *chunk, bool last);
/* Replaces the response by an error page that closes. 0 or -ENOMEM. */
int cg_output_add_error_page(struct cg_conn *c, int status, const char *text);

/* exchange.c */
/* end, the access line, and on to the next request or to closing. */
void cg_exchange_finish(struct cg_conn *c);
/* Writes the access line if it is owed. */
void cg_exchange_log(struct cg_conn *c);

#endif
