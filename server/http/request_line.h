/* SPDX-License-Identifier: MIT
 *
 * The method and the version of a request line (RFC 9112 section 3): whether they are such, and
 * whether they are served. Part of policy; the target is target.c's.
 */
#ifndef CG_HTTP_REQUEST_LINE_H
#define CG_HTTP_REQUEST_LINE_H

#include "server/http/fault.h"
#include "server/http/request.h"
#include "server/settings/settings.h"

/* Sets version_major, version_minor, is_head and is_connect. */
enum cg_fault cg_request_line_judge(struct cg_request *r, const struct cg_settings *settings);
/* The same for a request that a gateway has taken: from its client in any version, HTTP/2 too. */
enum cg_fault cg_request_line_judge_forwarded(struct cg_request *r,
                                              const struct cg_settings *settings);

#endif
