/* SPDX-License-Identifier: MIT
 *
 * A strict incremental decoder of the chunked transfer coding (RFC 9112 section 7.1). It is ours,
 * not llhttp's, so that every llhttp version gives the same verdict, extensions and trailers have
 * limits, and body bytes are not looked at one by one. Sans-I/O: framed bytes in, runs of data out.
 */
#ifndef CG_HTTP_CHUNKED_H
#define CG_HTTP_CHUNKED_H

#include "server/base/buf.h"
#include "server/http/fault.h"

#include <stdint.h>

enum {
    CG_CHUNKED_EXTENSION_MAX = 4096, /* bytes of extensions, all chunks of a body together */
    CG_CHUNKED_TRAILER_MAX = 16384,  /* bytes of the trailer section */
};

struct cg_chunked {
    int state; /* private to chunked.c */
    int digits_n;
    uint64_t left; /* data bytes left in this chunk */
    uint32_t extension_bytes;
    struct cg_buf trailers; /* the raw trailer section, CRLF-terminated lines */
    size_t trailer_at;      /* offset in it of the line under way */
    bool complete;
};

void cg_chunked_init(struct cg_chunked *c);
void cg_chunked_reset(struct cg_chunked *c);
void cg_chunked_done(struct cg_chunked *c);

/* Consumes from data until a run of chunk data was found, the body is complete, or all is used.
 * *ret_used: bytes consumed, the run included; *ret_data: the run (may be empty), inside data. Call
 * again with the rest until it is empty or c->complete. */
enum cg_fault cg_chunked_decode(struct cg_chunked *c, const char *data, size_t len,
                                size_t *ret_used, struct cg_slice *ret_data);

#endif
