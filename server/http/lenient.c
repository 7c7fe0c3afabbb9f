/* SPDX-License-Identifier: MIT
 *
 * Rewriting in place: what gets shorter is filled up with spaces at the end of the field's value,
 * where white space means nothing (RFC 9112 section 5.1). No state.
 */
#include "server/http/lenient.h"

#include "server/base/assert.h"

static bool is_ows(char c) {
    return c == ' ' || c == '\t';
}

/* The CR that ends the line. The scanner has seen to it that there is one, and no other. */
static char *line_end(char *line, const char *end) {
    char *cr = memchr(line, '\r', (size_t)(end - line));
    CG_ASSERT(cr);
    return cr;
}

static char *put(char *at, struct cg_slice s) {
    if (s.len)
        memmove(at, s.at, s.len);
    return at + s.len;
}

/* RFC 9112 section 5.2: a fold, with the white space around it, is one space. Returns the line
 * behind the field. */
static char *unfold(char *field, char *end) {
    char *out = line_end(field, end), *next = out + 2;
    if (next == end || !is_ows(*next))
        return next;
    while (next < end && is_ows(*next)) {
        char *cr = line_end(next, end);
        while (out > field && is_ows(out[-1]))
            out--;
        *out++ = ' ';
        out = put(out, cg_slice_trim(cg_slice_of(next, (size_t)(cr - next))));
        next = cr + 2;
    }
    memset(out, ' ', (size_t)(next - 2 - out));
    return next;
}

/* "Name : value" becomes "Name:  value". */
static void close_up_name(char *field, const char *end) {
    char *colon = memchr(field, ':', (size_t)(line_end(field, end) - field));
    if (!colon)
        return;
    char *name_end = colon;
    while (name_end > field && is_ows(name_end[-1]))
        name_end--;
    *colon = ' ';
    *name_end = ':';
}

static void upper_case_method(char *at, const char *end) {
    for (; at < end && *at != ' '; at++) {
        if (*at >= 'a' && *at <= 'z')
            *at = (char)(*at - 'a' + 'A');
    }
}

void cg_lenient_rewrite(const struct cg_head *head, char *data,
                        const struct cg_settings *settings) {
    CG_ASSERT(head->complete);
    if (settings->casefold_http_method)
        upper_case_method(data + head->start, data + head->line_end);
    if (!head->folded && !settings->strip_header_spaces)
        return;
    char *end = data + head->end - 2;
    for (char *at = data + head->line_end + 2, *next; at < end; at = next) {
        /* First, so that a colon in a folded line is not taken for the name's. */
        if (settings->strip_header_spaces)
            close_up_name(at, end);
        next = unfold(at, end);
    }
}
