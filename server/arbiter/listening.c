/* SPDX-License-Identifier: MIT
 *
 * Lists of listeners, and the log lines about addresses in Gunicorn's words. No state of its own.
 */
#include "server/arbiter/listening.h"

#include "server/base/buf.h"
#include "server/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ADDRESS_MAX = 300, REASON_MAX = 512, TRIES = 5 };

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

/* What strerror() would leave a user to guess. */
static const char *failure_text(const struct cg_bind *bind, int error) {
    if (bind->kind == CG_BIND_TCP && error == EADDRNOTAVAIL)
        return "this machine has no such address, or there is no host of that name";
    if (bind->kind == CG_BIND_UNIX && error == ENOTSOCK)
        return "a file that is no socket is in the way";
    if (bind->kind == CG_BIND_FD && error == EBADF)
        return "nothing was passed on at this number";
    if (bind->kind == CG_BIND_FD && error == EINVAL)
        return "it is no stream socket that listens";
    return strerror(error);
}

static void log_failure(const struct cg_bind *bind, const char *address, int error) {
    if (error == EADDRINUSE) {
        cg_log(CG_LOG_ERROR, "Connection in use: %s", address);
        cg_log(CG_LOG_ERROR, "connection to %s failed: [Errno %d] %s", address, error,
               strerror(error));
    } else {
        cg_log(CG_LOG_ERROR, "Can't listen at %s: %s", address, failure_text(bind, error));
    }
}

static int open_one(struct cg_listener *l, const struct cg_bind *bind,
                    const struct cg_settings *settings, const struct cg_patience *patience) {
    char address[ADDRESS_MAX];
    format_address(bind, address);
    int tries_n = patience ? TRIES : 1;
    for (int i = 0; i < tries_n; i++) {
        int rc = cg_listener_open(l, bind, (int)settings->backlog, (int)settings->umask);
        if (rc == 0)
            return 0;
        log_failure(bind, address, -rc);
        if (rc != -EADDRINUSE)
            return rc;
        if (i + 1 < tries_n && !patience->wait_second(patience->ctx))
            return -EINTR;
    }
    if (patience)
        cg_log(CG_LOG_ERROR, "Can't connect to %s", address);
    return -EADDRINUSE;
}

/* Adds one address to the list, whose array has room for it. */
static int add(struct cg_listeners *to, const char *text, const struct cg_settings *settings,
               const struct cg_listeners *shared, const struct cg_patience *patience) {
    struct cg_bind bind;
    char reason[REASON_MAX];
    int rc = cg_bind_parse(text, &bind, reason, sizeof(reason));
    if (rc < 0) {
        cg_log(CG_LOG_ERROR, "%s", reason);
        return rc;
    }
    /* An address given twice is not shared twice, but fails as in use. */
    const struct cg_listener *known = find(to, &bind) ? NULL : find(shared, &bind);
    if (known)
        to->at[to->n] = *known;
    else
        rc = open_one(&to->at[to->n], &bind, settings, patience);
    if (rc == 0)
        to->n++;
    return rc;
}

int cg_listening_open(const struct cg_settings *settings, const struct cg_listeners *shared,
                      const struct cg_patience *patience, struct cg_listeners *ret_listeners) {
    size_t n = 0;
    while (settings->bind && settings->bind[n])
        n++;
    struct cg_listeners listeners = {calloc(n + 1, sizeof(struct cg_listener)), 0};
    if (!listeners.at) {
        cg_log(CG_LOG_ERROR, "Can't listen: %s", strerror(ENOMEM));
        return -ENOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        int rc = add(&listeners, settings->bind[i], settings, shared, patience);
        if (rc < 0) {
            cg_listening_close(&listeners, shared);
            return rc;
        }
    }
    *ret_listeners = listeners;
    return 0;
}

static bool has(const struct cg_listeners *listeners, int fd) {
    for (size_t i = 0; listeners && i < listeners->n; i++)
        if (listeners->at[i].fd == fd)
            return true;
    return false;
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
    *listeners = (struct cg_listeners){NULL, 0};
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
