/* SPDX-License-Identifier: MIT
 *
 * Rules of server/base/log.h for a log whose reader does not read: who waits for it, and what does
 * not.
 */
#include "server/base/log.h"
#include "tests/unit/log_files.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

/* A pipe that takes no more until somebody reads. */
struct full_pipe {
    int read_fd;
    size_t filled_n;
};

/* The access log is such a pipe then. */
static struct full_pipe open_full_pipe(void) {
    const char *failed = NULL;
    char zeros[4096] = {0};
    enter_folder();
    CG_CHECK_INT(mkfifo("access", 0600), 0);
    struct full_pipe p = {.read_fd = open("access", O_RDWR)};
    int fd = open("access", O_WRONLY | O_NONBLOCK);
    CG_CHECK(p.read_fd >= 0 && fd >= 0);
    for (ssize_t n; (n = write(fd, zeros, sizeof(zeros))) > 0;)
        p.filled_n += (size_t)n;
    close(fd);
    CG_CHECK_INT(cg_log_open("error", "access", "info", &failed), 0);
    return p;
}

static atomic_int given_n, taken_n;

static bool give_host(void) {
    atomic_fetch_add(&given_n, 1);
    return true;
}

static void take_host(void) {
    atomic_fetch_add(&taken_n, 1);
}

static void *write_access_line(void *unused) {
    (void)unused;
    cg_log_write(CG_LOG_FILE_ACCESS, CG_SLICE("waits\n"));
    return NULL;
}

/* A thread of this process that waits for the pipe's reader: it has the turn, and has given the
 * host away. */
static pthread_t start_waiting(void) {
    pthread_t thread;
    cg_log_set_host(&(struct cg_log_host){give_host, take_host});
    CG_CHECK_INT(pthread_create(&thread, NULL, write_access_line, NULL), 0);
    while (atomic_load(&given_n) == 0)
        usleep(1000);
    return thread;
}

static void end_waiting(const struct full_pipe *p, pthread_t thread, struct cg_slice want) {
    char got[8192];
    for (size_t n = 0; n < p->filled_n;) {
        size_t left = p->filled_n - n;
        ssize_t rc = read(p->read_fd, got, left < sizeof(got) ? left : sizeof(got));
        CG_CHECK(rc > 0);
        n += (size_t)rc;
    }
    CG_CHECK_INT(pthread_join(thread, NULL), 0);
    cg_log_flush();
    ssize_t n = read(p->read_fd, got, sizeof(got));
    CG_CHECK(n > 0);
    cg_test_check_slice(__FILE__, __LINE__, cg_slice_of(got, (size_t)n), want);
}

CG_TEST(child_does_not_wait_for_who_was_writing_in_its_parent) {
    struct full_pipe p = open_full_pipe();
    pthread_t thread = start_waiting();
    cg_log_access(CG_SLICE("parent"));
    pid_t pid = fork();
    if (pid == 0) {
        const char *failed = NULL;
        alarm(50); /* the case has 60 s */
        if (cg_log_open("error", "childs", "info", &failed) != 0)
            _exit(1);
        cg_log_access(CG_SLICE("child"));
        cg_log_flush();
        _exit(0);
    }
    wait_for_child(pid);
    check_file("childs", CG_SLICE("child\n"));
    end_waiting(&p, thread, CG_SLICE("waits\nparent\n"));
}

CG_TEST(nobody_else_waits_while_one_waits_for_the_reader) {
    struct full_pipe p = open_full_pipe();
    pthread_t thread = start_waiting();
    cg_log_access(CG_SLICE("later"));
    CG_CHECK(!cg_log_try_flush());
    end_waiting(&p, thread, CG_SLICE("waits\nlater\n"));
    CG_CHECK(cg_log_try_flush());
}

CG_TEST(what_a_full_pipe_did_not_take_is_left_for_the_next_flush) {
    struct full_pipe p = open_full_pipe();
    char sink[65536];
    cg_log_set_host(&(struct cg_log_host){give_host, take_host});
    cg_log_access(CG_SLICE("first"));
    CG_CHECK(!cg_log_try_flush());
    CG_CHECK_INT(atomic_load(&given_n), 0); /* it waits for nothing */
    cg_log_access(CG_SLICE("second"));
    for (size_t n = 0; n < p.filled_n; n += (size_t)read(p.read_fd, sink, sizeof(sink)))
        ;
    CG_CHECK(cg_log_try_flush());
    ssize_t n = read(p.read_fd, sink, sizeof(sink));
    CG_CHECK_SLICE(cg_slice_of(sink, n > 0 ? (size_t)n : 0), "first\nsecond\n");
}

/* It is longer than what a pipe is sure to take when it says that it is ready. */
CG_TEST(a_long_line_is_not_waited_for_either) {
    enum { LINE_LEN = 6000 };
    struct full_pipe p = open_full_pipe();
    char line[LINE_LEN], sink[65536];
    memset(line, 'x', sizeof(line));
    cg_log_set_host(&(struct cg_log_host){give_host, take_host});
    CG_CHECK_INT(read(p.read_fd, sink, 4096), 4096);
    p.filled_n -= 4096;
    cg_log_access(cg_slice_of(line, sizeof(line)));
    CG_CHECK(!cg_log_try_flush());
    CG_CHECK_INT(atomic_load(&given_n), 0);
    for (size_t n = 0, left; (left = p.filled_n - n) > 0;)
        n += (size_t)read(p.read_fd, sink, left < sizeof(sink) ? left : sizeof(sink));
    CG_CHECK(cg_log_try_flush());
    ssize_t n = read(p.read_fd, sink, sizeof(sink));
    CG_CHECK_INT(n, LINE_LEN + 1);
    CG_CHECK(memcmp(sink, line, sizeof(line)) == 0 && sink[LINE_LEN] == '\n');
}

CG_TEST(host_is_given_away_while_a_reader_is_waited_for) {
    struct full_pipe p = open_full_pipe();
    pthread_t thread = start_waiting();
    cg_log(CG_LOG_INFO, "into a file");
    CG_CHECK_INT(atomic_load(&given_n), 1);
    CG_CHECK_INT(atomic_load(&taken_n), 0);
    end_waiting(&p, thread, CG_SLICE("waits\n"));
    CG_CHECK_INT(atomic_load(&given_n), 1);
    CG_CHECK_INT(atomic_load(&taken_n), 1);
}
