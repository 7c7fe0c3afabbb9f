/* SPDX-License-Identifier: MIT
 *
 * Rules of server/net/listener.h, over real sockets on the loopback and in a temporary folder.
 */
#include "server/net/listener.h"
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BACKLOG = 16 };

static char folder[] = "/tmp/cg-listener-XXXXXX";

static void leave_folder(void) {
    char command[64];
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    if (chdir("/") != 0 || system(command) != 0)
        fprintf(stderr, "could not remove %s\n", folder);
}

/* Goes to a fresh folder, which is removed when the case ends. */
static void enter_folder(void) {
    CG_CHECK(mkdtemp(folder));
    CG_CHECK_INT(chdir(folder), 0);
    atexit(leave_folder);
}

/* Files of one's own, so that the tests need no privilege. */
static struct cg_listener_options usual(void) {
    return (struct cg_listener_options){BACKLOG, 0, geteuid(), getegid(), false};
}

static int open_with(struct cg_listener *l, const struct cg_bind *bind,
                     const struct cg_listener_options *options) {
    int rc = cg_listener_bind(l, bind, options);
    return rc < 0 ? rc : cg_listener_listen(l, options);
}

static int open_bind(struct cg_listener *l, const struct cg_bind *bind) {
    struct cg_listener_options options = usual();
    return open_with(l, bind, &options);
}

static int try_open(struct cg_listener *l, const char *text) {
    struct cg_bind bind;
    char error[200];
    CG_CHECK_INT(cg_bind_parse(text, &bind, error, sizeof(error)), 0);
    return open_bind(l, &bind);
}

static struct cg_listener opened(const char *text) {
    struct cg_listener l;
    CG_CHECK_INT(try_open(&l, text), 0);
    return l;
}

/* A client of the listener, bound to client_name before if that is given. */
static int connected(const struct cg_listener *l, const char *client_name) {
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);
    CG_CHECK_INT(getsockname(l->fd, (struct sockaddr *)&address, &len), 0);
    int fd = socket(address.ss_family, SOCK_STREAM, 0);
    if (client_name) {
        struct sockaddr_un un = {.sun_family = AF_UNIX};
        strncpy(un.sun_path, client_name, sizeof(un.sun_path) - 1);
        CG_CHECK_INT(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    }
    CG_CHECK_INT(connect(fd, (struct sockaddr *)&address, len), 0);
    return fd;
}

static int accepted(const struct cg_listener *l, struct cg_endpoint *ret_peer) {
    struct pollfd ready = {.fd = l->fd, .events = POLLIN};
    CG_CHECK_INT(poll(&ready, 1, 30 * 1000), 1);
    int fd = cg_listener_accept(l, ret_peer);
    CG_CHECK(fd >= 0);
    return fd;
}

static int option(int fd, int level, int name) {
    int value = -1;
    socklen_t len = sizeof(value);
    CG_CHECK_INT(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

static int port_of(int fd) {
    struct sockaddr_in in;
    socklen_t len = sizeof(in);
    CG_CHECK_INT(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    return ntohs(in.sin_port);
}

CG_TEST(port_zero_becomes_the_real_port) {
    struct cg_listener l = opened("127.0.0.1:0");
    char want[64];
    CG_CHECK(l.local.port != 0);
    CG_CHECK_INT(l.local.port, port_of(l.fd));
    snprintf(want, sizeof(want), "http://127.0.0.1:%d", l.local.port);
    cg_test_check_slice(__FILE__, __LINE__, cg_slice_str(l.name), cg_slice_str(want));
    CG_CHECK_SLICE(cg_endpoint_host(&l.local), "127.0.0.1");
    cg_listener_close(&l);
    CG_CHECK_INT(l.fd, -1);
}

CG_TEST(listener_blocks_nobody_and_crosses_no_exec) {
    struct cg_listener l = opened("127.0.0.1:0");
    CG_CHECK(fcntl(l.fd, F_GETFL) & O_NONBLOCK);
    CG_CHECK_INT(fcntl(l.fd, F_GETFD), FD_CLOEXEC);
    cg_listener_close(&l);
}

CG_TEST(empty_host_is_every_ipv4_address_and_stays_as_bound) {
    struct cg_listener l = opened(":0");
    CG_CHECK_SLICE(cg_endpoint_host(&l.local), "0.0.0.0");
    CG_CHECK_INT(l.local.family, CG_FAMILY_IPV4);
    cg_listener_close(&l);
}

CG_TEST(name_prefers_ipv4) {
    struct cg_listener l = opened("localhost:0");
    CG_CHECK_SLICE(cg_endpoint_host(&l.local), "127.0.0.1");
    cg_listener_close(&l);
}

CG_TEST(accepted_client_is_ready_for_use) {
    struct cg_listener l = opened("127.0.0.1:0");
    struct cg_endpoint peer;
    int client = connected(&l, NULL), fd = accepted(&l, &peer);
    CG_CHECK_SLICE(cg_endpoint_host(&peer), "127.0.0.1");
    CG_CHECK_INT(peer.port, port_of(client));
    CG_CHECK_INT(peer.family, CG_FAMILY_IPV4);
    CG_CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
    CG_CHECK_INT(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CG_CHECK(option(fd, IPPROTO_TCP, TCP_NODELAY) != 0);
    close(fd);
    close(client);
    cg_listener_close(&l);
}

CG_TEST(nobody_waiting_is_eagain) {
    struct cg_listener l = opened("127.0.0.1:0");
    struct cg_endpoint peer;
    CG_CHECK_INT(cg_listener_accept(&l, &peer), -EAGAIN);
    cg_listener_close(&l);
}

CG_TEST(waiting_clients_are_counted) {
    struct cg_listener tcp = opened("127.0.0.1:0");
    int clients[3];
    for (int i = 0; i < 3; i++) {
        clients[i] = connected(&tcp, NULL);
        CG_CHECK_INT(send(clients[i], "x", 1, 0), 1); /* else it is not handed over yet */
    }
#ifdef __linux__
    for (int tries = 0; tries < 1000 && cg_listener_waiting(&tcp, 99) < 3; tries++)
        usleep(10 * 1000);
    CG_CHECK_INT(cg_listener_waiting(&tcp, 99), 3);
    struct cg_endpoint peer;
    close(accepted(&tcp, &peer));
    CG_CHECK_INT(cg_listener_waiting(&tcp, 99), 2);
#endif
    for (int i = 0; i < 3; i++)
        close(clients[i]);
    cg_listener_close(&tcp);
}

CG_TEST(who_waits_at_a_unix_socket_is_not_known) {
    enter_folder();
    struct cg_listener l = opened("unix:x.sock");
    CG_CHECK_INT(cg_listener_waiting(&l, 99), 99);
    cg_listener_close(&l);
}

CG_TEST(no_descriptor_left_is_told_and_the_client_keeps_waiting) {
    struct cg_listener l = opened("127.0.0.1:0");
    struct cg_endpoint peer;
    int client = connected(&l, NULL);
    struct rlimit old, none = {.rlim_cur = (rlim_t)client + 1};
    CG_CHECK_INT(getrlimit(RLIMIT_NOFILE, &old), 0);
    none.rlim_max = old.rlim_max;
    CG_CHECK_INT(setrlimit(RLIMIT_NOFILE, &none), 0);
    CG_CHECK_INT(cg_listener_accept(&l, &peer), -EMFILE);
    CG_CHECK_INT(setrlimit(RLIMIT_NOFILE, &old), 0);
    close(accepted(&l, &peer));
    close(client);
    cg_listener_close(&l);
}

CG_TEST(port_in_use_is_refused) {
    struct cg_listener first = opened("127.0.0.1:0"), second;
    char text[64];
    snprintf(text, sizeof(text), "127.0.0.1:%d", first.local.port);
    CG_CHECK_INT(try_open(&second, text), -EADDRINUSE);
    cg_listener_close(&second);
    /* Nor does a name evade to its IPv6 address. */
    snprintf(text, sizeof(text), "localhost:%d", first.local.port);
    CG_CHECK_INT(try_open(&second, text), -EADDRINUSE);
    cg_listener_close(&first);
}

CG_TEST(address_of_another_machine_is_refused) {
    struct cg_listener l;
    CG_CHECK_INT(try_open(&l, "192.0.2.1:0"), -EADDRNOTAVAIL);
    CG_CHECK_INT(try_open(&l, "[::zz]:0"), -EADDRNOTAVAIL);
    CG_CHECK_INT(l.fd, -1);
}

static bool has_ipv6(void) {
    struct cg_listener l;
    int rc = try_open(&l, "[::1]:0");
    cg_listener_close(&l);
    return rc == 0;
}

CG_TEST(ipv6_name_has_brackets) {
    if (!has_ipv6())
        return;
    struct cg_listener l = opened("[::1]:0");
    struct cg_endpoint peer;
    char want[64];
    snprintf(want, sizeof(want), "http://[::1]:%d", l.local.port);
    cg_test_check_slice(__FILE__, __LINE__, cg_slice_str(l.name), cg_slice_str(want));
    int client = connected(&l, NULL), fd = accepted(&l, &peer);
    CG_CHECK_SLICE(cg_endpoint_host(&peer), "::1");
    CG_CHECK(peer.port != 0);
    close(fd);
    close(client);
    cg_listener_close(&l);
}

CG_TEST(ipv6_wildcard_takes_ipv4_clients_too) {
    if (!has_ipv6())
        return;
    struct cg_listener l = opened("[::]:0");
    struct cg_endpoint peer;
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(l.local.port)};
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int client = socket(AF_INET, SOCK_STREAM, 0);
    CG_CHECK_INT(connect(client, (struct sockaddr *)&in, sizeof(in)), 0);
    close(accepted(&l, &peer));
    CG_CHECK_SLICE(cg_endpoint_host(&peer), "::ffff:127.0.0.1");
    CG_CHECK_SLICE(cg_endpoint_host(&l.local), "::");
    close(client);
    cg_listener_close(&l);
}

CG_TEST(unix_socket_serves_and_its_file_goes_with_it) {
    enter_folder();
    struct cg_listener l = opened("unix:x.sock");
    struct cg_endpoint peer;
    CG_CHECK_SLICE(cg_slice_str(l.name), "unix:x.sock");
    CG_CHECK_SLICE(cg_endpoint_host(&l.local), "x.sock");
    int client = connected(&l, NULL);
    close(accepted(&l, &peer));
    CG_CHECK_SLICE(cg_endpoint_host(&peer), "");
    CG_CHECK_INT(peer.family, CG_FAMILY_UNIX);
    CG_CHECK_INT(peer.port, 0);
    close(client);
    cg_listener_close(&l);
    CG_CHECK_INT(access("x.sock", F_OK), -1);
}

CG_TEST(unix_client_cannot_pose_as_an_address) {
    enter_folder();
    struct cg_listener l = opened("unix:x.sock");
    struct cg_endpoint peer;
    int client = connected(&l, "127.0.0.1");
    close(accepted(&l, &peer));
    CG_CHECK_SLICE(cg_endpoint_host(&peer), "");
    close(client);
    cg_listener_close(&l);
}

CG_TEST(umask_applies_to_the_socket_file_only) {
    static const struct { mode_t umask, mode; } rows[] = {{0, 0777}, {0007, 0770}, {0177, 0600}};
    enter_folder();
    umask(022);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct cg_bind bind = {.kind = CG_BIND_UNIX, .path = "x.sock"};
        struct cg_listener l;
        struct stat st;
        struct cg_listener_options options = usual();
        options.file_umask = rows[i].umask;
        CG_CHECK_INT(open_with(&l, &bind, &options), 0);
        CG_CHECK_INT(lstat("x.sock", &st), 0);
        CG_CHECK_INT(st.st_mode & 0777, rows[i].mode);
        cg_listener_close(&l);
    }
    CG_CHECK_INT(umask(0), 022);
}

CG_TEST(stale_socket_file_is_replaced) {
    enter_folder();
    struct cg_listener dead = opened("unix:x.sock");
    close(dead.fd);
    struct cg_listener l = opened("unix:x.sock");
    close(connected(&l, NULL));
    cg_listener_close(&l);
}

CG_TEST(socket_that_answers_is_refused_and_left_alone) {
    enter_folder();
    struct cg_listener first = opened("unix:x.sock"), second;
    CG_CHECK_INT(try_open(&second, "unix:x.sock"), -EADDRINUSE);
    cg_listener_close(&second);
    close(connected(&first, NULL));
    cg_listener_close(&first);
}

CG_TEST(datagram_socket_is_refused) {
    enter_folder();
    struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "x.sock"};
    struct cg_listener l;
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    CG_CHECK_INT(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    CG_CHECK_INT(try_open(&l, "unix:x.sock"), -EADDRINUSE);
    close(fd);
}

CG_TEST(other_files_are_refused_and_left_alone) {
    enter_folder();
    struct cg_listener l;
    close(open("x.sock", O_WRONLY | O_CREAT, 0600));
    CG_CHECK_INT(symlink("nowhere", "link"), 0);
    CG_CHECK_INT(try_open(&l, "unix:x.sock"), -ENOTSOCK);
    CG_CHECK_INT(try_open(&l, "unix:link"), -ENOTSOCK);
    CG_CHECK_INT(access("x.sock", F_OK), 0);
    CG_CHECK_INT(try_open(&l, "unix:none/x.sock"), -ENOENT);
}

CG_TEST(file_of_a_successor_is_not_unlinked) {
    enter_folder();
    struct cg_listener old = opened("unix:x.sock");
    CG_CHECK_INT(unlink("x.sock"), 0);
    struct cg_listener new = opened("unix:x.sock");
    cg_listener_close(&old);
    CG_CHECK_INT(access("x.sock", F_OK), 0);
    cg_listener_close(&new);
}

CG_TEST(worker_does_not_unlink_the_arbiters_file) {
    enter_folder();
    struct cg_listener l = opened("unix:x.sock");
    pid_t pid = fork();
    if (pid == 0) {
        cg_listener_close(&l);
        _exit(0);
    }
    CG_CHECK_INT(waitpid(pid, NULL, 0), pid);
    CG_CHECK_INT(access("x.sock", F_OK), 0);
    cg_listener_close(&l);
}

#ifdef __linux__
CG_TEST(abstract_socket_leaves_no_file) {
    char text[64];
    enter_folder();
    snprintf(text, sizeof(text), "unix:@cg-listener-test-%d", (int)getpid());
    struct cg_listener l = opened(text), second;
    cg_test_check_slice(__FILE__, __LINE__, cg_slice_str(l.name), cg_slice_str(text));
    close(connected(&l, NULL));
    CG_CHECK_INT(access(text + 5, F_OK), -1);
    CG_CHECK_INT(try_open(&second, text), -EADDRINUSE);
    cg_listener_close(&l);
}
#endif

static int adopt(struct cg_listener *l, int fd) {
    struct cg_bind bind = {.kind = CG_BIND_FD, .fd = fd};
    return open_bind(l, &bind);
}

CG_TEST(inherited_descriptor_is_adopted) {
    struct cg_listener first = opened("127.0.0.1:0"), l;
    struct cg_endpoint peer;
    int fd = dup(first.fd);
    CG_CHECK_INT(fcntl(fd, F_SETFL, 0), 0);
    CG_CHECK_INT(adopt(&l, fd), 0);
    CG_CHECK_INT(l.fd, fd);
    CG_CHECK_INT(l.local.port, first.local.port);
    CG_CHECK(strcmp(l.name, first.name) == 0);
    CG_CHECK(fcntl(l.fd, F_GETFL) & O_NONBLOCK);
    CG_CHECK_INT(fcntl(l.fd, F_GETFD), FD_CLOEXEC);
    int client = connected(&l, NULL);
    close(accepted(&l, &peer));
    close(client);
    cg_listener_close(&first);
    cg_listener_close(&l);
}

CG_TEST(inherited_socket_file_is_not_unlinked) {
    enter_folder();
    struct cg_listener first = opened("unix:x.sock"), l;
    CG_CHECK_INT(adopt(&l, dup(first.fd)), 0);
    CG_CHECK_SLICE(cg_slice_str(l.name), "unix:x.sock");
    cg_listener_close(&l);
    CG_CHECK_INT(access("x.sock", F_OK), 0);
    cg_listener_close(&first);
}

CG_TEST(what_does_not_listen_is_not_adopted_and_stays_open) {
    struct cg_listener l;
    int file = open("/dev/null", O_RDONLY);
    CG_CHECK_INT(adopt(&l, file), -ENOTSOCK);
    CG_CHECK_INT(adopt(&l, 1000), -EBADF);
    int datagram = socket(AF_INET, SOCK_DGRAM, 0), idle = socket(AF_INET, SOCK_STREAM, 0);
    CG_CHECK_INT(adopt(&l, datagram), -EINVAL);
    CG_CHECK_INT(adopt(&l, idle), -EINVAL);
    cg_listener_close(&l);
    CG_CHECK(fcntl(file, F_GETFD) >= 0 && fcntl(idle, F_GETFD) >= 0);
}

CG_TEST(adjust_changes_backlog_mode_and_nothing_for_clients) {
    enter_folder();
    struct cg_bind bind = {.kind = CG_BIND_UNIX, .path = "x.sock"};
    struct cg_listener l;
    struct cg_endpoint peer;
    struct cg_listener_options options = usual();
    struct stat before, after;
    options.backlog = 0;
    CG_CHECK_INT(open_with(&l, &bind, &options), 0);
    CG_CHECK_INT(lstat("x.sock", &before), 0);
    int waiting = connected(&l, NULL);
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "x.sock"};
    int client = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CG_CHECK_INT(connect(client, (struct sockaddr *)&address, sizeof(address)), -1);
    CG_CHECK_INT(errno, EAGAIN);
    options.backlog = 4;
    options.file_umask = 0117;
    CG_CHECK_INT(cg_listener_adjust(&l, &options), 0);
    CG_CHECK_INT(connect(client, (struct sockaddr *)&address, sizeof(address)), 0);
    CG_CHECK_INT(lstat("x.sock", &after), 0);
    CG_CHECK_INT(after.st_mode & 0777, 0660);
    CG_CHECK_INT(after.st_ino, before.st_ino);
    close(accepted(&l, &peer));
    close(accepted(&l, &peer));
    close(waiting);
    close(client);
    cg_listener_close(&l);
}

CG_TEST(adjust_leaves_a_file_alone_that_another_server_put_there) {
    enter_folder();
    struct cg_listener l = opened("unix:x.sock");
    CG_CHECK_INT(unlink("x.sock"), 0);
    struct cg_listener other = opened("unix:x.sock");
    struct cg_listener_options options = usual();
    struct stat st;
    options.file_umask = 0777;
    CG_CHECK_INT(cg_listener_adjust(&l, &options), 0);
    CG_CHECK_INT(lstat("x.sock", &st), 0);
    CG_CHECK_INT(st.st_mode & 0777, 0777);
    cg_listener_close(&l);
    CG_CHECK_INT(access("x.sock", F_OK), 0);
    cg_listener_close(&other);
}

CG_TEST(socket_file_of_a_living_server_tells_its_pid) {
    enter_folder();
    struct cg_listener l = opened("unix:x.sock"), second;
    CG_CHECK_INT(try_open(&second, "unix:x.sock"), -EADDRINUSE);
#ifdef __linux__
    CG_CHECK_INT(second.holder, getpid());
#endif
    cg_listener_close(&l);
}

CG_TEST(a_bound_socket_refuses_clients_until_it_listens) {
    struct cg_listener_options options = usual();
    struct cg_bind bind = {.kind = CG_BIND_TCP, .host = "127.0.0.1"};
    struct cg_listener l;
    CG_CHECK_INT(cg_listener_bind(&l, &bind, &options), 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(l.local.port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int client = socket(AF_INET, SOCK_STREAM, 0);
    CG_CHECK_INT(connect(client, (struct sockaddr *)&address, sizeof(address)), -1);
    CG_CHECK_INT(errno, ECONNREFUSED);
    close(client);
    CG_CHECK_INT(cg_listener_listen(&l, &options), 0);
    close(connected(&l, NULL));
    cg_listener_close(&l);
}

CG_TEST(a_port_is_shared_only_when_both_sides_say_so) {
    struct cg_listener first = opened("127.0.0.1:0"), second;
    struct cg_bind bind = first.bind;
    struct cg_listener_options options = usual();
    bind.port = first.local.port;
    options.reuse_port = true;
    CG_CHECK_INT(open_with(&second, &bind, &options), -EADDRINUSE);
    cg_listener_share_port(&first, true);
    CG_CHECK_INT(open_bind(&second, &bind), -EADDRINUSE);
    CG_CHECK_INT(open_with(&second, &bind, &options), 0);
    CG_CHECK_INT(option(second.fd, SOL_SOCKET, SO_REUSEPORT), 1);
    cg_listener_close(&second);
    cg_listener_close(&first);
}

static bool covers(const char *host, uint16_t port, enum cg_family family, const char *other_host,
                   enum cg_family other_family) {
    struct cg_listener a = {.local = {.family = family, .port = port}};
    struct cg_listener b = {.local = {.family = other_family, .port = 80}};
    strcpy(a.local.host, host);
    strcpy(b.local.host, other_host);
    return cg_listener_covers(&a, &b);
}

CG_TEST(wildcards_cover_the_addresses_of_their_port) {
    CG_CHECK(covers("127.0.0.1", 80, CG_FAMILY_IPV4, "127.0.0.1", CG_FAMILY_IPV4));
    CG_CHECK(covers("0.0.0.0", 80, CG_FAMILY_IPV4, "127.0.0.1", CG_FAMILY_IPV4));
    CG_CHECK(covers("::", 80, CG_FAMILY_IPV6, "127.0.0.1", CG_FAMILY_IPV4));
    CG_CHECK(covers("::", 80, CG_FAMILY_IPV6, "::1", CG_FAMILY_IPV6));
    CG_CHECK(!covers("0.0.0.0", 81, CG_FAMILY_IPV4, "127.0.0.1", CG_FAMILY_IPV4));
    CG_CHECK(!covers("0.0.0.0", 80, CG_FAMILY_IPV4, "::1", CG_FAMILY_IPV6));
    CG_CHECK(!covers("127.0.0.1", 80, CG_FAMILY_IPV4, "0.0.0.0", CG_FAMILY_IPV4));
    CG_CHECK(!covers("x", 80, CG_FAMILY_UNIX, "x", CG_FAMILY_UNIX));
}
