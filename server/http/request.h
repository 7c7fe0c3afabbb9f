/* SPDX-License-Identifier: MIT
 *
 * One parsed request, whichever protocol has brought it. All its slices point into the connection's
 * input buffer, which does not move from the moment the head is complete until the exchange ends;
 * nothing here is copied or decoded. (A path that the target leaves out is a constant "/";
 * script_name may come from the process's environment; the line of a uwsgi request is put together
 * in line_text.) Written by parser.c, policy.c, request_line.c, target.c, trust.c and server/uwsgi,
 * read by everybody.
 *
 * Fields with "_" in their name have no number: "Content_Length" is CG_FIELD_OTHER and means
 * nothing here. In an environ it would look like the real one, so trust.c removes what may not be
 * seen: the fields that are left are the application's.
 */
#ifndef CG_HTTP_REQUEST_H
#define CG_HTTP_REQUEST_H

#include "server/base/buf.h"
#include "server/http/field.h"

#include <stdint.h>

struct cg_field {
    enum cg_field_id id;
    struct cg_slice name;  /* as sent */
    struct cg_slice value; /* without surrounding white space */
};

/* What a gateway says of a request besides its fields: an environ key and its value, verbatim. */
struct cg_variable {
    struct cg_slice name, value;
};

enum cg_scheme { CG_SCHEME_HTTP, CG_SCHEME_HTTPS };

enum cg_framing { CG_FRAMING_NONE, CG_FRAMING_LENGTH, CG_FRAMING_CHUNKED };

struct cg_request {
    struct cg_slice line;    /* the whole request line, without CRLF: for the log */
    struct cg_slice method;  /* as sent */
    struct cg_slice target;  /* as sent: RAW_URI */
    struct cg_slice version; /* as sent */
    struct cg_slice path;    /* still percent-encoded; see target.c for the target's four forms */
    struct cg_slice query;   /* without "?" */
    struct cg_slice script_name; /* where the application is mounted, without a slash at its end */
    struct cg_slice path_info;   /* what of path is behind it */
    struct cg_slice host;        /* the Host field's value, empty when there is none */
    uint8_t version_major, version_minor;
    enum cg_scheme scheme; /* what the client used, as a trusted proxy has it */
    bool is_head, is_connect;
    bool from_forwarder;  /* the peer may speak for its clients (forwarded_allow_ips) */
    bool is_uwsgi;        /* a packet: answered without chunks, interim responses and keep-alive */
    bool path_is_decoded; /* path and path_info are not percent-encoded any more */
    bool scheme_is_said;  /* scheme is the gateway's word */
    bool keep_alive;      /* what the client wants (RFC 9112 section 9.3) */
    bool expects_continue;
    enum cg_framing framing;
    uint64_t content_length; /* with CG_FRAMING_LENGTH */
    struct cg_field *fields; /* in the order of arrival */
    size_t fields_n, fields_cap;
    struct cg_slice remote_addr, remote_port; /* the client, as a gateway has it; may be empty */
    struct cg_variable *variables;            /* a gateway's; a later one wins */
    size_t variables_n, variables_cap;
    struct cg_buf line_text; /* where line is when it did not come as one */
};

/* The arrays are kept over reset and freed by done. */
void cg_request_init(struct cg_request *r);
void cg_request_reset(struct cg_request *r);
void cg_request_done(struct cg_request *r);

/* 0 or -ENOMEM. */
int cg_request_add_field(struct cg_request *r, struct cg_slice name, struct cg_slice value);

/* 0 or -ENOMEM. */
int cg_request_add_variable(struct cg_request *r, struct cg_slice name, struct cg_slice value);

/* The first field with this number, or NULL. */
const struct cg_field *cg_request_field(const struct cg_request *r, enum cg_field_id id);

/* The first field with this name in any case, or NULL. */
const struct cg_field *cg_request_field_named(const struct cg_request *r, struct cg_slice name);

/* HTTP/1.1 or later. */
static inline bool cg_request_is_1_1(const struct cg_request *r) {
    return r->version_major > 1 || (r->version_major == 1 && r->version_minor >= 1);
}

#endif
