/* SPDX-License-Identifier: MIT
 *
 * Which clients are allowed something: a list of IP addresses and networks, read once, asked for
 * each connection. Not for names, and not for what a client says about itself.
 */
#ifndef CG_BASE_CIDR_H
#define CG_BASE_CIDR_H

#include "server/base/endpoint.h"

struct cg_allow;

/* From "127.0.0.1, 10.0.0.0/8, ::1" or "*": addresses and networks of IPv4 and IPv6, separated by
 * commas. Empty elements mean nothing, an empty list allows nobody but unix peers. NULL for a bad
 * element, which is then *ret_bad (it borrows from list), or, with an empty *ret_bad, when there is
 * no memory. */
struct cg_allow *cg_allow_new(const char *list, struct cg_slice *ret_bad);
void cg_allow_free(struct cg_allow *allow);

/* A unix peer always is: the file system's permissions let it in. An IPv4 client is the same
 * through an IPv6 listener (::ffff:10.0.0.1); IPv6 networks hold no IPv4 clients. */
bool cg_allow_has(const struct cg_allow *allow, const struct cg_endpoint *peer);

#endif
