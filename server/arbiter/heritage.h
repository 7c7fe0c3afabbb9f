/* SPDX-License-Identifier: MIT
 *
 * What a server gets from whoever started it: sockets from a service manager (sd_listen_fds(3)) or
 * from the master that it is to replace. Pure text: opens nothing, keeps nothing, does not log.
 */
#ifndef CG_ARBITER_HERITAGE_H
#define CG_ARBITER_HERITAGE_H

#include "server/base/slice.h"

#include <stdbool.h>
#include <sys/types.h>

enum { CG_HERITAGE_FDS_MAX = 256, CG_HERITAGE_FIRST_FD = 3 };

/* The variables of heritage.def as they were found; NULL = not set. */
struct cg_heritage_text {
#define CG_HERITAGE(field, name, stays) const char *field;
#include "server/arbiter/heritage.def"
#undef CG_HERITAGE
};

enum cg_heritage_from { CG_HERITAGE_NOTHING, CG_HERITAGE_MANAGER, CG_HERITAGE_MASTER };

struct cg_heritage {
    enum cg_heritage_from from; /* whom the sockets are from */
    int fds[CG_HERITAGE_FDS_MAX];
    int fds_n;
    pid_t old_master; /* 0 = there is none */
};

/* LISTEN_FDS counts when LISTEN_PID is `self`, GUNICORN_FD when it does not. 0, or -EINVAL with a
 * sentence for the user. */
int cg_heritage_parse(const struct cg_heritage_text *text, pid_t self,
                      struct cg_heritage *ret_heritage, char *ret_text, size_t ret_text_len);

#endif
