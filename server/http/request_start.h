/* SPDX-License-Identifier: MIT
 *
 * X-Request-Start: when a proxy got a request, by its own clock.
 */
#ifndef CG_HTTP_REQUEST_START_H
#define CG_HTTP_REQUEST_START_H

#include "server/http/request.h"

/* Microseconds of the wall clock. False when the field is absent or not understood. */
bool cg_request_start_us(const struct cg_request *r, uint64_t *ret_us);

#endif
