/* SPDX-License-Identifier: MIT
 *
 * Rules of server/base/statsd.h, with a socket in the place of a statsd.
 */
#include "server/base/statsd.h"

#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A statsd on a port of the kernel's choice, as "127.0.0.1:PORT". Its descriptor. */
static int listen_as_statsd(char ret_address[32]) {
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    CG_CHECK_INT(bind(fd, (struct sockaddr *)&addr, len), 0);
    CG_CHECK_INT(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
    snprintf(ret_address, 32, "127.0.0.1:%d", ntohs(addr.sin_port));
    return fd;
}

static int open_sink(const char *prefix, const char *tags) {
    char address[32];
    int fd = listen_as_statsd(address);
    CG_CHECK_INT(cg_statsd_open(address, prefix, tags), 0);
    CG_CHECK(cg_statsd_enabled());
    return fd;
}

static void check_next(int fd, const char *want) {
    char text[2048];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    CG_CHECK_INT(poll(&p, 1, 30 * 1000), 1); /* a busy machine hands it over when it comes to it */
    ssize_t n = recv(fd, text, sizeof(text), MSG_DONTWAIT);
    CG_CHECK(n >= 0);
    cg_test_check_slice(__FILE__, __LINE__, cg_slice_of(text, (size_t)n), cg_slice_str(want));
}

static void check_silence(int fd) {
    char byte;
    CG_CHECK(recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
}

CG_TEST(each_type_has_its_form) {
    int fd = open_sink("", "");
    cg_statsd_count("c", -3);
    cg_statsd_gauge("g", UINT64_MAX);
    cg_statsd_histogram("h", 0);
    cg_statsd_time("t", 1002003);
    cg_statsd_time("t", 7);
    cg_statsd_send("own:1.5|d");
    check_next(fd, "c:-3|c|@1.0");
    check_next(fd, "g:18446744073709551615|g");
    check_next(fd, "h:0|h");
    check_next(fd, "t:1002.003|ms");
    check_next(fd, "t:0.007|ms");
    check_next(fd, "own:1.5|d");
    check_silence(fd);
}

CG_TEST(prefix_gets_a_dot_unless_it_has_one_and_tags_are_behind) {
    const char *const prefixes[] = {"shop", "shop."};
    for (int i = 0; i < 2; i++) {
        int fd = open_sink(prefixes[i], "a:b,c");
        cg_statsd_gauge("g", 1);
        check_next(fd, "shop.g:1|g|#a:b,c");
        close(fd);
    }
}

CG_TEST(metric_that_is_too_long_is_not_sent_in_part) {
    char name[2048];
    int fd = open_sink("", "");
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    cg_statsd_send(name);
    check_silence(fd);
}

CG_TEST(without_an_address_nothing_is_sent) {
    int fd = open_sink("", "");
    CG_CHECK_INT(cg_statsd_open(NULL, "", ""), 0);
    CG_CHECK(!cg_statsd_enabled());
    cg_statsd_count("c", 1);
    check_silence(fd);
}

CG_TEST(address_that_cannot_be_used_leaves_statsd_off) {
    CG_CHECK_INT(cg_statsd_open("unix:///nowhere/statsd", "", ""), -ENOENT);
    CG_CHECK(!cg_statsd_enabled());
    cg_statsd_count("c", 1);
}
