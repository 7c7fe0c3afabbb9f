/* SPDX-License-Identifier: MIT
 *
 * Bind strings. One that is taken has a meaning that can be written down and read again; one that
 * is not gets a sentence, in as much room as there is for it, and leaves the result alone.
 *
 * Input: the room for the sentence, then the string up to its first NUL.
 */
#include "server/net/bind.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/test.h"

#include <stdlib.h>

const struct fuzz_target fuzz_target = {.name = "bind"};

enum { TEXT_MAX = 512 };

/* As a user would write it; the host of a TCP bind in brackets where it must be. */
static void write_down(const struct cg_bind *b, char *ret_text) {
    bool needs_brackets = strchr(b->host, ':') || b->host[0] == '[';
    switch (b->kind) {
    case CG_BIND_UNIX:
        snprintf(ret_text, TEXT_MAX, "unix://%s", b->path);
        break;
    case CG_BIND_FD:
        snprintf(ret_text, TEXT_MAX, "fd://%d", b->fd);
        break;
    case CG_BIND_TCP:
        snprintf(ret_text, TEXT_MAX, needs_brackets ? "tcp://[%s]:%u" : "tcp://%s:%u", b->host,
                 b->port);
    }
}

static void check_same(const struct cg_bind *a, const struct cg_bind *b) {
    CG_CHECK_INT(a->kind, b->kind);
    CG_CHECK_INT(a->port, b->port);
    CG_CHECK_INT(a->fd, b->fd);
    CG_CHECK(strcmp(a->host, b->host) == 0 && strcmp(a->path, b->path) == 0);
}

static void check_taken(const struct cg_bind *b) {
    char text[TEXT_MAX], error[TEXT_MAX];
    struct cg_bind again;
    CG_CHECK(memchr(b->host, '\0', sizeof b->host) && memchr(b->path, '\0', sizeof b->path));
    CG_CHECK((b->kind == CG_BIND_UNIX) == (b->path[0] != '\0'));
    CG_CHECK((b->kind == CG_BIND_FD) == (b->fd >= 0));
    for (const char *c = b->host; *c; c++)
        CG_CHECK(*c < 'A' || *c > 'Z');
    write_down(b, text);
    CG_CHECK_INT(cg_bind_parse(text, &again, error, sizeof error), 0);
    check_same(b, &again);
}

static void check_refused(const struct cg_bind *b, const char *text, size_t room) {
    struct cg_bind untouched;
    memset(&untouched, 0x55, sizeof untouched);
    CG_CHECK(memcmp(b, &untouched, sizeof untouched) == 0);
    const char *end = memchr(text, '\0', room);
    CG_CHECK(room == 0 || end);
    CG_CHECK(room < 2 || end > text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct cg_slice input = cg_slice_of((const char *)data, size);
    size_t room = fuzz_take_byte(&input);
    char *text = strndup(input.at ? input.at : "", input.len);
    char *error = malloc(room + 1);
    struct cg_bind bind;
    CG_CHECK(text && error);
    memset(&bind, 0x55, sizeof bind);
    if (cg_bind_parse(text, &bind, error, room) == 0)
        check_taken(&bind);
    else
        check_refused(&bind, error, room);
    free(text);
    free(error);
    return 0;
}
