/* SPDX-License-Identifier: MIT
 *
 * A scripted application in C: says what its script says, and counts how it was called. It checks
 * the order of the calls itself. Owns what it recorded; the script is borrowed.
 */
#ifndef CG_TESTS_UNIT_FAKE_APP_H
#define CG_TESTS_UNIT_FAKE_APP_H

#include "server/base/buf.h"
#include "server/http/app.h"

struct fake_script {
    const char *status;       /* NULL: start_response is not called */
    const char *fields[8][2]; /* name, value; ends with NULL */
    const char *chunks[8];    /* ends with NULL */
    bool knows_last;          /* `last` is set on the last chunk */
    bool sends_file;          /* after the chunks: file_fd, file_offset, file_len */
    int file_fd;
    uint64_t file_offset, file_len;
    const char *inform_fields; /* in begin: a 103 with these */
    const char *pushes[6];     /* in begin: ends with NULL */
    bool fails_in_begin;       /* after the pushes */
    bool fails_in_next;        /* after the chunks */
    bool echoes;               /* the request's body is the only chunk, with last set */
};

struct fake_app {
    const struct fake_script *script;
    int begin_n, next_n, end_n;
    int push_rc, inform_rc; /* of the last call */
    int chunk_at;
    struct cg_buf body; /* with echoes: what the last request sent */
};

extern const struct cg_app fake_app_table;

void fake_app_done(struct fake_app *app);

#endif
