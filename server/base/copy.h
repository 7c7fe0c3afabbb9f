/* SPDX-License-Identifier: MIT
 *
 * Copies: processes that somebody else than the server, the application or a hook, forks from one
 * of the server's. A copy has the server's memory and descriptors, and must do nothing of what the
 * server does with them. This module tells it, and takes away what others wait for: as long as a
 * copy had a client's connection, the client would not see its end.
 *
 * File-level state, because a fork handler gets no argument: whether this process is a copy, the
 * pid of one that is not, and which descriptors are denied to copies.
 */
#ifndef CG_BASE_COPY_H
#define CG_BASE_COPY_H

#include <stdbool.h>

/* From now on forks are noticed, and this process is no copy. Before other threads fork. */
void cg_copy_watch(void);

/* Costs a load. For any thread; signal handlers ask the next one. */
bool cg_is_copy(void);

/* For the server's signal handlers. In a copy the signal is the copy's own and takes its default
 * action: true, if that lets it return. */
bool cg_copy_takes_signal(int number);

/* Around a fork of the server's own, in the thread that forks and with all signals blocked: its
 * child is no copy. */
void cg_copy_fork_begin(void);
void cg_copy_fork_end(void);

/* The descriptor is closed in every copy that is made from now on, or is not any more. From any
 * thread. Who closes it allows it first, else a copy might close what has got its number by then;
 * cg_fd_close() does so. */
void cg_copy_deny(int fd);
void cg_copy_allow(int fd);

#endif
