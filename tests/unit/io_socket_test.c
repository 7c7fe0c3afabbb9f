/* SPDX-License-Identifier: MIT
 *
 * One attempt of I/O: what counts as sent, as the end, and as gone.
 */
#include "server/base/clock.h"
#include "server/base/fd.h"
#include "tests/unit/test.h"
#include "workers/io_socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/sockios.h>
#include <sys/ioctl.h>
#endif

static void make_pair(int ret_fds[2]) {
    CG_CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM, 0, ret_fds), 0);
}

static void make_tcp_pair(int ret_fds[2]) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    CG_CHECK_INT(bind(listener, (struct sockaddr *)&address, len), 0);
    CG_CHECK_INT(listen(listener, 1), 0);
    CG_CHECK_INT(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    ret_fds[1] = socket(AF_INET, SOCK_STREAM, 0);
    CG_CHECK_INT(connect(ret_fds[1], (struct sockaddr *)&address, len), 0);
    ret_fds[0] = accept(listener, NULL, NULL);
    CG_CHECK(ret_fds[0] >= 0);
    close(listener);
}

/* A busy machine hands over what is sent on the loopback when it comes to it. */
static void await(int fd, short events) {
    struct pollfd p = {.fd = fd, .events = events};
    CG_CHECK_INT(poll(&p, 1, 30 * 1000), 1);
}

static void close_with_reset(int fd) {
    struct linger now = {1, 0};
    CG_CHECK_INT(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    close(fd);
}

CG_TEST(recv_tells_nothing_there_from_the_end) {
    int fds[2];
    char byte;
    make_pair(fds);
    CG_CHECK_INT(cg_socket_recv(fds[0], &byte, 1), -EAGAIN);
    CG_CHECK_INT(write(fds[1], "x", 1), 1);
    CG_CHECK_INT(cg_socket_recv(fds[0], &byte, 1), 1);
    close(fds[1]);
    CG_CHECK_INT(cg_socket_recv(fds[0], &byte, 1), 0);
}

CG_TEST(half_closed_client_is_not_gone_unless_a_fin_counts) {
    int fds[2];
    make_tcp_pair(fds);
    CG_CHECK(!cg_socket_gone(fds[0], true));
    CG_CHECK_INT(write(fds[1], "pipelined", 9), 9);
    await(fds[0], POLLIN);
    CG_CHECK(!cg_socket_gone(fds[0], true));
    shutdown(fds[1], SHUT_WR);
    await(fds[0], POLLRDHUP);
    CG_CHECK(!cg_socket_gone(fds[0], false));
    CG_CHECK(cg_socket_gone(fds[0], true));
}

CG_TEST(reset_client_is_gone_whatever_it_has_sent) {
    int fds[2];
    make_tcp_pair(fds);
    CG_CHECK_INT(write(fds[1], "pipelined", 9), 9);
    await(fds[0], POLLIN);
    CG_CHECK(!cg_socket_gone(fds[0], false));
    close_with_reset(fds[1]);
    await(fds[0], 0); /* an error is always told */
    CG_CHECK(cg_socket_gone(fds[0], false));
}

CG_TEST(closed_unix_client_is_gone) {
    int fds[2];
    make_pair(fds);
    close(fds[1]);
    CG_CHECK(cg_socket_gone(fds[0], false));
}

CG_TEST(iovecs_go_first_then_the_file_range) {
    for (int use_sendfile = 0; use_sendfile < 2; use_sendfile++) {
        int fds[2], file = cg_fd_open_temp(NULL);
        char got[8];
        make_pair(fds);
        CG_CHECK_INT(cg_fd_write_all(file, "0123456789", 10), 0);
        struct cg_output out = {.iov = {{"ab", 2}, {"c", 1}}, .iov_n = 2, .fd = file};
        out.file_offset = 5;
        out.file_len = 4;
        CG_CHECK_INT(cg_socket_send(fds[0], &out, use_sendfile, false), 3);
        out.iov_n = 0;
        CG_CHECK_INT(cg_socket_send(fds[0], &out, use_sendfile, false), 4);
        CG_CHECK_INT(recv(fds[1], got, 7, MSG_WAITALL), 7);
        CG_CHECK_SLICE(cg_slice_of(got, 7), "abc5678");
        out.file_offset = 10;
        CG_CHECK_INT(cg_socket_send(fds[0], &out, use_sendfile, false), -ENODATA);
    }
}

CG_TEST(file_that_sendfile_refuses_is_copied) {
    int fds[2], from[2];
    make_pair(fds);
    make_pair(from);
    struct cg_output out = {.fd = from[0], .file_len = 4};
    CG_CHECK_INT(cg_socket_send(fds[0], &out, true, false), -ESPIPE); /* the copy's pread tells */
}

CG_TEST(full_socket_is_eagain_and_a_closed_one_no_signal) {
    static char block[64 * 1024];
    int fds[2];
    ssize_t n;
    make_pair(fds);
    struct cg_output out = {.iov = {{block, sizeof(block)}}, .iov_n = 1, .fd = -1};
    while ((n = cg_socket_send(fds[0], &out, true, false)) > 0)
        ;
    CG_CHECK_INT(n, -EAGAIN);
    close(fds[1]);
    CG_CHECK_INT(cg_socket_send(fds[0], &out, true, false), -EPIPE);
}

#ifdef __linux__

/* Not a byte of it has left. */
static int held_bytes(int fd) {
    int n = 0;
    CG_CHECK_INT(ioctl(fd, SIOCOUTQNSD, &n), 0);
    return n;
}

/* The kernel waits for 200 ms at the most, so who comes later than half of that finds nothing out.
 */
CG_TEST(what_may_be_held_back_waits_for_more_until_it_is_pushed) {
    for (int may_hold = 0; may_hold < 2; may_hold++) {
        int fds[2];
        uint64_t begun_us = cg_clock_us();
        make_tcp_pair(fds);
        struct cg_output out = {.iov = {{"abc", 3}}, .iov_n = 1, .fd = -1, .more = true};
        CG_CHECK_INT(cg_socket_send(fds[0], &out, true, may_hold), 3);
        int held = held_bytes(fds[0]);
        CG_CHECK(held == (may_hold ? 3 : 0) || cg_clock_us() - begun_us > 100 * 1000);
        cg_socket_push(fds[0]);
        CG_CHECK_INT(held_bytes(fds[0]), 0);
    }
}

CG_TEST(what_ends_a_response_is_not_held_back) {
    int fds[2];
    make_tcp_pair(fds);
    struct cg_output out = {.iov = {{"abc", 3}}, .iov_n = 1, .fd = -1};
    CG_CHECK_INT(cg_socket_send(fds[0], &out, true, true), 3);
    CG_CHECK_INT(held_bytes(fds[0]), 0);
}

#endif
