/* SPDX-License-Identifier: MIT
 *
 * What a request may say about itself, and who may say it: the scheme that the client used towards
 * a proxy, where the application is mounted, and names that look like others in an environ. Part of
 * policy.
 */
#ifndef CG_HTTP_TRUST_H
#define CG_HTTP_TRUST_H

#include "server/base/cidr.h"
#include "server/http/fault.h"
#include "server/http/request.h"
#include "server/settings/settings.h"

/* What becomes of a field with "_" in its name, which an application cannot tell from the one with
 * "-" in its place. */
enum cg_header_map {
    CG_HEADER_MAP_DROP,
    CG_HEADER_MAP_REFUSE,
    CG_HEADER_MAP_DANGEROUS, /* kept */
};

/* The settings about trust, made ready. Embedded: init/done. */
struct cg_trust {
    struct cg_allow *forwarders;      /* owned: peers that may speak for their clients */
    struct cg_secure_scheme *schemes; /* owned; names and values borrow from the settings */
    size_t schemes_n;
    const char *forwarder_headers; /* borrowed from the settings */
    enum cg_header_map header_map;
    char *script_name; /* owned: the process's SCRIPT_NAME, for requests without their own */
};

/* The settings stay alive until done. 0, -ENOMEM, or -EINVAL for a list of addresses that is
 * none. */
int cg_trust_init(struct cg_trust *t, const struct cg_settings *settings);
void cg_trust_done(struct cg_trust *t);

/* For a request that cg_policy_judge() has passed, from this peer: who connected, whatever a PROXY
 * header says. Sets scheme, script_name, path_info and from_forwarder, and removes the fields that
 * the application must not see. */
enum cg_fault cg_trust_judge(const struct cg_trust *t, struct cg_request *r,
                             const struct cg_endpoint *peer);
/* The same for one that cg_policy_judge_forwarded() has passed; no field is removed. The scheme and
 * where the application is mounted stay as the gateway says, if it does. */
enum cg_fault cg_trust_judge_forwarded(const struct cg_trust *t, struct cg_request *r,
                                       const struct cg_endpoint *peer);

#endif
