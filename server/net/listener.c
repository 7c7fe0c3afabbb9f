/* SPDX-License-Identifier: MIT
 *
 * Listening sockets and accept. Owns no state beyond the caller's struct. Does not log, wait or
 * retry: the arbiter decides what a failed bind means, the drivers what a failed accept means.
 */
#include "server/net/listener.h"

#include "server/base/copy.h"
#include "server/base/fd.h"
#include "server/base/path.h"
#include "server/net/address.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int set_flags(int fd) {
    int rc = cg_fd_set_nonblocking(fd, true);
    return rc < 0 ? rc : cg_fd_set_cloexec(fd, true);
}

/* A non-blocking, close-on-exec stream socket, or -errno. */
static int open_socket(int family) {
#ifdef __APPLE__
    int fd = socket(family, SOCK_STREAM, 0);
    if (fd >= 0)
        set_flags(fd);
#else
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
#endif
    return fd < 0 ? -errno : fd;
}

static void set_option(int fd, int level, int option, int value) {
    /* Each is an improvement that some system lacks, never a condition for serving. */
    (void)setsockopt(fd, level, option, &value, sizeof(value));
}

static void set_name(struct cg_listener *l) {
    bool is_uwsgi = l->protocol == CG_PROTOCOL_UWSGI;
    const char *host = l->local.host, *protocol = is_uwsgi ? "uwsgi" : "http";
    switch (l->local.family) {
    case CG_FAMILY_UNIX:
        snprintf(l->name, sizeof(l->name), "%sunix:%s", is_uwsgi ? "uwsgi:" : "", host);
        break;
    case CG_FAMILY_IPV4:
        snprintf(l->name, sizeof(l->name), "%s://%s:%u", protocol, host, l->local.port);
        break;
    case CG_FAMILY_IPV6:
        snprintf(l->name, sizeof(l->name), "%s://[%s]:%u", protocol, host, l->local.port);
        break;
    }
}

/* Fills local and name from the bound socket. 0 or -errno. */
static int describe(struct cg_listener *l) {
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);
    if (getsockname(l->fd, (struct sockaddr *)&address, &len) < 0)
        return -errno;
    if (!cg_address_format((struct sockaddr *)&address, len, &l->local))
        return -EAFNOSUPPORT;
    set_name(l);
    return 0;
}

void cg_listener_set_protocol(struct cg_listener *l, enum cg_protocol protocol) {
    l->protocol = protocol;
    set_name(l);
}

/* What every TCP listener has; clients inherit it. TCP_DEFER_ACCEPT: a client is handed over when
 * its first bytes are there (or after a second), so that it goes to a worker that is idle at that
 * moment, and not to the one that was when the client connected. */
static void set_tcp_options(int fd) {
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
#ifdef TCP_DEFER_ACCEPT
    set_option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, 1);
#endif
}

static int bind_tcp(struct cg_listener *l, const struct addrinfo *a, bool reuse_port) {
    int fd = open_socket(a->ai_family);
    if (fd < 0)
        return fd;
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    set_option(fd, SOL_SOCKET, SO_REUSEPORT, reuse_port);
    set_tcp_options(fd);
    /* The default differs between systems; Linux's, on which Gunicorn's users rely, is off. */
    if (a->ai_family == AF_INET6)
        set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    if (bind(fd, a->ai_addr, a->ai_addrlen) < 0) {
        int rc = -errno;
        close(fd);
        return rc;
    }
    l->fd = fd;
    return 0;
}

static int errno_of_lookup(int error) {
    switch (error) {
    case EAI_SYSTEM:
        return -errno;
    case EAI_MEMORY:
        return -ENOMEM;
    case EAI_AGAIN:
        return -EAGAIN;
    default:
        return -EADDRNOTAVAIL;
    }
}

/* Looks the host up. Brackets are gone, but only an IPv6 address has colons. */
static int lookup(const struct cg_bind *bind, struct addrinfo **ret_list) {
    char port[8];
    snprintf(port, sizeof(port), "%u", bind->port);
    struct addrinfo hints = {
        .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
    };
    if (!bind->host[0])
        hints.ai_family = AF_INET;
    if (strchr(bind->host, ':')) {
        hints.ai_family = AF_INET6;
        hints.ai_flags |= AI_NUMERICHOST;
    }
    int error = getaddrinfo(bind->host[0] ? bind->host : NULL, port, &hints, ret_list);
    return error ? errno_of_lookup(error) : 0;
}

/* Goes on to the next address only when this machine does not have the one before: that its port is
 * taken must be told, not evaded by listening on another. */
static int open_tcp(struct cg_listener *l, bool reuse_port) {
    struct addrinfo *list;
    int rc = lookup(&l->bind, &list);
    if (rc < 0)
        return rc;
    rc = -EADDRNOTAVAIL;
    static const int families[] = {AF_INET, AF_INET6};
    for (int i = 0; i < 2; i++)
        for (const struct addrinfo *a = list; a; a = a->ai_next)
            if (a->ai_family == families[i] && (rc == -EADDRNOTAVAIL || rc == -EAFNOSUPPORT))
                rc = bind_tcp(l, a, reuse_port);
    freeaddrinfo(list);
    return rc;
}

static bool is_abstract(const struct cg_bind *bind) {
    return bind->path[0] == '@';
}

static socklen_t unix_address(const struct cg_bind *bind, struct sockaddr_un *ret_address) {
    *ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    size_t len = strnlen(bind->path, sizeof(ret_address->sun_path) - 1);
    memcpy(ret_address->sun_path, bind->path, len);
    if (is_abstract(bind))
        ret_address->sun_path[0] = '\0';
    else
        len++;
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

/* The process that listens at the other end of a unix socket, or 0. */
static pid_t peer_of(int fd) {
#ifdef SO_PEERCRED
    struct ucred peer;
    socklen_t len = sizeof(peer);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0)
        return peer.pid;
#endif
    (void)fd;
    return 0;
}

/* Removes the socket file of a server that is gone. 0 when the path is free, or -errno. */
static int clear_path(struct cg_listener *l, const struct sockaddr_un *address,
                      socklen_t address_len) {
    struct stat st;
    if (lstat(l->bind.path, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(st.st_mode))
        return -ENOTSOCK;
    int fd = open_socket(AF_UNIX);
    if (fd < 0)
        return fd;
    int error = connect(fd, (const struct sockaddr *)address, address_len) < 0 ? errno : 0;
    if (error == 0)
        l->holder = peer_of(fd);
    close(fd);
    switch (error) {
    case ECONNREFUSED:
        return unlink(l->bind.path) < 0 && errno != ENOENT ? -errno : 0;
    case ENOENT:
        return 0;
    case 0:
    case EAGAIN: /* its backlog is full */
    case EINPROGRESS:
    case EPROTOTYPE: /* a datagram socket */
        return -EADDRINUSE;
    default:
        return -error;
    }
}

/* 0 or -errno. */
static int set_file(struct cg_listener *l) {
    char *absolute = cg_path_absolute(l->bind.path);
    if (!absolute)
        return -errno;
    size_t len = strlen(absolute);
    if (len < sizeof(l->file))
        memcpy(l->file, absolute, len + 1);
    free(absolute);
    return len < sizeof(l->file) ? 0 : -ENAMETOOLONG;
}

int cg_listener_claim(struct cg_listener *l) {
    struct stat st;
    int rc = l->ino ? 0 : set_file(l);
    if (rc < 0)
        return rc;
    if (lstat(l->file, &st) < 0)
        return -errno;
    if (!S_ISSOCK(st.st_mode))
        return -ENOTSOCK;
    if (l->ino && (st.st_dev != l->dev || st.st_ino != l->ino))
        return -ESTALE;
    l->creator = getpid();
    l->dev = st.st_dev;
    l->ino = st.st_ino;
    return 0;
}

static bool owns_file(const struct cg_listener *l, struct stat *ret_st) {
    return l->creator == getpid() && lstat(l->file, ret_st) == 0 && S_ISSOCK(ret_st->st_mode) &&
           ret_st->st_dev == l->dev && ret_st->st_ino == l->ino;
}

/* Gives the file to whom it is to belong. Not to ask for what is so already lets one who is not
 * root do without the privilege. */
static int set_owner(const struct cg_listener *l, const struct cg_listener_options *options) {
    struct stat st;
    if (!owns_file(l, &st) || (st.st_uid == options->uid && st.st_gid == options->gid))
        return 0;
    return lchown(l->file, options->uid, options->gid) < 0 ? -errno : 0;
}

static int open_unix(struct cg_listener *l, const struct cg_listener_options *options) {
    struct sockaddr_un address;
    socklen_t len = unix_address(&l->bind, &address);
    int rc = is_abstract(&l->bind) ? 0 : clear_path(l, &address, len);
    if (rc < 0)
        return rc;
    l->fd = open_socket(AF_UNIX);
    if (l->fd < 0)
        return l->fd;
    mode_t old = umask(options->file_umask);
    rc = bind(l->fd, (struct sockaddr *)&address, len) < 0 ? -errno : 0;
    umask(old);
    if (rc == 0 && !is_abstract(&l->bind))
        rc = cg_listener_claim(l);
    return rc < 0 ? rc : set_owner(l, options);
}

static int adopt_fd(struct cg_listener *l) {
    int fd = l->bind.fd, type = 0, listening = 0;
    socklen_t len = sizeof(type);
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
        return -errno; /* EBADF and ENOTSOCK say it all */
    if (type != SOCK_STREAM)
        return -EINVAL;
    len = sizeof(listening);
    /* Not every system can be asked; where it cannot, accept will tell. */
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) == 0 && !listening)
        return -EINVAL;
    int rc = set_flags(fd);
    if (rc < 0)
        return rc;
    set_tcp_options(fd);
    l->fd = fd;
    rc = describe(l);
    if (rc == 0)
        cg_copy_deny(fd);
    else
        l->fd = -1;
    return rc;
}

int cg_listener_bind(struct cg_listener *l, const struct cg_bind *bind,
                     const struct cg_listener_options *options) {
    *l = (struct cg_listener){.fd = -1, .bind = *bind};
    if (bind->kind == CG_BIND_FD)
        return adopt_fd(l);
    int rc = bind->kind == CG_BIND_TCP ? open_tcp(l, options->reuse_port) : open_unix(l, options);
    if (rc == 0)
        rc = describe(l);
    if (rc == 0)
        cg_copy_deny(l->fd);
    else
        cg_listener_close(l);
    return rc;
}

int cg_listener_listen(struct cg_listener *l, const struct cg_listener_options *options) {
    if (l->bind.kind == CG_BIND_FD || listen(l->fd, options->backlog) == 0)
        return 0;
    int rc = -errno;
    cg_listener_close(l);
    return rc;
}

int cg_listener_adjust(const struct cg_listener *l, const struct cg_listener_options *options) {
    struct stat st;
    int rc = 0;
    if (l->bind.kind != CG_BIND_FD && listen(l->fd, options->backlog) < 0)
        rc = -errno;
    mode_t mode = 0777 & ~options->file_umask;
    if (rc == 0 && owns_file(l, &st) && (st.st_mode & 0777) != mode && chmod(l->file, mode) < 0)
        rc = -errno;
    return rc < 0 ? rc : set_owner(l, options);
}

void cg_listener_share_port(const struct cg_listener *l, bool shared) {
    if (l->local.family != CG_FAMILY_UNIX)
        set_option(l->fd, SOL_SOCKET, SO_REUSEPORT, shared);
}

bool cg_listener_covers(const struct cg_listener *l, const struct cg_listener *other) {
    const struct cg_endpoint *a = &l->local, *b = &other->local;
    if (a->family == CG_FAMILY_UNIX || b->family == CG_FAMILY_UNIX || a->port != b->port)
        return false;
    if (a->family == b->family && strcmp(a->host, b->host) == 0)
        return true;
    return strcmp(a->host, "::") == 0 ||
           (b->family == CG_FAMILY_IPV4 && strcmp(a->host, "0.0.0.0") == 0);
}

void cg_listener_close(struct cg_listener *l) {
    struct stat st;
    if (owns_file(l, &st))
        unlink(l->file);
    l->creator = 0;
    cg_fd_close(&l->fd);
}

int64_t cg_listener_waiting(const struct cg_listener *l, int64_t most) {
#ifdef __linux__
    struct tcp_info info; /* of a listener, tcpi_unacked is the length of its queue */
    socklen_t len = sizeof(info);
    if (l->local.family != CG_FAMILY_UNIX &&
        getsockopt(l->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0)
        return info.tcpi_unacked;
#endif
    return most;
}

/* What accept(2) reports about a connection that broke while it waited. It has been taken off the
 * queue, so waiting again is right. */
static bool is_lost_client(int error) {
    switch (error) {
    case ECONNABORTED:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ETIMEDOUT:
#ifdef ENONET
    case ENONET:
#endif
        return true;
    default:
        return false;
    }
}

static int accept_flagged(int fd, struct sockaddr *address, socklen_t *len) {
#ifdef __APPLE__
    int client = accept(fd, address, len);
    if (client >= 0)
        set_flags(client);
    return client;
#else
    return accept4(fd, address, len, SOCK_NONBLOCK | SOCK_CLOEXEC);
#endif
}

int cg_listener_accept(const struct cg_listener *l, struct cg_endpoint *ret_peer) {
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);
    int fd;
    do
        fd = accept_flagged(l->fd, (struct sockaddr *)&address, &len);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return errno == EWOULDBLOCK || is_lost_client(errno) ? -EAGAIN : -errno;
    cg_copy_deny(fd);
    /* A unix client may have bound any name it likes; one such as "127.0.0.1" must not pass for an
     * address. */
    if (l->local.family == CG_FAMILY_UNIX ||
        !cg_address_format((struct sockaddr *)&address, len, ret_peer)) {
        ret_peer->family = CG_FAMILY_UNIX;
        ret_peer->port = 0;
        ret_peer->host_len = 0;
        ret_peer->host[0] = '\0';
    }
    return fd;
}
