/* SPDX-License-Identifier: MIT
 *
 * Strict reading of the variables; Gunicorn's are LISTEN_PID, LISTEN_FDS, GUNICORN_FD and
 * GUNICORN_PID. No state.
 */
#include "server/arbiter/heritage.h"

#include "server/base/num.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>

static bool parse_int(struct cg_slice text, int *ret_value) {
    uint64_t value;
    if (cg_num_parse_u64(text, &value) < 0 || value > INT_MAX)
        return false;
    *ret_value = (int)value;
    return true;
}

/* The process id in a variable; 0 when it is not set, -1 when it is no process id. */
static int parse_pid(const char *text) {
    int pid;
    if (!text)
        return 0;
    return parse_int(cg_slice_str(text), &pid) && pid > 0 ? pid : -1;
}

static bool has_fd(const struct cg_heritage *h, int fd) {
    for (int i = 0; i < h->fds_n; i++)
        if (h->fds[i] == fd)
            return true;
    return false;
}

/* "5,6,9"; a number given twice counts once. */
static bool parse_list(const char *text, struct cg_heritage *h) {
    for (const char *at = text;; at++) {
        size_t len = strcspn(at, ",");
        int fd;
        if (!parse_int(cg_slice_of(at, len), &fd) || h->fds_n == CG_HERITAGE_FDS_MAX)
            return false;
        if (!has_fd(h, fd))
            h->fds[h->fds_n++] = fd;
        at += len;
        if (!*at)
            return true;
    }
}

static bool parse_count(const char *text, struct cg_heritage *h) {
    if (!parse_int(cg_slice_str(text), &h->fds_n) || h->fds_n > CG_HERITAGE_FDS_MAX)
        return false;
    for (int i = 0; i < h->fds_n; i++)
        h->fds[i] = CG_HERITAGE_FIRST_FD + i;
    return true;
}

int cg_heritage_parse(const struct cg_heritage_text *text, pid_t self,
                      struct cg_heritage *ret_heritage, char *ret_text, size_t ret_text_len) {
    struct cg_heritage h = {.from = CG_HERITAGE_NOTHING,
                            .old_master = parse_pid(text->gunicorn_pid)};
    if (h.old_master < 0) {
        snprintf(ret_text, ret_text_len, "GUNICORN_PID is '%s', which is no process id.",
                 text->gunicorn_pid);
        return -EINVAL;
    }
    /* A LISTEN_PID that is not ours, garbage too, was left over for another process. */
    if (text->listen_fds && parse_pid(text->listen_pid) == self) {
        if (!parse_count(text->listen_fds, &h)) {
            snprintf(ret_text, ret_text_len, "LISTEN_FDS is '%s', which is no number from 0 to %d.",
                     text->listen_fds, CG_HERITAGE_FDS_MAX);
            return -EINVAL;
        }
        h.from = h.fds_n > 0 ? CG_HERITAGE_MANAGER : CG_HERITAGE_NOTHING;
    }
    if (h.from == CG_HERITAGE_NOTHING && text->gunicorn_fd) {
        if (!parse_list(text->gunicorn_fd, &h)) {
            snprintf(ret_text, ret_text_len,
                     "GUNICORN_FD is '%s', which is no list of at most %d file descriptors.",
                     text->gunicorn_fd, CG_HERITAGE_FDS_MAX);
            return -EINVAL;
        }
        h.from = CG_HERITAGE_MASTER;
    }
    *ret_heritage = h;
    return 0;
}
