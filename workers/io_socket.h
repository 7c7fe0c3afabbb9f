/* SPDX-License-Identifier: MIT
 *
 * One attempt of I/O on a client's non-blocking socket: the system calls that all drivers share.
 */
#ifndef CG_WORKERS_IO_SOCKET_H
#define CG_WORKERS_IO_SOCKET_H

#include "server/http/conn.h"

#include <sys/types.h>

/* Bytes received, 0 when the client has finished sending, or -errno (-EAGAIN: none there). */
ssize_t cg_socket_recv(int fd, char *at, size_t len);

/* Sends what the socket takes of the iovecs, or of the file range when there are none. Bytes sent,
 * or -errno: -EAGAIN when the client must read first, -ENODATA when the file is shorter than the
 * range. may_hold: where more follows (out->more), the kernel may wait for it, to make fewer and
 * larger packets; who says so must call cg_socket_push() when it does not follow at once. */
ssize_t cg_socket_send(int fd, const struct cg_output *out, bool use_sendfile, bool may_hold);
/* What the kernel holds back leaves now. For any thread, while fd is open. */
void cg_socket_push(int fd);

/* Has the client hung up in both directions? One that has only finished sending may still read its
 * answer (RFC 9112 section 9.6), so a FIN is no hang-up, unless fin_counts; a reset is. The price:
 * a TCP client that closed its socket altogether looks like a half-closed one until something is
 * sent to it. */
bool cg_socket_gone(int fd, bool fin_counts);

#endif
