/* SPDX-License-Identifier: MIT
 *
 * The authority of a URI, as the Host field and a request target carry it (RFC 3986 section 3.2,
 * RFC 9110 section 7.2).
 */
#ifndef CG_HTTP_AUTHORITY_H
#define CG_HTTP_AUTHORITY_H

#include "server/base/slice.h"

struct cg_authority {
    struct cg_slice userinfo; /* without "@" */
    struct cg_slice
        host; /* a name, an IPv4 address, or an IPv6 address in brackets; may be empty */
    struct cg_slice port; /* digits, may be empty */
    bool has_userinfo, has_port;
};

/* Splits [ userinfo "@" ] host [ ":" port ] and checks each part; false when it is not one. */
bool cg_authority_parse(struct cg_slice s, struct cg_authority *ret_authority);

#endif
