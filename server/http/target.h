/* SPDX-License-Identifier: MIT
 *
 * The request target (RFC 9112 section 3.2): which form it has, whether the method allows it, and
 * where its path and query are. Part of policy.
 */
#ifndef CG_HTTP_TARGET_H
#define CG_HTTP_TARGET_H

#include "server/http/fault.h"
#include "server/http/request.h"

/* Sets path and query; method, target and is_connect are set. */
enum cg_fault cg_target_split(struct cg_request *r);

#endif
