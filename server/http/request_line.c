/* SPDX-License-Identifier: MIT
 *
 * Method and version. The verdict is ours alone, because llhttp's versions disagree about both. No
 * state.
 */
#include "server/http/request_line.h"

static bool has_lower_case(struct cg_slice s) {
    for (size_t i = 0; i < s.len; i++) {
        if (s.at[i] >= 'a' && s.at[i] <= 'z')
            return true;
    }
    return false;
}

static bool is_served(struct cg_slice method) {
    static const struct {
        const char *at;
        size_t len;
    } methods[] = {
#define CG_METHOD(name) {name, sizeof(name) - 1},
#include "server/http/method.def"
#undef CG_METHOD
    };
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (cg_slice_eq(method, cg_slice_of(methods[i].at, methods[i].len)))
            return true;
    }
    return false;
}

/* Methods are case-sensitive (RFC 9110 section 9.1): "get" is a mistake or a probe, not GET. */
static enum cg_fault judge_method(struct cg_slice method, bool permit_unconventional) {
    if (is_served(method))
        return CG_FAULT_NONE;
    if (!cg_field_is_token(method))
        return CG_FAULT_METHOD;
    if (permit_unconventional)
        return CG_FAULT_NONE;
    return has_lower_case(method) ? CG_FAULT_METHOD : CG_FAULT_METHOD_UNKNOWN;
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* HTTP-version (RFC 9112 section 2.3) */
static bool read_version(struct cg_request *r) {
    struct cg_slice version = r->version;
    const char *at = version.at;
    if (version.len != 8 || memcmp(at, "HTTP/", 5) != 0 || !is_digit(at[5]) || at[6] != '.' ||
        !is_digit(at[7]))
        return false;
    r->version_major = (uint8_t)(at[5] - '0');
    r->version_minor = (uint8_t)(at[7] - '0');
    return true;
}

static enum cg_fault judge_version(struct cg_request *r, bool permit_unconventional) {
    if (!read_version(r))
        return CG_FAULT_VERSION;
    bool supported = r->version_major == 1 && r->version_minor <= 1;
    return supported || permit_unconventional ? CG_FAULT_NONE : CG_FAULT_VERSION_UNSUPPORTED;
}

static void note_method(struct cg_request *r) {
    r->is_head = cg_slice_eq(r->method, CG_SLICE("HEAD"));
    r->is_connect = cg_slice_eq(r->method, CG_SLICE("CONNECT"));
}

enum cg_fault cg_request_line_judge(struct cg_request *r, const struct cg_settings *settings) {
    enum cg_fault fault = judge_method(r->method, settings->permit_unconventional_http_method);
    if (fault != CG_FAULT_NONE)
        return fault;
    if (r->target.len == 0)
        return CG_FAULT_TARGET;
    note_method(r);
    return judge_version(r, settings->permit_unconventional_http_version);
}

enum cg_fault cg_request_line_judge_forwarded(struct cg_request *r,
                                              const struct cg_settings *settings) {
    enum cg_fault fault = judge_method(r->method, settings->permit_unconventional_http_method);
    if (fault != CG_FAULT_NONE)
        return fault;
    if (r->target.len == 0)
        return CG_FAULT_TARGET;
    note_method(r);
    return read_version(r) ? CG_FAULT_NONE : CG_FAULT_VERSION;
}
