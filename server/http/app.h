/* SPDX-License-Identifier: MIT
 *
 * The application table: the first of the three seams through which control flows up. Filled by
 * pyext/app_wsgi.c; tests fill it with a scripted C application.
 *
 * Order of calls for one exchange, all on one thread at a time:
 *   begin -> next (again and again) -> end
 * begin is called once the request and its body are complete. next is called only when the chunk
 * before has left. end is called exactly once for every begin, whatever happened; nothing that
 * belongs to the exchange may be used after it.
 */
#ifndef CG_HTTP_APP_H
#define CG_HTTP_APP_H

#include "server/http/exchange.h"

/* One piece of a response's body: bytes, or a range of a file. Both are borrowed and stay valid
 * until the next call of next or end. A file range always has `last` set, and is never given when
 * the head has left with chunked framing (after a push): the application gives the file's bytes
 * then. */
struct cg_chunk {
    struct cg_slice bytes;
    int fd; /* >= 0: a file range instead of bytes */
    uint64_t file_offset, file_len;
    bool last; /* the application knows that nothing follows */
};

enum cg_app_result {
    CG_APP_CHUNK,  /* *ret_chunk is filled; it may be empty */
    CG_APP_END,    /* no chunk, and nothing follows */
    CG_APP_FAILED, /* the application raised; the binding has logged it */
};

struct cg_app {
    enum cg_app_result (*begin)(void *app, struct cg_exchange *ex); /* CHUNK (go on) or FAILED */
    enum cg_app_result (*next)(void *app, struct cg_exchange *ex, struct cg_chunk *ret_chunk);
    void (*end)(void *app, struct cg_exchange *ex);
};

#endif
