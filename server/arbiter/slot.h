/* SPDX-License-Identifier: MIT
 *
 * The scoreboard: one slot per worker in a shared anonymous mapping. The worker writes its slot,
 * the arbiter reads it; nothing here blocks, and no temporary file is involved. Child-facing.
 */
#ifndef CG_ARBITER_SLOT_H
#define CG_ARBITER_SLOT_H

#include "server/base/slice.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { CG_SLOT_TEXT_MAX = 500, CG_SLOT_STACK_MAX = 16 * 1024 };

enum cg_slot_state {
    CG_SLOT_FREE,
    CG_SLOT_BOOTING, /* forked, loading the application */
    CG_SLOT_READY,   /* serving */
    CG_SLOT_LEAVING, /* has been ready, finishes its requests */
    CG_SLOT_EXITING, /* has finished them: what is left is the host's own end */
};

/* What the worker was told by a signal, which the application may have taken for itself. */
enum cg_slot_told { CG_TOLD_NOTHING, CG_TOLD_TO_LEAVE, CG_TOLD_TO_QUIT };

struct cg_slot {
    _Alignas(64) _Atomic int state; /* enum cg_slot_state */
    _Atomic pid_t pid;
    _Atomic uint64_t beat_us;    /* monotonic: the last sign of life */
    _Atomic uint64_t request_us; /* monotonic: since when it is in the application; 0 = it is not */
    _Atomic uint64_t requests_n;
    _Atomic bool timed_out;    /* it leaves because a request took longer than `timeout` */
    _Atomic bool spent;        /* by the worker: it wants to be replaced, and serves until it is */
    _Atomic bool relieved;     /* by the arbiter, before TERM: others serve the same listeners */
    _Atomic int told;          /* by the arbiter, before the signal: enum cg_slot_told */
    _Atomic bool dozes;        /* by the arbiter: it does, until the next request wakes it */
    _Atomic uint32_t text_seq; /* odd while the text is being written */
    uint16_t client_len, line_len;
    char client[46];
    char line[CG_SLOT_TEXT_MAX]; /* the request line, cut */
    _Atomic int stack_state;     /* enum cg_stack_state, see stack.h */
    uint32_t stack_len;
    char stack[CG_SLOT_STACK_MAX];
};

struct cg_scoreboard {
    struct cg_slot *slots;
    size_t n;
};

/* Maps n free slots. 0 or -errno. */
int cg_scoreboard_init(struct cg_scoreboard *b, size_t n);
void cg_scoreboard_done(struct cg_scoreboard *b);

/* The arbiter takes a free slot before fork, and frees it after the worker was reaped. NULL when
 * all are taken. */
struct cg_slot *cg_slot_take(struct cg_scoreboard *b, uint64_t now_us);
void cg_slot_release(struct cg_slot *s);

/* The worker's side; begin, end and hide by one thread at a time. With several requests in the
 * application the worker shows the oldest. */
void cg_slot_set_state(struct cg_slot *s, enum cg_slot_state state);
void cg_slot_set_timed_out(struct cg_slot *s);
void cg_slot_beat(struct cg_slot *s, uint64_t now_us);
void cg_slot_begin_request(struct cg_slot *s, struct cg_slice client, struct cg_slice line,
                           uint64_t now_us);
void cg_slot_end_request(struct cg_slot *s, uint64_t now_us);
/* The same for a request that goes on later: it does not count. */
void cg_slot_hide_request(struct cg_slot *s, uint64_t now_us);

/* What a slot is doing, read without locks and without trust: the worker may have died while
 * writing. Bytes that are not printable ASCII show as '?', a text that never holds still as "?". */
struct cg_slot_view {
    uint64_t request_us; /* 0: nothing; the texts are empty then */
    char client[47];
    char line[CG_SLOT_TEXT_MAX + 1];
};
void cg_slot_read(const struct cg_slot *s, struct cg_slot_view *ret_view);

enum { CG_SLOT_WORDS_MAX = CG_SLOT_TEXT_MAX + 128 };

/* `request "GET / HTTP/1.1" from 127.0.0.1 is running for 31 s`. Returns ret_text. */
const char *cg_slot_words(const struct cg_slot_view *view, uint64_t now_us,
                          char ret_text[CG_SLOT_WORDS_MAX]);

#endif
