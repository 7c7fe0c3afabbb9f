/* SPDX-License-Identifier: MIT
 *
 * Socket addresses to text. IPv4 is done by hand because every accepted connection needs it.
 */
#include "server/net/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

/* 0..255 in decimal; the place behind it. */
static char *put_octet(char *at, unsigned char octet) {
    if (octet >= 100)
        *at++ = (char)('0' + octet / 100);
    if (octet >= 10)
        *at++ = (char)('0' + octet / 10 % 10);
    *at++ = (char)('0' + octet % 10);
    return at;
}

static void format_ipv4(const struct sockaddr_in *in, struct cg_endpoint *e) {
    unsigned char octets[4];
    memcpy(octets, &in->sin_addr, sizeof(octets));
    char *at = e->host;
    for (int i = 0; i < 4; i++) {
        if (i > 0)
            *at++ = '.';
        at = put_octet(at, octets[i]);
    }
    *at = '\0';
    memset(e->ip, 0, 10);
    memset(e->ip + 10, 0xff, 2);
    memcpy(e->ip + 12, octets, sizeof(octets));
    e->family = CG_FAMILY_IPV4;
    e->port = ntohs(in->sin_port);
    e->host_len = (uint8_t)(at - e->host);
}

static void format_ipv6(const struct sockaddr_in6 *in6, struct cg_endpoint *e) {
    e->family = CG_FAMILY_IPV6;
    e->port = ntohs(in6->sin6_port);
    memcpy(e->ip, &in6->sin6_addr, sizeof(e->ip));
    if (!inet_ntop(AF_INET6, &in6->sin6_addr, e->host, sizeof(e->host)))
        e->host[0] = '\0';
    e->host_len = (uint8_t)strlen(e->host);
}

static void format_unix(const struct sockaddr_un *un, socklen_t len, struct cg_endpoint *e) {
    size_t head = offsetof(struct sockaddr_un, sun_path);
    size_t path_len = len > head ? len - head : 0;
    if (path_len > sizeof(un->sun_path))
        path_len = sizeof(un->sun_path);
    bool is_abstract = path_len > 0 && un->sun_path[0] == '\0';
    if (!is_abstract)
        path_len = strnlen(un->sun_path, path_len);
    /* NULs in an abstract name are shown as ss(8) shows them. */
    for (size_t i = 0; i < path_len; i++)
        e->host[i] = un->sun_path[i] ? un->sun_path[i] : '@';
    e->host[path_len] = '\0';
    e->family = CG_FAMILY_UNIX;
    e->port = 0;
    e->host_len = (uint8_t)path_len;
}

_Static_assert(sizeof(((struct cg_endpoint *)0)->host) >
                   sizeof(((struct sockaddr_un *)0)->sun_path),
               "an endpoint holds any socket path and its NUL");

bool cg_address_format(const struct sockaddr *address, socklen_t len,
                       struct cg_endpoint *ret_endpoint) {
    switch (address->sa_family) {
    case AF_INET:
        format_ipv4((const void *)address, ret_endpoint);
        return true;
    case AF_INET6:
        format_ipv6((const void *)address, ret_endpoint);
        return true;
    case AF_UNIX:
        format_unix((const void *)address, len, ret_endpoint);
        return true;
    default:
        return false;
    }
}
