/* SPDX-License-Identifier: MIT
 *
 * One end of a connection: as text, which is what REMOTE_ADDR, SERVER_NAME and log lines show, and
 * as the bytes that are matched with allow lists. Filled by server/net, and from what proxies say
 * of clients; read by everybody.
 */
#ifndef CG_BASE_ENDPOINT_H
#define CG_BASE_ENDPOINT_H

#include "server/base/slice.h"

#include <stdint.h>

enum cg_family { CG_FAMILY_UNIX, CG_FAMILY_IPV4, CG_FAMILY_IPV6 };

struct cg_endpoint {
    enum cg_family family;
    uint16_t port;    /* 0 for unix */
    uint8_t host_len; /* bytes in host */
    uint8_t ip[16];   /* in network order, IPv4 as ::ffff:a.b.c.d; not set for unix */
    char host[110];   /* numeric address, or the socket's path; empty for an unnamed unix peer */
};

static inline struct cg_slice cg_endpoint_host(const struct cg_endpoint *e) {
    return cg_slice_of(e->host, e->host_len);
}

/* An address of 4 or 16 bytes in network order, by family. */
void cg_endpoint_set_ip(struct cg_endpoint *e, enum cg_family family, const unsigned char *ip,
                        uint16_t port);

/* False, with nothing written, when text is no IPv4 or IPv6 address. */
bool cg_endpoint_parse_ip(struct cg_slice text, uint16_t port, struct cg_endpoint *ret_endpoint);

#endif
