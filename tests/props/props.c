/* SPDX-License-Identifier: MIT
 *
 * The shared library for the property tests: hypothesis drives the very functions that the server
 * runs. Each call begins and ends with nothing; no state.
 */
#include "tests/props/props.h"

#include "server/base/num.h"
#include "server/http/authority.h"
#include "server/http/chunked.h"
#include "server/http/field.h"
#include "server/http/response.h"
#include "tests/unit/incoming.h"

int cg_props_parse_u64(const char *at, size_t len, uint64_t *ret_value) {
    return cg_num_parse_u64(cg_slice_of(at, len), ret_value);
}

bool cg_props_is_token(const char *at, size_t len) {
    return cg_field_is_token(cg_slice_of(at, len));
}

bool cg_props_is_authority(const char *at, size_t len) {
    struct cg_authority authority;
    return cg_authority_parse(cg_slice_of(at, len), &authority);
}

/* Decodes one read. */
static enum cg_fault decode_read(struct cg_chunked *c, struct cg_slice read, struct cg_buf *body,
                                 size_t *ret_used) {
    size_t at = 0;
    while (at < read.len && !c->complete) {
        size_t used;
        struct cg_slice run;
        enum cg_fault fault = cg_chunked_decode(c, read.at + at, read.len - at, &used, &run);
        if (fault != CG_FAULT_NONE)
            return fault;
        if (cg_buf_append(body, run) < 0)
            return CG_FAULT_NO_MEMORY;
        at += used;
    }
    *ret_used += at;
    return CG_FAULT_NONE;
}

const char *cg_props_decode_chunks(const char *at, size_t len, size_t step, char *out,
                                   size_t *ret_out_len, size_t *ret_used) {
    struct cg_chunked c;
    struct cg_buf body = CG_BUF_INIT;
    enum cg_fault fault = CG_FAULT_NONE;
    size_t used = 0;
    cg_chunked_init(&c);
    while (used < len && !c.complete && fault == CG_FAULT_NONE) {
        size_t n = step == 0 || step > len - used ? len - used : step;
        fault = decode_read(&c, cg_slice_of(at + used, n), &body, &used);
    }
    if (fault == CG_FAULT_NONE && !c.complete)
        fault = CG_FAULT_INCOMPLETE;
    if (body.len)
        memcpy(out, body.at, body.len);
    *ret_out_len = body.len;
    *ret_used = used;
    cg_buf_done(&body);
    cg_chunked_done(&c);
    return incoming_fault_name(fault);
}

const char *cg_props_read_request(const char *at, size_t len, bool by_byte, const char *name,
                                  size_t name_len, char *out, size_t *ret_out_len) {
    struct incoming in;
    incoming_init(&in);
    enum cg_fault fault = incoming_run(&in, &incoming_settings, cg_slice_of(at, len),
                                       by_byte ? INCOMING_BYTES : INCOMING_WHOLE, 0);
    *ret_out_len = 0;
    if (fault == CG_FAULT_NONE) {
        const struct cg_field *field =
            cg_request_field_named(&in.request, cg_slice_of(name, name_len));
        if (field && field->value.len) {
            memcpy(out, field->value.at, field->value.len);
            *ret_out_len = field->value.len;
        }
    }
    incoming_done(&in);
    return incoming_fault_name(fault);
}

bool cg_props_build_head(const char *status, size_t status_len, const char *name, size_t name_len,
                         const char *value, size_t value_len, char *out, size_t *ret_out_len) {
    struct cg_request req;
    struct cg_response r;
    cg_request_init(&req);
    cg_response_init(&r);
    req.version_major = req.version_minor = 1;
    bool taken =
        cg_response_start(&r, cg_slice_of(status, status_len)) == CG_RESPONSE_OK &&
        cg_response_add_field(&r, cg_slice_of(name, name_len), cg_slice_of(value, value_len)) ==
            CG_RESPONSE_OK &&
        cg_response_build_head(&r, &req, 0, true, CG_SLICE("Fri, 20 Nov 2026 12:00:00 GMT")) == 0;
    if (taken) {
        memcpy(out, r.head.at, r.head.len);
        *ret_out_len = r.head.len;
    }
    cg_response_done(&r);
    cg_request_done(&req);
    return taken;
}
