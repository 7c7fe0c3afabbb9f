/* SPDX-License-Identifier: MIT
 *
 * File descriptor helpers. All return 0 or a descriptor, or -errno; EINTR is retried.
 */
#ifndef CG_BASE_FD_H
#define CG_BASE_FD_H

#include <stdbool.h>
#include <stddef.h>

int cg_fd_set_nonblocking(int fd, bool on);
int cg_fd_set_cloexec(int fd, bool on);

/* Closes *fd unless it is -1, and sets it to -1. */
void cg_fd_close(int *fd);

/* Makes the number fd, open or not, mean what `by` means; close-on-exec. `by` stays open. To other
 * threads the change is one step. 0 or -errno. */
int cg_fd_replace(int fd, int by);

/* Writes everything to a blocking descriptor. */
int cg_fd_write_all(int fd, const void *data, size_t len);

/* Both ends non-blocking, close-on-exec and denied to copies (copy.h): to wake a poll loop from a
 * signal handler. */
int cg_fd_wake_pipe(int ret_fds[2]);

/* Reads a wake pipe empty. */
void cg_fd_drain(int fd);

/* An unlinked temporary file in dir (NULL: $TMPDIR, else /tmp), read-write, close-on-exec. */
int cg_fd_open_temp(const char *dir);

#endif
