/* SPDX-License-Identifier: MIT
 *
 * tests/corpus through scanner, parser, policy and body, in every way of feeding. The form of the
 * files is in tests/corpus/README.md. */
#include "server/base/num.h"
#include "tests/unit/incoming.h"
#include "tests/unit/test.h"

#include <dirent.h>

struct corpus_case {
    char path[512];
    struct cg_settings settings;
    char verdict[64];
    uint64_t requests_n;
    struct cg_buf body, bytes;
};

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

static void load(struct corpus_case *c) {
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

static void run_case(const struct corpus_case *c, struct incoming *in, enum incoming_way way,
                     unsigned seed) {
    size_t at = 0;
    enum cg_fault fault = CG_FAULT_NONE;
    for (uint64_t i = 0; i < c->requests_n; i++) {
        if (fault != CG_FAULT_NONE)
            cg_test_fail(c->path, 1, "a request before the last: %s", incoming_fault_name(fault));
        fault = incoming_run(in, &c->settings, cg_slice_of(c->bytes.at + at, c->bytes.len - at),
                             way, seed);
        at += in->used;
    }
    if (strcmp(incoming_fault_name(fault), c->verdict) != 0)
        cg_test_fail(c->path, 1, "%s, not %s (way %d, seed %u)", incoming_fault_name(fault),
                     c->verdict, way, seed);
    if (fault != CG_FAULT_NONE)
        return;
    struct cg_buf body = CG_BUF_INIT;
    incoming_take_body(&in->body, &body);
    cg_test_check_slice(c->path, 1, cg_buf_slice(&body), cg_buf_slice(&c->body));
    cg_buf_done(&body);
}

static void run_file(const char *folder, const char *name) {
    struct corpus_case c = {.settings = incoming_settings, .requests_n = 1};
    struct incoming in;
    snprintf(c.path, sizeof c.path, "%s/%s/%s", CG_CORPUS_DIR, folder, name);
    load(&c);
    if ((strcmp(c.verdict, "ok") == 0) != (strcmp(folder, "valid") == 0))
        bad_file(&c, "is in the wrong folder");
    incoming_init(&in);
    for (unsigned seed = 0; seed < 6; seed++)
        run_case(&c, &in, seed < 2 ? (enum incoming_way)seed : INCOMING_SPLITS, seed);
    incoming_done(&in);
    cg_buf_done(&c.body);
    cg_buf_done(&c.bytes);
}

static void run_folder(const char *folder) {
    char path[512];
    int files_n = 0;
    snprintf(path, sizeof path, "%s/%s", CG_CORPUS_DIR, folder);
    DIR *d = opendir(path);
    CG_CHECK(d);
    for (const struct dirent *e = readdir(d); e; e = readdir(d)) {
        if (e->d_name[0] == '.')
            continue;
        run_file(folder, e->d_name);
        files_n++;
    }
    closedir(d);
    CG_CHECK(files_n > 30);
}

CG_TEST(valid_requests_are_accepted) {
    run_folder("valid");
}

CG_TEST(invalid_requests_get_their_fault) {
    run_folder("invalid");
}
