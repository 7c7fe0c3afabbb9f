/* SPDX-License-Identifier: MIT
 *
 * The rules about one request, each in one place. No state. Fields are read once, in their order;
 * what they say together is judged afterwards, so the verdict on a request is always the same one.
 */
#include "server/http/policy.h"

#include "server/base/num.h"
#include "server/http/authority.h"
#include "server/http/request_line.h"
#include "server/http/target.h"

enum {
    LINE_BYTES_MAX = 8190,       /* Gunicorn's ceiling for limit_request_line */
    FIELDS_N_MAX = 32768,        /* and for limit_request_fields */
    FIELD_BYTES_DEFAULT = 8190,  /* for a negative limit_request_field_size */
    HEAD_BYTES_MAX = 1024 * 1024 /* whatever the settings say */
};

/* What the fields said. */
struct notes {
    bool host, content_type, content_length;
    bool coded, coding_bad, coding_unknown, chunked;
    bool close, keep_alive;
    bool expect_continue, expect_other;
};

/* Returns what *seen was, and sets it. */
static bool seen_before(bool *seen) {
    bool before = *seen;
    *seen = true;
    return before;
}

/* Sent once, and a host with an optional port, or empty (RFC 9112 section 3.2). */
static enum cg_fault note_host(struct notes *n, struct cg_request *r, struct cg_slice value) {
    struct cg_authority authority;
    if (seen_before(&n->host) || !cg_authority_parse(value, &authority) || authority.has_userinfo)
        return CG_FAULT_HOST;
    r->host = value;
    return CG_FAULT_NONE;
}

/* Digits, once: neither a list nor a repetition, even of equal numbers (RFC 9112 section 6.3 would
 * allow to merge those; to refuse is what it prefers). */
static enum cg_fault note_length(struct notes *n, struct cg_request *r, struct cg_slice value) {
    if (seen_before(&n->content_length) || cg_num_parse_u64(value, &r->content_length) < 0)
        return CG_FAULT_CONTENT_LENGTH;
    return CG_FAULT_NONE;
}

/* Repeated fields are one list. Only SP and HTAB are trimmed: another kind of white space makes it
 * a different, unknown name, or none at all. */
static void note_codings(struct notes *n, struct cg_slice value) {
    struct cg_slice coding;
    n->coded = true;
    while (cg_slice_next_element(&value, &coding)) {
        if (n->chunked || !cg_field_is_token(coding))
            n->coding_bad = true;
        else if (cg_slice_eq_ci(coding, CG_SLICE("chunked")))
            n->chunked = true;
        else
            n->coding_unknown = true;
    }
}

static void note_connection(struct notes *n, struct cg_slice value) {
    struct cg_slice option;
    while (cg_slice_next_element(&value, &option)) {
        n->close |= cg_slice_eq_ci(option, CG_SLICE("close"));
        n->keep_alive |= cg_slice_eq_ci(option, CG_SLICE("keep-alive"));
    }
}

static void note_expectation(struct notes *n, struct cg_slice value) {
    struct cg_slice expectation;
    while (cg_slice_next_element(&value, &expectation)) {
        if (cg_slice_eq_ci(expectation, CG_SLICE("100-continue")))
            n->expect_continue = true;
        else if (expectation.len > 0)
            n->expect_other = true;
    }
}

static enum cg_fault note_field(struct notes *n, struct cg_request *r, const struct cg_field *f) {
    switch (f->id) {
    case CG_FIELD_HOST:
        return note_host(n, r, f->value);
    case CG_FIELD_CONTENT_TYPE:
        return seen_before(&n->content_type) ? CG_FAULT_CONTENT_TYPE : CG_FAULT_NONE;
    case CG_FIELD_CONTENT_LENGTH:
        return note_length(n, r, f->value);
    case CG_FIELD_TRANSFER_ENCODING:
        note_codings(n, f->value);
        return CG_FAULT_NONE;
    case CG_FIELD_CONNECTION:
        note_connection(n, f->value);
        return CG_FAULT_NONE;
    case CG_FIELD_EXPECT:
        note_expectation(n, f->value);
        return CG_FAULT_NONE;
    default:
        return CG_FAULT_NONE;
    }
}

/* RFC 9112 section 3.2: every HTTP/1.1 request names its host, whatever the form of its target. */
static enum cg_fault judge_host(const struct cg_request *r, const struct notes *n) {
    return cg_request_is_1_1(r) && !n->host ? CG_FAULT_HOST : CG_FAULT_NONE;
}

/* RFC 9112 sections 6.1 and 6.3. What another server could frame differently is refused, never
 * repaired: that is how requests are smuggled. */
static enum cg_fault judge_framing(struct cg_request *r, const struct notes *n) {
    if (!n->coded) {
        r->framing = n->content_length ? CG_FRAMING_LENGTH : CG_FRAMING_NONE;
        return CG_FAULT_NONE;
    }
    if (!cg_request_is_1_1(r))
        return CG_FAULT_CODING_ON_1_0;
    if (n->content_length)
        return CG_FAULT_LENGTH_AND_CODING;
    if (n->coding_bad)
        return CG_FAULT_TRANSFER_ENCODING;
    if (n->coding_unknown)
        return CG_FAULT_TRANSFER_ENCODING_UNKNOWN;
    r->framing = CG_FRAMING_CHUNKED;
    return CG_FAULT_NONE;
}

/* RFC 9110 section 10.1.1. HTTP/1.0 knows no expectations; a request without a body has nothing to
 * wait for. */
static enum cg_fault judge_expectation(struct cg_request *r, const struct notes *n) {
    if (!cg_request_is_1_1(r))
        return CG_FAULT_NONE;
    if (n->expect_other)
        return CG_FAULT_EXPECTATION;
    bool has_body = r->framing == CG_FRAMING_CHUNKED || r->content_length > 0;
    r->expects_continue = n->expect_continue && has_body;
    return CG_FAULT_NONE;
}

enum cg_fault cg_policy_judge(struct cg_request *r, const struct cg_settings *settings) {
    struct notes n = {.host = false};
    enum cg_fault fault = cg_request_line_judge(r, settings);
    if (fault == CG_FAULT_NONE)
        fault = cg_target_split(r);
    for (size_t i = 0; i < r->fields_n && fault == CG_FAULT_NONE; i++)
        fault = note_field(&n, r, &r->fields[i]);
    if (fault == CG_FAULT_NONE)
        fault = judge_host(r, &n);
    if (fault == CG_FAULT_NONE)
        fault = judge_framing(r, &n);
    if (fault == CG_FAULT_NONE)
        fault = judge_expectation(r, &n);
    r->keep_alive = !n.close && (cg_request_is_1_1(r) || n.keep_alive);
    return fault;
}

static bool has_control(struct cg_slice s) {
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.at[i] < 0x20 || s.at[i] == 0x7f)
            return true;
    return false;
}

/* The framing is the packet's, and Connection and Expect were for the gateway. What it has decoded,
 * the path, may have any characters; its word for the target has those of a request line. */
enum cg_fault cg_policy_judge_forwarded(struct cg_request *r, const struct cg_settings *settings) {
    struct notes n = {.host = false};
    enum cg_fault fault = cg_request_line_judge_forwarded(r, settings);
    if (fault == CG_FAULT_NONE && has_control(r->target))
        fault = CG_FAULT_TARGET;
    const struct cg_field *host = cg_request_field(r, CG_FIELD_HOST);
    return fault == CG_FAULT_NONE && host ? note_host(&n, r, host->value) : fault;
}

/* Gunicorn's clamps, but for 0: there it is documented as "unlimited" and is not; here it is,
 * within HEAD_BYTES_MAX. */
struct cg_head_limits cg_policy_head_limits(const struct cg_settings *settings) {
    int64_t line = settings->limit_request_line, fields = settings->limit_request_fields,
            field = settings->limit_request_field_size;
    if (line < 0 || line > LINE_BYTES_MAX)
        line = LINE_BYTES_MAX;
    if (fields <= 0 || fields > FIELDS_N_MAX)
        fields = FIELDS_N_MAX;
    if (field < 0)
        field = FIELD_BYTES_DEFAULT;
    if (field > HEAD_BYTES_MAX)
        field = HEAD_BYTES_MAX;
    int64_t head = 2 * CG_HEAD_LEADING_LINES + line + 2 + fields * field + 2;
    if (line == 0 || field == 0 || head > HEAD_BYTES_MAX)
        head = HEAD_BYTES_MAX;
    return (struct cg_head_limits){
        .line_bytes = (size_t)line,
        .fields_n = (size_t)fields,
        .field_bytes = (size_t)field,
        .head_bytes = (size_t)head,
        .permit_folding = settings->permit_obsolete_folding,
    };
}
