/* SPDX-License-Identifier: MIT
 *
 * The scoreboard: slots are taken once, and read without trust while they are written.
 */
#include "tests/unit/test.h"

#include "server/arbiter/slot.h"
#include "server/arbiter/stack.h"
#include "server/base/fd.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static struct cg_scoreboard board_of(size_t n) {
    struct cg_scoreboard b;
    CG_CHECK_INT(cg_scoreboard_init(&b, n), 0);
    return b;
}

CG_TEST(a_board_of_no_slots_is_refused) {
    struct cg_scoreboard b;
    CG_CHECK_INT(cg_scoreboard_init(&b, 0), -EINVAL);
    CG_CHECK_INT(cg_scoreboard_init(&b, SIZE_MAX / 2), -EINVAL);
}

CG_TEST(a_slot_is_taken_once_and_comes_back_clean) {
    struct cg_scoreboard b = board_of(2);
    struct cg_slot *first = cg_slot_take(&b, 7), *second = cg_slot_take(&b, 8);
    CG_CHECK(first && second && first != second);
    CG_CHECK(!cg_slot_take(&b, 9));
    CG_CHECK_INT(first->state, CG_SLOT_BOOTING);
    CG_CHECK_INT(first->beat_us, 7);
    cg_slot_begin_request(first, CG_SLICE("::1"), CG_SLICE("GET / HTTP/1.1"), 10);
    cg_slot_end_request(first, 11);
    cg_slot_release(first);
    CG_CHECK(cg_slot_take(&b, 12) == first);
    CG_CHECK_INT(first->requests_n, 0);
    CG_CHECK_INT(first->line_len, 0);
    CG_CHECK_INT(first->beat_us, 12);
    cg_scoreboard_done(&b);
}

CG_TEST(what_a_child_writes_is_seen_by_its_parent) {
    struct cg_scoreboard b = board_of(1);
    struct cg_slot *s = cg_slot_take(&b, 1);
    pid_t pid = fork();
    if (pid == 0) {
        cg_slot_set_state(s, CG_SLOT_READY);
        cg_slot_begin_request(s, CG_SLICE("127.0.0.1"), CG_SLICE("GET /x HTTP/1.1"), 5000);
        _exit(0);
    }
    CG_CHECK_INT(waitpid(pid, NULL, 0), pid);
    struct cg_slot_view view;
    cg_slot_read(s, &view);
    CG_CHECK_INT(s->state, CG_SLOT_READY);
    CG_CHECK_INT(view.request_us, 5000);
    CG_CHECK_SLICE(cg_slice_str(view.client), "127.0.0.1");
    CG_CHECK_SLICE(cg_slice_str(view.line), "GET /x HTTP/1.1");
    cg_scoreboard_done(&b);
}

CG_TEST(an_ended_request_shows_nothing) {
    struct cg_scoreboard b = board_of(1);
    struct cg_slot *s = cg_slot_take(&b, 1);
    cg_slot_begin_request(s, CG_SLICE("127.0.0.1"), CG_SLICE("GET / HTTP/1.1"), 5);
    cg_slot_end_request(s, 9);
    struct cg_slot_view view;
    cg_slot_read(s, &view);
    CG_CHECK_INT(view.request_us, 0);
    CG_CHECK_SLICE(cg_slice_str(view.line), "");
    CG_CHECK_INT(s->requests_n, 1);
    CG_CHECK_INT(s->beat_us, 9);
    cg_scoreboard_done(&b);
}

CG_TEST(texts_are_cut_to_the_slot) {
    struct cg_scoreboard b = board_of(1);
    struct cg_slot *s = cg_slot_take(&b, 1);
    char text[1000];
    memset(text, 'a', sizeof(text));
    cg_slot_begin_request(s, cg_slice_of(text, sizeof(text)), cg_slice_of(text, sizeof(text)), 5);
    struct cg_slot_view view;
    cg_slot_read(s, &view);
    CG_CHECK_INT(strlen(view.client), sizeof(s->client));
    CG_CHECK_INT(strlen(view.line), CG_SLOT_TEXT_MAX);
    cg_scoreboard_done(&b);
}

CG_TEST(lengths_and_bytes_of_a_broken_worker_are_not_trusted) {
    struct cg_scoreboard b = board_of(1);
    struct cg_slot *s = cg_slot_take(&b, 1);
    cg_slot_begin_request(s, CG_SLICE("a"), CG_SLICE("GET /\n\x1b[31m\xff HTTP/1.1"), 5);
    s->client_len = UINT16_MAX;
    struct cg_slot_view view;
    cg_slot_read(s, &view);
    CG_CHECK_INT(strlen(view.client), sizeof(s->client));
    CG_CHECK_SLICE(cg_slice_str(view.line), "GET /??[31m? HTTP/1.1");
    cg_scoreboard_done(&b);
}

CG_TEST(a_worker_that_died_while_writing_does_not_hold_its_reader) {
    struct cg_scoreboard b = board_of(1);
    struct cg_slot *s = cg_slot_take(&b, 1);
    cg_slot_begin_request(s, CG_SLICE("127.0.0.1"), CG_SLICE("GET / HTTP/1.1"), 5);
    atomic_fetch_add(&s->text_seq, 1);
    struct cg_slot_view view;
    cg_slot_read(s, &view);
    CG_CHECK_INT(view.request_us, 5);
    CG_CHECK_SLICE(cg_slice_str(view.line), "?");
    CG_CHECK_SLICE(cg_slice_str(view.client), "?");
    cg_scoreboard_done(&b);
}

/* The writer makes client and line from the same letter; a view of two letters is torn. */
CG_TEST(a_text_being_written_is_never_seen_torn) {
    struct cg_scoreboard b = board_of(1);
    struct cg_slot *s = cg_slot_take(&b, 1);
    pid_t pid = fork();
    if (pid == 0) {
        for (unsigned i = 0; i < 200000; i++) {
            char text[40];
            memset(text, 'a' + (int)(i % 26), sizeof(text));
            cg_slot_begin_request(s, cg_slice_of(text, 40), cg_slice_of(text, 40), i + 1);
        }
        _exit(0);
    }
    while (waitpid(pid, NULL, WNOHANG) == 0) {
        struct cg_slot_view view;
        cg_slot_read(s, &view);
        for (size_t i = 0; view.line[i] && view.line[0] != '?'; i++)
            CG_CHECK(view.line[i] == view.client[0]);
    }
    cg_scoreboard_done(&b);
}

static void tell(struct cg_slot *s, struct cg_slice text) {
    int fds[2];
    CG_CHECK_INT(cg_fd_wake_pipe(fds), 0);
    CG_CHECK_INT(write(fds[1], text.at, text.len), text.len);
    cg_stack_tell(s, fds[0]);
    close(fds[0]);
    close(fds[1]);
}

CG_TEST(stacks_are_asked_for_told_and_read) {
    struct cg_scoreboard b;
    char text[CG_SLOT_STACK_MAX];
    CG_CHECK_INT(cg_scoreboard_init(&b, 1), 0);
    struct cg_slot *s = cg_slot_take(&b, 1);
    CG_CHECK(!cg_stack_ask(s, getpid())); /* it would end this process */
    cg_stack_be_ready(s);
    signal(CG_STACK_SIGNAL_ALL, SIG_IGN);
    CG_CHECK(cg_stack_ask(s, getpid()));
    CG_CHECK(!cg_stack_is_told(s));
    CG_CHECK_SLICE(cg_stack_read(s, text), "");
    tell(s, CG_SLICE("File \"a.py\"\n\33[2J\x80"));
    CG_CHECK(cg_stack_is_told(s));
    CG_CHECK_SLICE(cg_stack_read(s, text), "File \"a.py\"\n?[2J?");
    CG_CHECK(!cg_stack_ask(s, getpid()));
    cg_scoreboard_done(&b);
}

CG_TEST(stacks_that_are_too_long_are_cut) {
    struct cg_scoreboard b;
    char text[CG_SLOT_STACK_MAX];
    static char many[CG_SLOT_STACK_MAX + 100];
    memset(many, 'x', sizeof(many));
    CG_CHECK_INT(cg_scoreboard_init(&b, 1), 0);
    struct cg_slot *s = cg_slot_take(&b, 1);
    tell(s, cg_slice_of(many, sizeof(many)));
    CG_CHECK_INT(cg_stack_read(s, text).len, CG_SLOT_STACK_MAX);
    s->stack_len = UINT32_MAX; /* by a worker gone mad */
    CG_CHECK_INT(cg_stack_read(s, text).len, CG_SLOT_STACK_MAX);
    cg_scoreboard_done(&b);
}
