/* SPDX-License-Identifier: MIT
 *
 * A client's view of responses, as strict as RFC 9112 lets it be and without the server's code:
 * what is not well-formed fails the check. For fuzz targets only.
 */
#ifndef CG_TESTS_FUZZ_RESPONSE_READER_H
#define CG_TESTS_FUZZ_RESPONSE_READER_H

#include "server/base/buf.h"

#include <stdint.h>

struct reader_response {
    int status, version_minor;
    struct cg_slice fields; /* the field lines */
    bool has_length, is_chunked;
    bool says_close;
    bool ends_with_connection;
    bool is_whole; /* the bytes did not end before the response did */
    uint64_t length;
    struct cg_buf body; /* decoded, as much of it as there is */
};

/* Cuts the next response, or interim response, off bytes; false when there are none. is_head: it
 * answers HEAD. */
bool reader_next(struct cg_slice *bytes, bool is_head, struct reader_response *ret_response);
void reader_response_done(struct reader_response *r);

/* The next field of lines; false at their end. */
bool reader_next_field(struct cg_slice *lines, struct cg_slice *ret_name,
                       struct cg_slice *ret_value);

static inline bool reader_is_interim(const struct reader_response *r) {
    return r->is_whole && r->status < 200;
}

#endif
