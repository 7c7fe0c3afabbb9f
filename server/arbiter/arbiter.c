/* SPDX-License-Identifier: MIT
 *
 * The loop of the arbiter, its start and its end. All state is in struct arbiter, on the stack of
 * cg_arbiter_run(); what must be reachable from a signal handler is in signals.c.
 */
#include "server/arbiter/arbiter.h"

#include "server/arbiter/listening.h"
#include "server/arbiter/moments.h"
#include "server/arbiter/notify.h"
#include "server/arbiter/pidfile.h"
#include "server/arbiter/pool.h"
#include "server/arbiter/reload.h"
#include "server/arbiter/signals.h"
#include "server/arbiter/upgrade.h"
#include "server/base/clock.h"
#include "server/base/fd.h"
#include "server/base/log.h"
#include "server/base/statsd.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    RETRY_US = 1000000,
    LATE_US = 1000000,
    STOP_MARGIN_US = 5000000, /* what a stop takes beyond graceful_timeout */
    SENTENCE_MAX = 512,
};

enum stop { STOP_NO, STOP_GRACEFUL, STOP_QUICK };

struct arbiter {
    struct cg_pool pool;
    struct cg_reload reload;
    struct cg_upgrade upgrade;
    struct cg_pidfile pidfile;
    struct cg_notify notify;
    const char *last_reload; /* how it went, for the service manager; NULL = none, or under way */
    size_t told_workers_n;   /* to statsd */
    enum stop stop;
    int exit_code;
    const char *reason; /* why it stops, when nobody asked; static */
};

static bool is_serving(const struct arbiter *a) {
    return a->pool.current && a->stop == STOP_NO;
}

/* The name of this process in the log; the new master of an upgrade is the second of two. */
static const char *master_name(const struct arbiter *a) {
    return a->upgrade.old_master ? "Master.2" : "Master";
}

/* With a new master the service goes on: it is told before this process, which the manager takes
 * for the service, ends. */
static void notify_stop(struct arbiter *a) {
    const struct cg_generation *g = a->pool.current;
    uint64_t graceful_us = g ? (uint64_t)g->settings->graceful_timeout * 1000000 : 0;
    if (!a->upgrade.new_master) {
        cg_notify_stopping(&a->notify, graceful_us + STOP_MARGIN_US);
        return;
    }
    cg_notify_main_pid(&a->notify, a->upgrade.new_master);
    a->notify.silent = true;
    a->notify.ping_every_us = 0;
}

static void stop(struct arbiter *a, enum stop how) {
    if (a->stop == STOP_NO)
        notify_stop(a);
    a->stop = how;
    cg_upgrade_stop(&a->pool);
    cg_pool_stop(&a->pool, how == STOP_QUICK, cg_clock_us());
}

static void stop_quickly(struct arbiter *a) {
    if (a->stop == STOP_GRACEFUL)
        cg_log(CG_LOG_INFO, "Quick shutdown requested");
    if (a->stop != STOP_QUICK)
        stop(a, STOP_QUICK);
}

/* The handlers of signal.def. Before the listeners are open, only those that stop do anything at
 * once; a HUP is remembered. */

static void on_chld(struct arbiter *a) {
    /* It has woken the loop, which reaps every turn: the kernel merges CHLD signals. Whoever else
     * waits for children in this process may have been faster. */
    a->pool.doubts = true;
}

static void on_usr1(struct arbiter *a) {
    int rc = cg_log_reopen();
    if (rc < 0)
        cg_log(CG_LOG_ERROR, "Can't reopen a log: %s", strerror(-rc));
    a->pool.runtime->reopen_logs(a->pool.rt);
    cg_pool_signal(&a->pool, SIGUSR1);
}

static void on_hup(struct arbiter *a) {
    if (!a->pool.current)
        a->reload.again = true;
    if (!is_serving(a))
        return;
    cg_log(CG_LOG_INFO, "Hang up: %s", master_name(a));
    a->last_reload = NULL;
    cg_notify_reloading(&a->notify, cg_clock_us());
    cg_reload_ask(&a->reload, &a->pool);
}

static void want_workers(struct arbiter *a, struct cg_generation *g, int n) {
    int old_n = g->full_n;
    cg_pool_want(&a->pool, g, n);
    cg_log(CG_LOG_DEBUG, "%d workers", n);
    cg_moments_tell_nworkers(&a->pool, g->settings, n, old_n);
}

static void change_workers(struct arbiter *a, int by) {
    if (!is_serving(a))
        return;
    struct cg_generation *g = a->pool.pending ? a->pool.pending : a->pool.current;
    int n = cg_pool_bound(g->full_n + by);
    /* At a bound nothing changes, and after WINCH there is none to take away. */
    if (n != g->full_n && (by > 0 || g->full_n > 0))
        want_workers(a, g, n);
}

static void on_ttin(struct arbiter *a) {
    change_workers(a, 1);
}

static void on_ttou(struct arbiter *a) {
    change_workers(a, -1);
}

static void on_usr2(struct arbiter *a) {
    if (is_serving(a))
        cg_upgrade_ask(&a->upgrade);
}

/* A terminal sends it whenever its size changes, so it counts only where none can be, or where it
 * must be meant: while a new master serves. */
static void on_winch(struct arbiter *a) {
    if (!is_serving(a))
        return;
    if (!a->upgrade.new_master && !a->pool.current->settings->daemon) {
        cg_log(CG_LOG_DEBUG, "SIGWINCH ignored. Not daemonized, and no new master.");
        return;
    }
    cg_log(CG_LOG_INFO, "graceful stop of workers");
    want_workers(a, a->pool.current, 0);
    if (a->pool.pending)
        cg_pool_want(&a->pool, a->pool.pending, 0);
}

static void on_term(struct arbiter *a) {
    if (a->stop == STOP_NO)
        stop(a, STOP_GRACEFUL);
    else
        stop_quickly(a);
}

static void on_quit(struct arbiter *a) {
    stop_quickly(a);
}

static void take_signals(struct arbiter *a) {
    static const struct {
        int number;
        const char *name;
        void (*handle)(struct arbiter *a);
    } rows[] = {
#define CG_SIGNAL(number, name, handle) {number, name, handle},
#include "server/arbiter/signal.def"
#undef CG_SIGNAL
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        for (unsigned n = cg_signals_take(rows[i].number); n > 0; n--) {
            if (rows[i].name)
                cg_log(CG_LOG_INFO, "Handling signal: %s", rows[i].name);
            rows[i].handle(a);
        }
}

/* Rounded up, so that what is due then is due after it. */
static int wait_ms_until(uint64_t due_us, uint64_t now_us) {
    if (due_us == UINT64_MAX)
        return -1;
    uint64_t wait_ms = due_us > now_us ? (due_us - now_us + 999) / 1000 : 0;
    return wait_ms < INT_MAX ? (int)wait_ms : INT_MAX;
}

/* Sleeps until then (UINT64_MAX: for ever), or until a signal or a worker wakes it, or other_fd,
 * if it is not -1. */
static void sleep_until(struct arbiter *a, uint64_t due_us, int other_fd) {
    const struct cg_runtime *runtime = a->pool.runtime;
    struct pollfd wakers[] = {
        {.fd = a->pool.wake_fds[0], .events = POLLIN},
        {.fd = other_fd, .events = POLLIN},
    };
    int wait_ms = wait_ms_until(due_us, cg_clock_us());
    runtime->wait_begin(a->pool.rt);
    poll(wakers, 2, wait_ms);
    runtime->wait_end(a->pool.rt);
    if (runtime->poll(a->pool.rt) && a->pool.told_to_end == CG_MOMENT_GO_ON)
        a->pool.told_to_end = CG_EXIT_OK;
    cg_pool_retake_signals(&a->pool);
    cg_fd_drain(wakers[0].fd);
}

/* cg_patience: one second, in which signals are served. False when one said to stop. */
static bool wait_second(void *ctx) {
    struct arbiter *a = ctx;
    uint64_t due_us = cg_clock_us() + RETRY_US;
    while (a->stop == STOP_NO && cg_clock_us() < due_us) {
        sleep_until(a, due_us, -1);
        take_signals(a);
    }
    return a->stop == STOP_NO;
}

/* Beside an old master, "x.2" takes the place of "x". 0, or -errno after logging why. */
static int write_pidfile(struct arbiter *a, const struct cg_settings *settings) {
    char *path = NULL;
    if (settings->pidfile && settings->pidfile[0] &&
        asprintf(&path, "%s%s", settings->pidfile, a->upgrade.old_master ? ".2" : "") < 0)
        return -ENOMEM;
    int rc = cg_pidfile_move(&a->pidfile, path);
    free(path);
    return rc;
}

/* The first generation, with its listeners. As start(). */
static int open_up(struct arbiter *a, const struct cg_settings *settings,
                   const struct cg_heritage *heritage) {
    struct cg_pool *p = &a->pool;
    struct cg_patience patience = {wait_second, a};
    struct cg_listeners listeners;
    int rc = cg_listening_open(settings, heritage, &patience, &listeners);
    if (rc < 0)
        return rc;
    p->current = cg_pool_add(p, settings, false, listeners);
    if (!p->current) {
        cg_listening_close(&listeners, NULL);
        cg_log(CG_LOG_ERROR, "Can't start: %s", strerror(ENOMEM));
        return -ENOMEM;
    }
    cg_listening_log(&p->current->listeners);
    cg_log(CG_LOG_INFO, "Using worker: %s", settings->worker_class);
    if (!cg_moments_tell(p, CG_MOMENT_WHEN_READY, settings, &p->current->listeners))
        return -ECANCELED;
    p->runtime->opened(p->rt, settings);
    return 0;
}

/* 0; -EINTR when a signal, -ECANCELED when the host said to stop; or -errno after logging why. */
static int start(struct arbiter *a, const struct cg_settings *settings,
                 const struct cg_heritage_text *text) {
    struct cg_heritage heritage;
    char sentence[SENTENCE_MAX];
    int workers_n = cg_pool_bound(settings->workers);
    if (!cg_moments_tell_nworkers(&a->pool, settings, workers_n, CG_MOMENTS_NO_OLD_N))
        return -ECANCELED;
    cg_log(CG_LOG_INFO, "Starting cgunicorn %s", CG_VERSION);
    int rc = cg_heritage_parse(text, getpid(), &heritage, sentence, sizeof(sentence));
    if (rc < 0) {
        cg_log(CG_LOG_ERROR, "%s", sentence);
        return rc;
    }
    cg_upgrade_init(&a->upgrade, &a->pool, &heritage);
    if (heritage.old_master)
        a->pool.runtime->second_to(a->pool.rt, heritage.old_master);
    if (cg_notify_init(&a->notify, text, getpid()) < 0)
        cg_log(CG_LOG_WARNING, "NOTIFY_SOCKET is '%s', which is no address: nothing will be sent",
               text->notify_socket);
    a->notify.silent = heritage.old_master != 0;
    a->upgrade.feeds_watchdog = a->notify.ping_every_us > 0;
    rc = write_pidfile(a, settings);
    if (rc < 0)
        return rc;
    if (!cg_moments_tell(&a->pool, CG_MOMENT_ON_STARTING, settings, NULL))
        return -ECANCELED;
    return open_up(a, settings, &heritage);
}

/* When a new master ends, this one must have workers again. */
static void lose_stranger(struct arbiter *a, const struct cg_loss *loss) {
    if (!cg_upgrade_reaped(&a->upgrade, &a->pool, loss->pid, loss->status)) {
        cg_log(CG_LOG_DEBUG, "Reaped unknown child process (pid:%d, status:%d)", (int)loss->pid,
               loss->status);
        return;
    }
    if (is_serving(a) && a->pool.current->full_n == 0)
        want_workers(a, a->pool.current, cg_pool_bound(a->pool.current->settings->workers));
}

/* A new master that somebody else has reaped. */
static void look_for_new_master(struct arbiter *a) {
    struct cg_loss loss = {
        .pid = a->upgrade.new_master, .is_stranger = true, .status = CG_DEATH_STATUS_LOST};
    if (!loss.pid)
        return;
    pid_t pid = waitpid(loss.pid, &loss.status, WNOHANG);
    if (pid > 0 || (pid < 0 && errno == ECHILD))
        lose_stranger(a, &loss);
}

static void reap(struct arbiter *a, uint64_t now_us) {
    struct cg_loss loss;
    if (a->pool.doubts)
        look_for_new_master(a);
    while (cg_pool_reap(&a->pool, now_us, &loss)) {
        if (loss.is_stranger) {
            lose_stranger(a, &loss);
            continue;
        }
        const char *reason = cg_death_boot_reason(loss.status);
        bool halts = reason && loss.early && !a->pool.served;
        cg_moments_tell_child_exit(&a->pool, loss.pid, halts);
        if (a->stop != STOP_NO)
            continue;
        if (loss.was_pending && loss.early && !loss.was_ready) {
            cg_reload_give_up(&a->pool);
        } else if (halts) {
            a->reason = reason;
            a->exit_code = WEXITSTATUS(loss.status);
            stop(a, STOP_QUICK);
        }
    }
}

/* A turn that ended later than it should have means that this process was stopped or starved. Its
 * workers probably were as well. */
static void excuse_if_late(struct arbiter *a, uint64_t due_us) {
    uint64_t now_us = cg_clock_us();
    if (now_us > due_us && now_us - due_us > LATE_US)
        cg_pool_excuse(&a->pool, now_us - due_us, now_us);
}

/* A turn of the reload. What belongs to the master itself changes when a new generation takes over.
 */
static void turn_reload(struct arbiter *a, uint64_t now_us) {
    const struct cg_generation *before = a->pool.current;
    cg_reload_turn(&a->reload, &a->pool, now_us);
    const struct cg_generation *now = a->pool.current;
    if (now == before)
        return;
    a->last_reload = "done";
    cg_listening_adjust(&now->listeners, now->settings);
    write_pidfile(a, now->settings);
}

/* What a hook has asked for by raising. True when that was something, which takes another turn. */
static bool obey_host(struct arbiter *a) {
    struct cg_pool *p = &a->pool;
    if (a->stop != STOP_NO || (!p->pending_refused && p->told_to_end == CG_MOMENT_GO_ON))
        return false;
    if (p->pending_refused)
        cg_reload_give_up(p);
    if (p->told_to_end != CG_MOMENT_GO_ON) {
        a->exit_code = p->told_to_end;
        stop(a, STOP_QUICK);
    }
    return true;
}

/* The other master of an upgrade: one is to be started, or the old one has ended. True in a child
 * that could not become a master. */
static bool turn_upgrade(struct arbiter *a, int *ret_exit_code) {
    pid_t old_master = a->upgrade.old_master;
    if (cg_upgrade_promotes(&a->upgrade, &a->pool)) {
        const struct cg_settings *settings = a->pool.current->settings;
        a->pool.runtime->second_to(a->pool.rt, 0);
        cg_pidfile_bury(settings->pidfile, old_master);
        write_pidfile(a, settings);
        cg_notify_main_pid(&a->notify, getpid());
        a->notify.silent = false;
    }
    return cg_upgrade_turn(&a->upgrade, &a->pool, ret_exit_code);
}

static void tell_workers(struct arbiter *a) {
    size_t workers_n = 0;
    for (const struct cg_list *n = a->pool.procs.next; n != &a->pool.procs; n = n->next)
        workers_n++;
    if (workers_n != a->told_workers_n)
        cg_statsd_gauge("gunicorn.workers", workers_n);
    a->told_workers_n = workers_n;
}

/* How many clients wait at all listeners where the system tells that, if it is wanted. */
static void tell_backlog(const struct cg_generation *g) {
    if (!g->settings->enable_backlog_metric || !cg_statsd_enabled())
        return;
    uint64_t waiting_n = 0;
    bool is_known = false;
    for (size_t i = 0; i < g->listeners.n; i++) {
        int64_t n = cg_listener_waiting(&g->listeners.at[i], -1);
        waiting_n += n > 0 ? (uint64_t)n : 0;
        is_known |= n >= 0;
    }
    if (is_known)
        cg_statsd_histogram("gunicorn.backlog", waiting_n);
}

static void turn_notify(struct arbiter *a, uint64_t now_us) {
    const struct cg_generation *g = a->pool.current;
    struct cg_notify_view view = {
        .ready_n = cg_pool_count_ready(&a->pool, g),
        .wanted_n = g->wanted_n,
        .requests_n = cg_pool_count_requests(&a->pool),
        .is_reloading = a->pool.pending || a->reload.again,
    };
    if (a->notify.reloading && !view.is_reloading && !a->last_reload)
        a->last_reload = "failed";
    view.last_reload = a->last_reload;
    cg_notify_turn(&a->notify, &view, now_us);
}

/* When the loop must turn again. */
static uint64_t next_us(struct arbiter *a, uint64_t now_us) {
    uint64_t due_us = cg_pool_next_us(&a->pool, now_us);
    uint64_t notify_us = cg_notify_next_us(&a->notify);
    if (notify_us < due_us)
        due_us = notify_us;
    bool asks_for_parent = a->upgrade.old_master && a->pool.old_master_fd < 0;
    if (asks_for_parent && due_us > now_us + CG_POOL_LOOK_US)
        due_us = now_us + CG_POOL_LOOK_US;
    return due_us;
}

/* True in a child whose worker_main has returned *ret_exit_code. */
static bool serve(struct arbiter *a, int *ret_exit_code) {
    for (;;) {
        take_signals(a);
        uint64_t now_us = cg_clock_us();
        reap(a, now_us);
        cg_pool_look(&a->pool, now_us);
        if (a->stop == STOP_NO) {
            turn_reload(a, now_us);
            if (turn_upgrade(a, ret_exit_code))
                return true;
        }
        if (cg_pool_match(&a->pool, cg_clock_us(), ret_exit_code))
            return true;
        if (obey_host(a))
            continue;
        tell_workers(a);
        tell_backlog(a->pool.current);
        if (a->stop == STOP_NO)
            turn_notify(a, now_us);
        else if (cg_list_empty(&a->pool.procs))
            return false;
        cg_notify_push(&a->notify, now_us);
        uint64_t due_us = next_us(a, now_us);
        sleep_until(a, due_us, a->pool.old_master_fd);
        excuse_if_late(a, due_us);
    }
}

static void log_end(const struct arbiter *a) {
    enum cg_log_level level = a->exit_code == CG_EXIT_OK ? CG_LOG_INFO : CG_LOG_ERROR;
    cg_log(level, "Shutting down: %s", master_name(a));
    if (a->reason)
        cg_log(CG_LOG_ERROR, "Reason: %s", a->reason);
}

/* After everything else; the exit code may still change. */
static int say_goodbye(struct cg_pool *p, int exit_code) {
    p->told_to_end = CG_MOMENT_GO_ON;
    return cg_moments_tell(p, CG_MOMENT_ON_EXIT, NULL, NULL) ? exit_code : p->told_to_end;
}

struct cg_arbiter_result cg_arbiter_run(const struct cg_settings *settings,
                                        const struct cg_heritage_text *heritage,
                                        const struct cg_runtime *runtime, void *rt,
                                        cg_worker_main_fn worker_main, cg_lost_fn lost, void *ctx) {
    struct cg_arbiter_result result = {CG_EXIT_ERROR, false};
    struct arbiter a = {.exit_code = CG_EXIT_OK};
    int rc = cg_pool_init(&a.pool, runtime, rt, worker_main, lost, ctx);
    if (rc < 0) {
        cg_log(CG_LOG_ERROR, "Can't start: %s", strerror(-rc));
        return result;
    }
    cg_signals_install(a.pool.wake_fds[1]);
    rc = start(&a, settings, heritage);
    if (rc == 0)
        result.in_child = serve(&a, &result.exit_code);
    if (!result.in_child) {
        if (rc == -ECANCELED)
            result.exit_code = a.pool.told_to_end;
        if (rc == 0 || rc == -EINTR) {
            result.exit_code = a.exit_code;
            log_end(&a);
        }
        cg_notify_done(&a.notify);
        cg_signals_restore();
    }
    cg_pool_done(&a.pool);
    cg_pidfile_remove(&a.pidfile);
    if (!result.in_child && (rc == 0 || rc == -EINTR))
        result.exit_code = say_goodbye(&a.pool, result.exit_code);
    return result;
}

void cg_arbiter_open_outputs(const struct cg_settings *settings) {
    int rc = cg_log_own((uid_t)settings->user, (gid_t)settings->group);
    if (rc < 0)
        cg_log(CG_LOG_WARNING, "Can't give the logs to user %d and group %d: %s",
               (int)settings->user, (int)settings->group, strerror(-rc));
    rc = settings->capture_output ? cg_log_capture_output() : 0;
    if (rc < 0)
        cg_log(CG_LOG_ERROR, "Can't capture the application's output: %s", strerror(-rc));
    rc = cg_statsd_open(settings->statsd_host, settings->statsd_prefix, settings->dogstatsd_tags);
    if (rc < 0)
        cg_log(CG_LOG_WARNING, "No metrics, statsd at %s can't be used: %s", settings->statsd_host,
               rc == -ENXIO ? "its name can't be resolved" : strerror(-rc));
}
