/* SPDX-License-Identifier: MIT
 *
 * Lists of listeners, and the log lines about addresses in Gunicorn's words. No state of its own.
 */
#include "server/arbiter/listening.h"

#include "server/base/buf.h"
#include "server/base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ADDRESS_MAX = 300, HOLDER_MAX = 48, REASON_MAX = 512, TRIES = 5 };

/* "('127.0.0.1', 8000)", "/run/x.sock" */
static void format_address(const struct cg_bind *bind, char ret_text[ADDRESS_MAX]) {
    switch (bind->kind) {
    case CG_BIND_TCP:
        snprintf(ret_text, ADDRESS_MAX, "('%s', %d)", bind->host, bind->port);
        break;
    case CG_BIND_UNIX:
        snprintf(ret_text, ADDRESS_MAX, "%s", bind->path);
        break;
    case CG_BIND_FD:
        snprintf(ret_text, ADDRESS_MAX, "fd://%d", bind->fd);
        break;
    }
}

static bool same_bind(const struct cg_bind *a, const struct cg_bind *b) {
    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case CG_BIND_TCP:
        return a->port == b->port && strcmp(a->host, b->host) == 0;
    case CG_BIND_UNIX:
        return strcmp(a->path, b->path) == 0;
    case CG_BIND_FD:
        return a->fd == b->fd;
    }
    return false;
}

static const struct cg_listener *find(const struct cg_listeners *listeners,
                                      const struct cg_bind *bind) {
    for (size_t i = 0; listeners && i < listeners->n; i++)
        if (same_bind(&listeners->at[i].bind, bind))
            return &listeners->at[i];
    return NULL;
}

static bool has(const struct cg_listeners *listeners, int fd) {
    for (size_t i = 0; listeners && i < listeners->n; i++)
        if (listeners->at[i].fd == fd)
            return true;
    return false;
}

/* What strerror() would leave a user to guess. */
static const char *failure_text(const struct cg_bind *bind, int error) {
    if (bind->kind == CG_BIND_TCP && error == EADDRNOTAVAIL)
        return "this machine has no such address, or there is no host of that name";
    if (bind->kind == CG_BIND_UNIX && error == ENOTSOCK)
        return "a file that is no socket is in the way";
    if (bind->kind == CG_BIND_UNIX && error == ENOENT)
        return "there is no such folder";
    if (bind->kind == CG_BIND_TCP && error == EACCES)
        return "Permission denied, this port is for privileged users";
    if (bind->kind == CG_BIND_FD && error == EBADF)
        return "nothing was passed on at this number";
    if (bind->kind == CG_BIND_FD && error == ENOTSOCK)
        return "it is no socket";
    if (bind->kind == CG_BIND_FD && error == EINVAL)
        return "it is no stream socket that listens";
    return strerror(error);
}

static void log_failure(const struct cg_listener *l, const char *address, int error) {
    char holder[HOLDER_MAX] = "";
    if (l->holder)
        snprintf(holder, sizeof(holder), ", process %d listens there", (int)l->holder);
    if (error == EADDRINUSE) {
        cg_log(CG_LOG_ERROR, "Connection in use: %s", address);
        cg_log(CG_LOG_ERROR, "connection to %s failed: [Errno %d] %s%s", address, error,
               strerror(error), holder);
    } else {
        cg_log(CG_LOG_ERROR, "Can't listen at %s: %s", address, failure_text(&l->bind, error));
    }
}

static struct cg_listener_options options_of(const struct cg_settings *settings) {
    return (struct cg_listener_options){
        .backlog = (int)settings->backlog,
        .file_umask = (mode_t)settings->umask,
        .uid = (uid_t)settings->user,
        .gid = (gid_t)settings->group,
        .reuse_port = settings->reuse_port,
    };
}

static void share_ports(const struct cg_listeners *listeners, bool shared) {
    for (size_t i = 0; listeners && i < listeners->n; i++)
        cg_listener_share_port(&listeners->at[i], shared);
}

/* One of the old listeners that has the very address to which l is bound. */
static const struct cg_listener *find_twin(const struct cg_listeners *old,
                                           const struct cg_listener *l) {
    for (size_t i = 0; old && i < old->n; i++)
        if (cg_listener_covers(&old->at[i], l) && cg_listener_covers(l, &old->at[i]))
            return &old->at[i];
    return NULL;
}

/* Opens one beside the old ones. These are no hindrance: 0.0.0.0:80 can be opened while they have
 * 127.0.0.1:80, and what is theirs under another name goes on as it is. So no client is refused or
 * reset for a change of addresses. */
static int open_beside(struct cg_listener *l, const struct cg_bind *bind,
                       const struct cg_settings *settings, const struct cg_listeners *old) {
    struct cg_listener_options options = options_of(settings);
    options.reuse_port |= old != NULL;
    share_ports(old, true);
    int rc = cg_listener_bind(l, bind, &options);
    const struct cg_listener *twin = rc == 0 ? find_twin(old, l) : NULL;
    if (twin) {
        cg_listener_close(l);
        *l = *twin;
        l->bind = *bind;
    } else if (rc == 0) {
        rc = cg_listener_listen(l, &options);
    }
    share_ports(old, settings->reuse_port);
    if (rc == 0)
        cg_listener_share_port(l, settings->reuse_port);
    return rc;
}

static int open_one(struct cg_listener *l, const struct cg_bind *bind,
                    const struct cg_settings *settings, const struct cg_listeners *old,
                    const struct cg_patience *patience) {
    char address[ADDRESS_MAX];
    format_address(bind, address);
    int tries_n = patience ? TRIES : 1;
    for (int i = 0; i < tries_n; i++) {
        int rc = open_beside(l, bind, settings, old);
        if (rc == 0)
            return 0;
        log_failure(l, address, -rc);
        if (rc != -EADDRINUSE)
            return rc;
        if (i + 1 < tries_n && !patience->wait_second(patience->ctx))
            return -EINTR;
    }
    if (patience)
        cg_log(CG_LOG_ERROR, "Can't connect to %s", address);
    return -EADDRINUSE;
}

static int parse(const char *text, struct cg_bind *ret_bind) {
    char reason[REASON_MAX];
    int rc = cg_bind_parse(text, ret_bind, reason, sizeof(reason));
    if (rc < 0)
        cg_log(CG_LOG_ERROR, "%s", reason);
    return rc;
}

/* Adds one address to the list, whose array has room for it. */
static int add(struct cg_listeners *to, const struct cg_bind *bind,
               const struct cg_settings *settings, const struct cg_listeners *shared,
               const struct cg_patience *patience) {
    /* An address given twice is not shared twice, but fails as in use. */
    const struct cg_listener *known = find(to, bind) ? NULL : find(shared, bind);
    struct cg_listener *l = &to->at[to->n];
    int rc = 0;
    if (known)
        *l = *known;
    else
        rc = open_one(l, bind, settings, shared, patience);
    if (rc < 0)
        return rc;
    /* Two names of one address. */
    if (has(to, l->fd)) {
        log_failure(l, l->name, EADDRINUSE);
        return -EADDRINUSE;
    }
    l->bind.protocol = bind->protocol;
    to->n++;
    return 0;
}

static size_t count_binds(const struct cg_settings *settings) {
    size_t n = 0;
    while (settings->bind && settings->bind[n])
        n++;
    return n;
}

static int make_list(size_t room_n, struct cg_listeners *ret_listeners) {
    *ret_listeners =
        (struct cg_listeners){calloc(room_n + 1, sizeof(struct cg_listener)), 0, false};
    if (ret_listeners->at)
        return 0;
    cg_log(CG_LOG_ERROR, "Can't listen: %s", strerror(ENOMEM));
    return -ENOMEM;
}

/* Adds the binds that are descriptors, or those that are not. */
static int add_binds(struct cg_listeners *to, const struct cg_settings *settings, bool fds,
                     const struct cg_listeners *shared, const struct cg_patience *patience) {
    for (size_t i = 0, n = count_binds(settings); i < n; i++) {
        struct cg_bind bind;
        int rc = parse(settings->bind[i], &bind);
        /* A descriptor may be in the heritage as well. */
        if (rc == 0 && (bind.kind == CG_BIND_FD) == fds && !(fds && find(to, &bind)))
            rc = add(to, &bind, settings, shared, patience);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int add_heritage(struct cg_listeners *to, const struct cg_settings *settings,
                        const struct cg_heritage *heritage) {
    for (int i = 0; i < heritage->fds_n; i++) {
        struct cg_bind bind = {.kind = CG_BIND_FD, .fd = heritage->fds[i]};
        int rc = add(to, &bind, settings, NULL, NULL);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Whether a socket is what the bind would make. A host name may stand for any address. */
static bool satisfies(const struct cg_listener *l, const struct cg_bind *bind) {
    const char *host = bind->host[0] ? bind->host : "0.0.0.0";
    struct in6_addr ignored;
    bool is_name = inet_pton(AF_INET, host, &ignored) != 1 && !strchr(host, ':');
    switch (bind->kind) {
    case CG_BIND_FD:
        return l->fd == bind->fd;
    case CG_BIND_UNIX:
        return l->local.family == CG_FAMILY_UNIX && strcmp(l->local.host, bind->path) == 0;
    case CG_BIND_TCP:
        return l->local.family != CG_FAMILY_UNIX &&
               (bind->port == 0 || bind->port == l->local.port) &&
               (is_name || strcmp(l->local.host, host) == 0);
    }
    return false;
}

/* Inherited sockets take the places of the binds: one that an old master opened for a bind of ours
 * belongs to it from now on, as if we had opened it. Says which binds are left without. */
static int match_binds(struct cg_listeners *listeners, const struct cg_settings *settings) {
    for (size_t i = 0, n = count_binds(settings); i < n; i++) {
        struct cg_bind bind;
        int rc = parse(settings->bind[i], &bind);
        if (rc < 0)
            return rc;
        struct cg_listener *found = NULL;
        for (size_t k = 0; k < listeners->n && !found; k++)
            if (listeners->at[k].bind.kind == CG_BIND_FD && satisfies(&listeners->at[k], &bind))
                found = &listeners->at[k];
        if (!found)
            cg_log(CG_LOG_INFO, "Sockets were passed on, so the bind %s is not used",
                   settings->bind[i]);
        else if (!listeners->fixed)
            found->bind = bind;
        if (found)
            found->bind.protocol = bind.protocol;
    }
    return 0;
}

/* What a bind does not say about its protocol the setting does. */
static void set_protocols(struct cg_listeners *listeners, const struct cg_settings *settings) {
    for (size_t i = 0; i < listeners->n; i++) {
        struct cg_listener *l = &listeners->at[i];
        bool is_said = l->bind.protocol != CG_PROTOCOL_AUTO;
        cg_listener_set_protocol(l,
                                 is_said ? l->bind.protocol : cg_protocol_of(settings->protocol));
    }
}

int cg_listening_open(const struct cg_settings *settings, const struct cg_heritage *heritage,
                      const struct cg_patience *patience, struct cg_listeners *ret_listeners) {
    struct cg_listeners listeners;
    int rc = make_list(count_binds(settings) + (size_t)heritage->fds_n, &listeners);
    if (rc < 0)
        return rc;
    listeners.fixed = heritage->from == CG_HERITAGE_MANAGER;
    rc = add_heritage(&listeners, settings, heritage);
    if (rc == 0)
        rc = add_binds(&listeners, settings, true, NULL, NULL);
    if (rc == 0 && listeners.n > 0)
        rc = match_binds(&listeners, settings);
    else if (rc == 0)
        rc = add_binds(&listeners, settings, false, NULL, patience);
    set_protocols(&listeners, settings);
    if (rc < 0)
        cg_listening_close(&listeners, NULL);
    else
        *ret_listeners = listeners;
    return rc;
}

static bool same_binds(const struct cg_settings *a, const struct cg_settings *b) {
    size_t n = count_binds(a);
    bool same = n == count_binds(b);
    for (size_t i = 0; i < n && same; i++)
        same = strcmp(a->bind[i], b->bind[i]) == 0;
    return same;
}

/* Keeps old sockets for a part of what a new one has. The kernel prefers the narrower one, so
 * closing it could reset clients that are just connecting. */
static void keep_covered(struct cg_listeners *to, const struct cg_listeners *old) {
    size_t own_n = to->n;
    for (size_t i = 0; i < old->n; i++)
        for (size_t k = 0; k < own_n && !has(to, old->at[i].fd); k++)
            if (cg_listener_covers(&to->at[k], &old->at[i]))
                to->at[to->n++] = old->at[i];
}

int cg_listening_renew(const struct cg_settings *settings, const struct cg_settings *old_settings,
                       const struct cg_listeners *old, struct cg_listeners *ret_listeners) {
    struct cg_listeners listeners;
    bool keeps = old->fixed || same_binds(settings, old_settings);
    int rc = make_list(count_binds(settings) + old->n, &listeners);
    if (rc < 0)
        return rc;
    listeners.fixed = old->fixed;
    if (keeps) {
        memcpy(listeners.at, old->at, old->n * sizeof(*old->at));
        listeners.n = old->n;
    } else {
        rc = add_binds(&listeners, settings, true, old, NULL);
        if (rc == 0 && listeners.n == 0)
            rc = add_binds(&listeners, settings, false, old, NULL);
        if (rc == 0)
            keep_covered(&listeners, old);
    }
    set_protocols(&listeners, settings);
    if (rc < 0)
        cg_listening_close(&listeners, old);
    else
        *ret_listeners = listeners;
    return rc;
}

bool cg_listening_same(const struct cg_listeners *a, const struct cg_listeners *b) {
    for (size_t i = 0; i < a->n; i++)
        if (!has(b, a->at[i].fd))
            return false;
    return a->n == b->n;
}

void cg_listening_close(struct cg_listeners *listeners, const struct cg_listeners *kept) {
    for (size_t i = 0; i < listeners->n; i++)
        if (!has(kept, listeners->at[i].fd))
            cg_listener_close(&listeners->at[i]);
    free(listeners->at);
    *listeners = (struct cg_listeners){NULL, 0, false};
}

void cg_listening_adjust(const struct cg_listeners *listeners, const struct cg_settings *settings) {
    struct cg_listener_options options = options_of(settings);
    for (size_t i = 0; i < listeners->n && !listeners->fixed; i++) {
        int rc = cg_listener_adjust(&listeners->at[i], &options);
        if (rc < 0)
            cg_log(CG_LOG_ERROR, "Can't change %s: %s", listeners->at[i].name, strerror(-rc));
    }
}

void cg_listening_claim(struct cg_listeners *listeners) {
    for (size_t i = 0; i < listeners->n; i++) {
        struct cg_listener *l = &listeners->at[i];
        /* One whose file has gone has none to unlink. */
        if (l->bind.kind == CG_BIND_UNIX && l->bind.path[0] != '@' && l->creator == 0)
            (void)cg_listener_claim(l);
    }
}

void cg_listening_disown(struct cg_listeners *listeners, const struct cg_listeners *passed_on) {
    for (size_t i = 0; i < listeners->n; i++)
        if (has(passed_on, listeners->at[i].fd))
            listeners->at[i].creator = 0;
}

void cg_listening_log(const struct cg_listeners *listeners) {
    struct cg_buf names = CG_BUF_INIT;
    int rc = 0;
    for (size_t i = 0; i < listeners->n && rc == 0; i++)
        rc = cg_buf_appendf(&names, "%s%s", i > 0 ? "," : "", listeners->at[i].name);
    if (rc == 0)
        cg_log(CG_LOG_INFO, "Listening at: %.*s (%d)", (int)names.len, names.len ? names.at : "",
               (int)getpid());
    cg_buf_done(&names);
}
