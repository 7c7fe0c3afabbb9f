/* SPDX-License-Identifier: MIT
 *
 * What a service manager is told, and when.
 */
#include "tests/unit/test.h"

#include "server/arbiter/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

enum { SELF = 4711, SECOND_US = 1000000 };

/* A manager, and the name of its socket. */
struct manager {
    int fd;
    char address[64];
    struct cg_notify notify;
};

static void listen_at(struct manager *m, const char *name, const char *watchdog_usec) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(name);
    memcpy(address.sun_path, name, len);
    if (name[0] == '@')
        address.sun_path[0] = '\0';
    m->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    socklen_t address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    CG_CHECK_INT(bind(m->fd, (struct sockaddr *)&address, address_len), 0);
    struct cg_heritage_text text = {.notify_socket = name, .watchdog_usec = watchdog_usec};
    CG_CHECK_INT(cg_notify_init(&m->notify, &text, SELF), 0);
}

static void start(struct manager *m, const char *watchdog_usec) {
    snprintf(m->address, sizeof(m->address), "@cg-notify-%d", (int)getpid());
    listen_at(m, m->address, watchdog_usec);
}

static void expect(const struct manager *m, const char *want) {
    char got[512];
    ssize_t len = recv(m->fd, got, sizeof(got), 0);
    CG_CHECK(len >= 0);
    cg_test_check_slice(__FILE__, __LINE__, cg_slice_of(got, (size_t)len), cg_slice_str(want));
}

static void expect_silence(const struct manager *m) {
    char got[512];
    CG_CHECK_INT(recv(m->fd, got, sizeof(got), 0), -1);
    CG_CHECK_INT(errno, EAGAIN);
}

static void turn(struct manager *m, int ready_n, uint64_t now_us) {
    struct cg_notify_view view = {.ready_n = ready_n, .wanted_n = 2, .requests_n = 7};
    cg_notify_turn(&m->notify, &view, now_us);
}

#define STATUS_2 "STATUS=2 of 2 workers ready, 7 requests served"

CG_TEST(ready_is_told_once_and_only_when_all_workers_are) {
    struct manager m;
    start(&m, NULL);
    turn(&m, 1, 1);
    expect(&m, "STATUS=1 of 2 workers ready, 7 requests served");
    turn(&m, 2, 2);
    expect(&m, "READY=1\n" STATUS_2);
    turn(&m, 2, 10 * SECOND_US);
    expect_silence(&m);
    close(m.fd);
}

CG_TEST(a_status_that_changes_fast_is_told_once_a_second) {
    struct manager m;
    start(&m, NULL);
    turn(&m, 2, 0);
    expect(&m, "READY=1\n" STATUS_2);
    turn(&m, 1, SECOND_US - 1);
    expect_silence(&m);
    turn(&m, 1, SECOND_US);
    expect(&m, "STATUS=1 of 2 workers ready, 7 requests served");
    close(m.fd);
}

CG_TEST(a_reload_ends_in_ready_and_its_result) {
    struct manager m;
    start(&m, NULL);
    turn(&m, 2, 0);
    expect(&m, "READY=1\n" STATUS_2);
    cg_notify_reloading(&m.notify, 1234);
    expect(&m, "RELOADING=1\nMONOTONIC_USEC=1234");
    struct cg_notify_view view = {.ready_n = 2, .wanted_n = 2, .is_reloading = true};
    cg_notify_turn(&m.notify, &view, 1235);
    expect_silence(&m);
    view.is_reloading = false;
    view.last_reload = "failed";
    cg_notify_turn(&m.notify, &view, 1236);
    expect(&m, "READY=1\nSTATUS=2 of 2 workers ready, 0 requests served, last reload failed");
    close(m.fd);
}

CG_TEST(the_watchdog_is_fed_at_half_of_its_limit_while_somebody_serves) {
    struct manager m;
    start(&m, "2000000");
    CG_CHECK(cg_notify_next_us(&m.notify) == 0);
    turn(&m, 2, 10);
    expect(&m, "READY=1\n" STATUS_2);
    expect(&m, "WATCHDOG=1");
    CG_CHECK(cg_notify_next_us(&m.notify) == SECOND_US + 10);
    turn(&m, 2, SECOND_US);
    expect_silence(&m);
    turn(&m, 2, SECOND_US + 10);
    expect(&m, "WATCHDOG=1");
    turn(&m, 0, 3 * SECOND_US);
    expect(&m, "STATUS=0 of 2 workers ready, 7 requests served");
    expect_silence(&m);
    close(m.fd);
}

CG_TEST(a_watchdog_of_another_process_is_not_fed) {
    struct cg_notify n;
    struct cg_heritage_text text = {
        .notify_socket = "@x", .watchdog_usec = "2000000", .watchdog_pid = "4712"};
    CG_CHECK_INT(cg_notify_init(&n, &text, SELF), 0);
    CG_CHECK(cg_notify_next_us(&n) == UINT64_MAX);
    text.watchdog_pid = "4711";
    CG_CHECK_INT(cg_notify_init(&n, &text, SELF), 0);
    CG_CHECK_INT(n.ping_every_us, SECOND_US);
    text.watchdog_usec = "soon";
    CG_CHECK_INT(cg_notify_init(&n, &text, SELF), 0);
    CG_CHECK(cg_notify_next_us(&n) == UINT64_MAX);
}

CG_TEST(a_stop_asks_for_the_time_that_it_may_take) {
    struct manager m;
    start(&m, NULL);
    cg_notify_stopping(&m.notify, 35 * SECOND_US);
    expect(&m, "STOPPING=1\nEXTEND_TIMEOUT_USEC=35000000");
    cg_notify_main_pid(&m.notify, 12);
    expect(&m, "MAINPID=12");
    close(m.fd);
}

CG_TEST(a_master_beside_another_one_only_feeds_the_watchdog) {
    struct manager m;
    start(&m, "2000000");
    m.notify.silent = true;
    turn(&m, 2, 10);
    expect(&m, "WATCHDOG=1");
    cg_notify_reloading(&m.notify, 11);
    cg_notify_stopping(&m.notify, 12);
    expect_silence(&m);
    m.notify.silent = false;
    turn(&m, 2, 20);
    expect(&m, "READY=1\n" STATUS_2);
    close(m.fd);
}

CG_TEST(a_path_is_an_address_too) {
    struct manager m;
    char folder[] = "/tmp/cg-notify-XXXXXX";
    CG_CHECK(mkdtemp(folder));
    snprintf(m.address, sizeof(m.address), "%s/x", folder);
    listen_at(&m, m.address, NULL);
    turn(&m, 2, 0);
    expect(&m, "READY=1\n" STATUS_2);
    close(m.fd);
    turn(&m, 1, SECOND_US); /* nobody listens any more */
    unlink(m.address);
    rmdir(folder);
}

/* Until the manager's socket has room for nothing more. */
static void fill_up(const struct manager *m) {
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CG_CHECK_INT(connect(fd, (const struct sockaddr *)&m->notify.address, m->notify.address_len),
                 0);
    while (send(fd, "x", 1, 0) == 1)
        continue;
    CG_CHECK_INT(errno, EAGAIN);
    close(fd);
}

static void read_all(const struct manager *m) {
    char got[512];
    ssize_t len;
    while ((len = recv(m->fd, got, sizeof(got), 0)) == 1)
        continue;
    CG_CHECK_INT(len, -1);
}

CG_TEST(a_manager_that_is_slow_is_told_in_order_and_late) {
    struct manager m;
    start(&m, "2000000");
    fill_up(&m);
    turn(&m, 1, 1);
    turn(&m, 2, 2);
    cg_notify_main_pid(&m.notify, 12);
    cg_notify_reloading(&m.notify, 1234);
    turn(&m, 2, 3);
    turn(&m, 1, 2 * SECOND_US);
    cg_notify_push(&m.notify, 2 * SECOND_US);
    uint64_t next_us = cg_notify_next_us(&m.notify);
    CG_CHECK(next_us > 2 * SECOND_US && next_us <= 3 * SECOND_US);
    read_all(&m);
    cg_notify_push(&m.notify, 2 * SECOND_US);
    expect_silence(&m); /* not before it is due */
    cg_notify_push(&m.notify, next_us);
    expect(&m, "MAINPID=12");
    expect(&m, "RELOADING=1\nMONOTONIC_USEC=1234");
    expect(&m, "READY=1\n" STATUS_2);
    expect(&m, "STATUS=1 of 2 workers ready, 7 requests served");
    expect(&m, "WATCHDOG=1");
    expect_silence(&m);
    CG_CHECK(cg_notify_next_us(&m.notify) == 3 * SECOND_US);
    close(m.fd);
}

CG_TEST(a_manager_that_is_slow_gets_the_newest_of_each_kind) {
    struct manager m;
    start(&m, NULL);
    fill_up(&m);
    for (uint64_t i = 0; i < 100; i++) {
        cg_notify_reloading(&m.notify, i);
        turn(&m, 2, i * SECOND_US);
    }
    cg_notify_stopping(&m.notify, 5);
    read_all(&m);
    cg_notify_push(&m.notify, 1000 * SECOND_US);
    expect(&m, "RELOADING=1\nMONOTONIC_USEC=99");
    expect(&m, "READY=1\n" STATUS_2);
    expect(&m, "STOPPING=1\nEXTEND_TIMEOUT_USEC=5");
    expect_silence(&m);
    close(m.fd);
}

CG_TEST(a_sign_of_life_that_is_late_is_not_sent_when_nobody_serves_any_more) {
    struct manager m;
    start(&m, "2000000");
    fill_up(&m);
    turn(&m, 2, 0);
    turn(&m, 0, 2 * SECOND_US);
    read_all(&m);
    cg_notify_push(&m.notify, 10 * SECOND_US);
    expect(&m, "READY=1\n" STATUS_2);
    expect(&m, "STATUS=0 of 2 workers ready, 7 requests served");
    expect_silence(&m);
    close(m.fd);
}

CG_TEST(a_manager_that_never_listens_is_tried_ever_more_seldom_and_not_waited_for) {
    struct manager m;
    start(&m, NULL);
    fill_up(&m);
    turn(&m, 2, 0);
    int tries_n = 0;
    for (uint64_t now_us = 0; now_us < 60 * SECOND_US; now_us = cg_notify_next_us(&m.notify)) {
        cg_notify_push(&m.notify, now_us);
        tries_n++;
    }
    CG_CHECK(tries_n > 55 && tries_n < 75);
    cg_notify_done(&m.notify);
    close(m.fd);
}

CG_TEST(what_was_kept_is_given_up_with_the_socket) {
    struct manager m;
    start(&m, NULL);
    fill_up(&m);
    turn(&m, 2, 0);
    CG_CHECK(cg_notify_next_us(&m.notify) < UINT64_MAX);
    close(m.fd);
    cg_notify_push(&m.notify, SECOND_US);
    CG_CHECK(cg_notify_next_us(&m.notify) == UINT64_MAX);
}

CG_TEST(what_is_no_address_is_refused) {
    char too_long[200];
    memset(too_long, 'x', sizeof(too_long));
    too_long[0] = '/';
    too_long[sizeof(too_long) - 1] = '\0';
    const char *bad[] = {"relative", "@", "/", "vsock:2:1", too_long};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct cg_notify n;
        struct cg_heritage_text text = {.notify_socket = bad[i], .watchdog_usec = "2000000"};
        CG_CHECK_INT(cg_notify_init(&n, &text, SELF), -EINVAL);
        CG_CHECK(n.address_len == 0 && cg_notify_next_us(&n) == UINT64_MAX);
    }
}

CG_TEST(without_a_manager_nothing_is_sent) {
    struct cg_notify n;
    struct cg_heritage_text text = {.notify_socket = "", .watchdog_usec = "2000000"};
    CG_CHECK_INT(cg_notify_init(&n, &text, SELF), 0);
    CG_CHECK(n.address_len == 0 && cg_notify_next_us(&n) == UINT64_MAX);
}
