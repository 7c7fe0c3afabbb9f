/* SPDX-License-Identifier: MIT
 *
 * The arbiter: owns listeners, scoreboard, signals and the pool of workers; never touches a client.
 * One loop: drain the noted signals, reap children, look at the heartbeats, match the number of
 * workers, wait. Signals and their meaning stand in signal.def, generations and workers in pool.h.
 */
#ifndef CG_ARBITER_ARBITER_H
#define CG_ARBITER_ARBITER_H

#include "server/arbiter/child.h"
#include "server/arbiter/heritage.h"

struct cg_arbiter_result {
    int exit_code;
    bool in_child; /* true: this is a worker process whose worker_main has returned */
};

/* Runs until told to stop. settings and heritage must outlive the call (a reload's settings are
 * handled through the runtime). ctx is passed to every worker, lost writes
 * the access lines that workers cannot write any more. Logs must be open. Signal
 * dispositions are restored before it returns in the parent. */
struct cg_arbiter_result cg_arbiter_run(const struct cg_settings *settings,
                                        const struct cg_heritage_text *heritage,
                                        const struct cg_runtime *runtime, void *rt,
                                        cg_worker_main_fn worker_main, cg_lost_fn lost, void *ctx);

/* What goes with the logs of these settings, once those are open: the capture of what the
 * application prints, and metrics. Failures are logged, they are no reason not to serve. */
void cg_arbiter_open_outputs(const struct cg_settings *settings);

#endif
