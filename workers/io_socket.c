/* SPDX-License-Identifier: MIT
 *
 * recv, sendmsg and sendfile as io_socket.h wants them. Owns no state, waits for nothing, logs
 * nothing.
 */
#include "workers/io_socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/sendfile.h>
#endif

/* Not everywhere: without the first the head leaves in a packet of its own, without the second it
 * matters that the process ignores SIGPIPE, which it does in any case for sendfile. */
#ifndef MSG_MORE
#define MSG_MORE 0
#endif
#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif
/* Without it a FIN cannot be told from data. */
#ifndef POLLRDHUP
#define POLLRDHUP 0
#endif

enum {
    FILE_WINDOW = 64 * 1024,    /* read and sent at once without sendfile */
    SENDFILE_MAX = 1024 * 1024, /* per call, so that other clients get their turn */
};

ssize_t cg_socket_recv(int fd, char *at, size_t len) {
    ssize_t n;
    do {
        n = recv(fd, at, len, MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

/* more: what follows shall share the packet. */
static ssize_t send_iovecs(int fd, const struct iovec *iov, int iov_n, bool more) {
    struct msghdr message = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)iov_n};
    ssize_t n;
    do {
        n = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT | (more ? MSG_MORE : 0));
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static ssize_t send_file_copy(int fd, const struct cg_output *out) {
    char window[FILE_WINDOW];
    size_t len = out->file_len < sizeof(window) ? (size_t)out->file_len : sizeof(window);
    ssize_t n;
    do {
        n = pread(out->fd, window, len, (off_t)out->file_offset);
    } while (n < 0 && errno == EINTR);
    if (n <= 0)
        return n < 0 ? -errno : -ENODATA;
    struct iovec iov = {window, (size_t)n};
    return send_iovecs(fd, &iov, 1, false);
}

static ssize_t send_file(int fd, const struct cg_output *out) {
#ifdef __linux__
    off_t offset = (off_t)out->file_offset;
    size_t len = out->file_len < SENDFILE_MAX ? (size_t)out->file_len : SENDFILE_MAX;
    ssize_t n;
    do {
        n = sendfile(fd, out->fd, &offset, len);
    } while (n < 0 && errno == EINTR);
    if (n > 0)
        return n;
    if (n == 0)
        return -ENODATA;
    if (errno != EINVAL && errno != ENOSYS) /* these: not from this kind of file */
        return -errno;
#endif
    return send_file_copy(fd, out);
}

ssize_t cg_socket_send(int fd, const struct cg_output *out, bool use_sendfile, bool may_hold) {
    bool has_file = out->fd >= 0 && out->file_len > 0;
    if (out->iov_n > 0)
        return send_iovecs(fd, out->iov, out->iov_n, has_file || (may_hold && out->more));
    if (!has_file)
        return 0;
    return use_sendfile ? send_file(fd, out) : send_file_copy(fd, out);
}

/* Said again, TCP_NODELAY pushes; a unix socket, which knows it not, holds nothing back. */
void cg_socket_push(int fd) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

bool cg_socket_gone(int fd, bool fin_counts) {
    struct pollfd p = {.fd = fd, .events = fin_counts ? POLLRDHUP : 0};
    return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR | POLLRDHUP));
}
