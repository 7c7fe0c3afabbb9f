/* SPDX-License-Identifier: MIT
 *
 * The fault table: what a client did wrong, which status it gets, what the log says.
 */
#ifndef CG_HTTP_FAULT_H
#define CG_HTTP_FAULT_H

enum cg_fault {
    CG_FAULT_NONE,
#define CG_FAULT(id, status, text) CG_FAULT_##id,
#include "server/http/fault.def"
#undef CG_FAULT
    CG_FAULT_N
};

int cg_fault_status(enum cg_fault fault);       /* 400..599 */
const char *cg_fault_text(enum cg_fault fault); /* static */

/* The reason phrase of a status, "Unknown" when it has none of its own; static. */
const char *cg_status_reason(int status);

#endif
