/* SPDX-License-Identifier: MIT
 *
 * From a complete, scanned head to a struct cg_request. parser.c is the only file that includes
 * llhttp.h. The head is parsed in one go when the scanner has found its end, so that a slice is
 * never cut by the end of a read; llhttp sees each byte once.
 */
#ifndef CG_HTTP_PARSER_H
#define CG_HTTP_PARSER_H

#include "server/http/fault.h"
#include "server/http/head.h"
#include "server/http/request.h"

/* Fills r (which was reset) from data[head->start..head->end): line, method, target, version and
 * fields, as they were sent. Everything else in r is policy's. */
enum cg_fault cg_parser_parse(struct cg_request *r, const struct cg_head *head, const char *data);

/* "9.2.1": the llhttp that is linked. */
const char *cg_parser_llhttp_version(void);

#endif
