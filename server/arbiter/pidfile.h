/* SPDX-License-Identifier: MIT
 *
 * The pidfile: which process is the master. Written by a temporary file and a rename, so that
 * nobody reads half of it; mode 0644; removed only while it holds our pid. Logs what fails.
 */
#ifndef CG_ARBITER_PIDFILE_H
#define CG_ARBITER_PIDFILE_H

#include <sys/types.h>

struct cg_pidfile {
    char *path; /* absolute; NULL: there is none */
};

/* Writes our pid to path (NULL or empty: does nothing). Refused while the file holds the pid of
 * another living process, or something else than a number. 0 or -errno after logging why; then *p
 * is empty. */
int cg_pidfile_create(struct cg_pidfile *p, const char *path);

/* Removes a file (NULL: does nothing) in which a process that has ended left its pid. */
void cg_pidfile_bury(const char *path, pid_t ended);

/* Goes to another path, or writes the same one anew: a reload, and the end of an upgrade, when
 * "x.2" becomes "x". The new file is there before the old one goes. 0, or -errno after logging why;
 * then all is as before. */
int cg_pidfile_move(struct cg_pidfile *p, const char *path);

/* Removes the file if it is still ours, and empties *p. */
void cg_pidfile_remove(struct cg_pidfile *p);

/* The pid that the file holds, whether that process lives or not; 0 when there is none. */
pid_t cg_pidfile_read(const char *path);

#endif
