/* SPDX-License-Identifier: MIT
 *
 * The chunked decoder. Framing is read byte by byte through one state machine, data in runs. It
 * owns the trailer buffer, nothing else.
 *
 *   chunked-body = *( size [ ext ] CRLF data CRLF ) 1*"0" [ ext ] CRLF *( trailer CRLF ) CRLF
 */
#include "server/http/chunked.h"

#include "server/base/assert.h"
#include "server/base/num.h"
#include "server/http/field.h"

enum state {
    SIZE,      /* in the digits */
    BWS,       /* blanks behind them: an extension must follow */
    EXTENSION, /* behind ";" */
    EXTENSION_LF,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER, /* in a trailer line, or at its start */
    TRAILER_LF,
};

void cg_chunked_init(struct cg_chunked *c) {
    *c = (struct cg_chunked){.state = SIZE, .trailers = CG_BUF_INIT};
}

void cg_chunked_reset(struct cg_chunked *c) {
    struct cg_buf trailers = c->trailers;
    trailers.len = 0;
    *c = (struct cg_chunked){.state = SIZE, .trailers = trailers};
}

void cg_chunked_done(struct cg_chunked *c) {
    cg_buf_done(&c->trailers);
    cg_chunked_init(c);
}

static bool is_blank(unsigned char ch) {
    return ch == ' ' || ch == '\t';
}

/* What neither an extension nor a trailer may contain. */
static bool is_control(unsigned char ch) {
    return (ch < 0x20 && ch != '\t') || ch == 0x7f;
}

/* Sixteen digits are all that fit; with leading zeros a sender has no need for more. */
static enum cg_fault add_digit(struct cg_chunked *c, int digit) {
    if (c->digits_n == CG_NUM_HEX64_MAX_LEN)
        return CG_FAULT_CHUNK_SIZE;
    c->digits_n++;
    c->left = c->left << 4 | (uint64_t)digit;
    return CG_FAULT_NONE;
}

static enum cg_fault count_extension(struct cg_chunked *c) {
    c->extension_bytes++;
    return c->extension_bytes > CG_CHUNKED_EXTENSION_MAX ? CG_FAULT_CHUNK_EXTENSION : CG_FAULT_NONE;
}

static enum cg_fault step_size(struct cg_chunked *c, unsigned char ch) {
    int digit = c->state == SIZE ? cg_num_hex_digit(ch) : -1;
    if (digit >= 0)
        return add_digit(c, digit);
    if (c->digits_n == 0)
        return CG_FAULT_CHUNK_SIZE;
    if (ch == '\r' && c->state == SIZE) {
        c->state = SIZE_LF;
        return CG_FAULT_NONE;
    }
    if (ch != ';' && !is_blank(ch))
        return CG_FAULT_CHUNK_SIZE;
    c->state = ch == ';' ? EXTENSION : BWS;
    return count_extension(c);
}

/* Extensions are skipped, not understood (RFC 9112 section 7.1.1). Their end is CRLF alone: servers
 * that also take a bare CR or LF are smuggled through. */
static enum cg_fault step_extension(struct cg_chunked *c, unsigned char ch) {
    if (ch == '\r') {
        c->state = EXTENSION_LF;
        return CG_FAULT_NONE;
    }
    return is_control(ch) ? CG_FAULT_CHUNK_EXTENSION : count_extension(c);
}

static enum cg_fault step_size_lf(struct cg_chunked *c, unsigned char ch) {
    if (ch != '\n')
        return c->state == SIZE_LF ? CG_FAULT_CHUNK_SIZE : CG_FAULT_CHUNK_EXTENSION;
    c->state = c->left > 0 ? DATA : TRAILER;
    c->digits_n = 0;
    return CG_FAULT_NONE;
}

static enum cg_fault step_data_end(struct cg_chunked *c, unsigned char ch) {
    if (ch != (c->state == DATA_CR ? '\r' : '\n'))
        return CG_FAULT_CHUNK_DATA;
    c->state = c->state == DATA_CR ? DATA_LF : SIZE;
    return CG_FAULT_NONE;
}

/* Fields that frame, route or authenticate must not come late (RFC 9110 section 6.5.1). */
static bool is_forbidden_in_trailer(enum cg_field_id id) {
    return id == CG_FIELD_CONTENT_LENGTH || id == CG_FIELD_TRANSFER_ENCODING ||
           id == CG_FIELD_HOST || id == CG_FIELD_TRAILER || id == CG_FIELD_AUTHORIZATION ||
           id == CG_FIELD_TE;
}

static enum cg_fault end_trailer_line(struct cg_chunked *c) {
    const char *at = c->trailers.at + c->trailer_at;
    size_t len = c->trailers.len - c->trailer_at;
    const char *colon = memchr(at, ':', len);
    struct cg_slice name = cg_slice_of(at, colon ? (size_t)(colon - at) : 0);
    if (!cg_field_is_token(name) || is_forbidden_in_trailer(cg_field_lookup(name)))
        return CG_FAULT_TRAILER;
    if (cg_buf_append(&c->trailers, CG_SLICE("\r\n")) < 0)
        return CG_FAULT_NO_MEMORY;
    c->trailer_at = c->trailers.len;
    return CG_FAULT_NONE;
}

static enum cg_fault step_trailer(struct cg_chunked *c, unsigned char ch) {
    if (ch == '\r') {
        c->state = TRAILER_LF;
        return CG_FAULT_NONE;
    }
    if (is_control(ch) || c->trailers.len + 3 > CG_CHUNKED_TRAILER_MAX)
        return CG_FAULT_TRAILER;
    return cg_buf_append_char(&c->trailers, (char)ch) < 0 ? CG_FAULT_NO_MEMORY : CG_FAULT_NONE;
}

static enum cg_fault step_trailer_lf(struct cg_chunked *c, unsigned char ch) {
    if (ch != '\n')
        return CG_FAULT_TRAILER;
    c->state = TRAILER;
    if (c->trailers.len > c->trailer_at)
        return end_trailer_line(c);
    c->complete = true;
    return CG_FAULT_NONE;
}

static enum cg_fault step(struct cg_chunked *c, unsigned char ch) {
    switch ((enum state)c->state) {
    case SIZE:
    case BWS:
        return step_size(c, ch);
    case EXTENSION:
        return step_extension(c, ch);
    case EXTENSION_LF:
    case SIZE_LF:
        return step_size_lf(c, ch);
    case DATA_CR:
    case DATA_LF:
        return step_data_end(c, ch);
    case TRAILER:
        return step_trailer(c, ch);
    case TRAILER_LF:
        return step_trailer_lf(c, ch);
    case DATA:
        break;
    }
    CG_ASSERT(c->state != DATA);
    return CG_FAULT_NONE;
}

static struct cg_slice take_run(struct cg_chunked *c, const char *at, size_t len) {
    size_t n = len < c->left ? len : (size_t)c->left;
    c->left -= n;
    if (c->left == 0)
        c->state = DATA_CR;
    return cg_slice_of(at, n);
}

enum cg_fault cg_chunked_decode(struct cg_chunked *c, const char *data, size_t len,
                                size_t *ret_used, struct cg_slice *ret_data) {
    size_t at = 0;
    struct cg_slice run = cg_slice_of(data, 0);
    enum cg_fault fault = CG_FAULT_NONE;
    while (at < len && c->state != DATA && !c->complete && fault == CG_FAULT_NONE)
        fault = step(c, (unsigned char)data[at++]);
    if (fault == CG_FAULT_NONE && c->state == DATA) {
        run = take_run(c, data + at, len - at);
        at += run.len;
    }
    *ret_used = at;
    *ret_data = run;
    return fault;
}
