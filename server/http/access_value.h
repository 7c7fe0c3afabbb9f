/* SPDX-License-Identifier: MIT
 *
 * What the atoms of an access line stand for, before it is escaped for this or that form of line.
 * Private to the files of access.h.
 */
#ifndef CG_HTTP_ACCESS_VALUE_H
#define CG_HTTP_ACCESS_VALUE_H

#include "server/base/buf.h"
#include "server/http/access_format.h"
#include "server/http/exchange.h"

#include <time.h>

enum cg_access_form {
    CG_ACCESS_NOTHING, /* "-" in a line, null in JSON */
    CG_ACCESS_TEXT,    /* a client or an application may have chosen the bytes */
    CG_ACCESS_WORD,    /* made here: needs no escape */
    CG_ACCESS_NUMBER,  /* digits */
    CG_ACCESS_DECIMAL, /* with a fraction */
    CG_ACCESS_BOOL,
};

struct cg_access_value {
    enum cg_access_form form;
    struct cg_slice text; /* the exchange's, or valid until the next value */
};

/* A finished exchange and when that was. */
struct cg_access_event {
    const struct cg_exchange *ex;
    uint64_t now_us; /* monotonic */
    time_t wall_s;
};

/* What is rendered once and used again. Embedded, zeroed: init after the fork, done. */
struct cg_access_values {
    time_t time_at;        /* of the two texts, which are empty at first */
    char log_time[32];     /* "[20/Nov/2026:11:54:53 +0000]" */
    char iso_time[32];     /* "2026-11-20T11:54:53+00:00" */
    char pid_text[24];     /* "<123>" */
    char pid_number[24];   /* "123" */
    char number[48];       /* of the last value */
    struct cg_buf decoded; /* of the last value */
};

void cg_access_values_init(struct cg_access_values *v);
void cg_access_values_set_pid(struct cg_access_values *v, pid_t pid);
void cg_access_values_done(struct cg_access_values *v);

/* 0 or -ENOMEM. name: the field's, for the kinds that have one. */
int cg_access_value_get(struct cg_access_values *v, const struct cg_access_piece *piece,
                        struct cg_slice name, const struct cg_access_event *event,
                        struct cg_access_value *ret_value);

#endif
