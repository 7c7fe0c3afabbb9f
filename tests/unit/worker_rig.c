/* SPDX-License-Identifier: MIT
 *
 * The rig of worker_rig.h. Owns, at file level, one server with its surroundings: test and worker
 * are one program, and a test case is a process.
 */
#include "tests/unit/worker_rig.h"

#include "server/base/clock.h"
#include "server/base/fd.h"
#include "server/base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { REPLY_MAX = 64 * 1024 };

struct rig rig = {
    .settings =
        {
            .backlog = 64,
            .worker_class = "sync",
            .threads = 1,
            .max_streams = 32,
            .timeout = 30,
            .graceful_timeout = 30,
            .worker_connections = 1000,
            .client_header_timeout = 30,
            .client_body_timeout = 30,
            .send_timeout = 30,
            .limit_request_line = 4094,
            .limit_request_fields = 100,
            .limit_request_field_size = 8190,
            .limit_request_body = 1024 * 1024,
            .client_body_buffer_size = 64 * 1024,
            .sendfile = true,
            .access_log_format = "%(m)s %(U)s %(s)s",
        },
};

/* The application. */

static char *big;   /* RIG_BIG_LEN bytes 'b' */
static int file_fd; /* the same in a file */
static _Atomic bool interrupted;

struct script {
    int chunks_n;
};

static bool path_is(const struct cg_exchange *ex, const char *path) {
    return cg_slice_eq(ex->request.path, cg_slice_str(path));
}

/* In short waits, because a signal may come just before one. */
static enum cg_app_result wait_at_gate(void) {
    char byte;
    CG_CHECK_INT(write(rig.entered_fds[1], "", 1), 1);
    while (!interrupted)
        if (rig_readable(rig.gate_fds[0], 5) && read(rig.gate_fds[0], &byte, 1) == 1)
            return CG_APP_CHUNK;
    return CG_APP_FAILED;
}

static enum cg_app_result app_begin(void *ctx, struct cg_exchange *ex) {
    (void)ctx;
    ex->app_state = calloc(1, sizeof(struct script));
    if (path_is(ex, "/gate") && wait_at_gate() == CG_APP_FAILED)
        return CG_APP_FAILED;
    if (path_is(ex, "/nap"))
        poll(NULL, 0, RIG_NAP_MS);
    cg_response_start(&ex->response, CG_SLICE("200 OK"));
    cg_response_add_field(&ex->response, CG_SLICE("Content-Type"), CG_SLICE("text/plain"));
    return CG_APP_CHUNK;
}

static enum cg_app_result app_next(void *ctx, struct cg_exchange *ex, struct cg_chunk *ret_chunk) {
    (void)ctx;
    struct script *script = ex->app_state;
    if (path_is(ex, "/drip")) {
        if (script->chunks_n++ == RIG_DRIPS_N)
            return CG_APP_END;
        ret_chunk->bytes = cg_slice_of(big, RIG_DRIP_LEN);
        return CG_APP_CHUNK;
    }
    if (path_is(ex, "/trickle") && script->chunks_n++ == 0) {
        ret_chunk->bytes = CG_SLICE("drop");
        return CG_APP_CHUNK;
    }
    if (path_is(ex, "/trickle"))
        return wait_at_gate();
    if (path_is(ex, "/push")) {
        while (cg_exchange_push(ex, cg_slice_of(big, RIG_DRIP_LEN)) == 0)
            ;
        return CG_APP_FAILED;
    }
    ret_chunk->last = true;
    ret_chunk->bytes = path_is(ex, "/big") ? cg_slice_of(big, RIG_BIG_LEN) : CG_SLICE("hello");
    if (path_is(ex, "/file")) {
        ret_chunk->fd = file_fd;
        ret_chunk->file_len = RIG_BIG_LEN;
    }
    return CG_APP_CHUNK;
}

static void app_end(void *ctx, struct cg_exchange *ex) {
    (void)ctx;
    free(ex->app_state);
}

static const struct cg_app app = {app_begin, app_next, app_end};

/* The runtime: does nothing, but checks that what must be paired is. */

static _Thread_local bool host_is_free;

static void rt_wait_begin(void *rt) {
    (void)rt;
    CG_CHECK(!host_is_free);
    host_is_free = true;
}

static void rt_wait_end(void *rt) {
    (void)rt;
    CG_CHECK(host_is_free);
    host_is_free = false;
}

static void rt_give_way(void *rt) {
    (void)rt;
    CG_CHECK(!host_is_free);
}

static void rt_thread_begin(void *rt) {
    (void)rt;
}

static void rt_thread_end(void *rt) {
    (void)rt;
    CG_CHECK(!host_is_free);
}

static enum cg_exit rt_boot(void *rt, const struct cg_child *child, uint64_t requests_max) {
    (void)rt;
    CG_CHECK(requests_max >= (uint64_t)child->settings->max_requests);
    if (rig.clients_max > 0) {
        int next_fd = dup(0); /* the wait set's */
        rlim_t max = (rlim_t)(next_fd + 1 + rig.clients_max);
        struct rlimit limit = {max, max};
        close(next_fd);
        CG_CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);
    }
    return rig.boot_code;
}

static int rt_leave(void *rt, int exit_code, bool quick) {
    (void)rt;
    CG_CHECK(!host_is_free &&
             (quick || exit_code == CG_EXIT_OK || exit_code == (int)rig.boot_code));
    return exit_code;
}

static void rt_interrupt(void *rt) {
    (void)rt;
    interrupted = true;
}

static bool rt_poll(void *rt) {
    (void)rt;
    CG_CHECK(!host_is_free);
    return false;
}

static size_t rt_stack(void *rt, pthread_t thread, char *ret_text, size_t size) {
    (void)rt;
    return (size_t)snprintf(ret_text, size, "Stack of %s thread",
                            pthread_equal(thread, pthread_self()) ? "this" : "that");
}

static void rt_reopen_logs(void *rt) {
    (void)rt;
}

static const struct cg_runtime runtime = {
    .reopen_logs = rt_reopen_logs,
    .wait_begin = rt_wait_begin,
    .wait_end = rt_wait_end,
    .give_way = rt_give_way,
    .thread_begin = rt_thread_begin,
    .thread_end = rt_thread_end,
    .boot = rt_boot,
    .leave = rt_leave,
    .interrupt = rt_interrupt,
    .stack = rt_stack,
    .poll = rt_poll,
};

/* The server. */

static char dir[] = "/tmp/cg_worker_XXXXXX";
static char socket_path[64];
static struct cg_listener listeners[2]; /* TCP, unix */
static struct cg_scoreboard board;
static int arbiter_fds[2];

static void clean_up(void) {
    if (rig.server > 0)
        kill(rig.server, SIGKILL);
    unlink(socket_path);
    unlink(rig.log_path);
    unlink(rig.access_path);
    rmdir(dir);
}

static void open_listener(struct cg_listener *l, const char *text) {
    struct cg_bind bind;
    char error[200];
    CG_CHECK_INT(cg_bind_parse(text, &bind, error, sizeof(error)), 0);
    struct cg_listener_options options = {
        .backlog = (int)rig.settings.backlog, .uid = geteuid(), .gid = getegid()};
    CG_CHECK_INT(cg_listener_bind(l, &bind, &options), 0);
    CG_CHECK_INT(cg_listener_listen(l, &options), 0);
}

static void make_surroundings(void) {
    char text[100];
    CG_CHECK(mkdtemp(dir));
    snprintf(socket_path, sizeof(socket_path), "%s/sock", dir);
    snprintf(rig.log_path, sizeof(rig.log_path), "%s/error.log", dir);
    snprintf(rig.access_path, sizeof(rig.access_path), "%s/access.log", dir);
    snprintf(text, sizeof(text), "unix:%s", socket_path);
    open_listener(&listeners[0], "127.0.0.1:0");
    open_listener(&listeners[1], text);
    CG_CHECK_INT(cg_scoreboard_init(&board, 1), 0);
    rig.slot = cg_slot_take(&board, cg_clock_us());
    CG_CHECK_INT(pipe(rig.life_fds) | pipe(rig.entered_fds) | pipe(rig.gate_fds), 0);
    CG_CHECK_INT(cg_fd_wake_pipe(arbiter_fds), 0);
    big = mmap(NULL, RIG_BIG_LEN, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CG_CHECK(big != MAP_FAILED);
    memset(big, 'b', RIG_BIG_LEN);
    file_fd = cg_fd_open_temp(dir);
    CG_CHECK_INT(cg_fd_write_all(file_fd, big, RIG_BIG_LEN), 0);
}

static int serve(void) {
    struct cg_worker_app worker_app = {&app, NULL};
    struct cg_listeners all = {listeners, 2, false};
    struct cg_child child = {
        .settings = &rig.settings,
        .listeners = &all,
        .runtime = &runtime,
        .slot = rig.slot,
        .age = 1,
        .parent_fd = rig.life_fds[0],
        .arbiter_fd = arbiter_fds[1],
        .arbiter_pid = getppid(),
        .ctx = &worker_app,
    };
    const char *failed;
    close(rig.life_fds[1]);
    CG_CHECK_INT(cg_log_open(rig.log_path, rig.access_path, "debug", &failed), 0);
    return cg_worker_main(&child);
}

bool rig_readable(int fd, int timeout_ms) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, timeout_ms) == 1;
}

void rig_await_byte(int fd) {
    char byte;
    CG_CHECK(rig_readable(fd, RIG_PATIENCE_MS));
    CG_CHECK_INT(read(fd, &byte, 1), 1);
}

/* "async:4": the worker class, and how many threads it has. */
static void follow_environment(void) {
    static char name[16];
    const char *text = getenv("CG_RIG_WORKER_CLASS");
    if (!text)
        return;
    size_t len = strcspn(text, ":");
    CG_CHECK(len < sizeof(name) && text[len] == ':');
    memcpy(name, text, len);
    rig.settings.worker_class = name;
    rig.settings.threads = text[len + 1] - '0';
}

/* As the arbiter does: the child begins with all signals blocked. */
void rig_start(void) {
    sigset_t all, before;
    follow_environment();
    make_surroundings();
    atexit(clean_up);
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    rig.server = fork();
    CG_CHECK(rig.server >= 0);
    if (rig.server == 0)
        _exit(serve());
    sigprocmask(SIG_SETMASK, &before, NULL);
    signal(SIGPIPE, SIG_IGN);
    close(rig.life_fds[0]);
    for (int i = 0; i < 2; i++)
        close(listeners[i].fd);
    if (rig.boot_code == CG_EXIT_OK) {
        rig_await_byte(arbiter_fds[0]);
        CG_CHECK_INT(atomic_load(&rig.slot->state), CG_SLOT_READY);
    }
}

int rig_await_exit(void) {
    uint64_t until_ms = cg_clock_ms() + RIG_PATIENCE_MS;
    int status;
    pid_t pid;
    while ((pid = waitpid(rig.server, &status, WNOHANG)) == 0) {
        CG_CHECK(cg_clock_ms() < until_ms);
        poll(NULL, 0, 2);
    }
    CG_CHECK_INT(pid, rig.server);
    rig.server = 0;
    CG_CHECK(WIFEXITED(status));
    return WEXITSTATUS(status);
}

void rig_stop(void) {
    kill(rig.server, SIGTERM);
    CG_CHECK_INT(rig_await_exit(), 0);
}

int rig_count_in(const char *path, const char *words) {
    static char text[256 * 1024];
    int n = 0, fd = open(path, O_RDONLY);
    CG_CHECK(fd >= 0);
    ssize_t len = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[len > 0 ? len : 0] = '\0';
    for (char *at = text; (at = strstr(at, words)); at++)
        n++;
    return n;
}

void rig_await_in(const char *path, const char *words) {
    uint64_t until_ms = cg_clock_ms() + RIG_PATIENCE_MS;
    while (rig_count_in(path, words) == 0) {
        CG_CHECK(cg_clock_ms() < until_ms);
        poll(NULL, 0, 2);
    }
}

void rig_await_log(const char *words) {
    rig_await_in(rig.log_path, words);
}

/* The clients. */

int rig_try_connect_tcp(void) {
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(listeners[0].local.port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    int error = errno;
    close(fd);
    return -error;
}

int rig_connect_tcp(void) {
    int fd = rig_try_connect_tcp();
    CG_CHECK(fd >= 0);
    return fd;
}

int rig_connect_unix(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, socket_path, strlen(socket_path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    CG_CHECK_INT(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

void rig_say(int fd, const char *text) {
    CG_CHECK_INT(cg_fd_write_all(fd, text, strlen(text)), 0);
}

void rig_ask(int fd, const char *path) {
    char text[200];
    snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);
    rig_say(fd, text);
}

/* Reads until `words` have come n times, or, with NULL, until the end. The text read. */
const char *rig_hear(int fd, const char *words, int n) {
    static char reply[REPLY_MAX];
    size_t len = 0;
    reply[0] = '\0';
    for (;;) {
        int found = 0;
        for (char *at = reply; words && (at = strstr(at, words)); at++)
            found++;
        if (words && found >= n)
            return reply;
        CG_CHECK(rig_readable(fd, RIG_PATIENCE_MS));
        ssize_t got = recv(fd, reply + len, sizeof(reply) - 1 - len, 0);
        if (got <= 0 && !words)
            return reply;
        CG_CHECK(got > 0);
        len += (size_t)got;
        reply[len] = '\0';
    }
}

void rig_hear_hello(int fd) {
    const char *reply = rig_hear(fd, "\r\n\r\nhello", 1);
    CG_CHECK(strncmp(reply, "HTTP/1.1 200 OK\r\n", 17) == 0);
}

void rig_hear_end(int fd) {
    CG_CHECK_INT(strlen(rig_hear(fd, NULL, 0)), 0);
    close(fd);
}

/* Reads to the end; the number of bytes. */
size_t rig_swallow(int fd) {
    char window[64 * 1024];
    size_t len = 0;
    for (;;) {
        CG_CHECK(rig_readable(fd, RIG_PATIENCE_MS));
        ssize_t n = recv(fd, window, sizeof(window), 0);
        if (n <= 0)
            return len;
        len += (size_t)n;
    }
}

void rig_expect_service(void) {
    int fd = rig_connect_tcp();
    rig_ask(fd, "/");
    rig_hear_hello(fd);
    close(fd);
}
