/* SPDX-License-Identifier: MIT
 *
 * Listening sockets: created by the arbiter, inherited by workers over fork, unlinked by their
 * creator only.
 */
#ifndef CG_NET_LISTENER_H
#define CG_NET_LISTENER_H

#include "server/base/endpoint.h"
#include "server/net/bind.h"

#include <limits.h>
#include <sys/types.h>

struct cg_listener {
    int fd;
    struct cg_bind bind;
    enum cg_protocol protocol; /* what is spoken there, by its bind or else the settings */
    struct cg_endpoint local;  /* SERVER_NAME and SERVER_PORT as bound */
    char name[300];            /* "http://127.0.0.1:8000", "unix:/run/x.sock", "uwsgi:unix:..." */
    pid_t creator;             /* who may unlink the socket file; 0 = there is none of ours */
    dev_t dev;                 /* which file it is */
    ino_t ino;                 /* 0 = not known */
    char file[PATH_MAX];       /* and where, in whatever folder we work */
    pid_t holder;              /* after -EADDRINUSE: who listens there; 0 = unknown */
};

/* What of the settings concerns listeners. */
struct cg_listener_options {
    int backlog;
    mode_t file_umask; /* a socket file has mode 0777 without these bits, */
    uid_t uid;         /* and this owner */
    gid_t gid;
    bool reuse_port; /* other processes of our user may have the address as well */
};

struct cg_listeners {
    struct cg_listener *at;
    size_t n;
    bool fixed; /* a service manager's: no setting changes them */
};

/* Opens one: non-blocking, close-on-exec, not listening yet. 0 or -errno; cg_listener_close() is
 * harmless after a failure. By kind of bind:
 *
 * TCP   A name may have several addresses: IPv4 before IPv6, and the first that this machine has is
 *       taken (-EADDRNOTAVAIL: none). Port 0 takes a free one; local and name tell which. A socket
 *       on [::] accepts IPv4 clients too, who then show as ::ffff:192.0.2.1.
 * unix  A stale socket file is replaced, one that answers is refused (-EADDRINUSE), any other file
 *       is refused (-ENOTSOCK). The process umask changes during the call, so no other thread may
 *       be creating files.
 * fd    The inherited descriptor itself becomes the listener, its backlog as it is. -ENOTSOCK or
 *       -EINVAL when it is no listening stream socket; it stays open then. */
int cg_listener_bind(struct cg_listener *l, const struct cg_bind *bind,
                     const struct cg_listener_options *options);

/* From now on clients can connect. 0, or -errno after closing it: -EADDRINUSE here too. */
int cg_listener_listen(struct cg_listener *l, const struct cg_listener_options *options);

/* Other options for one that listens, as far as they can change: backlog, mode and owner of the
 * file. Clients notice nothing. 0 or -errno. */
int cg_listener_adjust(const struct cg_listener *l, const struct cg_listener_options *options);

/* Whether other sockets of our user may be bound to the port, also where the addresses overlap. */
void cg_listener_share_port(const struct cg_listener *l, bool shared);

/* Whether every address of the other one, with its port, is one of l too. */
bool cg_listener_covers(const struct cg_listener *l, const struct cg_listener *other);

/* Makes this process the one that unlinks the file of an inherited unix socket. 0, or -errno when
 * there is no such file: -ENOTSOCK when it is not a socket, -ESTALE when it is not the one that was
 * claimed before. */
int cg_listener_claim(struct cg_listener *l);

/* What is spoken there from now on; CG_PROTOCOL_AUTO at first. The name says so. */
void cg_listener_set_protocol(struct cg_listener *l, enum cg_protocol protocol);

/* How many clients wait to be accepted; `most` where the system cannot tell. */
int64_t cg_listener_waiting(const struct cg_listener *l, int64_t most);

/* Closes; unlinks the socket file when this process created it and the file is still ours. */
void cg_listener_close(struct cg_listener *l);

/* Accepts one client: non-blocking, close-on-exec, TCP_NODELAY inherited. The descriptor, or
 * -errno: -EAGAIN when there is nobody to accept, also because who was there has gone already;
 * -EMFILE, -ENFILE, -ENOBUFS, -ENOMEM when the client still waits but we cannot take it: the
 * listener stays readable, so a driver must leave it alone for a while. *ret_peer is set on success
 * only. */
int cg_listener_accept(const struct cg_listener *l, struct cg_endpoint *ret_peer);

#endif
