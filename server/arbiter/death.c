/* SPDX-License-Identifier: MIT
 *
 * Tells deaths apart and words them. Owns no state; the OOM counter is its caller's.
 */
#include "server/arbiter/death.h"

#include "server/arbiter/runtime.h"
#include "server/arbiter/throttle.h"
#include "server/base/log.h"
#include "server/base/num.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

/* Kills of one shortage come close together, and one look may count them all. */
enum { OOM_SPREAD_US = 1000000, WHAT_MAX = 32 };

enum blame { BLAME_NEVER, BLAME_BOOT, BLAME_EARLY };

static const struct row {
    enum cg_log_level level;
    enum blame blame;
    int status;
    const char *before, *after;
} rows[] = {
#define CG_DEATH(kind, level, blame, status, before, after)                                        \
    {CG_LOG_##level, BLAME_##blame, status, before, after},
#include "server/arbiter/death.def"
#undef CG_DEATH
};

static const struct {
    int number;
    const char *name;
} signal_names[] = {
    {SIGABRT, "SIGABRT"}, {SIGALRM, "SIGALRM"}, {SIGBUS, "SIGBUS"},   {SIGFPE, "SIGFPE"},
    {SIGHUP, "SIGHUP"},   {SIGILL, "SIGILL"},   {SIGINT, "SIGINT"},   {SIGKILL, "SIGKILL"},
    {SIGPIPE, "SIGPIPE"}, {SIGQUIT, "SIGQUIT"}, {SIGSEGV, "SIGSEGV"}, {SIGSYS, "SIGSYS"},
    {SIGTERM, "SIGTERM"}, {SIGTRAP, "SIGTRAP"}, {SIGUSR1, "SIGUSR1"}, {SIGUSR2, "SIGUSR2"},
    {SIGXCPU, "SIGXCPU"}, {SIGXFSZ, "SIGXFSZ"},
};

static const struct {
    enum cg_exit code;
    const char *reason;
} boot_reasons[] = {
    {CG_EXIT_WORKER_BOOT, "Worker failed to boot."},
    {CG_EXIT_APP_LOAD, "App failed to load."},
};

/* The number behind `key` at the start of a line. False when the file or the line is not there. */
static bool read_counter(const char *path, const char *key, uint64_t *ret_value) {
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    char line[256];
    size_t key_len = strlen(key);
    bool found = false;
    while (!found && fgets(line, sizeof(line), f)) {
        if (strncmp(line, key, key_len) != 0 || line[key_len] != ' ')
            continue;
        const char *value = line + key_len + 1;
        found = cg_num_parse_u64(cg_slice_of(value, strcspn(value, "\n")), ret_value) == 0;
    }
    fclose(f);
    return found;
}

/* The path of this process's cgroup v2 group, from the line "0::/path". */
static bool read_own_group(const char *proc_cgroup, char *ret_path, size_t len) {
    FILE *f = fopen(proc_cgroup, "re");
    if (!f)
        return false;
    bool found = false;
    while (!found && fgets(ret_path, (int)len, f))
        found = strncmp(ret_path, "0::/", 4) == 0;
    fclose(f);
    if (!found)
        return false;
    ret_path[strcspn(ret_path, "\n")] = '\0';
    memmove(ret_path, ret_path + 3, strlen(ret_path + 3) + 1);
    return true;
}

void cg_oom_init_at(struct cg_oom *o, const char *proc_cgroup, const char *cgroup_root,
                    const char *vmstat) {
    *o = (struct cg_oom){.own = true};
    char group[2048];
    if (read_own_group(proc_cgroup, group, sizeof(group)) &&
        snprintf(o->path, sizeof(o->path), "%s%s/memory.events", cgroup_root, group) > 0 &&
        read_counter(o->path, "oom_kill", &o->kills_n))
        return;
    o->own = false;
    snprintf(o->path, sizeof(o->path), "%s", vmstat);
    if (!read_counter(o->path, "oom_kill", &o->kills_n))
        o->path[0] = '\0';
}

void cg_oom_init(struct cg_oom *o) {
    cg_oom_init_at(o, "/proc/self/cgroup", "/sys/fs/cgroup", "/proc/vmstat");
}

/* Who sent a SIGKILL that was not ours. The kernel counts before it kills, so the count is up by
 * now. */
static enum cg_death blame_kill(struct cg_oom *o, uint64_t now_us) {
    uint64_t kills_n;
    if (!o->path[0] || !read_counter(o->path, "oom_kill", &kills_n))
        return CG_DEATH_OOM_PERHAPS;
    if (kills_n > o->kills_n)
        o->rise_us = now_us;
    o->kills_n = kills_n;
    if (o->rise_us == 0 || now_us - o->rise_us > OOM_SPREAD_US)
        return CG_DEATH_KILLED;
    return o->own ? CG_DEATH_OOM : CG_DEATH_OOM_PERHAPS;
}

enum cg_death cg_death_of(int status, struct cg_orders orders, struct cg_oom *oom,
                          uint64_t now_us) {
    if (status == CG_DEATH_STATUS_LOST)
        return CG_DEATH_LOST;
    int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    if (orders.timeout)
        return CG_DEATH_TIMED_OUT;
    if (orders.kill && number == SIGKILL)
        return CG_DEATH_OVERDUE;
    if (number == 0)
        return WEXITSTATUS(status) == 0 ? CG_DEATH_DONE : CG_DEATH_EXITED;
    if (number == SIGKILL)
        return blame_kill(oom, now_us);
    if (number == SIGTERM || (orders.quick && number == SIGQUIT))
        return CG_DEATH_TERMINATED;
    return CG_DEATH_CRASHED;
}

bool cg_death_is_early(enum cg_death death, struct cg_orders orders, uint64_t ready_us,
                       uint64_t now_us) {
    enum blame blame = rows[death].blame;
    if (orders.leave || orders.quick || blame == BLAME_NEVER)
        return false;
    return ready_us == 0 || (blame == BLAME_EARLY && now_us - ready_us < CG_THROTTLE_EARLY_US);
}

int cg_death_status(enum cg_death death) {
    return rows[death].status;
}

static void name_signal(int number, char *ret_text, size_t len) {
    for (size_t i = 0; i < sizeof(signal_names) / sizeof(signal_names[0]); i++) {
        if (signal_names[i].number != number)
            continue;
        snprintf(ret_text, len, "%s", signal_names[i].name);
        return;
    }
    snprintf(ret_text, len, "signal %d", number);
}

void cg_death_log(enum cg_death death, int status, pid_t pid, const struct cg_slot *slot,
                  uint64_t now_us) {
    const struct row *row = &rows[death];
    char what[WHAT_MAX] = "", doing[CG_DOING_MAX];
    if (WIFSIGNALED(status))
        name_signal(WTERMSIG(status), what, sizeof(what));
    else if (WIFEXITED(status))
        snprintf(what, sizeof(what), death == CG_DEATH_TIMED_OUT ? "exit code %d" : "%d",
                 WEXITSTATUS(status));
    bool in_request = atomic_load(&slot->request_us) != 0;
    cg_log(row->level, "Worker (pid:%d) %s%s%s%s%s", (int)pid, row->before, what, row->after,
           in_request ? " Last sign: " : "", in_request ? cg_doing(slot, now_us, doing) : "");
}

const char *cg_death_boot_reason(int status) {
    for (size_t i = 0; i < sizeof(boot_reasons) / sizeof(boot_reasons[0]); i++)
        if (WIFEXITED(status) && WEXITSTATUS(status) == (int)boot_reasons[i].code)
            return boot_reasons[i].reason;
    return NULL;
}

const char *cg_doing(const struct cg_slot *slot, uint64_t now_us, char ret_text[CG_DOING_MAX]) {
    struct cg_slot_view view;
    cg_slot_read(slot, &view);
    if (view.request_us == 0) {
        int state = atomic_load(&slot->state);
        return strcpy(ret_text,
                      state == CG_SLOT_BOOTING ? "while booting"
                      : state == CG_SLOT_EXITING
                          ? "while exiting (atexit functions, threads that are no daemons)"
                          : "idle");
    }
    return cg_slot_words(&view, now_us, ret_text);
}
