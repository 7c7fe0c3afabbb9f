/* SPDX-License-Identifier: MIT
 *
 * The functions of client_io.h. No state.
 */
#include "workers/client_io.h"

#include "server/base/log.h"
#include "workers/io_socket.h"

#include <errno.h>
#include <sys/socket.h>

bool cg_client_receive(struct cg_conn *conn, int fd, bool *readable) {
    char *at;
    size_t len;
    if (!*readable)
        return false;
    if (cg_conn_space(conn, &at, &len) < 0) {
        cg_log(CG_LOG_ERROR, "Out of memory: a client is dropped.");
        cg_conn_broken(conn);
        return true;
    }
    ssize_t n = cg_socket_recv(fd, at, len);
    *readable = n > 0 && (size_t)n == len;
    if (n == -EAGAIN)
        return false;
    if (n > 0)
        cg_conn_fed(conn, (size_t)n);
    else if (n == 0)
        cg_conn_eof(conn);
    else
        cg_conn_broken(conn);
    return true;
}

int cg_client_send(struct cg_conn *conn, int fd, const struct cg_settings *settings,
                   bool may_hold) {
    ssize_t n = cg_socket_send(fd, cg_conn_output(conn), settings->sendfile, may_hold);
    if (n >= 0)
        cg_conn_sent(conn, (size_t)n);
    if (n == -ENODATA)
        cg_log(CG_LOG_WARNING, "A file became shorter while it was being sent.");
    return n < 0 ? (int)n : 0;
}

void cg_client_shut(struct cg_conn *conn, int fd, bool *readable) {
    shutdown(fd, SHUT_WR);
    cg_conn_shut(conn);
    *readable = true;
}

int cg_client_schedule(const struct cg_conn *conn, struct cg_deadlines *heap,
                       struct cg_deadline *deadline) {
    uint64_t at_us = cg_conn_deadline_us(conn);
    if (cg_deadline_is_set(deadline) && deadline->at_us <= at_us)
        return 0;
    return cg_deadlines_set(heap, deadline, at_us);
}
