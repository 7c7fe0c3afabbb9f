/* SPDX-License-Identifier: MIT
 *
 * PROXY protocol headers of proxy.h. What the specification does not have is refused as soon as it
 * can be told, a line of version 1 at its end or past its greatest length: a broken header never
 * waits for its timeout. No state.
 */
#include "server/http/proxy.h"

#include "server/base/assert.h"
#include "server/base/num.h"

#include <arpa/inet.h>
#include <sys/socket.h>

/* Section 2.2: chosen so that no HTTP/1 server takes it for a request. */
#define V1_START CG_SLICE("PROXY ")
#define V2_START CG_SLICE("\r\n\r\n\0\r\nQUIT\n")

/* Offsets and lengths of a version 2 header. */
enum {
    V2_COMMAND_AT = 12, /* version in the high half, command in the low one */
    V2_FAMILY_AT = 13,  /* address family in the high half, transport in the low one */
    V2_LEN_AT = 14,     /* of what follows, two bytes */
    V2_FIXED_LEN = 16,
    V2_UNIX_PATH_LEN = 108,
};

static const char *const kind_names[] = {
#define CG_PROXY_KIND(id, name) [CG_PROXY_##id] = name,
#include "server/http/proxy_kind.def"
#undef CG_PROXY_KIND
};

const char *cg_proxy_kind_name(enum cg_proxy_kind kind) {
    return kind_names[kind];
}

bool cg_proxy_has_addresses(const struct cg_proxy *proxy) {
    return proxy->kind >= CG_PROXY_TCP4;
}

enum cg_proxy_versions cg_proxy_versions(const char *setting) {
    static const struct {
        const char *name;
        enum cg_proxy_versions versions;
    } rows[] = {{"v1", CG_PROXY_V1}, {"v2", CG_PROXY_V2}, {"auto", CG_PROXY_AUTO}};
    for (size_t i = 0; setting && i < sizeof(rows) / sizeof(rows[0]); i++)
        if (strcmp(rows[i].name, setting) == 0)
            return rows[i].versions;
    return CG_PROXY_OFF;
}

static bool agree(struct cg_slice data, struct cg_slice start) {
    size_t n = data.len < start.len ? data.len : start.len;
    return n == 0 || memcmp(data.at, start.at, n) == 0;
}

enum cg_proxy_start cg_proxy_detect(enum cg_proxy_versions versions, struct cg_slice data) {
    bool v1 = (versions & CG_PROXY_V1) && agree(data, V1_START);
    bool v2 = (versions & CG_PROXY_V2) && agree(data, V2_START);
    if (v1 && data.len >= V1_START.len)
        return CG_PROXY_STARTS_V1;
    if (v2 && data.len >= V2_START.len)
        return CG_PROXY_STARTS_V2;
    return v1 || v2 ? CG_PROXY_UNDECIDED : CG_PROXY_ABSENT;
}

/* Version 1 */

/* Cuts the next word off, and the one space behind it. */
static struct cg_slice cut_word(struct cg_slice *line) {
    const char *space = line->len ? memchr(line->at, ' ', line->len) : NULL;
    size_t len = space ? (size_t)(space - line->at) : line->len;
    struct cg_slice word = cg_slice_of(line->at, len);
    size_t used = space ? len + 1 : len;
    *line = cg_slice_of(line->at + used, line->len - used);
    return word;
}

/* One to five digits without a leading zero, at most 65535. */
static bool read_port(struct cg_slice word, uint16_t *ret_port) {
    uint64_t value;
    if (word.len > 1 && word.at[0] == '0')
        return false;
    if (cg_num_parse_u64(word, &value) < 0 || value > UINT16_MAX)
        return false;
    *ret_port = (uint16_t)value;
    return true;
}

static bool read_ip(enum cg_family family, struct cg_slice word, unsigned char *ret_ip) {
    char text[INET6_ADDRSTRLEN];
    if (word.len >= sizeof(text))
        return false;
    memcpy(text, word.at, word.len);
    text[word.len] = '\0';
    return inet_pton(family == CG_FAMILY_IPV4 ? AF_INET : AF_INET6, text, ret_ip) == 1;
}

/* "192.0.2.1 198.51.100.1 4711 443" */
static bool read_v1_addresses(enum cg_family family, struct cg_slice line,
                              struct cg_proxy *ret_proxy) {
    unsigned char source[16], destination[16];
    uint16_t source_port, destination_port;
    if (!read_ip(family, cut_word(&line), source) ||
        !read_ip(family, cut_word(&line), destination) ||
        !read_port(cut_word(&line), &source_port) || !read_port(line, &destination_port))
        return false;
    cg_endpoint_set_ip(&ret_proxy->source, family, source, source_port);
    cg_endpoint_set_ip(&ret_proxy->destination, family, destination, destination_port);
    return true;
}

/* What stands behind "PROXY ", without its CRLF. */
static bool read_v1_line(struct cg_slice line, struct cg_proxy *ret_proxy) {
    struct cg_slice protocol = cut_word(&line);
    if (cg_slice_eq(protocol, CG_SLICE("UNKNOWN"))) { /* the rest is to be ignored */
        ret_proxy->kind = CG_PROXY_UNKNOWN;
        return true;
    }
    bool is_ipv4 = cg_slice_eq(protocol, CG_SLICE("TCP4"));
    if (!is_ipv4 && !cg_slice_eq(protocol, CG_SLICE("TCP6")))
        return false;
    ret_proxy->kind = is_ipv4 ? CG_PROXY_TCP4 : CG_PROXY_TCP6;
    return read_v1_addresses(is_ipv4 ? CG_FAMILY_IPV4 : CG_FAMILY_IPV6, line, ret_proxy);
}

static bool is_printable(char c) {
    return c >= 0x20 && c < 0x7f;
}

static enum cg_fault read_v1(struct cg_slice data, struct cg_proxy *ret_proxy, size_t *ret_len) {
    const size_t last_line_end = CG_PROXY_V1_BYTES_MAX - 2;
    size_t end = V1_START.len;
    while (end < data.len && end <= last_line_end && is_printable(data.at[end]))
        end++;
    if (end > last_line_end)
        return CG_FAULT_PROXY_HEADER;
    if (end == data.len)
        return CG_FAULT_NONE;
    if (data.at[end] != '\r')
        return CG_FAULT_PROXY_HEADER;
    if (end + 1 == data.len)
        return CG_FAULT_NONE;
    struct cg_slice line = cg_slice_of(data.at + V1_START.len, end - V1_START.len);
    if (data.at[end + 1] != '\n' || !read_v1_line(line, ret_proxy))
        return CG_FAULT_PROXY_HEADER;
    *ret_len = end + 2;
    return CG_FAULT_NONE;
}

/* Version 2 */

static uint16_t read_u16(const unsigned char *at) {
    return (uint16_t)(at[0] << 8 | at[1]);
}

static void set_unix(struct cg_endpoint *e, const unsigned char *path) {
    size_t len = strnlen((const char *)path, V2_UNIX_PATH_LEN);
    _Static_assert(sizeof(e->host) > V2_UNIX_PATH_LEN, "an endpoint holds any path and its NUL");
    e->family = CG_FAMILY_UNIX;
    e->port = 0;
    memcpy(e->host, path, len);
    e->host[len] = '\0';
    e->host_len = (uint8_t)len;
}

static void set_v2_addresses(struct cg_proxy *p, const unsigned char *at) {
    if (p->kind == CG_PROXY_UNIX) {
        set_unix(&p->source, at);
        set_unix(&p->destination, at + V2_UNIX_PATH_LEN);
        return;
    }
    enum cg_family family = p->kind == CG_PROXY_TCP4 ? CG_FAMILY_IPV4 : CG_FAMILY_IPV6;
    size_t ip_len = family == CG_FAMILY_IPV4 ? sizeof(struct in_addr) : sizeof(struct in6_addr);
    cg_endpoint_set_ip(&p->source, family, at, read_u16(at + 2 * ip_len));
    cg_endpoint_set_ip(&p->destination, family, at + ip_len, read_u16(at + 2 * ip_len + 2));
}

/* The families of a PROXY command that can come over a stream. A datagram cannot, and the protocol
 * byte 0x00 is the only one that must be understood. */
static const struct family {
    unsigned char byte;
    enum cg_proxy_kind kind;
    uint16_t addresses_len;
} families[] = {
    {0x00, CG_PROXY_UNSPEC, 0},
    {0x01, CG_PROXY_UNSPEC, 0}, /* not in the specification; Gunicorn takes it */
    {0x11, CG_PROXY_TCP4, 12},
    {0x21, CG_PROXY_TCP6, 36},
    {0x31, CG_PROXY_UNIX, 2 * V2_UNIX_PATH_LEN},
};

static const struct family *find_family(unsigned char command, unsigned char byte) {
    static const struct family local = {0x00, CG_PROXY_LOCAL, 0};
    if (command == 0x20) /* LOCAL: the family is to be ignored */
        return &local;
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
        if (families[i].byte == byte)
            return &families[i];
    return NULL;
}

static enum cg_fault read_v2(struct cg_slice data, struct cg_proxy *ret_proxy, size_t *ret_len) {
    const unsigned char *at = (const unsigned char *)data.at;
    if (data.len > V2_COMMAND_AT && at[V2_COMMAND_AT] != 0x20 && at[V2_COMMAND_AT] != 0x21)
        return CG_FAULT_PROXY_HEADER;
    if (data.len <= V2_FAMILY_AT)
        return CG_FAULT_NONE;
    const struct family *family = find_family(at[V2_COMMAND_AT], at[V2_FAMILY_AT]);
    if (!family)
        return CG_FAULT_PROXY_HEADER;
    if (data.len < V2_FIXED_LEN)
        return CG_FAULT_NONE;
    size_t len = read_u16(at + V2_LEN_AT);
    if (len < family->addresses_len || len > CG_PROXY_V2_BYTES_MAX - V2_FIXED_LEN)
        return CG_FAULT_PROXY_HEADER;
    if (data.len - V2_FIXED_LEN < len)
        return CG_FAULT_NONE;
    ret_proxy->kind = family->kind;
    if (cg_proxy_has_addresses(ret_proxy))
        set_v2_addresses(ret_proxy, at + V2_FIXED_LEN);
    *ret_len = V2_FIXED_LEN + len; /* what follows the addresses is not looked at */
    return CG_FAULT_NONE;
}

enum cg_fault cg_proxy_read(enum cg_proxy_start start, struct cg_slice data,
                            struct cg_proxy *ret_proxy, size_t *ret_len) {
    CG_ASSERT(start == CG_PROXY_STARTS_V1 || start == CG_PROXY_STARTS_V2);
    struct cg_proxy proxy = {.kind = CG_PROXY_LOCAL};
    size_t len = 0;
    enum cg_fault fault =
        start == CG_PROXY_STARTS_V1 ? read_v1(data, &proxy, &len) : read_v2(data, &proxy, &len);
    *ret_len = len;
    if (len)
        *ret_proxy = proxy;
    return fault;
}
