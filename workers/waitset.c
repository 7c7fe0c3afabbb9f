/* SPDX-License-Identifier: MIT
 *
 * The public face of waitset.h: picks the implementation of this platform and hands calls on. Owns
 * no state. One indirect call beside a system call costs nothing that can be measured.
 */
#include "workers/waitset.h"

#include "workers/waitset_impl.h"

struct cg_waitset *cg_waitset_new(void) {
#ifdef __linux__
    return cg_waitset_new_epoll();
#else
    return cg_waitset_new_poll();
#endif
}

void cg_waitset_free(struct cg_waitset *ws) {
    if (ws)
        ws->ops->free(ws);
}

int cg_waitset_add(struct cg_waitset *ws, int fd, int events, void *token) {
    return ws->ops->add(ws, fd, events, token);
}

int cg_waitset_change(struct cg_waitset *ws, int fd, int events, void *token) {
    return ws->ops->change(ws, fd, events, token);
}

void cg_waitset_remove(struct cg_waitset *ws, int fd) {
    ws->ops->remove(ws, fd);
}

int cg_waitset_wait(struct cg_waitset *ws, struct cg_wait_event *ret_events, int max,
                    int timeout_ms) {
    return ws->ops->wait(ws, ret_events, max, timeout_ms);
}
