/* SPDX-License-Identifier: MIT
 *
 * Access lines: rendering, and the escaping that keeps a line one line. The compiler of formats is
 * access_format.c, what the atoms stand for is in access_value.c. Owns no state but struct
 * cg_access.
 */
#include "server/http/access.h"

#include "server/base/json.h"
#include "server/http/access_note.h"
#include "server/http/access_value.h"

#include <errno.h>
#include <stdlib.h>

typedef int (*render_fn)(struct cg_access *a, const struct cg_access_event *event,
                         struct cg_buf *out);

struct cg_access {
    struct cg_access_format format; /* of a text line */
    struct cg_access_values values;
    struct cg_buf name; /* of the last field in a record */
    render_fn render;
    bool is_json; /* of the line that is part of a record */
};

/* Text */

static bool is_plain(unsigned char c) {
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* Room for four bytes must be at `at`. */
static char *put_escaped(char *at, unsigned char c) {
    static const char hex[] = "0123456789abcdef";
    if (is_plain(c)) {
        *at++ = (char)c;
    } else if (c == '"' || c == '\\') {
        *at++ = '\\';
        *at++ = (char)c;
    } else {
        *at++ = '\\';
        *at++ = 'x';
        *at++ = hex[c >> 4];
        *at++ = hex[c & 0xf];
    }
    return at;
}

static int append_escaped(struct cg_buf *out, struct cg_slice s) {
    if (s.len == 0)
        return 0;
    if (s.len > SIZE_MAX / 4 || cg_buf_reserve(out, s.len * 4) < 0)
        return -ENOMEM;
    char *at = out->at + out->len;
    for (size_t i = 0; i < s.len; i++)
        at = put_escaped(at, (unsigned char)s.at[i]);
    out->len = (size_t)(at - out->at);
    return 0;
}

static int append_text(struct cg_buf *out, struct cg_access_value value) {
    if (value.form == CG_ACCESS_NOTHING)
        return cg_buf_append_char(out, '-');
    return value.form == CG_ACCESS_TEXT ? append_escaped(out, value.text)
                                        : cg_buf_append(out, value.text);
}

static int render_text(struct cg_access *a, const struct cg_access_event *event,
                       struct cg_buf *out) {
    for (size_t i = 0; i < a->format.pieces_n; i++) {
        const struct cg_access_piece *p = &a->format.pieces[i];
        struct cg_access_value value;
        if (cg_access_value_get(&a->values, p, cg_access_format_text(&a->format, p), event,
                                &value) < 0 ||
            append_text(out, value) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* JSON */

static const struct cg_access_atom members[] = {
#define CG_ACCESS_JSON(name, piece, field) {name, CG_PIECE_##piece, CG_FIELD_##field},
#include "server/http/access_json.def"
#undef CG_ACCESS_JSON
};

enum { MEMBERS_N = sizeof(members) / sizeof(members[0]) };

static int append_name(struct cg_buf *out, struct cg_slice name) {
    bool first = out->len == 0 || out->at[out->len - 1] == '{';
    if ((!first && cg_buf_append_char(out, ',') < 0) ||
        cg_json_append_string(out, name, CG_JSON_LATIN1) < 0)
        return -ENOMEM;
    return cg_buf_append_char(out, ':');
}

static int append_json(struct cg_buf *out, struct cg_access_value value) {
    switch (value.form) {
    case CG_ACCESS_NOTHING:
        return cg_buf_append(out, CG_SLICE("null"));
    case CG_ACCESS_NUMBER:
    case CG_ACCESS_DECIMAL:
    case CG_ACCESS_BOOL:
        return cg_buf_append(out, value.text);
    case CG_ACCESS_TEXT:
    case CG_ACCESS_WORD:
        break;
    }
    return cg_json_append_string(out, value.text, CG_JSON_UTF8);
}

static int render_json(struct cg_access *a, const struct cg_access_event *event,
                       struct cg_buf *out) {
    if (cg_buf_append_char(out, '{') < 0)
        return -ENOMEM;
    for (size_t i = 0; i < MEMBERS_N; i++) {
        struct cg_access_piece piece = {.kind = members[i].kind, .field = members[i].field};
        struct cg_access_value value;
        if (cg_access_value_get(&a->values, &piece, cg_slice_of(NULL, 0), event, &value) < 0 ||
            append_name(out, cg_slice_str(members[i].name)) < 0 || append_json(out, value) < 0)
            return -ENOMEM;
    }
    return cg_buf_append_char(out, '}');
}

/* Records */

static int append_record_value(struct cg_buf *out, struct cg_slice name,
                               struct cg_access_value value) {
    if (value.form == CG_ACCESS_NOTHING)
        return 0;
    if (append_name(out, name) < 0)
        return -ENOMEM;
    return value.form == CG_ACCESS_NUMBER ? cg_buf_append(out, value.text)
                                          : cg_json_append_string(out, value.text, CG_JSON_LATIN1);
}

/* "{name}i", in lower case. */
static int append_named(struct cg_access *a, struct cg_buf *out, char kind, struct cg_slice name,
                        struct cg_slice text) {
    struct cg_buf *atom = &a->name;
    atom->len = 0;
    if (cg_buf_reserve(atom, name.len + 3) < 0)
        return -ENOMEM;
    atom->at[atom->len++] = '{';
    for (size_t i = 0; i < name.len; i++) {
        char c = name.at[i];
        atom->at[atom->len++] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    atom->at[atom->len++] = '}';
    atom->at[atom->len++] = kind;
    struct cg_access_value value = {CG_ACCESS_TEXT, text};
    return append_record_value(out, cg_buf_slice(atom), value);
}

static int append_fields(struct cg_access *a, const struct cg_exchange *ex, struct cg_buf *out) {
    for (size_t i = 0; i < ex->request.fields_n; i++)
        if (append_named(a, out, 'i', ex->request.fields[i].name, ex->request.fields[i].value) < 0)
            return -ENOMEM;
    struct cg_slice rest = cg_response_all_fields(&ex->response);
    struct cg_slice name, value;
    while (cg_response_next_field(&rest, &name, &value))
        if (append_named(a, out, 'o', name, value) < 0)
            return -ENOMEM;
    return 0;
}

/* Those that the format names; the first is an atom already. */
static int append_notes(struct cg_access *a, const struct cg_exchange *ex, struct cg_buf *out) {
    struct cg_slice value, name = cg_access_format_key(&a->format, (struct cg_slice){0});
    for (size_t n = 1; cg_access_noted(ex, n, &value); n++) {
        name = cg_access_format_key(&a->format, name);
        if (value.at && append_named(a, out, 'e', name, value) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int render_record(struct cg_access *a, const struct cg_access_event *event,
                         struct cg_buf *out) {
    if (cg_buf_append_char(out, '{') < 0)
        return -ENOMEM;
    for (size_t i = 0; i < cg_access_atoms_n; i++) {
        const struct cg_access_atom *atom = &cg_access_atoms[i];
        struct cg_access_piece piece = {.kind = atom->kind, .field = atom->field};
        struct cg_access_value value;
        if (cg_access_value_get(&a->values, &piece, cg_slice_of(NULL, 0), event, &value) < 0 ||
            append_record_value(out, cg_slice_str(atom->name), value) < 0)
            return -ENOMEM;
    }
    if (append_fields(a, event->ex, out) < 0 || append_notes(a, event->ex, out) < 0)
        return -ENOMEM;
    if (a->is_json) {
        struct cg_buf line = CG_BUF_INIT;
        int rc = render_json(a, event, &line);
        if (rc == 0)
            rc = append_name(out, CG_SLICE("line"));
        if (rc == 0) /* bytes of UTF-8 are kept */
            rc = cg_json_append_string(out, cg_buf_slice(&line), CG_JSON_UTF8);
        cg_buf_done(&line);
        if (rc < 0)
            return rc;
    }
    return cg_buf_append_char(out, '}');
}

/* Making and using one */

struct cg_access *cg_access_new(const char *format) {
    struct cg_access *a = calloc(1, sizeof(*a));
    if (!a)
        return NULL;
    a->is_json = strcmp(format, "json") == 0;
    a->render = a->is_json ? render_json : render_text;
    if (!a->is_json && cg_access_format_compile(&a->format, cg_slice_str(format)) < 0) {
        cg_access_free(a);
        return NULL;
    }
    cg_access_values_init(&a->values);
    return a;
}

struct cg_access *cg_access_new_record(const char *format) {
    struct cg_access *a = cg_access_new(format);
    if (a)
        a->render = render_record;
    return a;
}

int cg_access_each_key(const char *format, cg_access_key_fn each, void *ctx) {
    struct cg_access_format f = {0};
    int rc = cg_access_format_compile(&f, cg_slice_str(format));
    struct cg_slice key = {0};
    for (unsigned n = 0; rc == 0 && n < f.keys_n; n++) {
        key = cg_access_format_key(&f, key);
        each(ctx, key);
    }
    cg_access_format_done(&f);
    return rc;
}

void cg_access_set_pid(struct cg_access *a, pid_t pid) {
    cg_access_values_set_pid(&a->values, pid);
}

void cg_access_free(struct cg_access *a) {
    if (!a)
        return;
    cg_access_format_done(&a->format);
    cg_access_values_done(&a->values);
    cg_buf_done(&a->name);
    free(a);
}

int cg_access_render(struct cg_access *a, const struct cg_exchange *ex, uint64_t now_us,
                     time_t wall_s, struct cg_buf *out) {
    struct cg_access_event event = {ex, now_us, wall_s};
    return a->render(a, &event, out);
}
