/* SPDX-License-Identifier: MIT
 *
 * What is refused, in one place: the meaning of the request line and of the fields that decide
 * about framing and the connection (RFC 9112 sections 3, 6, 7, 9). Sets what request_line.c and
 * target.c set, host, framing, content_length, keep_alive, expects_continue. What depends on who is
 * asking is trust.c's.
 */
#ifndef CG_HTTP_POLICY_H
#define CG_HTTP_POLICY_H

#include "server/http/fault.h"
#include "server/http/head.h"
#include "server/http/request.h"
#include "server/settings/settings.h"

enum cg_fault cg_policy_judge(struct cg_request *r, const struct cg_settings *settings);

/* For a request that a gateway has parsed and passed on in a packet: sets host, version_major,
 * version_minor, is_head and is_connect. */
enum cg_fault cg_policy_judge_forwarded(struct cg_request *r, const struct cg_settings *settings);

/* The scanner's limits, from limit_request_line, _fields and _field_size. */
struct cg_head_limits cg_policy_head_limits(const struct cg_settings *settings);

#endif
