/* SPDX-License-Identifier: MIT
 *
 * The meaning of a packet's variables (var.def). One pass over them, then what they say together.
 * Where nginx was told a variable twice the last one counts, as with uWSGI, so that a uwsgi_param
 * behind `include uwsgi_params` overrides it. No state.
 */
#include "server/uwsgi/request.h"

#include "server/base/num.h"
#include "server/uwsgi/packet.h"

enum meaning {
    VARIABLE, /* the application's, as it is */
    FIELD,    /* HTTP_*: the client's header */
    IGNORED,
    METHOD,
    TARGET,
    PATH,
    QUERY,
    SCRIPT_NAME,
    VERSION,
    CONTENT_TYPE,
    CONTENT_LENGTH,
    HOST,
    REMOTE_ADDR,
    REMOTE_PORT,
    UNLESS_EMPTY,
    UWSGI_SCHEME,
    HTTPS,
    REQUEST_SCHEME,
};

/* What must be put together when all is read. */
struct notes {
    struct cg_slice uwsgi_scheme, https, request_scheme;
};

static bool has_prefix(struct cg_slice s, struct cg_slice prefix) {
    return s.len > prefix.len && memcmp(s.at, prefix.at, prefix.len) == 0;
}

/* A key with a dot is the server's to set (PEP 3333: wsgi.*, and those of servers), and no client's
 * header that nginx passes on. */
static enum meaning meaning_of(struct cg_slice name) {
    static const struct {
        const char *at;
        size_t len;
        enum meaning meaning;
    } rows[] = {
#define CG_UWSGI_VAR(name, meaning) {name, sizeof(name) - 1, meaning},
#include "server/uwsgi/var.def"
#undef CG_UWSGI_VAR
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (cg_slice_eq(name, cg_slice_of(rows[i].at, rows[i].len)))
            return rows[i].meaning;
    if (has_prefix(name, CG_SLICE("UWSGI_")) || memchr(name.at, '.', name.len))
        return IGNORED;
    return has_prefix(name, CG_SLICE("HTTP_")) ? FIELD : VARIABLE;
}

/* HTTP_X_ID, the field's key in an environ, becomes X-ID within the packet: which characters of the
 * name were underscores is lost, and means nothing. A key that no gateway makes is left out: what
 * is spelled HTTP_Content-Length would become another field's. */
static int add_field(struct cg_request *r, char *name, size_t len, struct cg_slice value) {
    for (size_t i = 0; i < len; i++) {
        if ((name[i] >= 'a' && name[i] <= 'z') || name[i] == '-')
            return 0;
        if (name[i] == '_')
            name[i] = '-';
    }
    struct cg_slice field = cg_slice_of(name, len);
    return cg_field_is_token(field) ? cg_request_add_field(r, field, value) : 0;
}

/* Only a configuration sends such a field twice: nginx refuses a client that does. */
static int set_field(struct cg_request *r, enum cg_field_id id, struct cg_slice name,
                     struct cg_slice value) {
    for (size_t i = 0; i < r->fields_n; i++) {
        if (r->fields[i].id == id) {
            r->fields[i].value = value;
            return 0;
        }
    }
    return cg_request_add_field(r, name, value);
}

/* Said once, or always the same: this is the framing. */
static enum cg_fault set_content_length(struct cg_request *r, struct cg_slice value) {
    uint64_t length;
    if (value.len == 0)
        return CG_FAULT_NONE;
    if (cg_num_parse_u64(value, &length) < 0)
        return CG_FAULT_CONTENT_LENGTH;
    if (r->framing == CG_FRAMING_LENGTH)
        return length == r->content_length ? CG_FAULT_NONE : CG_FAULT_CONTENT_LENGTH;
    r->framing = CG_FRAMING_LENGTH;
    r->content_length = length;
    return cg_request_add_field(r, CG_SLICE("CONTENT-LENGTH"), value) < 0 ? CG_FAULT_NO_MEMORY
                                                                          : CG_FAULT_NONE;
}

/* Sets what the variable means to the server. True when the application gets it as it is, too. */
static bool note(struct cg_request *r, struct notes *n, enum meaning meaning,
                 struct cg_slice value) {
    switch (meaning) {
    case METHOD:
        r->method = value;
        return false;
    case PATH:
        r->path = value;
        r->path_is_decoded = true;
        return false;
    case QUERY:
        r->query = value;
        return false;
    case SCRIPT_NAME:
        r->script_name = value;
        return false;
    case VERSION:
        r->version = value;
        return false;
    case UWSGI_SCHEME:
        n->uwsgi_scheme = value;
        return false;
    case TARGET:
        r->target = value;
        return true;
    case REMOTE_ADDR:
        r->remote_addr = value;
        return true;
    case REMOTE_PORT:
        r->remote_port = value;
        return true;
    case HTTPS:
        n->https = value;
        return true;
    case REQUEST_SCHEME:
        n->request_scheme = value;
        return true;
    case UNLESS_EMPTY:
        return value.len > 0;
    default:
        return meaning == VARIABLE;
    }
}

/* `name` is within the packet, and may be changed there. */
static enum cg_fault take_var(struct cg_request *r, struct notes *n, char *name, size_t name_len,
                              struct cg_slice value) {
    const size_t prefix_len = sizeof("HTTP_") - 1;
    enum meaning meaning = meaning_of(cg_slice_of(name, name_len));
    int rc = 0;
    switch (meaning) {
    case FIELD:
        rc = add_field(r, name + prefix_len, name_len - prefix_len, value);
        break;
    case HOST:
        rc = set_field(r, CG_FIELD_HOST, CG_SLICE("HOST"), value);
        break;
    case CONTENT_TYPE:
        if (value.len) /* nginx's way to say that there is none */
            rc = set_field(r, CG_FIELD_CONTENT_TYPE, CG_SLICE("CONTENT-TYPE"), value);
        break;
    case CONTENT_LENGTH:
        return set_content_length(r, value);
    default:
        if (note(r, n, meaning, value))
            rc = cg_request_add_variable(r, cg_slice_of(name, name_len), value);
    }
    return rc < 0 ? CG_FAULT_NO_MEMORY : CG_FAULT_NONE;
}

static enum cg_fault take_vars(struct cg_request *r, struct notes *n, char *packet, size_t len) {
    struct cg_slice vars = cg_slice_of(packet + CG_UWSGI_HEAD_LEN, len - CG_UWSGI_HEAD_LEN);
    enum cg_fault fault = CG_FAULT_NONE;
    for (int i = 0; vars.len > 0 && fault == CG_FAULT_NONE; i++) {
        struct cg_slice name, value;
        if (i == CG_UWSGI_VARS_N_MAX)
            return CG_FAULT_UWSGI_VARS_TOO_MANY;
        if (!cg_uwsgi_next_var(&vars, &name, &value))
            return CG_FAULT_UWSGI_PACKET;
        fault = take_var(r, n, packet + (name.at - packet), name.len, value);
    }
    return fault;
}

/* uWSGI's order, then nginx's own word, which stock configurations send. */
static void decide_scheme(struct cg_request *r, const struct notes *n) {
    struct cg_slice scheme = n->uwsgi_scheme.len ? n->uwsgi_scheme : n->request_scheme;
    bool is_on = cg_slice_eq_ci(n->https, CG_SLICE("on")) || cg_slice_eq(n->https, CG_SLICE("1"));
    bool is_https = cg_slice_eq_ci(scheme, CG_SLICE("https"));
    if (n->uwsgi_scheme.len == 0)
        is_https |= is_on;
    r->scheme_is_said = scheme.len > 0 || is_on;
    r->scheme = is_https ? CG_SCHEME_HTTPS : CG_SCHEME_HTTP;
}

/* Where PATH_INFO was not sent it follows from REQUEST_URI, and so does QUERY_STRING. */
static void find_path(struct cg_request *r) {
    struct cg_slice target = r->target;
    const char *mark = target.len ? memchr(target.at, '?', target.len) : NULL;
    if (r->path_is_decoded)
        return;
    r->path = mark ? cg_slice_of(target.at, (size_t)(mark - target.at)) : target;
    if (mark && !r->query.at)
        r->query = cg_slice_of(mark + 1, target.len - r->path.len - 1);
}

/* Cuts the mount point off the path. What is elsewhere stays whole: nginx was told to send it. */
static void unmount(struct cg_request *r) {
    struct cg_slice mount = r->script_name, path = r->path;
    bool is_below = mount.len > 0 && path.len >= mount.len &&
                    memcmp(path.at, mount.at, mount.len) == 0 &&
                    (path.len == mount.len || path.at[mount.len] == '/');
    if (is_below)
        r->path_info = cg_slice_of(path.at + mount.len, path.len - mount.len);
}

/* "GET /a?b HTTP/1.1". Without REQUEST_URI the target is made of path and query, also for the
 * application's RAW_URI. */
static enum cg_fault write_line(struct cg_request *r) {
    struct cg_buf *line = &r->line_text;
    if (cg_buf_reserve(line, r->method.len + r->target.len + r->path.len + r->query.len +
                                 r->version.len + 3) < 0)
        return CG_FAULT_NO_MEMORY;
    (void)cg_buf_append(line, r->method);
    (void)cg_buf_append_char(line, ' ');
    size_t target_at = line->len;
    if (r->target.len == 0) {
        (void)cg_buf_append(line, r->path);
        if (r->query.len)
            (void)cg_buf_append_char(line, '?');
        (void)cg_buf_append(line, r->query);
        r->target = cg_slice_of(line->at + target_at, line->len - target_at);
    } else {
        (void)cg_buf_append(line, r->target);
    }
    (void)cg_buf_append_char(line, ' ');
    (void)cg_buf_append(line, r->version);
    r->line = cg_buf_slice(line);
    return CG_FAULT_NONE;
}

enum cg_fault cg_uwsgi_read(struct cg_request *r, char *packet, size_t len) {
    struct notes n = {.https = cg_slice_of(NULL, 0)};
    r->is_uwsgi = true;
    r->version = CG_SLICE("HTTP/1.0"); /* the least that a client can be taken for */
    enum cg_fault fault = take_vars(r, &n, packet, len);
    if (fault != CG_FAULT_NONE)
        return fault;
    decide_scheme(r, &n);
    find_path(r);
    r->path_info = r->path;
    if (packet[0] == CG_UWSGI_WSGI_MOUNTED)
        unmount(r);
    return write_line(r);
}
