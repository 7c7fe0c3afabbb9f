/* SPDX-License-Identifier: MIT
 *
 * waitset on epoll. Owns the epoll descriptor; must be made after fork, because an epoll set that
 * two processes share reports the descriptors of both.
 */
#ifdef __linux__

#include "server/base/fd.h"
#include "workers/waitset_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

enum { BATCH_MAX = 64 };

struct epoll_set {
    struct cg_waitset base;
    int fd;
};

static struct epoll_set *of(struct cg_waitset *ws) {
    return (struct epoll_set *)ws;
}

static void set_free(struct cg_waitset *ws) {
    cg_fd_close(&of(ws)->fd);
    free(ws);
}

static int control(struct cg_waitset *ws, int op, int fd, int events, void *token) {
    struct epoll_event event = {.data.ptr = token};
    if (events & CG_WAIT_READ)
        event.events |= EPOLLIN;
    if (events & CG_WAIT_WRITE)
        event.events |= EPOLLOUT;
    if (events & CG_WAIT_EXCLUSIVE)
        event.events |= EPOLLEXCLUSIVE;
    return epoll_ctl(of(ws)->fd, op, fd, &event) < 0 ? -errno : 0;
}

static int set_add(struct cg_waitset *ws, int fd, int events, void *token) {
    return control(ws, EPOLL_CTL_ADD, fd, events, token);
}

static int set_change(struct cg_waitset *ws, int fd, int events, void *token) {
    return control(ws, EPOLL_CTL_MOD, fd, events, token);
}

static void set_remove(struct cg_waitset *ws, int fd) {
    control(ws, EPOLL_CTL_DEL, fd, 0, NULL);
}

static int events_of(uint32_t events) {
    if (events & (EPOLLHUP | EPOLLERR))
        return CG_WAIT_READ | CG_WAIT_WRITE;
    return (events & EPOLLIN ? CG_WAIT_READ : 0) | (events & EPOLLOUT ? CG_WAIT_WRITE : 0);
}

static int set_wait(struct cg_waitset *ws, struct cg_wait_event *ret_events, int max,
                    int timeout_ms) {
    struct epoll_event ready[BATCH_MAX];
    int n = epoll_wait(of(ws)->fd, ready, max < BATCH_MAX ? max : BATCH_MAX, timeout_ms);
    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < n; i++) {
        ret_events[i].token = ready[i].data.ptr;
        ret_events[i].events = events_of(ready[i].events);
    }
    return n;
}

static const struct cg_waitset_ops epoll_ops = {
    .free = set_free,
    .add = set_add,
    .change = set_change,
    .remove = set_remove,
    .wait = set_wait,
};

struct cg_waitset *cg_waitset_new_epoll(void) {
    struct epoll_set *set = malloc(sizeof(*set));
    if (!set)
        return NULL;
    set->base.ops = &epoll_ops;
    set->fd = epoll_create1(EPOLL_CLOEXEC);
    if (set->fd >= 0)
        return &set->base;
    int error = errno;
    free(set);
    errno = error;
    return NULL;
}

#endif
