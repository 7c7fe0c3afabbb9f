/* SPDX-License-Identifier: MIT
 *
 * The rules of waitset.h, shown on each implementation that this platform has.
 */
#include "tests/unit/test.h"
#include "workers/waitset_impl.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { EVENTS_MAX = 8 };

static void on_each(void (*show)(struct cg_waitset *ws)) {
    struct cg_waitset *(*const make[])(void) = {
#ifdef __linux__
        cg_waitset_new_epoll,
#endif
        cg_waitset_new_poll,
        cg_waitset_new,
    };
    for (size_t i = 0; i < sizeof(make) / sizeof(make[0]); i++) {
        struct cg_waitset *ws = make[i]();
        CG_CHECK(ws);
        show(ws);
        cg_waitset_free(ws);
    }
}

static void make_pair(int ret_fds[2]) {
    CG_CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM, 0, ret_fds), 0);
}

static void close_pair(int fds[2]) {
    close(fds[0]);
    close(fds[1]);
}

static void show_readable(struct cg_waitset *ws) {
    int fds[2], token;
    struct cg_wait_event events[EVENTS_MAX];
    make_pair(fds);
    CG_CHECK_INT(cg_waitset_add(ws, fds[0], CG_WAIT_READ | CG_WAIT_EXCLUSIVE, &token), 0);
    CG_CHECK_INT(cg_waitset_wait(ws, events, EVENTS_MAX, 0), 0);
    CG_CHECK_INT(write(fds[1], "x", 1), 1);
    for (int i = 0; i < 2; i++) { /* level-triggered */
        CG_CHECK_INT(cg_waitset_wait(ws, events, EVENTS_MAX, -1), 1);
        CG_CHECK(events[0].token == &token);
        CG_CHECK_INT(events[0].events, CG_WAIT_READ);
    }
    close_pair(fds);
}

CG_TEST(readable_is_told_until_it_is_read) {
    on_each(show_readable);
}

static void show_change(struct cg_waitset *ws) {
    int fds[2], first, second;
    struct cg_wait_event events[EVENTS_MAX];
    make_pair(fds);
    CG_CHECK_INT(cg_waitset_add(ws, fds[0], CG_WAIT_READ, &first), 0);
    CG_CHECK_INT(cg_waitset_change(ws, fds[0], CG_WAIT_WRITE, &second), 0);
    CG_CHECK_INT(write(fds[1], "x", 1), 1);
    CG_CHECK_INT(cg_waitset_wait(ws, events, EVENTS_MAX, -1), 1);
    CG_CHECK(events[0].token == &second);
    CG_CHECK_INT(events[0].events, CG_WAIT_WRITE);
    close_pair(fds);
}

CG_TEST(change_replaces_events_and_token) {
    on_each(show_change);
}

static void show_hangup(struct cg_waitset *ws) {
    int fds[2], token;
    struct cg_wait_event events[EVENTS_MAX];
    make_pair(fds);
    CG_CHECK_INT(cg_waitset_add(ws, fds[0], CG_WAIT_WRITE, &token), 0);
    close(fds[1]);
    CG_CHECK_INT(cg_waitset_wait(ws, events, EVENTS_MAX, -1), 1);
    CG_CHECK_INT(events[0].events, CG_WAIT_READ | CG_WAIT_WRITE);
    close(fds[0]);
}

CG_TEST(hangup_shows_as_both) {
    on_each(show_hangup);
}

static void show_remove(struct cg_waitset *ws) {
    int a[2], b[2], token_a, token_b;
    struct cg_wait_event events[EVENTS_MAX];
    make_pair(a);
    make_pair(b);
    CG_CHECK_INT(cg_waitset_add(ws, a[0], CG_WAIT_WRITE, &token_a), 0);
    CG_CHECK_INT(cg_waitset_add(ws, b[0], CG_WAIT_WRITE, &token_b), 0);
    cg_waitset_remove(ws, a[0]);
    CG_CHECK_INT(cg_waitset_wait(ws, events, EVENTS_MAX, -1), 1);
    CG_CHECK(events[0].token == &token_b);
    CG_CHECK_INT(cg_waitset_add(ws, a[0], CG_WAIT_WRITE, &token_a), 0);
    CG_CHECK_INT(cg_waitset_wait(ws, events, EVENTS_MAX, -1), 2);
    close_pair(a);
    close_pair(b);
}

CG_TEST(removed_is_silent_and_can_come_back) {
    on_each(show_remove);
}

static void show_misuse(struct cg_waitset *ws) {
    int fds[2];
    make_pair(fds);
    CG_CHECK_INT(cg_waitset_change(ws, fds[0], CG_WAIT_READ, NULL), -ENOENT);
    CG_CHECK_INT(cg_waitset_add(ws, fds[0], CG_WAIT_READ, NULL), 0);
    CG_CHECK_INT(cg_waitset_add(ws, fds[0], CG_WAIT_READ, NULL), -EEXIST);
    CG_CHECK_INT(cg_waitset_add(ws, -1, CG_WAIT_READ, NULL), -EBADF);
    close_pair(fds);
}

CG_TEST(twice_or_never_added_is_an_error) {
    on_each(show_misuse);
}

enum { PAIRS_N = 40 };

static void show_fairness(struct cg_waitset *ws) {
    int fds[PAIRS_N][2], seen[PAIRS_N] = {0};
    struct cg_wait_event events[EVENTS_MAX];
    for (int i = 0; i < PAIRS_N; i++) {
        make_pair(fds[i]);
        CG_CHECK_INT(cg_waitset_add(ws, fds[i][0], CG_WAIT_WRITE, &seen[i]), 0);
    }
    for (int turn = 0; turn < PAIRS_N / EVENTS_MAX; turn++) {
        CG_CHECK_INT(cg_waitset_wait(ws, events, EVENTS_MAX, -1), EVENTS_MAX);
        for (int i = 0; i < EVENTS_MAX; i++)
            ++*(int *)events[i].token;
    }
    for (int i = 0; i < PAIRS_N; i++) {
        CG_CHECK_INT(seen[i], 1);
        close_pair(fds[i]);
    }
}

CG_TEST(more_ready_than_asked_for_take_turns) {
    on_each(show_fairness);
}

static void on_alarm(int number) {
    (void)number;
}

static void show_signal(struct cg_waitset *ws) {
    struct cg_wait_event events[EVENTS_MAX];
    struct sigaction action = {.sa_handler = on_alarm}, before;
    struct itimerval soon = {{0, 1000}, {0, 1000}}, off = {{0, 0}, {0, 0}};
    sigaction(SIGALRM, &action, &before);
    setitimer(ITIMER_REAL, &soon, NULL);
    CG_CHECK_INT(cg_waitset_wait(ws, events, EVENTS_MAX, -1), 0);
    setitimer(ITIMER_REAL, &off, NULL);
    sigaction(SIGALRM, &before, NULL);
}

CG_TEST(signal_ends_the_wait_without_an_error) {
    on_each(show_signal);
}
