/* SPDX-License-Identifier: MIT
 *
 * The incoming half of a connection for tests: scanner, parser, policy and body joined as
 * conn_input.c joins them, fed whole, byte by byte or in random splits. The scanner sees copies
 * that end where the bytes received so far end, so that a sanitizer finds a look too far.
 */
#ifndef CG_TESTS_UNIT_INCOMING_H
#define CG_TESTS_UNIT_INCOMING_H

#include "server/http/body.h"
#include "server/http/head.h"
#include "server/http/lenient.h"
#include "server/http/parser.h"
#include "server/http/policy.h"
#include "server/http/trust.h"

#include <stdlib.h>

enum incoming_way { INCOMING_WHOLE, INCOMING_BYTES, INCOMING_SPLITS };

struct incoming {
    struct cg_head head;
    struct cg_request request;
    struct cg_body body;
    size_t used; /* bytes of the input that belonged to the request, when there was no fault */
    struct cg_endpoint peer; /* 192.0.2.1, unless the test says otherwise */
    struct cg_trust trust;
    char *copy; /* of the input, where settings permit to rewrite it; else NULL */
};

static const char *const incoming_secure_schemes[] = {
    "X-FORWARDED-PROTOCOL:ssl", "X-FORWARDED-PROTO:https", "X-FORWARDED-SSL:on", NULL};

static const struct cg_settings incoming_settings = {
    .limit_request_line = 4094,
    .limit_request_fields = 100,
    .limit_request_field_size = 8190,
    .client_body_buffer_size = 65536,
    .forwarded_allow_ips = "127.0.0.1,::1",
    .secure_scheme_headers = incoming_secure_schemes,
    .forwarder_headers = "SCRIPT_NAME,PATH_INFO",
};

static inline void incoming_init(struct incoming *in) {
    *in = (struct incoming){
        .peer = {.family = CG_FAMILY_IPV4, .ip = {[10] = 0xff, 0xff, 192, 0, 2, 1}},
    };
    cg_head_reset(&in->head);
    cg_request_init(&in->request);
    cg_body_init(&in->body);
}

static inline void incoming_done(struct incoming *in) {
    cg_request_done(&in->request);
    cg_body_done(&in->body);
    cg_trust_done(&in->trust);
    free(in->copy);
}

/* How many of the bytes that are left come next. */
static inline size_t incoming_step(enum incoming_way way, unsigned *seed, size_t left) {
    if (way == INCOMING_WHOLE || left < 2)
        return left;
    return way == INCOMING_BYTES ? 1 : 1 + (size_t)rand_r(seed) % (left < 40 ? left : 40);
}

/* Feeds the scanner until the head is complete or refused; CG_FAULT_INCOMPLETE at the input's end.
 * Returns in *ret_fed how much was received. */
static inline enum cg_fault incoming_scan(struct cg_head *h, const struct cg_head_limits *limits,
                                          struct cg_slice input, enum incoming_way way,
                                          unsigned *seed, size_t *ret_fed) {
    size_t fed = 0;
    enum cg_fault fault = CG_FAULT_NONE;
    while (!h->complete && fault == CG_FAULT_NONE && fed < input.len) {
        fed += incoming_step(way, seed, input.len - fed);
        char *received = malloc(fed);
        memcpy(received, input.at, fed);
        fault = cg_head_scan(h, limits, received, fed);
        free(received);
    }
    *ret_fed = fed;
    return fault == CG_FAULT_NONE && !h->complete ? CG_FAULT_INCOMPLETE : fault;
}

static inline enum cg_fault incoming_read_body(struct incoming *in, struct cg_slice input,
                                               size_t fed, enum incoming_way way, unsigned *seed) {
    size_t at = in->head.end;
    while (!in->body.complete) {
        if (at == fed && fed == input.len)
            return CG_FAULT_INCOMPLETE;
        if (at == fed)
            fed += incoming_step(way, seed, input.len - fed);
        size_t used;
        enum cg_fault fault = cg_body_put(&in->body, input.at + at, fed - at, true, &used);
        if (fault != CG_FAULT_NONE)
            return fault;
        at += used;
    }
    in->used = at;
    return CG_FAULT_NONE;
}

/* A complete head at input's front to a request. */
static inline enum cg_fault
incoming_read_head(struct incoming *in, const struct cg_settings *settings, struct cg_slice input) {
    if (in->copy)
        cg_lenient_rewrite(&in->head, in->copy, settings);
    enum cg_fault fault = cg_parser_parse(&in->request, &in->head, input.at);
    if (fault == CG_FAULT_NONE)
        fault = cg_policy_judge(&in->request, settings);
    if (fault == CG_FAULT_NONE)
        fault = cg_trust_judge(&in->trust, &in->request, &in->peer);
    return fault;
}

/* Forgets the request before. Returns the input, or the copy of it that may be rewritten. */
static inline struct cg_slice
incoming_prepare(struct incoming *in, const struct cg_settings *settings, struct cg_slice input) {
    cg_head_reset(&in->head);
    cg_request_reset(&in->request);
    cg_body_reset(&in->body);
    cg_trust_done(&in->trust);
    free(in->copy);
    in->copy = NULL;
    if (cg_trust_init(&in->trust, settings) < 0)
        abort();
    if (input.len == 0 || !(settings->permit_obsolete_folding || settings->strip_header_spaces ||
                            settings->casefold_http_method))
        return input;
    in->copy = malloc(input.len);
    memcpy(in->copy, input.at, input.len);
    return cg_slice_of(in->copy, input.len);
}

/* One request from the front of input, which must stay where it is while `in` is used. */
static inline enum cg_fault incoming_run(struct incoming *in, const struct cg_settings *settings,
                                         struct cg_slice input, enum incoming_way way,
                                         unsigned seed) {
    struct cg_head_limits limits = cg_policy_head_limits(settings);
    size_t fed;
    input = incoming_prepare(in, settings, input);
    enum cg_fault fault = incoming_scan(&in->head, &limits, input, way, &seed, &fed);
    if (fault == CG_FAULT_NONE)
        fault = incoming_read_head(in, settings, input);
    if (fault == CG_FAULT_NONE)
        fault = cg_body_begin(&in->body, &in->request, (uint64_t)settings->limit_request_body,
                              (uint64_t)settings->client_body_buffer_size, NULL);
    return fault == CG_FAULT_NONE ? incoming_read_body(in, input, fed, way, &seed) : fault;
}

/* Appends the decoded body. */
static inline void incoming_take_body(struct cg_body *b, struct cg_buf *out) {
    struct cg_slice bytes;
    while (cg_body_window(b, &bytes) == 0 && bytes.len > 0) {
        cg_buf_append(out, bytes);
        cg_body_consume(b, bytes.len);
    }
}

static inline const char *incoming_fault_name(enum cg_fault fault) {
    static const char *const names[CG_FAULT_N] = {
        [CG_FAULT_NONE] = "ok",
#define CG_FAULT(id, status, text) [CG_FAULT_##id] = #id,
#include "server/http/fault.def"
#undef CG_FAULT
    };
    return names[fault];
}

#endif
