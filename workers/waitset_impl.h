/* SPDX-License-Identifier: MIT
 *
 * Inside of waitset: what an implementation provides. Included by waitset*.c and by their test,
 * which runs the same cases on each; everybody else uses waitset.h.
 */
#ifndef CG_WORKERS_WAITSET_IMPL_H
#define CG_WORKERS_WAITSET_IMPL_H

#include "workers/waitset.h"

/* The functions of waitset.h, by the same rules. */
struct cg_waitset_ops {
    void (*free)(struct cg_waitset *ws);
    int (*add)(struct cg_waitset *ws, int fd, int events, void *token);
    int (*change)(struct cg_waitset *ws, int fd, int events, void *token);
    void (*remove)(struct cg_waitset *ws, int fd);
    int (*wait)(struct cg_waitset *ws, struct cg_wait_event *ret_events, int max, int timeout_ms);
};

/* First member of each implementation's own struct. */
struct cg_waitset {
    const struct cg_waitset_ops *ops;
};

#ifdef __linux__
struct cg_waitset *cg_waitset_new_epoll(void);
#endif
struct cg_waitset *cg_waitset_new_poll(void);

#endif
