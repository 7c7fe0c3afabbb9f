/* SPDX-License-Identifier: MIT
 *
 * The arbiter's signals: handlers count and wake the loop, nothing else. Which signals, and what
 * each one means, stands in signal.def.
 */
#ifndef CG_ARBITER_SIGNALS_H
#define CG_ARBITER_SIGNALS_H

#include <stdbool.h>
#include <stddef.h>

/* Installs the handlers and unblocks the signals; PIPE is ignored from here on. Each signal writes
 * a byte to wake_fd, which must be non-blocking and outlive the handlers. */
void cg_signals_install(int wake_fd);

enum { CG_SIGNALS_NAMES_MAX = 128 };

/* Makes all as install has made it, if it is still installed, because code that is not ours may
 * have changed it. True when it had: ret_names has the signals' names then. */
bool cg_signals_retake(char ret_names[CG_SIGNALS_NAMES_MAX]);

/* Back to the dispositions and the mask that install found. */
void cg_signals_restore(void);

/* In a new child, with all signals blocked: the default action for each row of the table. */
void cg_signals_reset(void);

/* How often the signal came in since the last call. */
unsigned cg_signals_take(int number);

#endif
