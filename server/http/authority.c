/* SPDX-License-Identifier: MIT
 *
 * The grammar of an authority. No state.
 */
#include "server/http/authority.h"

#include "server/base/num.h"

#include <arpa/inet.h>

/* unreserved and sub-delims (RFC 3986 section 2): what stands for itself in a name. */
static bool is_name_character(unsigned char c) {
    static const bool plain[256] = {
        ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['-'] = true,
        ['.'] = true,         ['_'] = true,         ['~'] = true,         ['!'] = true,
        ['$'] = true,         ['&'] = true,         ['\''] = true,        ['('] = true,
        [')'] = true,         ['*'] = true,         ['+'] = true,         [','] = true,
        [';'] = true,         ['='] = true,
    };
    return plain[c];
}

/* reg-name; userinfo is the same with colons. */
static bool is_name(struct cg_slice s, bool colons) {
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.at[i];
        if (c == '%') {
            if (s.len - i < 3 || cg_num_hex_digit((unsigned char)s.at[i + 1]) < 0 ||
                cg_num_hex_digit((unsigned char)s.at[i + 2]) < 0)
                return false;
            i += 2;
        } else if (!is_name_character(c) && !(colons && c == ':')) {
            return false;
        }
    }
    return true;
}

/* IPv6 without a zone, which has no meaning outside its host (RFC 6874). No IPvFuture was born. */
static bool is_ipv6(struct cg_slice s) {
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;
    if (s.len >= sizeof text || memchr(s.at, '\0', s.len))
        return false;
    memcpy(text, s.at, s.len);
    text[s.len] = '\0';
    return inet_pton(AF_INET6, text, &address) == 1;
}

static bool is_port(struct cg_slice s) {
    uint64_t value;
    return s.len == 0 || (cg_num_parse_u64(s, &value) == 0 && value <= UINT16_MAX);
}

static struct cg_slice from(struct cg_slice s, const char *at) {
    return cg_slice_of(at, (size_t)(s.at + s.len - at));
}

static struct cg_slice up_to(struct cg_slice s, const char *at) {
    return cg_slice_of(s.at, (size_t)(at - s.at));
}

static bool split_host(struct cg_slice s, struct cg_authority *a) {
    const char *colon = NULL;
    if (s.len > 0 && s.at[0] == '[') {
        const char *close = memchr(s.at, ']', s.len);
        if (!close || !is_ipv6(cg_slice_of(s.at + 1, (size_t)(close - s.at - 1))))
            return false;
        a->host = up_to(s, close + 1);
        struct cg_slice rest = from(s, close + 1);
        if (rest.len > 0 && rest.at[0] != ':')
            return false;
        colon = rest.len > 0 ? rest.at : NULL;
    } else {
        colon = s.len > 0 ? memchr(s.at, ':', s.len) : NULL;
        a->host = colon ? up_to(s, colon) : s;
        if (!is_name(a->host, false))
            return false;
    }
    a->has_port = colon != NULL;
    if (colon)
        a->port = from(s, colon + 1);
    return is_port(a->port);
}

bool cg_authority_parse(struct cg_slice s, struct cg_authority *ret_authority) {
    struct cg_authority a = {.has_port = false};
    const char *at_sign = s.len > 0 ? memchr(s.at, '@', s.len) : NULL;
    if (at_sign) {
        a.has_userinfo = true;
        a.userinfo = up_to(s, at_sign);
        s = from(s, at_sign + 1);
    }
    if (!is_name(a.userinfo, true) || !split_host(s, &a))
        return false;
    *ret_authority = a;
    return true;
}
