/* SPDX-License-Identifier: MIT
 *
 * USR2: a new master from the files as they are now, beside the old one and on the same sockets,
 * until one of them is told to end. Either side of it: the master that was asked, which has a child
 * that is no worker, and the one that was started, whose parent still serves.
 *
 *   old   USR2 -> fork, execute -> both serve -> QUIT or TERM: the socket files are the new one's
 *                                             -> the new one ended: back to work
 *   new   GUNICORN_PID -> "<pidfile>.2", "Master.2" -> the old one ended: promoted
 */
#ifndef CG_ARBITER_UPGRADE_H
#define CG_ARBITER_UPGRADE_H

#include "server/arbiter/heritage.h"
#include "server/arbiter/pool.h"

struct cg_upgrade {
    bool asked;
    bool feeds_watchdog; /* the service manager's, and so will the new master */
    bool ready;          /* the first workers of a new master are there, and it has said so */
    pid_t new_master;    /* our child; 0 = there is none */
    pid_t old_master;    /* our parent; 0 = there is none, or it has ended */
    int manager_fds_n;   /* of a service manager's sockets, which start at CG_HERITAGE_FIRST_FD */
};

/* Where the system has such a descriptor, p->old_master_fd is readable from the old master's end
 * on. */
void cg_upgrade_init(struct cg_upgrade *u, struct cg_pool *p, const struct cg_heritage *heritage);

/* Notes the wish; refused, with a warning, while there is a second master. */
void cg_upgrade_ask(struct cg_upgrade *u);

/* Starts a new master if one was asked for, to which the socket files go, and says when this is one
 * that is ready. True in a child that could not become one, and should end with *ret_exit_code. */
bool cg_upgrade_turn(struct cg_upgrade *u, struct cg_pool *p, int *ret_exit_code);

/* A child that is no worker was reaped. True after logging its end if it was the new master; the
 * socket files that went to it are ours again. */
bool cg_upgrade_reaped(struct cg_upgrade *u, const struct cg_pool *p, pid_t pid, int status);

/* True once: when the old master has ended, after logging so. Socket files are ours then. */
bool cg_upgrade_promotes(struct cg_upgrade *u, struct cg_pool *p);

/* Before a stop: an old master is not waited for any more. */
void cg_upgrade_stop(struct cg_pool *p);

#endif
