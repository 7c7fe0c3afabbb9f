/* SPDX-License-Identifier: MIT
 *
 * waitset on poll(2), for systems without epoll. Owns a dense array for the kernel, the tokens
 * beside it, and a table from descriptor to position, so that only wait itself is linear in the
 * number of descriptors. CG_WAIT_EXCLUSIVE has no counterpart here: every worker wakes up, one
 * accepts.
 */
#include "workers/waitset_impl.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

struct poll_set {
    struct cg_waitset base;
    struct pollfd *fds;
    void **tokens; /* tokens[i] belongs to fds[i] */
    size_t n, cap;
    int *position; /* by descriptor; -1 = not watched */
    size_t position_n;
    size_t next; /* where the next scan begins, so that a small `max` starves nobody */
};

static struct poll_set *of(struct cg_waitset *ws) {
    return (struct poll_set *)ws;
}

static void set_free(struct cg_waitset *ws) {
    struct poll_set *set = of(ws);
    free(set->fds);
    free(set->tokens);
    free(set->position);
    free(set);
}

static int find(const struct poll_set *set, int fd) {
    return fd >= 0 && (size_t)fd < set->position_n ? set->position[fd] : -1;
}

static int grow_fds(struct poll_set *set) {
    if (set->n < set->cap)
        return 0;
    size_t cap = set->cap ? set->cap * 2 : 16;
    struct pollfd *fds = realloc(set->fds, cap * sizeof(*fds));
    if (!fds)
        return -ENOMEM;
    set->fds = fds;
    void **tokens = realloc(set->tokens, cap * sizeof(*tokens));
    if (!tokens)
        return -ENOMEM;
    set->tokens = tokens;
    set->cap = cap;
    return 0;
}

static int grow_position(struct poll_set *set, int fd) {
    if ((size_t)fd < set->position_n)
        return 0;
    size_t n = ((size_t)fd + 1) * 2;
    int *position = realloc(set->position, n * sizeof(*position));
    if (!position)
        return -ENOMEM;
    for (size_t i = set->position_n; i < n; i++)
        position[i] = -1;
    set->position = position;
    set->position_n = n;
    return 0;
}

static short poll_events(int events) {
    return (short)((events & CG_WAIT_READ ? POLLIN : 0) | (events & CG_WAIT_WRITE ? POLLOUT : 0));
}

static int set_add(struct cg_waitset *ws, int fd, int events, void *token) {
    struct poll_set *set = of(ws);
    if (fd < 0)
        return -EBADF;
    if (find(set, fd) >= 0)
        return -EEXIST;
    if (grow_fds(set) < 0 || grow_position(set, fd) < 0)
        return -ENOMEM;
    set->fds[set->n] = (struct pollfd){.fd = fd, .events = poll_events(events)};
    set->tokens[set->n] = token;
    set->position[fd] = (int)set->n++;
    return 0;
}

static int set_change(struct cg_waitset *ws, int fd, int events, void *token) {
    struct poll_set *set = of(ws);
    int at = find(set, fd);
    if (at < 0)
        return -ENOENT;
    set->fds[at].events = poll_events(events);
    set->tokens[at] = token;
    return 0;
}

static void set_remove(struct cg_waitset *ws, int fd) {
    struct poll_set *set = of(ws);
    int at = find(set, fd);
    if (at < 0)
        return;
    size_t last = --set->n;
    set->fds[at] = set->fds[last];
    set->tokens[at] = set->tokens[last];
    set->position[set->fds[at].fd] = at;
    set->position[fd] = -1;
}

static int events_of(short revents) {
    if (revents & (POLLHUP | POLLERR | POLLNVAL))
        return CG_WAIT_READ | CG_WAIT_WRITE;
    return (revents & POLLIN ? CG_WAIT_READ : 0) | (revents & POLLOUT ? CG_WAIT_WRITE : 0);
}

static int set_wait(struct cg_waitset *ws, struct cg_wait_event *ret_events, int max,
                    int timeout_ms) {
    struct poll_set *set = of(ws);
    int left = poll(set->fds, (nfds_t)set->n, timeout_ms);
    if (left < 0)
        return errno == EINTR ? 0 : -errno;
    int n = 0;
    size_t begin = set->next;
    for (size_t i = 0; i < set->n && left > 0 && n < max; i++) {
        size_t at = (begin + i) % set->n;
        if (set->fds[at].revents == 0)
            continue;
        left--;
        ret_events[n].token = set->tokens[at];
        ret_events[n].events = events_of(set->fds[at].revents);
        n++;
        set->next = at + 1;
    }
    return n;
}

static const struct cg_waitset_ops poll_ops = {
    .free = set_free,
    .add = set_add,
    .change = set_change,
    .remove = set_remove,
    .wait = set_wait,
};

struct cg_waitset *cg_waitset_new_poll(void) {
    struct poll_set *set = calloc(1, sizeof(*set));
    if (!set)
        return NULL;
    set->base.ops = &poll_ops;
    return &set->base;
}
