/* SPDX-License-Identifier: MIT
 *
 * Reads of the fault table and of the status table. No state.
 */
#include "server/http/fault.h"

#include "server/base/assert.h"

static const struct {
    int status;
    const char *text;
} faults[CG_FAULT_N] = {
    [CG_FAULT_NONE] = {0, "No fault"},
#define CG_FAULT(id, status, text) [CG_FAULT_##id] = {status, text},
#include "server/http/fault.def"
#undef CG_FAULT
};

int cg_fault_status(enum cg_fault fault) {
    CG_ASSERT(fault > CG_FAULT_NONE && fault < CG_FAULT_N);
    return faults[fault].status;
}

const char *cg_fault_text(enum cg_fault fault) {
    CG_ASSERT(fault >= CG_FAULT_NONE && fault < CG_FAULT_N);
    return faults[fault].text;
}

const char *cg_status_reason(int status) {
    switch (status) {
#define CG_STATUS(code, reason)                                                                    \
    case code:                                                                                     \
        return reason;
#include "server/http/status.def"
#undef CG_STATUS
    default:
        return "Unknown";
    }
}
