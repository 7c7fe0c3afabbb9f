/* SPDX-License-Identifier: MIT
 *
 * The two sides of an upgrade, with Gunicorn's variables and log lines, so that a Gunicorn can be
 * the other side. No state besides the caller's struct cg_upgrade.
 */
#include "server/arbiter/upgrade.h"

#include "server/arbiter/listening.h"
#include "server/arbiter/moments.h"
#include "server/arbiter/signals.h"
#include "server/arbiter/spawn.h"
#include "server/base/buf.h"
#include "server/base/fd.h"
#include "server/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { VARIABLE_MAX = 64, VARIABLES_N = 5 };

static int open_process(pid_t pid) {
#ifdef SYS_pidfd_open
    return (int)syscall(SYS_pidfd_open, pid, 0); /* close-on-exec by itself */
#else
    return -1;
#endif
}

void cg_upgrade_init(struct cg_upgrade *u, struct cg_pool *p, const struct cg_heritage *heritage) {
    *u = (struct cg_upgrade){.old_master = heritage->old_master};
    if (heritage->from == CG_HERITAGE_MANAGER)
        u->manager_fds_n = heritage->fds_n;
    if (u->old_master)
        p->old_master_fd = open_process(u->old_master);
}

void cg_upgrade_ask(struct cg_upgrade *u) {
    if (u->new_master)
        cg_log(CG_LOG_WARNING, "USR2 signal ignored. Child exists.");
    else if (u->old_master && getppid() == u->old_master)
        cg_log(CG_LOG_WARNING, "USR2 signal ignored. Parent exists.");
    else
        u->asked = true;
}

/* "GUNICORN_FD=5,6" */
static int list_fds(const struct cg_listeners *listeners, struct cg_buf *to) {
    int rc = cg_buf_appendf(to, "GUNICORN_FD=");
    for (size_t i = 0; i < listeners->n && rc == 0; i++)
        rc = cg_buf_appendf(to, "%s%d", i > 0 ? "," : "", listeners->at[i].fd);
    return rc < 0 ? rc : cg_buf_append_char(to, '\0');
}

static int let_through(const struct cg_listeners *listeners) {
    int rc = 0;
    for (size_t i = 0; i < listeners->n && rc == 0; i++)
        rc = cg_fd_set_cloexec(listeners->at[i].fd, false);
    return rc;
}

/* The child's part. Of all our descriptors, only the listeners and the standard streams are there
 * after exec. Returns when that failed. */
static void become_master(const struct cg_upgrade *u, struct cg_pool *p, pid_t parent) {
    const struct cg_listeners *listeners = &p->current->listeners;
    struct cg_buf fds = CG_BUF_INIT;
    char old_master[VARIABLE_MAX], watchdog_pid[VARIABLE_MAX];
    char listen_pid[VARIABLE_MAX], listen_fds[VARIABLE_MAX];
    int rc = list_fds(listeners, &fds);
    if (rc == 0)
        rc = let_through(listeners);
    if (rc < 0) {
        cg_log(CG_LOG_ERROR, "Can't pass the sockets on: %s", strerror(-rc));
        goto done;
    }
    snprintf(old_master, sizeof(old_master), "GUNICORN_PID=%d", (int)parent);
    snprintf(watchdog_pid, sizeof(watchdog_pid), "WATCHDOG_PID=%d", (int)getpid());
    snprintf(listen_pid, sizeof(listen_pid), "LISTEN_PID=%d", (int)getpid());
    snprintf(listen_fds, sizeof(listen_fds), "LISTEN_FDS=%d", u->manager_fds_n);
    const char *variables[VARIABLES_N] = {old_master};
    size_t n = 1;
    if (listeners->fixed) {
        variables[n++] = listen_pid;
        variables[n++] = listen_fds;
    } else {
        variables[n++] = fds.at;
    }
    if (u->feeds_watchdog)
        variables[n++] = watchdog_pid;
    cg_fd_close(&p->life_fds[1]); /* the old master's workers may outlive it while a hook runs */
    cg_signals_restore();
    if (cg_moments_tell(p, CG_MOMENT_PRE_EXEC, p->current->settings, listeners))
        p->runtime->execute(p->rt, variables);
done:
    cg_buf_done(&fds);
}

static struct cg_listeners *listeners_of(struct cg_list *node) {
    return &CG_LIST_ENTRY(node, struct cg_generation, node)->listeners;
}

/* There is no other master any more. */
static void claim_files(const struct cg_pool *p) {
    for (struct cg_list *at = p->generations.next; at != &p->generations; at = at->next)
        cg_listening_claim(listeners_of(at));
}

bool cg_upgrade_turn(struct cg_upgrade *u, struct cg_pool *p, int *ret_exit_code) {
    if (u->old_master && !u->ready && cg_pool_is_ready(p, p->current)) {
        u->ready = true;
        cg_log(CG_LOG_INFO, "Upgraded: the new workers are ready, the old master (pid:%d) may end",
               (int)u->old_master);
    }
    if (!u->asked)
        return false;
    u->asked = false;
    pid_t parent = getpid();
    pid_t pid = cg_spawn(p->runtime, p->rt);
    if (pid == 0) {
        become_master(u, p, parent);
        *ret_exit_code = CG_EXIT_ERROR;
        return true;
    }
    cg_pool_distrust(p);
    if (pid < 0) {
        cg_log(CG_LOG_ERROR, "Can't fork a new master: %s", strerror(-pid));
        return false;
    }
    u->new_master = pid;
    for (struct cg_list *at = p->generations.next; at != &p->generations; at = at->next)
        cg_listening_disown(listeners_of(at), &p->current->listeners);
    cg_log(CG_LOG_INFO, "Starting a new master with pid: %d", (int)pid);
    return false;
}

bool cg_upgrade_reaped(struct cg_upgrade *u, const struct cg_pool *p, pid_t pid, int status) {
    if (!pid || pid != u->new_master)
        return false;
    u->new_master = 0;
    claim_files(p);
    if (status == CG_DEATH_STATUS_LOST)
        cg_log(CG_LOG_ERROR, "The new master (pid:%d) is gone, this one goes on", (int)pid);
    else if (WIFSIGNALED(status))
        cg_log(CG_LOG_ERROR,
               "The new master (pid:%d) was ended by signal %d (%s), this one goes on", (int)pid,
               WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        cg_log(WEXITSTATUS(status) == CG_EXIT_OK ? CG_LOG_INFO : CG_LOG_ERROR,
               "The new master (pid:%d) exited with code %d, this one goes on", (int)pid,
               WEXITSTATUS(status));
    return true;
}

bool cg_upgrade_promotes(struct cg_upgrade *u, struct cg_pool *p) {
    if (!u->old_master || getppid() == u->old_master)
        return false;
    u->old_master = 0;
    cg_fd_close(&p->old_master_fd);
    cg_log(CG_LOG_INFO, "Master has been promoted.");
    claim_files(p);
    return true;
}

void cg_upgrade_stop(struct cg_pool *p) {
    cg_fd_close(&p->old_master_fd);
}
