/* SPDX-License-Identifier: MIT
 *
 * PROXY headers. The verdict comes at one byte and stays the same whatever follows; a header that
 * is read says what its bytes say, which is written down again here without the code under test.
 *
 * Input: a byte that chooses the versions, then a connection's first bytes.
 */
#include "server/http/proxy.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>

const struct fuzz_target fuzz_target = {"proxy", "\3", 1};

enum { V2_FIXED_LEN = 16 };

struct outcome {
    enum cg_proxy_start start;
    enum cg_fault fault;
    size_t len;
    struct cg_proxy proxy;
};

/* At a copy, so that a sanitizer sees a look too far. */
static struct outcome look(enum cg_proxy_versions versions, struct cg_slice data) {
    char *copy = malloc(data.len);
    CG_CHECK(copy);
    memcpy(copy, data.at, data.len);
    struct outcome o = {.start = cg_proxy_detect(versions, cg_slice_of(copy, data.len))};
    if (o.start == CG_PROXY_STARTS_V1 || o.start == CG_PROXY_STARTS_V2)
        o.fault = cg_proxy_read(o.start, cg_slice_of(copy, data.len), &o.proxy, &o.len);
    CG_CHECK(o.len <= data.len && (o.len == 0 || o.fault == CG_FAULT_NONE));
    free(copy);
    return o;
}

static bool is_decided(const struct outcome *o) {
    return o->start == CG_PROXY_ABSENT || o->fault != CG_FAULT_NONE || o->len > 0;
}

static void check_ip(const struct cg_endpoint *e, int family) {
    unsigned char ip[16];
    const unsigned char *want = family == AF_INET ? e->ip + 12 : e->ip;
    CG_CHECK(e->host[e->host_len] == '\0' && strlen(e->host) == e->host_len);
    CG_CHECK_INT(inet_pton(family, e->host, ip), 1);
    CG_CHECK(memcmp(ip, want, family == AF_INET ? 4 : 16) == 0);
}

static int family_of(const struct cg_proxy *p) {
    return p->kind == CG_PROXY_TCP4 ? AF_INET : AF_INET6;
}

/* IPv6 addresses may have been written in another form. */
static void check_v1(const struct cg_proxy *p, struct cg_slice header) {
    char line[256];
    CG_CHECK(header.len <= CG_PROXY_V1_BYTES_MAX);
    CG_CHECK(!fuzz_has_control(cg_slice_of(header.at, header.len - 2), false));
    CG_CHECK(memcmp(header.at + header.len - 2, "\r\n", 2) == 0);
    if (p->kind == CG_PROXY_UNKNOWN)
        return;
    CG_CHECK(p->kind == CG_PROXY_TCP4 || p->kind == CG_PROXY_TCP6);
    check_ip(&p->source, family_of(p));
    check_ip(&p->destination, family_of(p));
    int len = snprintf(line, sizeof line, "PROXY %s %s %s %u %u\r\n", cg_proxy_kind_name(p->kind),
                       p->source.host, p->destination.host, p->source.port, p->destination.port);
    if (p->kind == CG_PROXY_TCP4)
        cg_test_check_slice(__FILE__, __LINE__, header, cg_slice_of(line, (size_t)len));
}

static void check_v2_ips(const struct cg_proxy *p, struct cg_slice addresses) {
    size_t ip_len = p->kind == CG_PROXY_TCP4 ? 4 : 16;
    const unsigned char *at = (const unsigned char *)addresses.at;
    CG_CHECK(addresses.len >= 2 * ip_len + 4);
    check_ip(&p->source, family_of(p));
    check_ip(&p->destination, family_of(p));
    CG_CHECK(memcmp(p->source.ip + 16 - ip_len, at, ip_len) == 0);
    CG_CHECK(memcmp(p->destination.ip + 16 - ip_len, at + ip_len, ip_len) == 0);
    at += 2 * ip_len;
    CG_CHECK_INT(p->source.port, at[0] * 256 + at[1]);
    CG_CHECK_INT(p->destination.port, at[2] * 256 + at[3]);
}

static void check_v2(const struct cg_proxy *p, struct cg_slice header) {
    const unsigned char *at = (const unsigned char *)header.at;
    CG_CHECK(header.len <= CG_PROXY_V2_BYTES_MAX);
    CG_CHECK_INT(header.len, V2_FIXED_LEN + at[14] * 256 + at[15]);
    CG_CHECK(at[12] == 0x20 || at[12] == 0x21);
    CG_CHECK((at[12] == 0x20) == (p->kind == CG_PROXY_LOCAL));
    struct cg_slice addresses = cg_slice_of(header.at + V2_FIXED_LEN, header.len - V2_FIXED_LEN);
    if (p->kind == CG_PROXY_TCP4 || p->kind == CG_PROXY_TCP6)
        check_v2_ips(p, addresses);
    if (p->kind == CG_PROXY_UNIX)
        CG_CHECK(strnlen(addresses.at, 108) == p->source.host_len &&
                 memcmp(addresses.at, p->source.host, p->source.host_len) == 0);
}

static void check_header(const struct outcome *o, struct cg_slice header) {
    CG_CHECK(cg_proxy_kind_name(o->proxy.kind)[0]);
    if (o->start == CG_PROXY_STARTS_V1)
        check_v1(&o->proxy, header);
    else
        check_v2(&o->proxy, header);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct cg_slice input = cg_slice_of((const char *)data, size);
    enum cg_proxy_versions versions = (enum cg_proxy_versions)(fuzz_take_byte(&input) & 3);
    if (input.len == 0)
        return 0;
    struct outcome whole = look(versions, input), o = {.start = CG_PROXY_UNDECIDED};
    size_t seen = 0;
    while (!is_decided(&o) && seen < input.len)
        o = look(versions, cg_slice_of(input.at, ++seen));
    CG_CHECK_INT(o.start, whole.start);
    CG_CHECK_INT(o.fault, whole.fault);
    CG_CHECK_INT(o.len, whole.len);
    CG_CHECK(o.len == 0 || (o.len == seen && o.proxy.kind == whole.proxy.kind));
    if (whole.len > 0)
        check_header(&whole, cg_slice_of(input.at, whole.len));
    return 0;
}
