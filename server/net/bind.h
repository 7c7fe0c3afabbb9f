/* SPDX-License-Identifier: MIT
 *
 * Bind strings: "HOST", "HOST:PORT", ":PORT", "[::1]:PORT", "tcp://...", "unix:PATH", "fd://N". In
 * front of each may stand what is spoken there: "uwsgi://HOST:PORT", "uwsgi:unix:PATH",
 * "http://...".
 */
#ifndef CG_NET_BIND_H
#define CG_NET_BIND_H

#include "server/base/protocol.h"
#include "server/base/slice.h"

#include <stdint.h>

enum { CG_BIND_DEFAULT_PORT = 8000 };

enum cg_bind_kind { CG_BIND_TCP, CG_BIND_UNIX, CG_BIND_FD };

struct cg_bind {
    enum cg_bind_kind kind;
    enum cg_protocol protocol; /* CG_PROTOCOL_AUTO when the text does not say */
    char host[256];            /* lower case, without brackets; empty = every IPv4 address */
    uint16_t port;
    char path[108]; /* CG_BIND_UNIX; a leading '@' means the abstract namespace */
    int fd;         /* CG_BIND_FD */
};

/* 0, or -EINVAL with a sentence for the user in ret_text (cut to ret_text_len, NUL-terminated). */
int cg_bind_parse(const char *text, struct cg_bind *ret_bind, char *ret_text, size_t ret_text_len);

#endif
