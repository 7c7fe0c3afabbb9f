/* SPDX-License-Identifier: MIT
 *
 * The head scanner. Its verdict depends on the bytes alone, never on how reads cut them: every
 * check belongs to the offset of one byte, and the limit of a line is checked before the byte
 * behind it.
 */
#include "server/http/head.h"

#include "server/base/assert.h"
#include "server/http/field.h"

void cg_head_reset(struct cg_head *h) {
    *h = (struct cg_head){.start = 0};
}

static bool is_control(unsigned char c) {
    return c < 0x20 || c == 0x7f;
}

/* True if one of eight bytes may be below 0x20 or be 0x7f. No such byte is missed; a byte above
 * such a one may be taken for another. */
static bool has_control(uint64_t word) {
    const uint64_t ones = UINT64_C(0x0101010101010101), highs = ones << 7;
    uint64_t del = word ^ (ones * 0x7f);
    uint64_t below_space = (word - ones * 0x20) & ~word;
    return ((below_space | ((del - ones) & ~del)) & highs) != 0;
}

/* The offset of the first control character in data[at..end), or end. */
static size_t skip_plain(const char *data, size_t at, size_t end) {
    while (end - at >= sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, data + at, sizeof word);
        if (has_control(word))
            break;
        at += sizeof word;
    }
    while (at < end && !is_control((unsigned char)data[at]))
        at++;
    return at;
}

static bool in_request_line(const struct cg_head *h) {
    return h->line_end == 0;
}

static enum cg_fault too_long(const struct cg_head *h) {
    return in_request_line(h) ? CG_FAULT_REQUEST_LINE_TOO_LONG : CG_FAULT_FIELD_TOO_LONG;
}

/* The last offset at which the CR of the present line may stand. */
static size_t last_line_end(const struct cg_head *h, const struct cg_head_limits *limits) {
    size_t in_head = limits->head_bytes - 2;
    size_t room = limits->line_bytes;
    if (!in_request_line(h))
        room = limits->field_bytes > 2 ? limits->field_bytes - 2 : limits->field_bytes;
    if (room == 0 || h->field_at > in_head || room > in_head - h->field_at)
        return in_head;
    return h->field_at + room;
}

/* Judges the first byte of a line. Control characters are left to judge_control(). */
static enum cg_fault begin_line(struct cg_head *h, const struct cg_head_limits *limits,
                                const char *first) {
    bool is_fold = *first == ' ' || *first == '\t';
    if (is_fold && limits->permit_folding && h->fields_n > 0) {
        h->folded = true;
        return CG_FAULT_NONE;
    }
    h->field_at = h->line_at;
    if (in_request_line(h)) {
        /* A TLS greeting or other binary talk ends here, not in a timeout. */
        bool could_be_method =
            is_control((unsigned char)*first) || cg_field_is_token(cg_slice_of(first, 1));
        return could_be_method ? CG_FAULT_NONE : CG_FAULT_METHOD;
    }
    if (is_fold)
        return CG_FAULT_FOLDED_FIELD;
    if (*first == ':')
        return CG_FAULT_FIELD_NAME;
    if (is_control((unsigned char)*first))
        return CG_FAULT_NONE;
    if (h->fields_n == limits->fields_n)
        return CG_FAULT_FIELDS_TOO_MANY;
    h->fields_n++;
    return CG_FAULT_NONE;
}

/* h->scanned is at the CRLF of a line. */
static enum cg_fault end_line(struct cg_head *h) {
    bool empty = h->scanned == h->line_at;
    size_t next = h->scanned + 2;
    if (empty && in_request_line(h)) {
        if (h->start == 2 * CG_HEAD_LEADING_LINES)
            return CG_FAULT_REQUEST_LINE;
        h->start = next;
    } else if (empty) {
        h->complete = true;
        h->end = next;
    } else if (in_request_line(h)) {
        h->line_end = h->scanned;
    }
    h->scanned = h->line_at = next;
    return CG_FAULT_NONE;
}

/* Judges the control character at h->scanned and moves behind it, except behind a CR whose LF has
 * not arrived yet: *ret_wait is then set. */
static enum cg_fault judge_control(struct cg_head *h, const char *data, size_t len,
                                   bool *ret_wait) {
    switch (data[h->scanned]) {
    case '\r':
        if (h->scanned + 1 == len) {
            *ret_wait = true;
            return CG_FAULT_NONE;
        }
        return data[h->scanned + 1] == '\n' ? end_line(h) : CG_FAULT_LINE_ENDING;
    case '\n':
        return CG_FAULT_LINE_ENDING;
    case '\t':
        if (in_request_line(h))
            return CG_FAULT_CONTROL_CHARACTER;
        h->scanned++; /* fine in a value; the parser refuses it in a name */
        return CG_FAULT_NONE;
    default:
        return CG_FAULT_CONTROL_CHARACTER;
    }
}

enum cg_fault cg_head_scan(struct cg_head *h, const struct cg_head_limits *limits, const char *data,
                           size_t len) {
    CG_ASSERT(limits->head_bytes > 2 && h->scanned <= len);
    enum cg_fault fault = CG_FAULT_NONE;
    bool wait = false;
    while (!h->complete && !wait && h->scanned < len && fault == CG_FAULT_NONE) {
        if (h->scanned == h->line_at)
            fault = begin_line(h, limits, data + h->scanned);
        if (fault != CG_FAULT_NONE)
            break;
        size_t last = last_line_end(h, limits);
        size_t end = len > last ? last + 1 : len;
        if (h->scanned > last)
            return too_long(h);
        h->scanned = skip_plain(data, h->scanned, end);
        if (h->scanned > last)
            return too_long(h);
        if (h->scanned < len)
            fault = judge_control(h, data, len, &wait);
    }
    return fault;
}
