/* SPDX-License-Identifier: MIT
 *
 * The body of one request: framing off, then memory or file. Owns its buffers and the temporary
 * file's descriptor. The file's offset is its end; it is read with pread.
 */
#include "server/http/body.h"

#include "server/base/assert.h"
#include "server/base/fd.h"
#include "server/base/spare.h"

#include <errno.h>
#include <unistd.h>

enum {
    KEEP_BYTES = 64 * 1024,   /* larger buffers do not stay with their connection */
    WINDOW_BYTES = 64 * 1024, /* read back at once */
    /* Offered at first: memory follows what has come, not what was announced. Who has sent so much
     * gets room for the rest. */
    SPACE_BYTES = 64 * 1024,
};

void cg_body_init(struct cg_body *b) {
    *b = (struct cg_body){.fd = -1};
    cg_chunked_init(&b->chunked);
}

static void recycle(struct cg_buf *buf) {
    buf->len = 0;
    if (buf->cap > KEEP_BYTES)
        cg_spare_give(buf);
}

void cg_body_reset(struct cg_body *b) {
    cg_fd_close(&b->fd);
    cg_buf_done(&b->window);
    recycle(&b->memory);
    cg_chunked_reset(&b->chunked);
    *b = (struct cg_body){.fd = -1, .memory = b->memory, .chunked = b->chunked};
}

void cg_body_done(struct cg_body *b) {
    cg_fd_close(&b->fd);
    cg_buf_done(&b->window);
    cg_buf_done(&b->memory);
    cg_chunked_done(&b->chunked);
    cg_body_init(b);
}

enum cg_fault cg_body_begin(struct cg_body *b, const struct cg_request *r, uint64_t limit,
                            uint64_t memory_limit, const char *temp_dir) {
    CG_ASSERT(b->size == 0 && b->fd == -1 && !b->complete);
    b->framing = r->framing;
    b->expected = r->framing == CG_FRAMING_LENGTH ? r->content_length : 0;
    b->limit = limit;
    b->memory_limit = memory_limit;
    b->temp_dir = temp_dir;
    b->complete = r->framing != CG_FRAMING_CHUNKED && b->expected == 0;
    return limit > 0 && b->expected > limit ? CG_FAULT_BODY_TOO_LARGE : CG_FAULT_NONE;
}

/* From here on the body lies in a file. */
static int move_to_file(struct cg_body *b) {
    int fd = cg_fd_open_temp(b->temp_dir);
    if (fd < 0)
        return fd;
    int rc = cg_fd_write_all(fd, b->memory.at, b->memory.len);
    if (rc < 0) {
        cg_fd_close(&fd);
        return rc;
    }
    recycle(&b->memory);
    b->fd = fd;
    return 0;
}

static enum cg_fault store(struct cg_body *b, struct cg_slice bytes) {
    int rc = 0;
    if (b->fd < 0 && b->size + bytes.len > b->memory_limit)
        rc = move_to_file(b);
    if (rc == 0 && b->fd >= 0)
        rc = cg_fd_write_all(b->fd, bytes.at, bytes.len);
    else if (rc == 0)
        rc = cg_buf_append(&b->memory, bytes);
    if (rc < 0)
        return CG_FAULT_BODY_STORAGE;
    b->size += bytes.len;
    return CG_FAULT_NONE;
}

static enum cg_fault put_length(struct cg_body *b, const char *data, size_t len, bool may_borrow,
                                size_t *ret_used) {
    struct cg_slice bytes = cg_slice_of(data, len < b->expected ? len : (size_t)b->expected);
    *ret_used = bytes.len;
    if (may_borrow && b->size == 0 && bytes.len == b->expected) {
        b->borrowed = bytes;
        b->size = bytes.len;
    } else {
        enum cg_fault fault = store(b, bytes);
        if (fault != CG_FAULT_NONE)
            return fault;
    }
    b->expected -= bytes.len;
    b->complete = b->expected == 0;
    return CG_FAULT_NONE;
}

/* The rest of the chunk counts as soon as it is announced. */
static bool over_limit(const struct cg_body *b, struct cg_slice run) {
    if (b->limit == 0)
        return false;
    uint64_t room = b->limit - b->size;
    return run.len > room || b->chunked.left > room - run.len;
}

static enum cg_fault put_chunked(struct cg_body *b, const char *data, size_t len,
                                 size_t *ret_used) {
    size_t at = 0;
    enum cg_fault fault = CG_FAULT_NONE;
    while (at < len && !b->chunked.complete && fault == CG_FAULT_NONE) {
        size_t used;
        struct cg_slice run;
        fault = cg_chunked_decode(&b->chunked, data + at, len - at, &used, &run);
        at += used;
        if (fault == CG_FAULT_NONE && run.len > 0)
            fault = over_limit(b, run) ? CG_FAULT_BODY_TOO_LARGE : store(b, run);
    }
    *ret_used = at;
    b->complete = b->chunked.complete;
    return fault;
}

enum cg_fault cg_body_put(struct cg_body *b, const char *data, size_t len, bool may_borrow,
                          size_t *ret_used) {
    *ret_used = 0;
    if (b->complete || len == 0)
        return CG_FAULT_NONE;
    if (b->framing == CG_FRAMING_CHUNKED)
        return put_chunked(b, data, len, ret_used);
    return put_length(b, data, len, may_borrow, ret_used);
}

/* A spare buffer, if there is one, costs nothing more, whatever will come. */
static void move_to_spare(struct cg_body *b) {
    struct cg_buf spare;
    if (!cg_spare_take(b->memory.len + (size_t)b->expected, &spare))
        return;
    if (b->memory.len > 0)
        memcpy(spare.at, b->memory.at, b->memory.len);
    spare.len = b->memory.len;
    cg_buf_done(&b->memory);
    b->memory = spare;
}

static size_t room(const struct cg_body *b) {
    return b->memory.cap - b->memory.len;
}

int cg_body_space(struct cg_body *b, char **ret_at, size_t *ret_len) {
    *ret_len = 0;
    *ret_at = NULL;
    bool in_memory =
        b->fd < 0 && b->expected <= b->memory_limit && b->size <= b->memory_limit - b->expected;
    if (b->framing != CG_FRAMING_LENGTH || b->complete || !in_memory)
        return 0;
    size_t left = (size_t)b->expected;
    if (left > SPACE_BYTES && room(b) < left)
        move_to_spare(b);
    bool may_have_all = left <= SPACE_BYTES || b->memory.len >= SPACE_BYTES || room(b) >= left;
    size_t want = may_have_all ? left : SPACE_BYTES;
    int rc = cg_buf_reserve(&b->memory, want);
    if (rc < 0)
        return rc;
    *ret_at = b->memory.at + b->memory.len;
    *ret_len = want;
    return 0;
}

void cg_body_filled(struct cg_body *b, size_t n) {
    CG_ASSERT(b->framing == CG_FRAMING_LENGTH && n <= b->expected &&
              n <= b->memory.cap - b->memory.len);
    b->memory.len += n;
    b->size += n;
    b->expected -= n;
    b->complete = b->expected == 0;
}

/* Reads the file from b->taken on into the window. */
static int refill_window(struct cg_body *b) {
    b->window.len = b->window_at = 0;
    int rc = cg_buf_reserve(&b->window, WINDOW_BYTES);
    if (rc < 0)
        return rc;
    uint64_t left = b->size - b->taken;
    ssize_t n;
    do
        n = pread(b->fd, b->window.at, left < WINDOW_BYTES ? (size_t)left : WINDOW_BYTES,
                  (off_t)b->taken);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return n < 0 ? -errno : -EIO; /* nobody else can have shortened an unlinked file */
    b->window.len = (size_t)n;
    return 0;
}

int cg_body_window(struct cg_body *b, struct cg_slice *ret_bytes) {
    if (b->taken == b->size) {
        *ret_bytes = cg_slice_of(NULL, 0);
        return 0;
    }
    if (b->fd >= 0) {
        int rc = b->window_at == b->window.len ? refill_window(b) : 0;
        if (rc < 0)
            return rc;
        *ret_bytes = cg_slice_of(b->window.at + b->window_at, b->window.len - b->window_at);
        return 0;
    }
    const char *at = b->borrowed.len > 0 ? b->borrowed.at : b->memory.at;
    *ret_bytes = cg_slice_of(at + b->taken, (size_t)(b->size - b->taken));
    return 0;
}

void cg_body_consume(struct cg_body *b, size_t n) {
    CG_ASSERT(n <= b->size - b->taken);
    b->taken += n;
    if (b->fd >= 0) {
        CG_ASSERT(n <= b->window.len - b->window_at);
        b->window_at += n;
    }
}
