/* SPDX-License-Identifier: MIT
 *
 * The listeners of one generation of workers: inherited, or opened from its settings, shared with
 * the generation before where the addresses are the same. Logs what cannot be opened. Owns no
 * state.
 */
#ifndef CG_ARBITER_LISTENING_H
#define CG_ARBITER_LISTENING_H

#include "server/arbiter/heritage.h"
#include "server/net/listener.h"
#include "server/settings/settings.h"

/* What to do while an address is in use: wait_second waits for one second; false gives up. */
struct cg_patience {
    bool (*wait_second)(void *ctx);
    void *ctx;
};

/* At the start: opens all that settings->bind asks for, an address in use again and again with
 * patience. When the heritage or a bind of the form fd://N says that sockets were passed on, it is
 * those that are served, and no other address. 0, or -errno with nothing left open: -EINTR when
 * patience gave up, else the log says why. */
int cg_listening_open(const struct cg_settings *settings, const struct cg_heritage *heritage,
                      const struct cg_patience *patience, struct cg_listeners *ret_listeners);

/* At a reload: what `old` has is shared, the rest is opened, without patience. All are shared when
 * the setting did not change, or when they are a service manager's. As above. */
int cg_listening_renew(const struct cg_settings *settings, const struct cg_settings *old_settings,
                       const struct cg_listeners *old, struct cg_listeners *ret_listeners);

/* Once the settings are in force: backlog, file mode and owner of listeners that were there before.
 * A service manager's are left alone. */
void cg_listening_adjust(const struct cg_listeners *listeners, const struct cg_settings *settings);

/* Whether both lists have the same sockets. */
bool cg_listening_same(const struct cg_listeners *a, const struct cg_listeners *b);

/* Closes all but those that are in `kept` too (NULL: none), and empties the list. */
void cg_listening_close(struct cg_listeners *listeners, const struct cg_listeners *kept);

/* The socket files of listeners that are another master's, too, become ours when that has gone; of
 * ours, those that are `passed_on` become the new master's. */
void cg_listening_claim(struct cg_listeners *listeners);
void cg_listening_disown(struct cg_listeners *listeners, const struct cg_listeners *passed_on);

/* "Listening at: http://127.0.0.1:8000,unix:/run/x.sock (PID)" */
void cg_listening_log(const struct cg_listeners *listeners);

#endif
