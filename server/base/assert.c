/* SPDX-License-Identifier: MIT
 *
 * The end of a process whose state can no longer be trusted. Takes no lock and frees nothing: the
 * lock may be what is broken.
 */
#include "server/base/assert.h"

#include "server/base/log.h"

#include <stdlib.h>

_Noreturn void cg_assert_failed(const char *file, int line, const char *condition) {
    cg_log(CG_LOG_CRITICAL, "Assertion failed at %s:%d: %s", file, line, condition);
    abort();
}
