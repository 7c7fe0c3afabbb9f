/* SPDX-License-Identifier: MIT
 *
 * Compiles an access_log_format: "%(atom)s", as Python's % operator reads it, into pieces. The
 * atoms are the rows of access_atom.def. Owns no state but the caller's struct.
 */
#include "server/http/access_format.h"

#include <errno.h>
#include <stdlib.h>

const struct cg_access_atom cg_access_atoms[] = {
#define CG_ATOM(name, piece, field) {name, CG_PIECE_##piece, CG_FIELD_##field},
#include "server/http/access_atom.def"
#undef CG_ATOM
};

const size_t cg_access_atoms_n = sizeof(cg_access_atoms) / sizeof(cg_access_atoms[0]);

void cg_access_format_done(struct cg_access_format *f) {
    free(f->pieces);
    cg_buf_done(&f->text);
    cg_buf_done(&f->keys);
    *f = (struct cg_access_format){0};
}

static struct cg_access_piece *add_piece(struct cg_access_format *f, enum cg_access_kind kind) {
    if (f->pieces_n == f->pieces_cap) {
        size_t cap = f->pieces_cap ? f->pieces_cap * 2 : 16;
        struct cg_access_piece *grown = reallocarray(f->pieces, cap, sizeof(*grown));
        if (!grown)
            return NULL;
        f->pieces = grown;
        f->pieces_cap = cap;
    }
    struct cg_access_piece *p = &f->pieces[f->pieces_n++];
    *p = (struct cg_access_piece){.kind = kind, .text_at = f->text.len};
    return p;
}

static int add_literal(struct cg_access_format *f, struct cg_slice text) {
    if (text.len == 0)
        return 0;
    struct cg_access_piece *p = f->pieces_n ? &f->pieces[f->pieces_n - 1] : NULL;
    if (!p || p->kind != CG_PIECE_LITERAL)
        p = add_piece(f, CG_PIECE_LITERAL);
    if (!p || cg_buf_append(&f->text, text) < 0)
        return -ENOMEM;
    p->text_len += text.len;
    return 0;
}

static int add_field(struct cg_access_format *f, enum cg_access_kind kind, struct cg_slice name) {
    struct cg_access_piece *p = add_piece(f, kind);
    if (!p || cg_buf_append(&f->text, name) < 0)
        return -ENOMEM;
    p->field = cg_field_lookup(name);
    p->text_len = name.len;
    return 0;
}

struct cg_slice cg_access_format_key(const struct cg_access_format *f, struct cg_slice before) {
    const char *at = before.at ? before.at + before.len + 1 : f->keys.at;
    const char *end = f->keys.at + f->keys.len;
    return cg_slice_of(at, at < end ? strlen(at) : 0);
}

/* The number of a variable, from 1; 0 beyond so many, or -ENOMEM. */
static int key_number(struct cg_access_format *f, struct cg_slice name) {
    struct cg_slice key = {0};
    for (unsigned n = 1; n <= f->keys_n; n++) {
        key = cg_access_format_key(f, key);
        if (cg_slice_eq_ci(key, name))
            return (int)n;
    }
    if (f->keys_n == CG_ACCESS_KEYS_MAX)
        return 0;
    if (cg_buf_append(&f->keys, name) < 0 || cg_buf_append_char(&f->keys, '\0') < 0)
        return -ENOMEM;
    return (int)++f->keys_n;
}

/* The last piece shows this variable, if it is noted. 0 or -ENOMEM. */
static int add_key(struct cg_access_format *f, struct cg_slice name) {
    int n = key_number(f, name);
    if (n > 0)
        f->pieces[f->pieces_n - 1].key_n = (unsigned)n;
    return n < 0 ? n : 0;
}

/* {HTTP_X_Y}e and {CONTENT_X}e are the request fields X-Y and Content-X. */
static int add_environ(struct cg_access_format *f, struct cg_slice key) {
    const size_t prefix_len = sizeof("http_") - 1, content_len = sizeof("content_") - 1;
    if (key.len > prefix_len &&
        cg_slice_eq_ci(cg_slice_of(key.at, prefix_len), CG_SLICE("http_"))) {
        key = cg_slice_of(key.at + prefix_len, key.len - prefix_len);
    } else if (key.len <= content_len ||
               !cg_slice_eq_ci(cg_slice_of(key.at, content_len), CG_SLICE("content_"))) {
        return add_piece(f, CG_PIECE_NOTHING) ? 0 : -ENOMEM;
    }
    int rc = add_field(f, CG_PIECE_REQUEST_FIELD, key);
    if (rc < 0)
        return rc;
    struct cg_access_piece *p = &f->pieces[f->pieces_n - 1];
    char *name = f->text.at + p->text_at;
    for (size_t i = 0; i < key.len; i++)
        name[i] = name[i] == '_' ? '-' : name[i];
    p->field = cg_field_lookup(cg_slice_of(name, key.len));
    return 0;
}

static int add_atom(struct cg_access_format *f, struct cg_slice atom) {
    bool braced = atom.len >= 3 && atom.at[0] == '{' && atom.at[atom.len - 2] == '}';
    for (size_t i = 0; i < cg_access_atoms_n; i++) {
        struct cg_slice name = cg_slice_str(cg_access_atoms[i].name);
        if (!(braced ? cg_slice_eq_ci(name, atom) : cg_slice_eq(name, atom)))
            continue;
        struct cg_access_piece *p = add_piece(f, cg_access_atoms[i].kind);
        if (!p)
            return -ENOMEM;
        p->field = cg_access_atoms[i].field;
        if (braced && atom.at[atom.len - 1] == 'e')
            return add_key(f, cg_slice_of(atom.at + 1, atom.len - 3));
        return 0;
    }
    if (!braced)
        return add_literal(f, CG_SLICE("-"));
    struct cg_slice name = cg_slice_of(atom.at + 1, atom.len - 3);
    switch (atom.at[atom.len - 1]) {
    case 'i':
        return add_field(f, CG_PIECE_REQUEST_FIELD, name);
    case 'o':
        return add_field(f, CG_PIECE_RESPONSE_FIELD, name);
    case 'e':
        return add_environ(f, name) < 0 ? -ENOMEM : add_key(f, name);
    default:
        return add_literal(f, CG_SLICE("-"));
    }
}

/* Reads "%(atom)s" at the start of s. The length of it, 0 when s starts with something else. */
static size_t read_conversion(struct cg_slice s, struct cg_slice *ret_atom) {
    if (s.len < 2 || s.at[1] != '(')
        return 0;
    const char *close = memchr(s.at, ')', s.len);
    if (!close)
        return 0;
    size_t at = (size_t)(close - s.at) + 1;
    while (at < s.len && memchr("-+ #.0123456789", s.at[at], 15))
        at++;
    if (at == s.len || !memchr("sdirfa", s.at[at], 6))
        return 0;
    *ret_atom = cg_slice_of(s.at + 2, (size_t)(close - s.at) - 2);
    return at + 1;
}

int cg_access_format_compile(struct cg_access_format *f, struct cg_slice format) {
    if (key_number(f, CG_SLICE("REMOTE_ADDR")) < 0)
        return -ENOMEM;
    while (format.len) {
        const char *percent = memchr(format.at, '%', format.len);
        size_t used = percent ? (size_t)(percent - format.at) : format.len;
        int rc = add_literal(f, cg_slice_of(format.at, used));
        if (rc < 0)
            return rc;
        format = cg_slice_of(format.at + used, format.len - used);
        if (!format.len)
            break;

        struct cg_slice atom;
        used = read_conversion(format, &atom);
        if (used) {
            rc = add_atom(f, atom);
        } else {
            rc = add_literal(f, CG_SLICE("%"));
            used = format.len > 1 && format.at[1] == '%' ? 2 : 1;
        }
        if (rc < 0)
            return rc;
        format = cg_slice_of(format.at + used, format.len - used);
    }
    return 0;
}
