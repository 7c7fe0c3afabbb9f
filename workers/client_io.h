/* SPDX-License-Identifier: MIT
 *
 * What every driver does for a client: one attempt of what its connection wants, and its deadline.
 * `readable` says whether receiving is worth a try; a short read is taken for the last.
 */
#ifndef CG_WORKERS_CLIENT_IO_H
#define CG_WORKERS_CLIENT_IO_H

#include "server/http/conn.h"
#include "workers/deadline.h"

/* False when nothing has come, else the connection knows what has: bytes, the end, or a failure. */
bool cg_client_receive(struct cg_conn *conn, int fd, bool *readable);

/* Sends what is output now; may_hold as in cg_socket_send(). 0 or -errno. */
int cg_client_send(struct cg_conn *conn, int fd, const struct cg_settings *settings, bool may_hold);

/* Ends our side. The client may have sent more, or its FIN, already. */
void cg_client_shut(struct cg_conn *conn, int fd, bool *readable);

/* The connection's deadline. One that only moves away, as it does with every byte and every
 * keep-alive request, is not moved in the heap: when the old one comes, the driver looks at the
 * connection again. 0 or -ENOMEM. */
int cg_client_schedule(const struct cg_conn *conn, struct cg_deadlines *heap,
                       struct cg_deadline *deadline);

#endif
