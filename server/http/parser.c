/* SPDX-License-Identifier: MIT
 *
 * A scanned head becomes a struct cg_request. The request line is split here, the fields by llhttp.
 * No state: the llhttp parser lives on the stack for one head.
 *
 * llhttp versions disagree about request lines (methods, bytes above 0x7f in a target, HTTP/0.9
 * and 2.0) and about the values of the two fields that frame a body. So that every version gives
 * the same verdict, llhttp is shown the fields behind a fixed request line, and where it objects to
 * a framing field, the value is taken as it stands and left to policy.
 */
#include "server/http/parser.h"

#include "server/base/assert.h"

#include <llhttp.h>

#define STRING_OF(x) #x
#define STRING(x) STRING_OF(x)

/* llhttp has no function for it. Its struct and flags are part of its ABI, so header and library
 * are of one version. */
const char *cg_parser_llhttp_version(void) {
    return STRING(LLHTTP_VERSION_MAJOR) "." STRING(LLHTTP_VERSION_MINOR) "." STRING(
        LLHTTP_VERSION_PATCH);
}

/* request-line = method SP request-target SP HTTP-version (RFC 9112 section 3): two spaces, no
 * more. The scanner has refused every control character in it. */
static enum cg_fault split_request_line(struct cg_request *r) {
    const char *at = r->line.at, *end = at + r->line.len;
    const char *space = memchr(at, ' ', r->line.len);
    const char *space2 = space ? memchr(space + 1, ' ', (size_t)(end - space - 1)) : NULL;
    if (!space2 || memchr(space2 + 1, ' ', (size_t)(end - space2 - 1)))
        return CG_FAULT_REQUEST_LINE;
    r->method = cg_slice_of(at, (size_t)(space - at));
    r->target = cg_slice_of(space + 1, (size_t)(space2 - space - 1));
    r->version = cg_slice_of(space2 + 1, (size_t)(end - space2 - 1));
    return CG_FAULT_NONE;
}

static int on_name(llhttp_t *p, const char *at, size_t len) {
    return cg_request_add_field(p->data, cg_slice_of(at, len), cg_slice_of(at + len, 0)) < 0
               ? HPE_USER
               : HPE_OK;
}

static int on_value(llhttp_t *p, const char *at, size_t len) {
    struct cg_request *r = p->data;
    CG_ASSERT(r->fields_n > 0);
    r->fields[r->fields_n - 1].value = cg_slice_trim(cg_slice_of(at, len));
    return HPE_OK;
}

/* Nothing behind the fields is llhttp's. */
static int on_fields_complete(llhttp_t *p) {
    return HPE_PAUSED;
}

static const llhttp_settings_t callbacks = {
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_headers_complete = on_fields_complete,
};

/* Lenient about Content-Length and Transfer-Encoding only because policy is the strict one. */
static llhttp_errno_t run_llhttp(struct cg_request *r, const char *at, const char *end) {
    static const char line[] = "GET / HTTP/1.1\r\n";
    llhttp_t p;
    llhttp_init(&p, HTTP_REQUEST, &callbacks);
    llhttp_set_lenient_chunked_length(&p, 1);
    llhttp_set_lenient_transfer_encoding(&p, 1);
    p.data = r;
    llhttp_errno_t rc = llhttp_execute(&p, line, sizeof line - 1);
    return rc == HPE_OK ? llhttp_execute(&p, at, (size_t)(end - at)) : rc;
}

static bool is_framing_objection(llhttp_errno_t rc) {
    return rc == HPE_INVALID_CONTENT_LENGTH || rc == HPE_UNEXPECTED_CONTENT_LENGTH ||
           rc == HPE_INVALID_TRANSFER_ENCODING;
}

/* Gives the last field, which llhttp objected to, the rest of its line as its value; returns the
 * next line. */
static const char *take_value(struct cg_request *r, const char *end) {
    CG_ASSERT(r->fields_n > 0);
    struct cg_field *f = &r->fields[r->fields_n - 1];
    const char *at = f->name.at + f->name.len + 1;
    const char *cr = memchr(at, '\r', (size_t)(end - at));
    CG_ASSERT(cr);
    f->value = cg_slice_trim(cg_slice_of(at, (size_t)(cr - at)));
    return cr + 2;
}

static enum cg_fault parse_fields(struct cg_request *r, const char *at, const char *end) {
    llhttp_errno_t rc = run_llhttp(r, at, end);
    while (is_framing_objection(rc))
        rc = run_llhttp(r, take_value(r, end), end);
    switch (rc) {
    case HPE_PAUSED:
        return CG_FAULT_NONE;
    case HPE_USER:
        return CG_FAULT_NO_MEMORY;
    case HPE_INVALID_HEADER_TOKEN:
        return CG_FAULT_FIELD_NAME; /* no value that the scanner lets through is refused */
    default:
        return CG_FAULT_HEAD;
    }
}

enum cg_fault cg_parser_parse(struct cg_request *r, const struct cg_head *head, const char *data) {
    CG_ASSERT(head->complete && r->fields_n == 0);
    r->line = cg_slice_of(data + head->start, head->line_end - head->start);
    enum cg_fault fault = split_request_line(r);
    if (fault == CG_FAULT_NONE)
        fault = parse_fields(r, data + head->line_end + 2, data + head->end);
    /* Scanner and llhttp must have seen the same lines. */
    if (fault == CG_FAULT_NONE && r->fields_n != head->fields_n)
        fault = CG_FAULT_HEAD;
    return fault;
}
