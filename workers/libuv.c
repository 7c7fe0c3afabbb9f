/* SPDX-License-Identifier: MIT
 *
 * What the rest of the server asks about libuv, so that uv.h stays in this folder. No state.
 */
#include "workers/worker.h"

#include <uv.h>

const char *cg_worker_libuv_version(void) {
    return uv_version_string();
}
