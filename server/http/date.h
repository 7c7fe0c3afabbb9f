/* SPDX-License-Identifier: MIT
 *
 * The Date field's value (RFC 9110 section 5.6.7), rendered at most once a second.
 */
#ifndef CG_HTTP_DATE_H
#define CG_HTTP_DATE_H

#include "server/base/slice.h"

#include <time.h>

enum { CG_DATE_LEN = 29 };

/* Zeroed before first use. */
struct cg_date {
    time_t at;
    char text[CG_DATE_LEN + 1];
};

/* Valid until the next call. */
struct cg_slice cg_date_now(struct cg_date *d, time_t wall_s);

/* "Jan" for 0, in no locale but this one; static. */
const char *cg_date_month(int month);

#endif
