/* SPDX-License-Identifier: MIT
 *
 * File descriptor helpers. Owns no state. Where Linux and the BSDs set flags in the creating call,
 * macOS needs a second one; that difference ends in this file and in net/listener.c.
 */
#include "server/base/fd.h"

#include "server/base/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int change_flag(int fd, int get, int set, int flag, bool on) {
    int flags = fcntl(fd, get);
    if (flags < 0)
        return -errno;
    int wanted = on ? flags | flag : flags & ~flag;
    if (wanted != flags && fcntl(fd, set, wanted) < 0)
        return -errno;
    return 0;
}

int cg_fd_set_nonblocking(int fd, bool on) {
    return change_flag(fd, F_GETFL, F_SETFL, O_NONBLOCK, on);
}

int cg_fd_set_cloexec(int fd, bool on) {
    return change_flag(fd, F_GETFD, F_SETFD, FD_CLOEXEC, on);
}

void cg_fd_close(int *fd) {
    /* Not retried on EINTR: the descriptor is gone by then, and its number may be another's. */
    if (*fd >= 0) {
        cg_copy_allow(*fd);
        close(*fd);
    }
    *fd = -1;
}

int cg_fd_replace(int fd, int by) {
#ifdef __APPLE__
    while (dup2(by, fd) < 0)
        if (errno != EINTR)
            return -errno;
    return cg_fd_set_cloexec(fd, true);
#else
    while (dup3(by, fd, O_CLOEXEC) < 0)
        if (errno != EINTR && errno != EBUSY) /* EBUSY: Linux, a race with open() in a thread */
            return -errno;
    return 0;
#endif
}

int cg_fd_write_all(int fd, const void *data, size_t len) {
    const char *at = data;
    while (len > 0) {
        ssize_t n = write(fd, at, len);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

int cg_fd_wake_pipe(int ret_fds[2]) {
    int fds[2];
#ifdef __APPLE__
    if (pipe(fds) < 0)
        return -errno;
    for (int i = 0; i < 2; i++) {
        cg_fd_set_nonblocking(fds[i], true);
        cg_fd_set_cloexec(fds[i], true);
    }
#else
    if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) < 0)
        return -errno;
#endif
    for (int i = 0; i < 2; i++) {
        cg_copy_deny(fds[i]);
        ret_fds[i] = fds[i];
    }
    return 0;
}

void cg_fd_drain(int fd) {
    char sink[256];
    ssize_t n;
    do
        n = read(fd, sink, sizeof(sink));
    while (n > 0 || (n < 0 && errno == EINTR));
}

int cg_fd_open_temp(const char *dir) {
    if (!dir || !*dir)
        dir = getenv("TMPDIR");
    if (!dir || !*dir)
        dir = "/tmp";
    char path[4096];
    int len = snprintf(path, sizeof(path), "%s/cgunicorn-XXXXXX", dir);
    if (len < 0 || (size_t)len >= sizeof(path))
        return -ENAMETOOLONG;
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    unlink(path);
    return fd;
}
