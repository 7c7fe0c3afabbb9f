/* SPDX-License-Identifier: MIT
 *
 * Socket addresses to text, without a lookup: what accept() and getsockname() return becomes a
 * struct cg_endpoint. Not for resolving names.
 */
#ifndef CG_NET_ADDRESS_H
#define CG_NET_ADDRESS_H

#include "server/base/endpoint.h"

#include <sys/socket.h>

/* address: AF_INET, AF_INET6 or AF_UNIX, len bytes of it valid. An abstract unix name gets a
 * leading
 * '@'. False for any other family. */
bool cg_address_format(const struct sockaddr *address, socklen_t len,
                       struct cg_endpoint *ret_endpoint);

#endif
