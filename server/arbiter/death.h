/* SPDX-License-Identifier: MIT
 *
 * Why a worker ended, and how the log says so. Reads wait statuses, slots and the kernel's OOM
 * counters; touches no process. The kinds stand in death.def.
 */
#ifndef CG_ARBITER_DEATH_H
#define CG_ARBITER_DEATH_H

#include "server/arbiter/slot.h"

#include <stdbool.h>
#include <stdint.h>

enum cg_death {
#define CG_DEATH(kind, level, blame, status, before, after) CG_DEATH_##kind,
#include "server/arbiter/death.def"
#undef CG_DEATH
};

/* In place of a wait status: somebody else in this process has taken it. It is neither an exit nor
 * a signal. */
enum { CG_DEATH_STATUS_LOST = -1 };

/* What the arbiter had done to the worker before it ended. */
struct cg_orders {
    bool leave;   /* TERM */
    bool quick;   /* QUIT */
    bool timeout; /* ABRT, because it showed no life; or a request's timeout ended it */
    bool kill;    /* KILL, because neither of the above helped */
};

/* The kernel's count of OOM kills. */
struct cg_oom {
    char path[4096];  /* of the file with the line "oom_kill N"; empty: there is none */
    bool own;         /* it counts our own control group, not the whole machine */
    uint64_t kills_n; /* at the last look */
    uint64_t rise_us; /* when a look last found it higher; 0 = never */
};

/* Finds the counter and reads it. Looks in the control group of this process (cgroup v2) first,
 * then at the machine's. */
void cg_oom_init(struct cg_oom *o);

/* As init, with the files given: for tests. */
void cg_oom_init_at(struct cg_oom *o, const char *proc_cgroup, const char *cgroup_root,
                    const char *vmstat);

enum cg_death cg_death_of(int status, struct cg_orders orders, struct cg_oom *oom, uint64_t now_us);

/* Whether it is an early death. ready_us: when the worker became ready, 0 = it never was. */
bool cg_death_is_early(enum cg_death death, struct cg_orders orders, uint64_t ready_us,
                       uint64_t now_us);

/* What the access line of a request says that ended with its worker. */
int cg_death_status(enum cg_death death);

/* One line, with the request that ran if there was one. */
void cg_death_log(enum cg_death death, int status, pid_t pid, const struct cg_slot *slot,
                  uint64_t now_us);

/* Why an exit code of a worker that boots ends a server that has never served; NULL: it does not.
 */
const char *cg_death_boot_reason(int status);

enum { CG_DOING_MAX = CG_SLOT_WORDS_MAX };

/* What a worker is doing: `request "GET / HTTP/1.1" from 127.0.0.1 is running for 31 s`,
 * "while booting", "while exiting ..." or "idle". Returns ret_text. */
const char *cg_doing(const struct cg_slot *slot, uint64_t now_us, char ret_text[CG_DOING_MAX]);

#endif
