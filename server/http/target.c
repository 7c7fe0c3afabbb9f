/* SPDX-License-Identifier: MIT
 *
 * The request target's four forms. No state. Nothing is decoded: percent-encoding is the binding's.
 */
#include "server/http/target.h"

#include "server/http/authority.h"

/* Cuts path and query out of a target from its path on. A fragment does not belong into a target
 * (RFC 9112 section 3.2), but is sent by careless clients: dropped, as Gunicorn does. */
static void split_path(struct cg_request *r, struct cg_slice s) {
    const char *hash = s.len > 0 ? memchr(s.at, '#', s.len) : NULL;
    if (hash)
        s.len = (size_t)(hash - s.at);
    const char *mark = s.len > 0 ? memchr(s.at, '?', s.len) : NULL;
    r->path = s;
    if (mark) {
        r->path.len = (size_t)(mark - s.at);
        r->query = cg_slice_of(mark + 1, s.len - r->path.len - 1);
    }
}

static bool is_alpha(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* scheme = ALPHA *( ALPHA / DIGIT / "+" / "-" / "." ) (RFC 3986 section 3.1) */
static bool is_scheme(struct cg_slice s) {
    for (size_t i = 0; i < s.len; i++) {
        bool other = (s.at[i] >= '0' && s.at[i] <= '9') || s.at[i] == '+' || s.at[i] == '-' ||
                     s.at[i] == '.';
        if (!is_alpha(s.at[i]) && !(other && i > 0))
            return false;
    }
    return s.len > 0;
}

/* absolute-form (RFC 9112 section 3.2.2). Host stays what its field says: a proxy in front has
 * matched the two, and applications read HTTP_HOST. An empty path means "/". */
static enum cg_fault split_absolute(struct cg_request *r) {
    struct cg_slice s = r->target;
    const char *mark = memmem(s.at, s.len, "://", 3);
    if (!mark || !is_scheme(cg_slice_of(s.at, (size_t)(mark - s.at))))
        return CG_FAULT_TARGET;
    const char *at = mark + 3, *end = s.at + s.len, *path = at;
    while (path < end && *path != '/' && *path != '?' && *path != '#')
        path++;
    struct cg_authority authority;
    if (!cg_authority_parse(cg_slice_of(at, (size_t)(path - at)), &authority) ||
        authority.host.len == 0)
        return CG_FAULT_TARGET;
    split_path(r, cg_slice_of(path, (size_t)(end - path)));
    if (r->path.len == 0)
        r->path = CG_SLICE("/");
    return CG_FAULT_NONE;
}

/* authority-form (RFC 9112 section 3.2.3): host and port, both. The path is the authority. */
static enum cg_fault split_authority(struct cg_request *r) {
    struct cg_authority authority;
    if (!cg_authority_parse(r->target, &authority) || authority.has_userinfo ||
        authority.host.len == 0 || authority.port.len == 0)
        return CG_FAULT_TARGET;
    r->path = r->target;
    return CG_FAULT_NONE;
}

enum cg_fault cg_target_split(struct cg_request *r) {
    if (r->is_connect)
        return split_authority(r);
    if (r->target.at[0] == '/') {
        split_path(r, r->target);
        return CG_FAULT_NONE;
    }
    if (cg_slice_eq(r->target, CG_SLICE("*"))) {
        r->path = r->target;
        return cg_slice_eq(r->method, CG_SLICE("OPTIONS")) ? CG_FAULT_NONE : CG_FAULT_TARGET;
    }
    return split_absolute(r);
}
