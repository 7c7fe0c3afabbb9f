/* SPDX-License-Identifier: MIT
 *
 * Endpoints from the addresses that protocols carry. No state.
 */
#include "server/base/endpoint.h"

#include "server/base/assert.h"

#include <arpa/inet.h>
#include <sys/socket.h>

void cg_endpoint_set_ip(struct cg_endpoint *e, enum cg_family family, const unsigned char *ip,
                        uint16_t port) {
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    bool is_ipv4 = family == CG_FAMILY_IPV4;
    e->family = family;
    e->port = port;
    if (is_ipv4) {
        memcpy(e->ip, mapped, sizeof(mapped));
        memcpy(e->ip + sizeof(mapped), ip, sizeof(struct in_addr));
    } else {
        memcpy(e->ip, ip, sizeof(struct in6_addr));
    }
    const char *text = inet_ntop(is_ipv4 ? AF_INET : AF_INET6, ip, e->host, sizeof(e->host));
    CG_ASSERT(text);
    e->host_len = (uint8_t)strlen(e->host);
}

bool cg_endpoint_parse_ip(struct cg_slice text, uint16_t port, struct cg_endpoint *ret_endpoint) {
    char address[INET6_ADDRSTRLEN];
    unsigned char ip[sizeof(struct in6_addr)];
    if (text.len == 0 || text.len >= sizeof(address))
        return false;
    memcpy(address, text.at, text.len);
    address[text.len] = '\0';
    bool is_ipv6 = strchr(address, ':') != NULL;
    if (inet_pton(is_ipv6 ? AF_INET6 : AF_INET, address, ip) != 1)
        return false;
    cg_endpoint_set_ip(ret_endpoint, is_ipv6 ? CG_FAMILY_IPV6 : CG_FAMILY_IPV4, ip, port);
    return true;
}
