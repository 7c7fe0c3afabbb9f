/* SPDX-License-Identifier: MIT
 *
 * Allow lists. Addresses are kept and compared as 16 bytes, IPv4 in its mapped form, so that a list
 * is one array of prefixes. Owns what cg_allow_new() returns and nothing else.
 */
#include "server/base/cidr.h"

#include "server/base/num.h"

#include <arpa/inet.h>
#include <stdlib.h>

enum {
    IP_BITS = 128,
    MAPPED_BITS = 96, /* what precedes an IPv4 address (RFC 4291 section 2.5.5.2) */
};

struct network {
    uint8_t ip[16];
    unsigned prefix_bits;
};

struct cg_allow {
    bool everybody;
    size_t networks_n;
    struct network networks[];
};

static const uint8_t mapped[MAPPED_BITS / 8] = {[10] = 0xff, [11] = 0xff};

static bool is_mapped(const uint8_t ip[16]) {
    return memcmp(ip, mapped, sizeof(mapped)) == 0;
}

/* Returns the bits of the address's family, 0 for what is no address. */
static unsigned parse_address(struct cg_slice text, uint8_t ret_ip[16]) {
    char copy[INET6_ADDRSTRLEN];
    if (text.len >= sizeof(copy) || (text.len && memchr(text.at, '\0', text.len)))
        return 0;
    memcpy(copy, text.at, text.len);
    copy[text.len] = '\0';
    if (inet_pton(AF_INET, copy, ret_ip + sizeof(mapped)) == 1) {
        memcpy(ret_ip, mapped, sizeof(mapped));
        return IP_BITS - MAPPED_BITS;
    }
    return inet_pton(AF_INET6, copy, ret_ip) == 1 ? IP_BITS : 0;
}

/* Do the first bits of both agree? */
static bool same_prefix(const uint8_t a[16], const uint8_t b[16], unsigned bits) {
    unsigned whole = bits / 8, rest = bits % 8;
    if (memcmp(a, b, whole) != 0)
        return false;
    return rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

/* Bits behind the prefix are a typing mistake: what was meant, the host or the network? */
static bool has_host_bits(const struct network *n) {
    for (unsigned bit = n->prefix_bits; bit < IP_BITS; bit++) {
        if (n->ip[bit / 8] & (0x80 >> bit % 8))
            return true;
    }
    return false;
}

static bool parse_network(struct cg_slice text, struct network *ret_network) {
    const char *slash = text.len ? memchr(text.at, '/', text.len) : NULL;
    size_t address_len = slash ? (size_t)(slash - text.at) : text.len;
    unsigned bits = parse_address(cg_slice_of(text.at, address_len), ret_network->ip);
    uint64_t prefix = bits;
    if (slash && cg_num_parse_u64(cg_slice_of(slash + 1, text.len - address_len - 1), &prefix) < 0)
        return false;
    if (bits == 0 || prefix > bits)
        return false;
    ret_network->prefix_bits = IP_BITS - bits + (unsigned)prefix;
    return !has_host_bits(ret_network);
}

struct cg_allow *cg_allow_new(const char *list, struct cg_slice *ret_bad) {
    struct cg_slice rest = cg_slice_str(list), element;
    size_t elements_n = 0;
    *ret_bad = cg_slice_of(NULL, 0);
    while (cg_slice_next_element(&rest, &element))
        elements_n++;
    struct cg_allow *allow = calloc(1, sizeof(*allow) + elements_n * sizeof(allow->networks[0]));
    if (!allow)
        return NULL;
    rest = cg_slice_str(list);
    while (cg_slice_next_element(&rest, &element)) {
        if (element.len == 0)
            continue;
        if (cg_slice_eq(element, CG_SLICE("*"))) {
            allow->everybody = true;
        } else if (parse_network(element, &allow->networks[allow->networks_n])) {
            allow->networks_n++;
        } else {
            *ret_bad = element;
            cg_allow_free(allow);
            return NULL;
        }
    }
    return allow;
}

void cg_allow_free(struct cg_allow *allow) {
    free(allow);
}

static bool contains(const struct network *n, const uint8_t ip[16]) {
    if (n->prefix_bits < MAPPED_BITS && is_mapped(ip))
        return false;
    return same_prefix(n->ip, ip, n->prefix_bits);
}

bool cg_allow_has(const struct cg_allow *allow, const struct cg_endpoint *peer) {
    if (allow->everybody || peer->family == CG_FAMILY_UNIX)
        return true;
    for (size_t i = 0; i < allow->networks_n; i++) {
        if (contains(&allow->networks[i], peer->ip))
            return true;
    }
    return false;
}
