/* SPDX-License-Identifier: MIT
 *
 * The Date field's value. Owns no state: the cache is the caller's struct cg_date, zeroed at first.
 * Names of days and months are ours, because strftime's follow the locale.
 */
#include "server/http/date.h"

#include <stdio.h>

static const char DAYS[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char MONTHS[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

const char *cg_date_month(int month) {
    return MONTHS[(unsigned)month % 12];
}

struct cg_slice cg_date_now(struct cg_date *d, time_t wall_s) {
    if (d->at != wall_s || !d->text[0]) {
        struct tm tm = {0};
        gmtime_r(&wall_s, &tm);
        /* The remainders change nothing; they let the compiler see that the text fits. */
        snprintf(d->text, sizeof(d->text), "%s, %02u %s %04u %02u:%02u:%02u GMT",
                 DAYS[(unsigned)tm.tm_wday % 7], (unsigned)tm.tm_mday % 100,
                 cg_date_month(tm.tm_mon), (unsigned)(tm.tm_year + 1900) % 10000,
                 (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
        d->at = wall_s;
    }
    return cg_slice_of(d->text, CG_DATE_LEN);
}
