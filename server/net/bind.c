/* SPDX-License-Identifier: MIT
 *
 * Bind strings to struct cg_bind, by Gunicorn's forms and words. Pure text: nothing is resolved or
 * opened here, so a configuration can be checked without touching the machine.
 */
#include "server/net/bind.h"

#include "server/base/num.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>

/* Where the sentence for the user goes. */
struct complaint {
    char *at;
    size_t len;
};

__attribute__((format(printf, 2, 3))) static int refuse(struct complaint c, const char *format,
                                                        ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(c.at, c.len, format, args);
    va_end(args);
    return -EINVAL;
}

/* The text behind the prefix, or NULL. */
static const char *behind(const char *text, const char *prefix) {
    size_t len = strlen(prefix);
    return strncmp(text, prefix, len) == 0 ? text + len : NULL;
}

static int parse_unix(const char *path, struct cg_bind *b, struct complaint c) {
    if (!*path || strcmp(path, "@") == 0)
        return refuse(c, "The path of a unix socket is empty.");
    size_t len = strlen(path);
    if (len >= sizeof(b->path))
        return refuse(c, "'%s' is longer than the %zu bytes of a unix socket's path.", path,
                      sizeof(b->path) - 1);
    b->kind = CG_BIND_UNIX;
    memcpy(b->path, path, len + 1);
    return 0;
}

static int parse_fd(const char *number, struct cg_bind *b, struct complaint c) {
    uint64_t fd;
    if (cg_num_parse_u64(cg_slice_str(number), &fd) < 0 || fd > INT_MAX)
        return refuse(c, "'%s' is not a valid file descriptor.", number);
    b->kind = CG_BIND_FD;
    b->fd = (int)fd;
    return 0;
}

static int parse_port(const char *text, struct cg_bind *b, struct complaint c) {
    uint64_t port;
    if (cg_num_parse_u64(cg_slice_str(text), &port) < 0 || port > UINT16_MAX)
        return refuse(c, "'%s' is not a valid port number.", text);
    b->port = (uint16_t)port;
    return 0;
}

static int set_host(struct cg_slice host, struct cg_bind *b, struct complaint c) {
    if (host.len >= sizeof(b->host))
        return refuse(c, "'%.*s' is longer than a host name can be.", (int)host.len, host.at);
    for (size_t i = 0; i < host.len; i++)
        b->host[i] =
            host.at[i] >= 'A' && host.at[i] <= 'Z' ? (char)(host.at[i] | 0x20) : host.at[i];
    b->host[host.len] = '\0';
    return 0;
}

/* "[ADDRESS]" or "[ADDRESS]:PORT". */
static int parse_bracketed(const char *text, struct cg_bind *b, struct complaint c) {
    const char *end = strchr(text, ']');
    if (!end || end == text + 1 || (end[1] && end[1] != ':'))
        return refuse(c, "'%s' is not a valid address.", text);
    int rc = set_host(cg_slice_of(text + 1, (size_t)(end - text - 1)), b, c);
    return rc == 0 && end[1] ? parse_port(end + 2, b, c) : rc;
}

static int parse_tcp(const char *text, struct cg_bind *b, struct complaint c) {
    b->kind = CG_BIND_TCP;
    b->port = CG_BIND_DEFAULT_PORT;
    if (text[0] == '[')
        return parse_bracketed(text, b, c);
    struct in6_addr in6;
    if (inet_pton(AF_INET6, text, &in6) == 1)
        return refuse(c, "'%s' needs brackets, as in [%s]:%d.", text, text, CG_BIND_DEFAULT_PORT);
    const char *colon = strchr(text, ':');
    size_t host_len = colon ? (size_t)(colon - text) : strlen(text);
    int rc = set_host(cg_slice_of(text, host_len), b, c);
    return rc == 0 && colon ? parse_port(colon + 1, b, c) : rc;
}

/* What stands behind "uwsgi:" or "http:" when that is a protocol: "http:8000" is a host and a port.
 * The slashes belong to the protocol unless they are a path's. */
static const char *parse_protocol(const char *text, struct cg_bind *b) {
    static const struct {
        const char *prefix;
        enum cg_protocol protocol;
    } rows[] = {{"uwsgi:", CG_PROTOCOL_UWSGI}, {"http:", CG_PROTOCOL_HTTP}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *rest = behind(text, rows[i].prefix),
                   *address = rest ? behind(rest, "//") : NULL;
        if (!rest || !(address || behind(rest, "unix:") || behind(rest, "fd:")))
            continue;
        b->protocol = rows[i].protocol;
        return address ? address : rest;
    }
    return text;
}

int cg_bind_parse(const char *text, struct cg_bind *ret_bind, char *ret_text, size_t ret_text_len) {
    struct complaint c = {ret_text, ret_text_len};
    struct cg_bind b = {.fd = -1};
    const char *rest;
    int rc;
    text = parse_protocol(text, &b);
    if ((rest = behind(text, "unix://")) || (rest = behind(text, "unix:")))
        rc = parse_unix(rest, &b, c);
    else if ((rest = behind(text, "fd://")))
        rc = parse_fd(rest, &b, c);
    else
        rc = parse_tcp((rest = behind(text, "tcp://")) ? rest : text, &b, c);
    if (rc == 0)
        *ret_bind = b;
    return rc;
}
