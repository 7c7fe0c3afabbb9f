/* SPDX-License-Identifier: MIT
 *
 * The frame of every worker class: signals, boot, heartbeat, reasons to stop, choice of the driver.
 * It is no driver: it never touches a client.
 *
 * Owns, at file level because a handler gets no argument: the signals noted and not yet taken, the
 * pipe that wakes the driver, and whom to interrupt. One worker per process. Pipes are never
 * closed: a signal may come until the process ends.
 */
#include "workers/worker.h"

#include "server/base/clock.h"
#include "server/base/copy.h"
#include "server/base/fd.h"
#include "server/base/log.h"
#include "server/base/num.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

enum {
    SECOND_US = 1000 * 1000,
    /* The arbiter kills after graceful_timeout; whoever leaves on his own does so a little earlier.
     */
    STOP_MARGIN_US = 100 * 1000,
    /* With QUIT, and what the driver has waited already, less than the arbiter does. */
    EXIT_S = 1,
};

enum note { NOTE_NOTHING = 0, NOTE_GRACEFUL = 1, NOTE_QUICK = 2, NOTE_REOPEN = 4 };

/* HUP, USR2, WINCH, TTIN and TTOU are the arbiter's. A terminal or `kill -HUP -PGID` sends them to
 * the whole process group, so a worker that died of them would drop requests for nothing. They get
 * a handler and not SIG_IGN, because that would be inherited by what the application executes. ABRT
 * is not here: the arbiter sends it to a stuck worker, and the runtime's crash handler dumps
 * stacks. INT and QUIT are to break a blocked system call of the application, the others must not.
 */
static const struct {
    int number;
    int flags;
    enum note note;
} signal_table[] = {
    {SIGTERM, SA_RESTART, NOTE_GRACEFUL},
    {SIGINT, 0, NOTE_QUICK},
    {SIGQUIT, 0, NOTE_QUICK},
    {SIGUSR1, SA_RESTART, NOTE_REOPEN},
    {SIGHUP, SA_RESTART, NOTE_NOTHING},
    {SIGUSR2, SA_RESTART, NOTE_NOTHING},
    {SIGWINCH, SA_RESTART, NOTE_NOTHING},
    {SIGTTIN, SA_RESTART, NOTE_NOTHING},
    {SIGTTOU, SA_RESTART, NOTE_NOTHING},
};

enum { SIGNALS_N = sizeof(signal_table) / sizeof(signal_table[0]) };

static const struct {
    const char *name;
    cg_driver_fn run;
} driver_table[] = {
    {"sync", cg_sync_run},
    {"async", cg_async_run},
    {"gthread", cg_async_run},
};

enum { DRIVERS_N = sizeof(driver_table) / sizeof(driver_table[0]) };

_Static_assert(ATOMIC_INT_LOCK_FREE == 2, "handlers may touch lock-free atomics only");
static _Atomic int notes;       /* enum note, or-ed */
static _Atomic int apps_n;      /* threads that are in the application */
static _Atomic bool quick;      /* a quick stop was noted, perhaps not taken yet */
static _Atomic int orders_seen; /* enum cg_slot_told */
static int wake_write_fd = -1;
static pid_t worker_pid, arbiter_pid;
static unsigned orphan_s; /* how long this process may go on without its arbiter */
static const struct cg_runtime *runtime;
static void *rt;

static enum note note_of(int number) {
    for (size_t i = 0; i < SIGNALS_N; i++)
        if (signal_table[i].number == number)
            return signal_table[i].note;
    return NOTE_NOTHING;
}

static bool is_orphan(void) {
    return getppid() != arbiter_pid;
}

/* Nobody is there to kill us if the application does not return. Async-signal-safe. */
static void limit_life(void) {
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigaction(SIGALRM, &action, NULL);
    alarm(orphan_s);
}

/* Makes the kernel say when the arbiter is gone, also to a worker that is in the application or
 * loads it and does not look at its life line. A change of user takes that back. */
static void follow_arbiter(void) {
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (is_orphan())
        raise(SIGTERM);
#endif
}

static void take_note(enum note note) {
    if (note == NOTE_QUICK)
        atomic_store(&quick, true);
    if (note != NOTE_NOTHING) {
        atomic_fetch_or(&notes, (int)note);
        ssize_t ignored = write(wake_write_fd, "", 1); /* a full pipe wakes as well */
        (void)ignored;
    }
}

static void note_signal(int number) {
    if (wake_write_fd < 0)
        return;
    if (number == SIGTERM && is_orphan())
        limit_life();
    take_note(note_of(number));
}

void cg_worker_note(int number) {
    if (!cg_copy_takes_signal(number))
        note_signal(number);
}

static void on_signal(int number) {
    if (cg_copy_takes_signal(number))
        return;
    int saved = errno;
    note_signal(number);
    if (note_of(number) == NOTE_QUICK && atomic_load(&apps_n) > 0)
        runtime->interrupt(rt);
    errno = saved;
}

static void install_signals(void) {
    for (size_t i = 0; i < SIGNALS_N; i++) {
        struct sigaction action = {.sa_handler = on_signal, .sa_flags = signal_table[i].flags};
        sigfillset(&action.sa_mask);
        sigaction(signal_table[i].number, &action, NULL);
    }
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);
    sigset_t none;
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
}

static void wake_arbiter(const struct cg_worker *w) {
    ssize_t ignored = write(w->child->arbiter_fd, "", 1); /* full: the arbiter wakes up anyway */
    (void)ignored;
}

static void show(struct cg_worker *w, enum cg_slot_state state) {
    cg_slot_set_state(w->child->slot, state);
    wake_arbiter(w);
}

static void stop(struct cg_worker *w, enum cg_stop how, bool takes_queue, uint64_t now_us) {
    if (how <= w->stop)
        return;
    w->stop = how;
    w->stop_takes_queue = takes_queue;
    uint64_t graceful_us = (uint64_t)w->settings->graceful_timeout * SECOND_US;
    w->stop_deadline_us =
        now_us + (graceful_us > STOP_MARGIN_US ? graceful_us - STOP_MARGIN_US : graceful_us);
    /* LEAVING says that it has been ready, which a stop in the middle of boot cannot claim. */
    if (atomic_load(&w->child->slot->state) == CG_SLOT_READY)
        show(w, CG_SLOT_LEAVING);
}

/* What the arbiter says by a signal stands in the slot, too: the application may have a handler of
 * its own there. Before that it has said who is relieved. */
static void take_orders(const struct cg_worker *w) {
    int told = atomic_load_explicit(&w->child->slot->told, memory_order_acquire);
    if (told != atomic_load_explicit(&orders_seen, memory_order_relaxed) &&
        told != atomic_exchange(&orders_seen, told))
        take_note(told == CG_TOLD_TO_QUIT ? NOTE_QUICK : NOTE_GRACEFUL);
}

void cg_worker_poll_host(struct cg_worker *w) {
    if (runtime->poll(rt))
        take_note(NOTE_GRACEFUL);
    take_orders(w);
}

void cg_worker_take_signals(struct cg_worker *w, uint64_t now_us) {
    if (w->stop == CG_STOP_GRACEFUL && now_us >= w->stop_deadline_us) {
        cg_log(CG_LOG_WARNING, "Worker graceful timeout (pid:%d)", (int)worker_pid);
        stop(w, CG_STOP_QUICK, false, now_us);
    }
    take_orders(w);
    if (atomic_load_explicit(&notes, memory_order_relaxed) == 0)
        return;
    cg_fd_drain(w->wake_fd); /* before the exchange: a later signal wakes again */
    int noted = atomic_exchange(&notes, 0);
    if (noted & NOTE_REOPEN) {
        int rc = cg_log_reopen();
        if (rc < 0)
            cg_log(CG_LOG_ERROR, "Cannot reopen the logs: %s", strerror(-rc));
        runtime->reopen_logs(rt);
    }
    if ((noted & NOTE_GRACEFUL) && is_orphan())
        cg_worker_parent_gone(w, now_us);
    else if (noted & NOTE_GRACEFUL)
        stop(w, CG_STOP_GRACEFUL, !atomic_load(&w->child->slot->relieved), now_us);
    if (noted & NOTE_QUICK)
        stop(w, CG_STOP_QUICK, false, now_us);
}

bool cg_worker_is_quick(void) {
    return atomic_load_explicit(&quick, memory_order_relaxed);
}

void cg_worker_parent_gone(struct cg_worker *w, uint64_t now_us) {
    if (w->orphan)
        return;
    w->orphan = true;
    cg_log(CG_LOG_INFO, "Parent changed, shutting down: <Worker %d>", (int)worker_pid);
    stop(w, CG_STOP_GRACEFUL, true, now_us);
}

void cg_worker_give_up(struct cg_worker *w, uint64_t now_us) {
    cg_slot_set_timed_out(w->child->slot);
    stop(w, CG_STOP_GRACEFUL, false, now_us);
    wake_arbiter(w);
}

static void on_exit_overdue(int number) {
    (void)number;
    _exit(CG_EXIT_OK);
}

void cg_worker_bound_exit(const struct cg_worker *w) {
    (void)w;
    struct sigaction action = {.sa_handler = on_exit_overdue};
    sigfillset(&action.sa_mask);
    sigaction(SIGALRM, &action, NULL);
    cg_log_flush();
    alarm(EXIT_S);
}

void cg_worker_beat(struct cg_worker *w, uint64_t now_us) {
    cg_slot_beat(w->child->slot, now_us);
}

int cg_worker_beat_ms(const struct cg_worker *w) {
    int64_t timeout_s = w->settings->timeout;
    if (timeout_s <= 0)
        return -1;
    return timeout_s < INT_MAX / 500 ? (int)timeout_s * 500 : INT_MAX;
}

/* The slot shows the request by now. */
static void rouse_arbiter(const struct cg_worker *w) {
    struct cg_slot *slot = w->child->slot;
    if (!atomic_load_explicit(&slot->dozes, memory_order_relaxed))
        return;
    atomic_store(&slot->dozes, false);
    wake_arbiter(w);
}

void cg_worker_count_request(struct cg_worker *w, uint64_t now_us) {
    rouse_arbiter(w);
    if (++w->requests_n != w->requests_max)
        return;
    cg_log(CG_LOG_INFO, "Autorestarting worker after current request.");
    atomic_store(&w->child->slot->spent, true);
    wake_arbiter(w);
}

void cg_worker_begin_request(struct cg_worker *w, const struct cg_exchange *ex, uint64_t now_us) {
    cg_slot_begin_request(w->child->slot, cg_endpoint_host(ex->client), ex->request.line, now_us);
    cg_worker_count_request(w, now_us);
}

void cg_worker_end_request(struct cg_worker *w, uint64_t now_us) {
    cg_slot_end_request(w->child->slot, now_us);
}

void cg_worker_enter_app(struct cg_worker *w) {
    (void)w;
    atomic_fetch_add(&apps_n, 1);
}

void cg_worker_leave_app(struct cg_worker *w) {
    (void)w;
    atomic_fetch_sub(&apps_n, 1);
}

/* Spread over the workers, so that they do not all restart at once. */
static uint64_t draw_requests_max(const struct cg_settings *settings) {
    int64_t jitter = settings->max_requests_jitter;
    if (settings->max_requests <= 0)
        return 0;
    return (uint64_t)settings->max_requests + cg_num_draw(jitter > 0 ? (uint64_t)jitter : 0);
}

static cg_driver_fn find_driver(const char *name) {
    for (size_t i = 0; i < DRIVERS_N; i++)
        if (strcmp(driver_table[i].name, name) == 0)
            return driver_table[i].run;
    return NULL;
}

static int init(struct cg_worker *w, struct cg_child *child) {
    const struct cg_worker_app *app = child->ctx;
    int wake_fds[2], poll_fds[2];
    int rc = cg_fd_wake_pipe(wake_fds);
    if (rc == 0)
        rc = cg_fd_wake_pipe(poll_fds);
    if (rc < 0)
        return rc;
    child->poll_fd = poll_fds[1];
    *w = (struct cg_worker){
        .child = child,
        .settings = child->settings,
        .app = app->app,
        .app_ctx = app->ctx,
        .wake_fd = wake_fds[0],
        .poll_fd = poll_fds[0],
        .requests_max = draw_requests_max(child->settings),
    };
    wake_write_fd = wake_fds[1];
    worker_pid = getpid();
    arbiter_pid = child->arbiter_pid;
    int64_t orphan_limit_s = child->settings->graceful_timeout + 1;
    orphan_s = orphan_limit_s < UINT_MAX ? (unsigned)orphan_limit_s : UINT_MAX;
    runtime = child->runtime;
    rt = child->rt;
    atomic_store(&notes, 0);
    atomic_store(&apps_n, 0);
    atomic_store(&quick, false);
    atomic_store(&orders_seen, CG_TOLD_NOTHING);
    install_signals();
    follow_arbiter();
    return 0;
}

static enum cg_exit boot(struct cg_worker *w) {
    cg_worker_enter_app(w); /* importing it is running it */
    enum cg_exit code = runtime->boot(rt, w->child, w->requests_max);
    cg_worker_leave_app(w);
    follow_arbiter(); /* loading may have changed the user */
    cg_worker_take_signals(w, cg_clock_us());
    if (code != CG_EXIT_OK)
        return code;
    cg_worker_beat(w, cg_clock_us()); /* before it is ready: from here on `timeout` counts */
    if (w->stop == CG_STOP_NO)
        show(w, CG_SLOT_READY);
    return CG_EXIT_OK;
}

/* Boots and serves. The exit code. */
static int live(struct cg_worker *w, cg_driver_fn run) {
    enum cg_exit code = boot(w);
    /* An import that a quick stop broke off is no failure of the application's. */
    if (code != CG_EXIT_OK && w->stop != CG_STOP_QUICK)
        return code;
    int rc = w->stop == CG_STOP_QUICK ? 0 : run(w);
    cg_log_flush();
    return rc < 0 ? CG_EXIT_ERROR : CG_EXIT_OK;
}

int cg_worker_main(struct cg_child *child) {
    struct cg_worker w;
    int rc = init(&w, child);
    if (rc < 0) {
        cg_log(CG_LOG_CRITICAL, "Cannot create the worker's wake pipe: %s", strerror(-rc));
        return CG_EXIT_ERROR;
    }
    cg_driver_fn run = find_driver(w.settings->worker_class);
    if (!run) {
        cg_log(CG_LOG_CRITICAL, "Unknown worker class: %s", w.settings->worker_class);
        return CG_EXIT_WORKER_BOOT;
    }
    int code = live(&w, run);
    cg_log(CG_LOG_INFO, "Worker exiting (pid: %d)", (int)worker_pid);
    if (atomic_load(&child->slot->state) != CG_SLOT_BOOTING)
        show(&w, CG_SLOT_EXITING);
    return runtime->leave(rt, code, cg_worker_is_quick());
}
