/* SPDX-License-Identifier: MIT
 *
 * The messages of sd_notify(3), without its library. A message that cannot be delivered is dropped:
 * a manager that does not listen is no reason not to serve. No state besides the caller's struct.
 */
#include "server/arbiter/notify.h"

#include "server/base/fd.h"
#include "server/base/num.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

enum { STATUS_EVERY_US = 1000000, MESSAGE_MAX = 512 };

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

__attribute__((format(printf, 2, 3))) static void tell(const struct cg_notify *n,
                                                       const char *format, ...) {
    if (n->address_len == 0)
        return;
    char message[MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (fd < 0 || len < 0 || len >= MESSAGE_MAX)
        goto done;
    cg_fd_set_cloexec(fd, true);
    (void)!sendto(fd, message, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL,
                  (const struct sockaddr *)&n->address, n->address_len);
done:
    cg_fd_close(&fd);
}

void cg_notify_reloading(struct cg_notify *n, uint64_t now_us) {
    n->reloading = true;
    if (!n->silent)
        tell(n, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)now_us);
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
    tell(n, "%sSTATUS=%s", is_up || reloaded ? "READY=1\n" : "", status);
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
        tell(n, "WATCHDOG=1");
}

void cg_notify_turn(struct cg_notify *n, const struct cg_notify_view *view, uint64_t now_us) {
    if (n->address_len == 0)
        return;
    if (!n->silent)
        tell_state(n, view, now_us);
    ping(n, view, now_us);
}

uint64_t cg_notify_next_us(const struct cg_notify *n) {
    return n->ping_every_us > 0 ? n->ping_us : UINT64_MAX;
}

void cg_notify_stopping(struct cg_notify *n, uint64_t limit_us) {
    if (!n->silent)
        tell(n, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%llu", (unsigned long long)limit_us);
}

void cg_notify_main_pid(struct cg_notify *n, pid_t pid) {
    tell(n, "MAINPID=%d", (int)pid);
}
