/* SPDX-License-Identifier: MIT
 *
 * Telling the host what happens in the arbiter: one function for each row of moment.def that more
 * than one place may have to tell. What the host answers is kept in the pool (told_to_end), where
 * the arbiter's loop looks at it. No state of its own.
 */
#ifndef CG_ARBITER_MOMENTS_H
#define CG_ARBITER_MOMENTS_H

#include "server/arbiter/pool.h"

enum { CG_MOMENTS_NO_OLD_N = -1 }; /* nworkers_changed: there was no number before */

/* ON_STARTING, WHEN_READY, PRE_EXEC, which is told in the child that is about to execute, and
 * ON_EXIT, which knows no settings any more. False when the host wants the server to end. */
bool cg_moments_tell(struct cg_pool *p, enum cg_moment_id id, const struct cg_settings *settings,
                     const struct cg_listeners *listeners);

/* Whoever sets the number of workers of a generation tells so, also when it stays the same. */
bool cg_moments_tell_nworkers(struct cg_pool *p, const struct cg_settings *settings, int new_n,
                              int old_n);

/* The pending generation is about to begin: its number of workers, then ON_RELOAD. False: it must
 * be given up, and the server goes on. */
bool cg_moments_tell_reload(struct cg_pool *p);
/* And was given up: the number of workers is the old one again. */
void cg_moments_tell_given_up(struct cg_pool *p, const struct cg_generation *g);

/* Before the fork of a worker; false: there must be none. Afterwards, in the arbiter. */
bool cg_moments_tell_pre_fork(struct cg_pool *p, const struct cg_generation *g,
                              struct cg_slot *slot);
void cg_moments_tell_forked(struct cg_pool *p, const struct cg_generation *g, pid_t pid);

/* A worker was reaped. `halts`: its failure to boot ends the server. */
void cg_moments_tell_child_exit(struct cg_pool *p, pid_t pid, bool halts);

#endif
