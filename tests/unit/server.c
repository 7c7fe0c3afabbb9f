/* SPDX-License-Identifier: MIT
 *
 * The server of server.h. Its processes share nothing with the test but the pipe and the folder.
 */
#include "tests/unit/server.h"

#include "server/arbiter/arbiter.h"
#include "server/base/clock.h"
#include "server/base/fd.h"
#include "server/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DEADLINE_MS = 20000, SERVER_LIFE_S = 60 };

static void report(const struct script *script, char what, int age, int tag) {
    struct report r = {what, getpid(), age, tag};
    CG_CHECK_INT(write(script->reports_fd, &r, sizeof(r)), sizeof(r));
}

/* The workers. */

static int next_signal(int timeout_ms) {
    sigset_t all;
    sigfillset(&all);
    struct timespec limit = {0, timeout_ms * 1000000L};
    return sigtimedwait(&all, NULL, &limit);
}

static int serve(struct cg_child *child, const char *how) {
    const struct script *script = child->ctx;
    int tag = (int)child->settings->max_requests;
    bool stubborn = strcmp(how, "stubborn") == 0;
    atomic_store(&child->slot->spent, strcmp(how, "spent") == 0);
    /* Before the arbiter knows, who may tell an old worker to leave, which reports that. */
    report(script, 'R', child->age, tag);
    cg_slot_set_state(child->slot, CG_SLOT_READY);
    (void)!write(child->arbiter_fd, "", 1);
    for (;;) {
        int number = next_signal(20);
        cg_slot_beat(child->slot, cg_clock_us());
        struct pollfd life = {.fd = child->parent_fd, .events = POLLIN};
        if (poll(&life, 1, 0) > 0) {
            report(script, 'L', child->age, tag);
            return 0;
        }
        if (number == SIGUSR1)
            report(script, 'U', child->age, tag);
        if (number == SIGTERM || number == SIGQUIT)
            report(script, number == SIGTERM ? 'T' : 'Q', child->age, tag);
        if (number == SIGQUIT || (number == SIGTERM && !stubborn))
            return 0;
    }
}

static void begin_request(struct cg_child *child) {
    cg_slot_set_state(child->slot, CG_SLOT_READY);
    cg_slot_begin_request(child->slot, CG_SLICE("127.0.0.1"), CG_SLICE("GET /x HTTP/1.1"),
                          cg_clock_us());
}

_Noreturn static void crash(void) {
    struct rlimit no_core = {0, 0};
    sigset_t none;
    sigemptyset(&none);
    setrlimit(RLIMIT_CORE, &no_core);
    signal(SIGSEGV, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    raise(SIGSEGV);
    abort();
}

static bool misbehaves(const struct script *script, int age) {
    return age >= script->first_bad_age &&
           (script->last_bad_age == 0 || age <= script->last_bad_age);
}

static int live(struct cg_child *child) {
    const struct script *script = child->ctx;
    const char *how = misbehaves(script, child->age) ? child->settings->worker_class : "serve";
    if (script->unbootable_age > 0 && child->age >= script->unbootable_age)
        return CG_EXIT_WORKER_BOOT;
    if (how[0] == 's')
        return serve(child, how);
    if (strncmp(how, "exit", 4) == 0)
        return how[4] - '0';
    if (strcmp(how, "crash") == 0 || strcmp(how, "hang") == 0)
        begin_request(child);
    if (strcmp(how, "crash") == 0)
        crash();
    /* "hang", with ABRT blocked, and "hang_boot"; yet nothing is left behind when a test fails. */
    struct pollfd life = {.fd = child->parent_fd, .events = POLLIN};
    poll(&life, 1, -1);
    return 0;
}

static void lost(const struct cg_lost *l, uint64_t now_us) {
    cg_log(CG_LOG_INFO, "lost \"%s\" of %s: %d", l->view->line, l->view->client, l->status);
}

/* The runtime. */

static void nothing(void *rt) {
}

/* Records it; the pid says which worker, or that it came in the arbiter. */
static int moment(void *rt, const struct cg_moment *m) {
    static const char letters[] = {
        [CG_MOMENT_NWORKERS_CHANGED] = 'n', [CG_MOMENT_ON_STARTING] = 's',
        [CG_MOMENT_WHEN_READY] = 'w',       [CG_MOMENT_PRE_FORK] = 'p',
        [CG_MOMENT_FORKED] = 'k',           [CG_MOMENT_ON_RELOAD] = 'l',
        [CG_MOMENT_CHILD_EXIT] = 'c',       [CG_MOMENT_PRE_EXEC] = 'x',
        [CG_MOMENT_ON_EXIT] = 'e',
    };
    struct script *script = rt;
    char letter = letters[m->id];
    int tag = m->settings ? (int)m->settings->max_requests : 0;
    bool is_number = m->id == CG_MOMENT_NWORKERS_CHANGED;
    struct report r = {letter, m->pid ? m->pid : getpid(), is_number ? m->new_n : m->age,
                       is_number ? m->old_n : tag};
    if (m->id == CG_MOMENT_PRE_FORK)
        CG_CHECK(m->slot && m->listeners && m->listeners->n > 0);
    if (m->id == CG_MOMENT_CHILD_EXIT)
        r.age = m->halts;
    if (script->tells_moments)
        CG_CHECK_INT(write(script->reports_fd, &r, sizeof(r)), sizeof(r));
    if (letter != script->refused || script->refused_from-- > 0)
        return CG_MOMENT_GO_ON;
    return script->refused_code;
}

static void second_to(void *rt, pid_t old_master) {
}

static void opened(void *rt, const struct cg_settings *settings) {
}

static const struct cg_settings *reload(void *rt) {
    struct script *script = rt;
    CG_CHECK(script->reloads_n < SERVER_RELOADS_MAX);
    return script->reloads[script->reloads_n++];
}

static void free_settings(void *rt, const struct cg_settings *settings) {
    const struct script *script = rt;
    if (getpid() == script->server_pid)
        report(script, 'F', (int)settings->max_requests, 0);
}

static void execute(void *rt, const char *const *variables) {
    struct script *script = rt;
    report(script, 'X', 0, 0);
    if (script->execute)
        script->execute(variables);
}

static bool wants_to_leave(void *rt) {
    return false;
}

static const struct cg_runtime runtime = {
    .before_fork = nothing,
    .after_fork_parent = nothing,
    .after_fork_child = nothing,
    .wait_begin = nothing,
    .wait_end = nothing,
    .poll = wants_to_leave,
    .moment = moment,
    .opened = opened,
    .second_to = second_to,
    .reload = reload,
    .reopen_logs = nothing,
    .free_settings = free_settings,
    .execute = execute,
};

/* The server under test. */

void server_init(struct server *s) {
    *s = (struct server){.folder = "/tmp/cg-arbiter-XXXXXX"};
    CG_CHECK(mkdtemp(s->folder));
    snprintf(s->log_path, sizeof(s->log_path), "%s/log", s->folder);
    snprintf(s->address, sizeof(s->address), "unix:%s/socket", s->folder);
    snprintf(s->other_address, sizeof(s->other_address), "unix:%s/other", s->folder);
    s->bind[0] = s->address;
    s->other_bind[0] = s->other_address;
    s->settings = (struct cg_settings){
        .user = geteuid(),
        .group = getegid(),
        .bind = s->bind,
        .backlog = 16,
        .workers = 2,
        .worker_class = "serve",
        .max_requests = 1,
        .timeout = 30,
        .boot_timeout = 30,
        .graceful_timeout = 30,
        .errorlog = s->log_path,
        .loglevel = "debug",
    };
    int fds[2];
    CG_CHECK_INT(pipe2(fds, O_CLOEXEC), 0);
    s->reports_fd = fds[0];
    s->script.reports_fd = fds[1];
}

static void run_server(struct server *s) {
    const char *path;
    cg_fd_close(&s->reports_fd);
    s->script.server_pid = getpid();
    alarm(SERVER_LIFE_S);
    CG_CHECK_INT(cg_log_open(s->log_path, NULL, "debug", &path), 0);
    signal(SIGTERM, SIG_IGN);
    if (s->script.prepare)
        s->script.prepare();
    struct cg_arbiter_result result =
        cg_arbiter_run(&s->settings, &s->heritage, &runtime, &s->script, live, lost, &s->script);
    if (!result.in_child) {
        struct sigaction restored;
        sigaction(SIGTERM, NULL, &restored);
        CG_CHECK(restored.sa_handler == SIG_IGN);
        report(&s->script, 'E', result.exit_code, 0);
    }
    exit(result.exit_code);
}

void server_start(struct server *s) {
    s->pid = fork();
    CG_CHECK(s->pid >= 0);
    if (s->pid == 0)
        run_server(s);
    cg_fd_close(&s->script.reports_fd);
}

static void show_log(const struct server *s) {
    char command[160];
    snprintf(command, sizeof(command), "cat %s >&2", s->log_path);
    (void)!system(command);
}

static struct report next_report(const struct server *s) {
    struct report r;
    struct pollfd readable = {.fd = s->reports_fd, .events = POLLIN};
    if (poll(&readable, 1, DEADLINE_MS) != 1 ||
        read(s->reports_fd, &r, sizeof(r)) != (ssize_t)sizeof(r)) {
        show_log(s);
        cg_test_fail(__FILE__, __LINE__, "no report came");
    }
    return r;
}

struct report server_expect_any(const struct server *s, const char *whats) {
    struct report r = next_report(s);
    if (!strchr(whats, r.what)) {
        show_log(s);
        cg_test_fail(__FILE__, __LINE__, "report %c came, want one of %s", r.what, whats);
    }
    return r;
}

struct report server_expect(const struct server *s, char what) {
    return server_expect_any(s, (const char[]){what, '\0'});
}

struct report server_wait_moment(const struct server *s, char what) {
    struct report r;
    do
        r = next_report(s);
    while (r.what != what);
    return r;
}

bool server_logged(const struct server *s, const char *text) {
    static char content[256 * 1024];
    int fd = open(s->log_path, O_RDONLY);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, content, sizeof(content) - 1);
    close(fd);
    content[n < 0 ? 0 : n] = '\0';
    return strstr(content, text) != NULL;
}

void server_expect_log(const struct server *s, const char *text) {
    uint64_t deadline_ms = cg_clock_ms() + DEADLINE_MS;
    while (!server_logged(s, text)) {
        if (cg_clock_ms() > deadline_ms) {
            show_log(s);
            cg_test_fail(__FILE__, __LINE__, "not logged: %s", text);
        }
        poll(NULL, 0, 2);
    }
}

void server_tell(const struct server *s, int number) {
    CG_CHECK_INT(kill(s->pid, number), 0);
}

int server_wait(struct server *s) {
    int status = -1;
    CG_CHECK_INT(waitpid(s->pid, &status, 0), s->pid);
    CG_CHECK(WIFEXITED(status));
    return WEXITSTATUS(status);
}

void server_done(struct server *s) {
    const char *names[] = {"log", "log.old", "socket", "other"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[128];
        snprintf(path, sizeof(path), "%s/%s", s->folder, names[i]);
        unlink(path);
    }
    CG_CHECK_INT(rmdir(s->folder), 0);
}

void server_quit(struct server *s) {
    struct report r;
    server_tell(s, SIGQUIT);
    CG_CHECK_INT(server_wait(s), 0);
    do
        r = next_report(s);
    while (r.what != 'E');
    CG_CHECK(access(s->address + 5, F_OK) < 0 && errno == ENOENT);
    server_done(s);
}

bool server_connects(const char *bind) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", bind + 5);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool done = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
    close(fd);
    return done;
}
