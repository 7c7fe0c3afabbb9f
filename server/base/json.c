/* SPDX-License-Identifier: MIT
 *
 * The function of json.h. A byte that cannot stand for itself becomes \u00XX, so that each input
 * has one output, and no output a control character in it.
 */
#include "server/base/json.h"

#include <errno.h>
#include <stdint.h>

enum { ESCAPE_LEN = 6 }; /* "\u0000" */

static bool is_plain(unsigned char c) {
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static bool is_continuation(unsigned char c) {
    return (c & 0xc0) == 0x80;
}

/* The length of the UTF-8 character that s, which is not empty, begins with; 0 when it begins with
 * none: neither longer than needed nor a surrogate nor past U+10FFFF (RFC 3629 section 4). */
static size_t utf8_len(struct cg_slice s) {
    const unsigned char *at = (const unsigned char *)s.at;
    if (at[0] >= 0xc2 && at[0] <= 0xdf)
        return s.len >= 2 && is_continuation(at[1]) ? 2 : 0;
    if ((at[0] & 0xf0) == 0xe0) {
        unsigned char least = at[0] == 0xe0 ? 0xa0 : 0x80, most = at[0] == 0xed ? 0x9f : 0xbf;
        return s.len >= 3 && at[1] >= least && at[1] <= most && is_continuation(at[2]) ? 3 : 0;
    }
    if (at[0] >= 0xf0 && at[0] <= 0xf4) {
        unsigned char least = at[0] == 0xf0 ? 0x90 : 0x80, most = at[0] == 0xf4 ? 0x8f : 0xbf;
        return s.len >= 4 && at[1] >= least && at[1] <= most && is_continuation(at[2]) &&
                       is_continuation(at[3])
                   ? 4
                   : 0;
    }
    return 0;
}

static char *put_escaped(char *at, unsigned char c) {
    static const char hex[] = "0123456789abcdef";
    *at++ = '\\';
    if (c == '"' || c == '\\') {
        *at++ = (char)c;
        return at;
    }
    memcpy(at, "u00", 3);
    at += 3;
    *at++ = hex[c >> 4];
    *at++ = hex[c & 0xf];
    return at;
}

int cg_json_append_string(struct cg_buf *out, struct cg_slice s, enum cg_json_charset charset) {
    if (s.len > (SIZE_MAX - 2) / ESCAPE_LEN || cg_buf_reserve(out, s.len * ESCAPE_LEN + 2) < 0)
        return -ENOMEM;
    char *at = out->at + out->len;
    *at++ = '"';
    for (size_t i = 0; i < s.len;) {
        unsigned char c = (unsigned char)s.at[i];
        size_t wide_len = 0;
        if (c >= 0x80 && charset == CG_JSON_UTF8)
            wide_len = utf8_len(cg_slice_of(s.at + i, s.len - i));
        if (wide_len) {
            memcpy(at, s.at + i, wide_len);
            at += wide_len;
            i += wide_len;
            continue;
        }
        if (is_plain(c))
            *at++ = (char)c;
        else
            at = put_escaped(at, c);
        i++;
    }
    *at++ = '"';
    out->len = (size_t)(at - out->at);
    return 0;
}
