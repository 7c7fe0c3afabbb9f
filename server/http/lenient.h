/* SPDX-License-Identifier: MIT
 *
 * Forms that the standards have given up and a setting permits all the same, rewritten into today's
 * before the parser sees them: folded fields (permit_obsolete_folding), "Name : value"
 * (strip_header_spaces), methods in lower case (casefold_http_method). Everything behind this step
 * knows one form only.
 */
#ifndef CG_HTTP_LENIENT_H
#define CG_HTTP_LENIENT_H

#include "server/http/head.h"
#include "server/settings/settings.h"

/* Rewrites a complete head, data[head->start..head->end), in place. Its length and the end of its
 * request line stay. */
void cg_lenient_rewrite(const struct cg_head *head, char *data, const struct cg_settings *settings);

#endif
