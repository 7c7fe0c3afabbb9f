/* SPDX-License-Identifier: MIT
 *
 * The listeners of one generation of workers: opened from its settings, shared with the generation
 * before where the addresses are the same. Logs what cannot be opened. Owns no state.
 */
#ifndef CG_ARBITER_LISTENING_H
#define CG_ARBITER_LISTENING_H

#include "server/net/listener.h"
#include "server/settings/settings.h"

/* What to do while an address is in use: wait_second waits for one second; false gives up. */
struct cg_patience {
    bool (*wait_second)(void *ctx);
    void *ctx;
};

/* Makes a list of all that settings->bind asks for; what `shared` has (NULL: nothing) is taken from
 * there, the rest is opened. An address in use is tried again with patience, not without (NULL). 0,
 * or -errno with nothing left open: -EINTR when patience gave up, else the log says why. */
int cg_listening_open(const struct cg_settings *settings, const struct cg_listeners *shared,
                      const struct cg_patience *patience, struct cg_listeners *ret_listeners);

/* Whether both lists have the same sockets. */
bool cg_listening_same(const struct cg_listeners *a, const struct cg_listeners *b);

/* Closes all but those that are in `kept` too (NULL: none), and empties the list. */
void cg_listening_close(struct cg_listeners *listeners, const struct cg_listeners *kept);

/* "Listening at: http://127.0.0.1:8000,unix:/run/x.sock (PID)" */
void cg_listening_log(const struct cg_listeners *listeners);

#endif
