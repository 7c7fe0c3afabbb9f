/* SPDX-License-Identifier: MIT
 *
 * The PROXY protocol, versions 1 and 2: the header that a load balancer puts in front of the first
 * request of a connection to say who has connected to it. Detecting and reading it, on the bytes
 * received so far; whether a peer may send one is the connection's question. No state: a header is
 * short enough to be looked at again when more of it has come, and the verdict depends on its bytes
 * alone, never on how reads cut them. Section numbers are those of HAProxy's proxy-protocol.txt.
 */
#ifndef CG_HTTP_PROXY_H
#define CG_HTTP_PROXY_H

#include "server/base/endpoint.h"
#include "server/http/fault.h"

enum {
    CG_PROXY_V1_BYTES_MAX = 107, /* section 2.1, with its CRLF */
    /* Addresses and the fields behind them, of which the largest is a client's certificate. The
     * header's own length field could say 64 KiB. */
    CG_PROXY_V2_BYTES_MAX = 16 * 1024,
};

/* What a header says of the connection. */
enum cg_proxy_kind {
#define CG_PROXY_KIND(id, name) CG_PROXY_##id,
#include "server/http/proxy_kind.def"
#undef CG_PROXY_KIND
};

struct cg_proxy {
    enum cg_proxy_kind kind;
    /* Who connected to the proxy, and where. Only when cg_proxy_has_addresses(). */
    struct cg_endpoint source, destination;
};

/* The versions that a value of the setting proxy_protocol allows ("off", "v1", "v2", "auto"). */
enum cg_proxy_versions {
    CG_PROXY_OFF = 0,
    CG_PROXY_V1 = 1,
    CG_PROXY_V2 = 2,
    CG_PROXY_AUTO = CG_PROXY_V1 | CG_PROXY_V2,
};
enum cg_proxy_versions cg_proxy_versions(const char *setting);

enum cg_proxy_start {
    CG_PROXY_UNDECIDED, /* all bytes so far may begin a header; more will tell */
    CG_PROXY_ABSENT,
    CG_PROXY_STARTS_V1,
    CG_PROXY_STARTS_V2,
};

/* What data, the first bytes of a connection, begins with. */
enum cg_proxy_start cg_proxy_detect(enum cg_proxy_versions versions, struct cg_slice data);

/* Reads the header that data begins with, after it was detected. *ret_len is how many bytes it has,
 * 0 while there are not all of them. *ret_proxy is set when *ret_len is. */
enum cg_fault cg_proxy_read(enum cg_proxy_start start, struct cg_slice data,
                            struct cg_proxy *ret_proxy, size_t *ret_len);

/* "TCP4", "LOCAL": the environ's PROXY_PROTOCOL; static. */
const char *cg_proxy_kind_name(enum cg_proxy_kind kind);

/* False when the header says nothing of a client (a health check, a protocol that the proxy cannot
 * describe): the request is then the peer's own. */
bool cg_proxy_has_addresses(const struct cg_proxy *proxy);

#endif
