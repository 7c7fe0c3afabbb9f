/* SPDX-License-Identifier: MIT
 *
 * What threads of a worker are doing in Python, as text, without the interpreter lock: somebody may
 * be stuck with it. faulthandler walks their frames, in a signal handler; we read what it writes.
 */
#ifndef CG_PYEXT_STACKS_H
#define CG_PYEXT_STACKS_H

#include "pyext/py.h"

#include "server/arbiter/child.h"

/* In a new worker, once, when the handler of ABRT stands that is to be called after the stacks have
 * been written. From now on the worker answers the arbiter's question (server/arbiter/stack.h), and
 * crashes and ABRT dump all stacks into the error log. 0 or -1 with an exception. */
int cg_stacks_init(const struct cg_child *child);

/* The stack of a thread of this worker, from any other, with the GIL or without: the length, 0 when
 * the thread has not answered within CG_STACK_WAIT_MS. One caller at a time. */
size_t cg_stacks_of(pthread_t thread, char *ret_text, size_t size);

#endif
