/* SPDX-License-Identifier: MIT
 *
 * What a blocking driver waits for: epoll on Linux (listeners with EPOLLEXCLUSIVE, so that a
 * connection wakes one worker), poll elsewhere; both are built and tested where both exist.
 */
#ifndef CG_WORKERS_WAITSET_H
#define CG_WORKERS_WAITSET_H

#include <stdbool.h>
#include <stdint.h>

enum { CG_WAIT_READ = 1, CG_WAIT_WRITE = 2, CG_WAIT_EXCLUSIVE = 4 };

struct cg_waitset;

struct cg_wait_event {
    void *token;
    int events; /* CG_WAIT_READ | CG_WAIT_WRITE; both after a hang-up or an error */
};

struct cg_waitset *cg_waitset_new(void); /* NULL: errno says why */
void cg_waitset_free(struct cg_waitset *ws);

/* Level-triggered; CG_WAIT_EXCLUSIVE goes with add only. token comes back with the event. 0 or
 * -errno. */
int cg_waitset_add(struct cg_waitset *ws, int fd, int events, void *token);
int cg_waitset_change(struct cg_waitset *ws, int fd, int events, void *token);
void cg_waitset_remove(struct cg_waitset *ws, int fd);

/* Waits at most timeout_ms (-1: for ever, 0: not at all). The number of events, 0 on timeout or
 * EINTR, or -errno. */
int cg_waitset_wait(struct cg_waitset *ws, struct cg_wait_event *ret_events, int max,
                    int timeout_ms);

#endif
