/* SPDX-License-Identifier: MIT
 *
 * A request's body: decoding of its framing (Content-Length or chunked, RFC 9112 sections 6 and 7)
 * and storage, in memory up to a bound and then in an unlinked temporary file. The connection puts
 * bytes in, the application takes decoded bytes out. No I/O but the temporary file's.
 */
#ifndef CG_HTTP_BODY_H
#define CG_HTTP_BODY_H

#include "server/base/buf.h"
#include "server/http/chunked.h"
#include "server/http/fault.h"
#include "server/http/request.h"

struct cg_body {
    enum cg_framing framing;
    uint64_t expected;     /* with CG_FRAMING_LENGTH: bytes still to arrive */
    uint64_t size;         /* decoded bytes stored */
    uint64_t taken;        /* bytes consumed by the application */
    uint64_t limit;        /* refuse a larger body; 0 = none */
    uint64_t memory_limit; /* in memory up to here */
    const char *temp_dir;  /* borrowed; NULL = the system's */
    bool complete;
    struct cg_chunked chunked; /* with CG_FRAMING_CHUNKED */
    struct cg_slice borrowed;  /* the whole body, while it still lies in the input buffer */
    struct cg_buf memory;
    int fd;               /* the temporary file, -1 = none */
    struct cg_buf window; /* what was read back from the file */
    size_t window_at;
};

void cg_body_init(struct cg_body *b);
/* Ready for the next request; keeps small buffers, frees large ones, closes the file. */
void cg_body_reset(struct cg_body *b);
void cg_body_done(struct cg_body *b);

/* Begins a body with the request's framing. CG_FAULT_BODY_TOO_LARGE when the announced length is
 * over the limit already. */
enum cg_fault cg_body_begin(struct cg_body *b, const struct cg_request *r, uint64_t limit,
                            uint64_t memory_limit, const char *temp_dir);

/* Takes framed bytes and stores the decoded ones; *ret_used says how many of them belonged to this
 * body. With may_borrow the bytes stay where they are and valid until reset: a body of known length
 * that is whole within them is not copied. */
enum cg_fault cg_body_put(struct cg_body *b, const char *data, size_t len, bool may_borrow,
                          size_t *ret_used);

/* Where the next body bytes may be received directly, without a copy through the input buffer: only
 * with CG_FRAMING_LENGTH while the body is kept in memory. *ret_len is 0 when there is no such
 * place. 0 or -ENOMEM. */
int cg_body_space(struct cg_body *b, char **ret_at, size_t *ret_len);
/* n bytes were received there. */
void cg_body_filled(struct cg_body *b, size_t n);

/* The next contiguous bytes not yet consumed, empty at the end of the body. Valid until the next
 * call on this body. 0 or -errno (reading the temporary file back failed). */
int cg_body_window(struct cg_body *b, struct cg_slice *ret_bytes);
void cg_body_consume(struct cg_body *b, size_t n);

#endif
