/* SPDX-License-Identifier: MIT
 *
 * The messages of sd_notify(3), without its library. A manager that is slow or does not listen is
 * no reason not to serve. No state besides the caller's struct.
 */
#include "server/arbiter/notify.h"

#include "server/base/assert.h"
#include "server/base/clock.h"
#include "server/base/fd.h"
#include "server/base/num.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    STATUS_EVERY_US = 1000000,
    PAUSE_MIN_US = 20000,
    PAUSE_MAX_US = 1000000,
    LAST_WAIT_US = 1000000,
};

/* A path, or "@name" in the abstract namespace. */
static int set_address(struct cg_notify *n, const char *text) {
    size_t len = strlen(text);
    if ((text[0] != '/' && text[0] != '@') || len < 2 || len >= sizeof(n->address.sun_path))
        return -EINVAL;
    n->address.sun_family = AF_UNIX;
    memcpy(n->address.sun_path, text, len + 1);
    if (text[0] == '@')
        n->address.sun_path[0] = '\0';
    n->address_len =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (text[0] == '/' ? 1 : 0));
    return 0;
}

static bool parse(const char *text, uint64_t *ret_value) {
    return text && cg_num_parse_u64(cg_slice_str(text), ret_value) == 0;
}

int cg_notify_init(struct cg_notify *n, const struct cg_heritage_text *text, pid_t self) {
    uint64_t limit_us, pid;
    *n = (struct cg_notify){.silent = false};
    if (!text->notify_socket || !text->notify_socket[0])
        return 0;
    if (set_address(n, text->notify_socket) < 0)
        return -EINVAL;
    bool ours = !text->watchdog_pid || (parse(text->watchdog_pid, &pid) && pid == (uint64_t)self);
    if (ours && parse(text->watchdog_usec, &limit_us))
        n->ping_every_us = limit_us / 2;
    return 0;
}

/* Whether a later try may succeed: there was no room, of whatever kind. */
static bool is_passing(int error) {
    return error == EAGAIN || error == EWOULDBLOCK || error == ENOBUFS || error == ENOMEM ||
           error == EMFILE || error == ENFILE || error == EINTR;
}

/* 0 or -errno. */
static int send_message(const struct cg_notify *n, const struct cg_notify_message *m) {
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (fd < 0)
        return -errno;
    cg_fd_set_cloexec(fd, true);
    int rc = 0;
    if (sendto(fd, m->text, m->len, MSG_DONTWAIT | MSG_NOSIGNAL,
               (const struct sockaddr *)&n->address, n->address_len) < 0)
        rc = -errno;
    cg_fd_close(&fd);
    return rc;
}

static void drop(struct cg_notify *n, size_t i) {
    n->unsent_n--;
    memmove(&n->unsent[i], &n->unsent[i + 1], (n->unsent_n - i) * sizeof(n->unsent[0]));
}

static void forget(struct cg_notify *n, enum cg_notify_kind kind) {
    for (size_t i = n->unsent_n; i > 0; i--)
        if (n->unsent[i - 1].kind == kind)
            drop(n, i - 1);
}

/* Sends what there is, up to the first message for which there is no room. */
static void flush(struct cg_notify *n) {
    while (n->unsent_n > 0 && !is_passing(-send_message(n, &n->unsent[0])))
        drop(n, 0);
}

void cg_notify_push(struct cg_notify *n, uint64_t now_us) {
    if (n->unsent_n == 0 || now_us < n->retry_us)
        return;
    size_t before_n = n->unsent_n;
    flush(n);
    if (n->unsent_n < before_n || n->pause_us == 0)
        n->pause_us = PAUSE_MIN_US;
    else
        n->pause_us = n->pause_us * 2 < PAUSE_MAX_US ? n->pause_us * 2 : PAUSE_MAX_US;
    n->retry_us = now_us + n->pause_us;
}

__attribute__((format(printf, 3, 4))) static void
tell(struct cg_notify *n, enum cg_notify_kind kind, const char *format, ...) {
    if (n->address_len == 0)
        return;
    forget(n, kind);
    if (kind == CG_NOTIFY_READY)
        forget(n, CG_NOTIFY_STATUS);
    struct cg_notify_message *m = &n->unsent[n->unsent_n];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(m->text, sizeof(m->text), format, args);
    va_end(args);
    CG_ASSERT(len > 0 && len < CG_NOTIFY_MESSAGE_MAX);
    m->kind = kind;
    m->len = (size_t)len;
    n->unsent_n++;
    flush(n);
}

void cg_notify_reloading(struct cg_notify *n, uint64_t now_us) {
    n->reloading = true;
    if (!n->silent)
        tell(n, CG_NOTIFY_RELOADING, "RELOADING=1\nMONOTONIC_USEC=%llu",
             (unsigned long long)now_us);
}

static void format_status(const struct cg_notify_view *v, char ret_text[CG_NOTIFY_STATUS_MAX]) {
    snprintf(ret_text, CG_NOTIFY_STATUS_MAX, "%d of %d workers ready, %llu requests served%s%s%s",
             v->ready_n, v->wanted_n, (unsigned long long)v->requests_n,
             v->is_reloading ? ", reloading" : "", v->last_reload ? ", last reload " : "",
             v->last_reload ? v->last_reload : "");
}

static void tell_state(struct cg_notify *n, const struct cg_notify_view *view, uint64_t now_us) {
    bool is_up = !n->ready && view->ready_n >= view->wanted_n;
    bool reloaded = n->ready && n->reloading && !view->is_reloading;
    if (!view->is_reloading)
        n->reloading = false;
    char status[CG_NOTIFY_STATUS_MAX];
    format_status(view, status);
    bool news = strcmp(status, n->status) != 0 && now_us >= n->status_us;
    if (!is_up && !reloaded && !news)
        return;
    if (is_up || reloaded)
        tell(n, CG_NOTIFY_READY, "READY=1\nSTATUS=%s", status);
    else
        tell(n, CG_NOTIFY_STATUS, "STATUS=%s", status);
    n->ready |= is_up;
    strcpy(n->status, status);
    n->status_us = now_us + STATUS_EVERY_US;
}

/* Nobody who serves is a failure, once somebody did, unless nobody is wanted to. */
static void ping(struct cg_notify *n, const struct cg_notify_view *view, uint64_t now_us) {
    if (n->ping_every_us == 0 || now_us < n->ping_us)
        return;
    n->ping_us = now_us + n->ping_every_us;
    if (view->ready_n > 0 || view->wanted_n == 0)
        tell(n, CG_NOTIFY_WATCHDOG, "WATCHDOG=1");
    else
        forget(n, CG_NOTIFY_WATCHDOG);
}

void cg_notify_turn(struct cg_notify *n, const struct cg_notify_view *view, uint64_t now_us) {
    if (n->address_len == 0)
        return;
    if (!n->silent)
        tell_state(n, view, now_us);
    ping(n, view, now_us);
}

uint64_t cg_notify_next_us(const struct cg_notify *n) {
    uint64_t ping_us = n->ping_every_us > 0 ? n->ping_us : UINT64_MAX;
    uint64_t retry_us = n->unsent_n > 0 ? n->retry_us : UINT64_MAX;
    return ping_us < retry_us ? ping_us : retry_us;
}

void cg_notify_stopping(struct cg_notify *n, uint64_t limit_us) {
    n->ping_every_us = 0;
    if (!n->silent)
        tell(n, CG_NOTIFY_STOPPING, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%llu",
             (unsigned long long)limit_us);
}

void cg_notify_main_pid(struct cg_notify *n, pid_t pid) {
    tell(n, CG_NOTIFY_MAIN_PID, "MAINPID=%d", (int)pid);
}

void cg_notify_done(struct cg_notify *n) {
    uint64_t end_us = cg_clock_us() + LAST_WAIT_US;
    for (flush(n); n->unsent_n > 0 && cg_clock_us() < end_us; flush(n))
        poll(NULL, 0, PAUSE_MIN_US / 1000);
}
