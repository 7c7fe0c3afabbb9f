/* SPDX-License-Identifier: MIT
 *
 * fork(), with what a process that hosts an interpreter and threads needs around it.
 */
#ifndef CG_ARBITER_SPAWN_H
#define CG_ARBITER_SPAWN_H

#include "server/arbiter/runtime.h"

#include <sys/types.h>

/* The child's pid; 0 in the child, which has all signals blocked and at their default; -errno. */
pid_t cg_spawn(const struct cg_runtime *runtime, void *rt);

#endif
