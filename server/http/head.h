/* SPDX-License-Identifier: MIT
 *
 * The head scanner: looks at every byte of a request head once, as it arrives, finds the head's end
 * and refuses at once what must never reach the parser: bare CR or LF, control characters, folded
 * lines, lines without a name, lines and counts past their limits. It knows nothing of meaning.
 * With it in front, every llhttp version gives the same verdict, and a broken head never hangs.
 */
#ifndef CG_HTTP_HEAD_H
#define CG_HTTP_HEAD_H

#include "server/base/slice.h"
#include "server/http/fault.h"

#include <stdint.h>

/* Empty lines that may precede a request (RFC 9112 section 2.2). */
enum { CG_HEAD_LEADING_LINES = 4 };

/* The first and the third may be 0: no limit but head_bytes. */
struct cg_head_limits {
    size_t line_bytes; /* request line without CRLF */
    size_t fields_n;
    size_t field_bytes; /* one field with its CRLF, and those of its folds, as Gunicorn counts */
    size_t head_bytes;  /* the whole head, leading empty lines included; at least 3 */
    bool permit_folding;
};

struct cg_head {
    size_t start;    /* offset of the request line, behind leading empty lines */
    size_t scanned;  /* bytes looked at */
    size_t line_at;  /* offset of the line being scanned */
    size_t field_at; /* and of the line that it goes on, if it is a folded one, else the same */
    size_t line_end; /* offset of the CR that ends the request line, 0 until seen */
    size_t end;      /* offset behind the head's last CRLF once complete */
    size_t fields_n;
    bool folded; /* a field goes on in a next line */
    bool complete;
};

void cg_head_reset(struct cg_head *h);

/* Scans data[h->scanned..len), data being the input from the request's first byte on. */
enum cg_fault cg_head_scan(struct cg_head *h, const struct cg_head_limits *limits, const char *data,
                           size_t len);

#endif
