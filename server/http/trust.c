/* SPDX-License-Identifier: MIT
 *
 * Trust in what comes with a request. Gunicorn's rules, with one difference: a SCRIPT_NAME field
 * from a peer that is not trusted never moves the application, also where header_map keeps it.
 * X-Forwarded-For and its like are never interpreted. Owns what struct cg_trust says.
 */
#include "server/http/trust.h"

#include <errno.h>
#include <stdlib.h>

/* A field that says "https" by having this value, and "http" by having any other. */
struct cg_secure_scheme {
    struct cg_slice name, value;
};

static int init_schemes(struct cg_trust *t, const char *const *rows) {
    size_t n = 0;
    while (rows && rows[n])
        n++;
    t->schemes = calloc(n ? n : 1, sizeof *t->schemes);
    if (!t->schemes)
        return -ENOMEM;
    for (t->schemes_n = 0; t->schemes_n < n; t->schemes_n++) {
        struct cg_slice row = cg_slice_str(rows[t->schemes_n]);
        const char *colon = row.len ? memchr(row.at, ':', row.len) : NULL;
        if (!colon)
            return -EINVAL;
        size_t name_len = (size_t)(colon - row.at);
        t->schemes[t->schemes_n] = (struct cg_secure_scheme){
            .name = cg_slice_of(row.at, name_len),
            .value = cg_slice_of(colon + 1, row.len - name_len - 1),
        };
    }
    return 0;
}

static enum cg_header_map header_map_of(const char *name) {
    struct cg_slice s = cg_slice_str(name);
    if (cg_slice_eq(s, CG_SLICE("refuse")))
        return CG_HEADER_MAP_REFUSE;
    return cg_slice_eq(s, CG_SLICE("dangerous")) ? CG_HEADER_MAP_DANGEROUS : CG_HEADER_MAP_DROP;
}

int cg_trust_init(struct cg_trust *t, const struct cg_settings *settings) {
    struct cg_slice bad;
    const char *script_name = getenv("SCRIPT_NAME");
    *t = (struct cg_trust){
        .forwarders = cg_allow_new(settings->forwarded_allow_ips, &bad),
        .forwarder_headers = settings->forwarder_headers,
        .header_map = header_map_of(settings->header_map),
        /* A copy: the application may change its environment. */
        .script_name = strdup(script_name ? script_name : ""),
    };
    int rc = t->script_name ? init_schemes(t, settings->secure_scheme_headers) : -ENOMEM;
    if (!t->forwarders)
        rc = bad.len ? -EINVAL : -ENOMEM;
    if (rc < 0)
        cg_trust_done(t);
    return rc;
}

void cg_trust_done(struct cg_trust *t) {
    cg_allow_free(t->forwarders);
    free(t->schemes);
    free(t->script_name);
    *t = (struct cg_trust){.forwarders = NULL};
}

/* "SCRIPT_NAME,PATH_INFO", or "*" for every name. */
static bool is_forwarder_header(const struct cg_trust *t, struct cg_slice name) {
    struct cg_slice rest = cg_slice_str(t->forwarder_headers), element;
    while (cg_slice_next_element(&rest, &element)) {
        if (cg_slice_eq(element, CG_SLICE("*")) || cg_slice_eq_ci(element, name))
            return true;
    }
    return false;
}

/* None of the fields that the core knows has "_" in its name. */
static bool is_ambiguous(const struct cg_field *f) {
    return f->id == CG_FIELD_OTHER && f->name.len > 0 && memchr(f->name.at, '_', f->name.len);
}

static enum cg_fault map_names(const struct cg_trust *t, struct cg_request *r, bool trusted) {
    size_t kept_n = 0;
    for (size_t i = 0; i < r->fields_n; i++) {
        const struct cg_field *f = &r->fields[i];
        if (is_ambiguous(f) && !(trusted && is_forwarder_header(t, f->name))) {
            if (t->header_map == CG_HEADER_MAP_REFUSE)
                return CG_FAULT_FIELD_NAME;
            if (t->header_map == CG_HEADER_MAP_DROP)
                continue;
        }
        r->fields[kept_n++] = *f;
    }
    r->fields_n = kept_n;
    return CG_FAULT_NONE;
}

static const struct cg_secure_scheme *scheme_field(const struct cg_trust *t, struct cg_slice name) {
    for (size_t i = 0; i < t->schemes_n; i++) {
        if (t->schemes[i].name.len == name.len && cg_slice_eq_ci(t->schemes[i].name, name))
            return &t->schemes[i];
    }
    return NULL;
}

/* All that say something must agree. A value is compared as it is, so a list is not "https". */
static enum cg_fault read_scheme(const struct cg_trust *t, struct cg_request *r) {
    bool said = false;
    for (size_t i = 0; i < r->fields_n; i++) {
        const struct cg_field *f = &r->fields[i];
        const struct cg_secure_scheme *s = scheme_field(t, f->name);
        if (!s)
            continue;
        enum cg_scheme scheme = cg_slice_eq(f->value, s->value) ? CG_SCHEME_HTTPS : CG_SCHEME_HTTP;
        if (said && scheme != r->scheme)
            return CG_FAULT_SCHEME;
        r->scheme = scheme;
        said = true;
    }
    return CG_FAULT_NONE;
}

/* A SCRIPT_NAME without the slash at its end: that is PATH_INFO's. */
static struct cg_slice without_slash(struct cg_slice s) {
    while (s.len > 0 && s.at[s.len - 1] == '/')
        s.len--;
    return s;
}

/* PATH_INFO is what follows SCRIPT_NAME in the path; a path elsewhere was sent here by mistake. */
static enum cg_fault mount_path(struct cg_request *r, struct cg_slice script_name) {
    struct cg_slice path = r->path, mount = without_slash(script_name);
    r->script_name = mount;
    r->path_info = path;
    if (mount.len == 0)
        return CG_FAULT_NONE;
    bool below = path.len >= mount.len && memcmp(path.at, mount.at, mount.len) == 0 &&
                 (path.len == mount.len || path.at[mount.len] == '/');
    if (!below)
        return CG_FAULT_SCRIPT_NAME;
    r->path_info = cg_slice_of(path.at + mount.len, path.len - mount.len);
    return CG_FAULT_NONE;
}

enum cg_fault cg_trust_judge(const struct cg_trust *t, struct cg_request *r,
                             const struct cg_endpoint *peer) {
    bool trusted = cg_allow_has(t->forwarders, peer);
    r->from_forwarder = trusted;
    enum cg_fault fault = map_names(t, r, trusted);
    if (fault == CG_FAULT_NONE && trusted)
        fault = read_scheme(t, r);
    if (fault != CG_FAULT_NONE)
        return fault;
    struct cg_slice script_name = cg_slice_str(t->script_name);
    for (size_t i = 0; trusted && i < r->fields_n; i++) {
        /* The last one: what the peer itself adds comes behind what it passes on. */
        if (is_ambiguous(&r->fields[i]) &&
            cg_slice_eq_ci(r->fields[i].name, CG_SLICE("SCRIPT_NAME")))
            script_name = r->fields[i].value;
    }
    return mount_path(r, script_name);
}

/* The gateway has made the names, so none is mistaken for another. Its word about the scheme stands
 * before that of a field, which may be the client's. */
enum cg_fault cg_trust_judge_forwarded(const struct cg_trust *t, struct cg_request *r,
                                       const struct cg_endpoint *peer) {
    r->from_forwarder = cg_allow_has(t->forwarders, peer);
    if (!r->scheme_is_said && r->from_forwarder) {
        enum cg_fault fault = read_scheme(t, r);
        if (fault != CG_FAULT_NONE)
            return fault;
    }
    bool is_mounted = r->script_name.at != NULL;
    return is_mounted ? CG_FAULT_NONE : mount_path(r, cg_slice_str(t->script_name));
}
