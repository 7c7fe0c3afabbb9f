/* SPDX-License-Identifier: MIT
 *
 * Whose turn it is with an exchange. The thread that runs it has the turn, except while it is in
 * the application: then whichever thread of the application's calls the server takes it for as long
 * as it needs, which includes a wait for the client. Whoever else comes meanwhile, the exchange's
 * own thread on its way out too, waits without the interpreter lock, first come, first served.
 *
 * All functions are called with a thread state.
 */
#ifndef CG_PYEXT_TURN_H
#define CG_PYEXT_TURN_H

#include "pyext/py.h"

#include <stdbool.h>

struct cg_turn_waiter;

struct cg_turn {
    cg_py_lock lock;      /* of the rest */
    unsigned long holder; /* a thread; 0 = nobody */
    bool is_over;         /* the application's threads do not get it any more */
    struct cg_turn_waiter *first, *last;
};

/* The calling thread has it. */
void cg_turn_begin(struct cg_turn *t);

/* For the exchange's own thread, coming back from the application: waits for it. False at once when
 * that thread has it already. */
bool cg_turn_take(struct cg_turn *t);
/* For a thread of the application's: waits for it. False when it is over, or over meanwhile, and at
 * once when the calling thread has it already, as when the server's own doing runs a finalizer of
 * the application's. */
bool cg_turn_ask(struct cg_turn *t);
/* The same without waiting: false, too, when another thread has it. */
bool cg_turn_try(struct cg_turn *t);
bool cg_turn_is_over(struct cg_turn *t);
void cg_turn_release(struct cg_turn *t);

/* For whoever has it: there is nothing left to do in turn. Those who wait go home, and touch *t no
 * more. */
void cg_turn_end(struct cg_turn *t);

#endif
