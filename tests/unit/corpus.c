/* SPDX-License-Identifier: MIT
 *
 * The reader of corpus.h. The form of the files is in tests/corpus/README.md.
 */
#include "tests/unit/corpus.h"

#include "server/base/num.h"
#include "tests/unit/test.h"

#include <dirent.h>
#include <stdlib.h>

static _Noreturn void bad_file(const struct corpus_case *c, const char *what) {
    cg_test_fail(c->path, 1, "%s", what);
}

static void unescape(const struct corpus_case *c, struct cg_slice text, struct cg_buf *out) {
    static const char codes[] = "rnt0\\", bytes[] = "\r\n\t\0\\";
    for (size_t i = 0; i < text.len; i++) {
        char byte = text.at[i];
        if (byte == '\\') {
            if (++i == text.len)
                bad_file(c, "a backslash ends the line");
            const char *code = memchr(codes, text.at[i], sizeof codes - 1);
            if (code) {
                byte = bytes[code - codes];
            } else {
                int high = i + 2 < text.len ? cg_num_hex_digit((unsigned char)text.at[i + 1]) : -1;
                int low = i + 2 < text.len ? cg_num_hex_digit((unsigned char)text.at[i + 2]) : -1;
                if (text.at[i] != 'x' || high < 0 || low < 0)
                    bad_file(c, "unknown escape");
                byte = (char)(high << 4 | low);
                i += 2;
            }
        }
        CG_CHECK_INT(cg_buf_append_char(out, byte), 0);
    }
}

static bool cut_prefix(struct cg_slice *line, const char *prefix) {
    size_t len = strlen(prefix);
    if (line->len < len || memcmp(line->at, prefix, len) != 0)
        return false;
    *line = cg_slice_of(line->at + len, line->len - len);
    return true;
}

static void read_setting(struct corpus_case *c, struct cg_slice line) {
    const struct {
        const char *name;
        int64_t *value;
    } known[] = {
        {"limit_request_line ", &c->settings.limit_request_line},
        {"limit_request_fields ", &c->settings.limit_request_fields},
        {"limit_request_field_size ", &c->settings.limit_request_field_size},
        {"limit_request_body ", &c->settings.limit_request_body},
        {"client_body_buffer_size ", &c->settings.client_body_buffer_size},
    };
    uint64_t value;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (cut_prefix(&line, known[i].name) && cg_num_parse_u64(line, &value) == 0) {
            *known[i].value = (int64_t)value;
            return;
        }
    }
    bad_file(c, "unknown setting");
}

/* A line that begins with "# "; the first one names the verdict. */
static void read_note(struct corpus_case *c, struct cg_slice line) {
    if (!cut_prefix(&line, "# "))
        bad_file(c, "a note begins with \"# \"");
    if (!c->verdict[0]) {
        const char *space = memchr(line.at, ' ', line.len);
        if (!space || (size_t)(space - line.at) >= sizeof c->verdict)
            bad_file(c, "no verdict");
        memcpy(c->verdict, line.at, (size_t)(space - line.at));
    } else if (cut_prefix(&line, "set ")) {
        read_setting(c, line);
    } else if (cut_prefix(&line, "body ")) {
        unescape(c, line, &c->body);
    } else if (!cut_prefix(&line, "requests ") || cg_num_parse_u64(line, &c->requests_n) < 0) {
        bad_file(c, "unknown note");
    }
}

void corpus_load(struct corpus_case *c, const char *path, const struct cg_settings *settings) {
    *c = (struct corpus_case){.settings = *settings, .requests_n = 1};
    snprintf(c->path, sizeof c->path, "%s", path);
    FILE *f = fopen(c->path, "r");
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    bool in_bytes = false;
    if (!f)
        bad_file(c, "cannot be opened");
    while ((len = getline(&line, &cap, f)) > 0) {
        struct cg_slice s = cg_slice_of(line, (size_t)len - (line[len - 1] == '\n'));
        in_bytes |= s.len == 0 || s.at[0] != '#';
        if (in_bytes)
            unescape(c, s, &c->bytes);
        else
            read_note(c, s);
    }
    free(line);
    fclose(f);
}

void corpus_case_done(struct corpus_case *c) {
    cg_buf_done(&c->body);
    cg_buf_done(&c->bytes);
}

static int is_visible(const struct dirent *e) {
    return e->d_name[0] != '.';
}

int corpus_each(const char *folder, void (*use)(void *ctx, const char *path), void *ctx) {
    char path[CORPUS_PATH_MAX];
    struct dirent **names;
    int names_n = scandir(folder, &names, is_visible, alphasort);
    for (int i = 0; i < names_n; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
        use(ctx, path);
        free(names[i]);
    }
    if (names_n < 0)
        return 0;
    free(names);
    return names_n;
}
