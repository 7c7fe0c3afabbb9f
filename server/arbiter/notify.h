/* SPDX-License-Identifier: MIT
 *
 * What a service manager is told (sd_notify(3)): ready, reloading, stopping, a line of status, and
 * that we are alive. Datagrams to $NOTIFY_SOCKET; without it every function does nothing. Nothing
 * is sent twice, and a server that idles sends nothing but the watchdog's pings.
 *
 * Nothing waits for the manager. What its socket has no room for is kept, in order, and tried again
 * until it is taken or the socket is gone. Of each kind only the newest is kept: that bounds the
 * queue, and the last word of each kind, in order, says all that counts.
 */
#ifndef CG_ARBITER_NOTIFY_H
#define CG_ARBITER_NOTIFY_H

#include "server/arbiter/heritage.h"
#include "server/arbiter/pool.h"

#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { CG_NOTIFY_STATUS_MAX = 160, CG_NOTIFY_MESSAGE_MAX = 256 };

enum cg_notify_kind {
    CG_NOTIFY_MAIN_PID,
    CG_NOTIFY_READY, /* with a status */
    CG_NOTIFY_RELOADING,
    CG_NOTIFY_STOPPING,
    CG_NOTIFY_STATUS,
    CG_NOTIFY_WATCHDOG,
    CG_NOTIFY_KINDS_N,
};

struct cg_notify_message {
    enum cg_notify_kind kind;
    size_t len;
    char text[CG_NOTIFY_MESSAGE_MAX];
};

struct cg_notify {
    struct sockaddr_un address;
    socklen_t address_len;  /* 0 = nobody wants to know */
    uint64_t ping_every_us; /* half of the watchdog's limit; 0 = there is none */
    uint64_t ping_us;       /* when the next ping is due */
    uint64_t status_us;     /* when the next status may go out */
    bool silent;            /* another master of an upgrade speaks for the service */
    bool ready;             /* READY=1 was sent, */
    bool reloading;         /* and RELOADING=1 after it */
    char status[CG_NOTIFY_STATUS_MAX];
    struct cg_notify_message unsent[CG_NOTIFY_KINDS_N]; /* oldest first */
    size_t unsent_n;
    uint64_t retry_us; /* when they are tried again, */
    uint64_t pause_us; /* and how much later after that */
};

/* The server as it is now. */
struct cg_notify_view {
    int ready_n, wanted_n; /* workers */
    uint64_t requests_n;   /* served so far */
    bool is_reloading;
    const char *last_reload; /* "done" or "failed"; NULL: there was none */
};

/* The watchdog is ours when WATCHDOG_PID is `self` or not set. 0, or -EINVAL when NOTIFY_SOCKET is
 * no address: then nothing will be sent. */
int cg_notify_init(struct cg_notify *n, const struct cg_heritage_text *text, pid_t self);

/* Before a reload. */
void cg_notify_reloading(struct cg_notify *n, uint64_t now_us);

/* Once a turn while the server is not told to stop. */
void cg_notify_turn(struct cg_notify *n, const struct cg_notify_view *view, uint64_t now_us);

/* Once a turn, to the end of the server: tries again what could not be sent. */
void cg_notify_push(struct cg_notify *n, uint64_t now_us);

/* When a turn is needed at the latest; UINT64_MAX: this is no reason for one. */
uint64_t cg_notify_next_us(const struct cg_notify *n);

/* The server stops, within limit_us. */
void cg_notify_stopping(struct cg_notify *n, uint64_t limit_us);

/* The last call. A manager that is too slow for what it has not been told is given a second. */
void cg_notify_done(struct cg_notify *n);

/* Another process, perhaps this one, is the main process of the service from now on. */
void cg_notify_main_pid(struct cg_notify *n, pid_t pid);

#endif
