/* SPDX-License-Identifier: MIT
 *
 * What is spoken on a listening socket.
 */
#ifndef CG_BASE_PROTOCOL_H
#define CG_BASE_PROTOCOL_H

#include <string.h>

enum cg_protocol {
    CG_PROTOCOL_AUTO, /* a connection's first byte tells */
    CG_PROTOCOL_HTTP,
    CG_PROTOCOL_UWSGI,
};

/* By a value of the setting `protocol`; NULL is "auto". */
static inline enum cg_protocol cg_protocol_of(const char *name) {
    if (name && strcmp(name, "http") == 0)
        return CG_PROTOCOL_HTTP;
    return name && strcmp(name, "uwsgi") == 0 ? CG_PROTOCOL_UWSGI : CG_PROTOCOL_AUTO;
}

#endif
