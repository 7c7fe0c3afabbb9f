/* SPDX-License-Identifier: MIT
 *
 * The scoreboard in one shared anonymous mapping. The text of a slot is guarded by a sequence
 * counter: odd while it is being written, and different after every write. No state of its own.
 */
#include "server/arbiter/slot.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

/* A writer holds the text for some hundred nanoseconds; a dead one holds it for ever. */
enum { READ_TRIES = 1000 };

int cg_scoreboard_init(struct cg_scoreboard *b, size_t n) {
    if (n == 0 || n > SIZE_MAX / sizeof(*b->slots))
        return -EINVAL;
    void *at = mmap(NULL, n * sizeof(*b->slots), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                    -1, 0);
    if (at == MAP_FAILED)
        return -errno;
    b->slots = at; /* zero bytes: all free */
    b->n = n;
    return 0;
}

void cg_scoreboard_done(struct cg_scoreboard *b) {
    if (b->slots)
        munmap(b->slots, b->n * sizeof(*b->slots));
    b->slots = NULL;
    b->n = 0;
}

struct cg_slot *cg_slot_take(struct cg_scoreboard *b, uint64_t now_us) {
    for (size_t i = 0; i < b->n; i++) {
        struct cg_slot *s = &b->slots[i];
        if (atomic_load(&s->state) != CG_SLOT_FREE)
            continue;
        memset(s, 0, sizeof(*s));
        atomic_store(&s->beat_us, now_us);
        atomic_store(&s->state, CG_SLOT_BOOTING);
        return s;
    }
    return NULL;
}

void cg_slot_release(struct cg_slot *s) {
    atomic_store(&s->state, CG_SLOT_FREE);
}

void cg_slot_set_state(struct cg_slot *s, enum cg_slot_state state) {
    atomic_store(&s->state, (int)state);
}

void cg_slot_set_timed_out(struct cg_slot *s) {
    atomic_store(&s->timed_out, true);
}

void cg_slot_beat(struct cg_slot *s, uint64_t now_us) {
    atomic_store_explicit(&s->beat_us, now_us, memory_order_relaxed);
}

static uint16_t copy_cut(char *to, size_t to_len, struct cg_slice from) {
    size_t len = from.len < to_len ? from.len : to_len;
    if (len > 0)
        memcpy(to, from.at, len);
    return (uint16_t)len;
}

void cg_slot_begin_request(struct cg_slot *s, struct cg_slice client, struct cg_slice line,
                           uint64_t now_us) {
    uint32_t seq = atomic_load_explicit(&s->text_seq, memory_order_relaxed);
    atomic_store_explicit(&s->text_seq, seq + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    s->client_len = copy_cut(s->client, sizeof(s->client), client);
    s->line_len = copy_cut(s->line, sizeof(s->line), line);
    atomic_store_explicit(&s->request_us, now_us, memory_order_relaxed);
    atomic_store_explicit(&s->text_seq, seq + 2, memory_order_release);
    cg_slot_beat(s, now_us);
}

void cg_slot_hide_request(struct cg_slot *s, uint64_t now_us) {
    atomic_store_explicit(&s->request_us, 0, memory_order_relaxed);
    cg_slot_beat(s, now_us);
}

void cg_slot_end_request(struct cg_slot *s, uint64_t now_us) {
    atomic_fetch_add_explicit(&s->requests_n, 1, memory_order_relaxed);
    cg_slot_hide_request(s, now_us);
}

/* at has room for max bytes and a NUL. */
static void copy_printable(char *at, size_t max, const char *from, size_t from_len) {
    size_t len = from_len < max ? from_len : max;
    for (size_t i = 0; i < len; i++)
        at[i] = from[i] >= 0x20 && from[i] < 0x7f ? from[i] : '?';
    at[len] = '\0';
}

static bool read_once(const struct cg_slot *s, struct cg_slot_view *ret_view) {
    uint32_t before = atomic_load_explicit(&s->text_seq, memory_order_acquire);
    ret_view->request_us = atomic_load_explicit(&s->request_us, memory_order_relaxed);
    copy_printable(ret_view->client, sizeof(s->client), s->client, s->client_len);
    copy_printable(ret_view->line, sizeof(s->line), s->line, s->line_len);
    atomic_thread_fence(memory_order_acquire);
    return before % 2 == 0 && before == atomic_load_explicit(&s->text_seq, memory_order_relaxed);
}

void cg_slot_read(const struct cg_slot *s, struct cg_slot_view *ret_view) {
    int tries = 0;
    while (!read_once(s, ret_view)) {
        if (++tries < READ_TRIES)
            continue;
        copy_printable(ret_view->client, sizeof(s->client), "?", 1);
        copy_printable(ret_view->line, sizeof(s->line), "?", 1);
        break;
    }
    if (ret_view->request_us == 0)
        ret_view->client[0] = ret_view->line[0] = '\0';
}

const char *cg_slot_words(const struct cg_slot_view *view, uint64_t now_us,
                          char ret_text[CG_SLOT_WORDS_MAX]) {
    uint64_t age_us = now_us > view->request_us ? now_us - view->request_us : 0;
    snprintf(ret_text, CG_SLOT_WORDS_MAX, "request \"%s\"%s%s is running for %llu s", view->line,
             view->client[0] ? " from " : "", view->client, (unsigned long long)(age_us / 1000000));
    return ret_text;
}
