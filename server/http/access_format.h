/* SPDX-License-Identifier: MIT
 *
 * A compiled access_log_format: pieces in the order of the line. Private to the files of access.h.
 */
#ifndef CG_HTTP_ACCESS_FORMAT_H
#define CG_HTTP_ACCESS_FORMAT_H

#include "server/base/buf.h"
#include "server/http/field.h"

enum cg_access_kind {
    CG_PIECE_LITERAL,
    CG_PIECE_HOST,
    CG_PIECE_USER,
    CG_PIECE_TIME,
    CG_PIECE_REQUEST_LINE,
    CG_PIECE_METHOD,
    CG_PIECE_TARGET,
    CG_PIECE_PATH,
    CG_PIECE_QUERY,
    CG_PIECE_PROTOCOL,
    CG_PIECE_STATUS,
    CG_PIECE_BYTES,
    CG_PIECE_REQUEST_FIELD,
    CG_PIECE_RESPONSE_FIELD,
    CG_PIECE_SECONDS,
    CG_PIECE_MILLISECONDS,
    CG_PIECE_MICROSECONDS,
    CG_PIECE_DECIMAL_SECONDS,
    CG_PIECE_PID,
    CG_PIECE_PID_NUMBER,
    CG_PIECE_ISO_TIME,
    CG_PIECE_QUEUE_TIME,
    CG_PIECE_ABORTED,
    CG_PIECE_NOTHING, /* an atom that is always "-" */
};

/* A row of access_atom.def. */
struct cg_access_atom {
    const char *name;
    enum cg_access_kind kind;
    enum cg_field_id field; /* REQUEST_FIELD */
};

extern const struct cg_access_atom cg_access_atoms[];
extern const size_t cg_access_atoms_n;

struct cg_access_piece {
    enum cg_access_kind kind;
    enum cg_field_id field;   /* REQUEST_FIELD: CG_FIELD_OTHER = by the name in the text */
    size_t text_at, text_len; /* LITERAL: what to print; *_FIELD: its name. In the format's text */
    unsigned key_n; /* from 1: the number of its variable (access_note.h); 0: it has none */
};

enum { CG_ACCESS_KEYS_MAX = 32 };

/* Embedded and zeroed before compile; done accepts what a failed compile left. */
struct cg_access_format {
    struct cg_access_piece *pieces;
    size_t pieces_n, pieces_cap;
    struct cg_buf text;
    struct cg_buf keys; /* names of variables, each with a NUL behind it; the first is always
                           REMOTE_ADDR */
    unsigned keys_n;
};

/* 0 or -ENOMEM. Of one that is no text ("json") only the keys are used. */
int cg_access_format_compile(struct cg_access_format *f, struct cg_slice format);

/* The first or (behind the one before) the next name in `keys`; empty at the end. */
struct cg_slice cg_access_format_key(const struct cg_access_format *f, struct cg_slice before);
void cg_access_format_done(struct cg_access_format *f);

static inline struct cg_slice cg_access_format_text(const struct cg_access_format *f,
                                                    const struct cg_access_piece *p) {
    return p->text_len ? cg_slice_of(f->text.at + p->text_at, p->text_len) : cg_slice_of(NULL, 0);
}

#endif
