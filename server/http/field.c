/* SPDX-License-Identifier: MIT
 *
 * Names of header fields: the lookup in field.def, and what a token is. No state.
 */
#include "server/http/field.h"

#include <stdint.h>

/* One byte that tells most names apart. Setting bit 5 folds the case of letters; that it also folds
 * a few other characters only costs a comparison. */
#define TAG(len, first, last)                                                                      \
    ((uint8_t)((len)*11u + ((uint8_t)(first) | 0x20u) * 5u + ((uint8_t)(last) | 0x20u)))

/* Row n is field n + 1: CG_FIELD_OTHER has none. */
static const uint8_t tags[CG_FIELD_N - 1] = {
#define CG_FIELD(id, name, environ_key) TAG(sizeof(name) - 1, (name)[0], (name)[sizeof(name) - 2]),
#include "server/http/field.def"
#undef CG_FIELD
};

static const struct {
    const char *at;
    size_t len;
} names[CG_FIELD_N - 1] = {
#define CG_FIELD(id, name, environ_key) {name, sizeof(name) - 1},
#include "server/http/field.def"
#undef CG_FIELD
};

enum cg_field_id cg_field_lookup(struct cg_slice name) {
    if (name.len == 0)
        return CG_FIELD_OTHER;
    uint8_t tag = TAG(name.len, name.at[0], name.at[name.len - 1]);
    const uint8_t *end = tags + sizeof tags, *hit = tags;
    while ((hit = memchr(hit, tag, (size_t)(end - hit)))) {
        size_t row = (size_t)(hit - tags);
        if (cg_slice_eq_ci(name, cg_slice_of(names[row].at, names[row].len)))
            return (enum cg_field_id)(row + 1);
        hit++;
    }
    return CG_FIELD_OTHER;
}

bool cg_field_is_token(struct cg_slice s) {
    static const bool tchar[256] = {
        ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['!'] = true,
        ['#'] = true,         ['$'] = true,         ['%'] = true,         ['&'] = true,
        ['\''] = true,        ['*'] = true,         ['+'] = true,         ['-'] = true,
        ['.'] = true,         ['^'] = true,         ['_'] = true,         ['`'] = true,
        ['|'] = true,         ['~'] = true,
    };
    for (size_t i = 0; i < s.len; i++) {
        if (!tchar[(unsigned char)s.at[i]])
            return false;
    }
    return s.len > 0;
}
