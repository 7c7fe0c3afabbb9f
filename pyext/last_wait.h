/* SPDX-License-Identifier: MIT
 *
 * A bound for the interpreter's own end, which waits for threads that are no daemons and for
 * functions of atexit. For the master: a worker's end is bounded by its arbiter.
 */
#ifndef CG_PYEXT_LAST_WAIT_H
#define CG_PYEXT_LAST_WAIT_H

/* When the process has not ended in limit_s seconds, it says so in the error log's file, whoever
 * takes its lines, and ends with this exit code. The last call of all, with the GIL. 0, or -errno:
 * there is no bound. */
int cg_last_wait_bound(int exit_code, unsigned limit_s);

#endif
