/* SPDX-License-Identifier: MIT
 *
 * Rules of server/base/log.h. Each case has a folder of its own for its log files.
 */
#include "server/base/assert.h"
#include "server/base/buf.h"
#include "server/base/fd.h"
#include "server/base/log.h"
#include "tests/unit/log_files.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void open_logs(const char *level) {
    const char *failed = NULL;
    enter_folder();
    CG_CHECK_INT(cg_log_open("error", "access", level, &failed), 0);
}

/* The message of a file's only line, behind stamp, pid and level; the caller's to free. */
static struct cg_buf read_message(const char *path) {
    struct cg_buf b = read_log(path);
    for (int brackets = 0; brackets < 3; brackets++) {
        char *end = memchr(b.at, ']', b.len);
        CG_CHECK(end);
        cg_buf_drop_front(&b, (size_t)(end - b.at) + 2);
    }
    return b;
}

static void check_message(const char *path, struct cg_slice want) {
    struct cg_buf got = read_message(path);
    cg_test_check_slice(__FILE__, __LINE__, cg_buf_slice(&got), want);
    cg_buf_done(&got);
}

CG_TEST(error_line_has_stamp_pid_and_level) {
    setenv("TZ", "UTC-2", 1);
    open_logs("info");
    cg_log(CG_LOG_WARNING, "Invalid request from ip=%s", "192.0.2.1");
    struct cg_buf got = read_log("error");
    int year, month, day, hour, minute, second, pid, end = 0;
    CG_CHECK_INT(cg_buf_append_char(&got, '\0'), 0);
    CG_CHECK_INT(sscanf(got.at, "[%4d-%2d-%2d %2d:%2d:%2d +0200] [%d] [WARNING] %n", &year, &month,
                        &day, &hour, &minute, &second, &pid, &end),
                 7);
    CG_CHECK_INT(pid, getpid());
    CG_CHECK_SLICE(cg_slice_str(got.at + end), "Invalid request from ip=192.0.2.1\n");
    cg_buf_done(&got);
}

CG_TEST(level_names_are_gunicorns) {
    static const struct {
        enum cg_log_level level;
        const char *line_part;
    } rows[] = {
        {CG_LOG_DEBUG, "] [DEBUG] x\n"},       {CG_LOG_INFO, "] [INFO] x\n"},
        {CG_LOG_WARNING, "] [WARNING] x\n"},   {CG_LOG_ERROR, "] [ERROR] x\n"},
        {CG_LOG_CRITICAL, "] [CRITICAL] x\n"},
    };
    open_logs("debug");
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        CG_CHECK_INT(truncate("error", 0), 0);
        cg_log(rows[i].level, "x");
        struct cg_buf got = read_log("error");
        CG_CHECK(memmem(got.at, got.len, rows[i].line_part, strlen(rows[i].line_part)));
        cg_buf_done(&got);
    }
}

CG_TEST(lines_below_the_level_are_not_written) {
    open_logs("error");
    cg_log(CG_LOG_WARNING, "no");
    cg_log_text(CG_LOG_INFO, CG_SLICE("no"));
    check_file("error", CG_SLICE(""));
    CG_CHECK(!cg_log_enabled(CG_LOG_WARNING));
    CG_CHECK(cg_log_enabled(CG_LOG_ERROR));
}

CG_TEST(before_open_the_sink_is_stderr_at_info) {
    enter_folder();
    int fd = open("stderr", O_WRONLY | O_CREAT, 0600);
    CG_CHECK_INT(dup2(fd, STDERR_FILENO), STDERR_FILENO);
    CG_CHECK_INT(cg_log_error_fd(), STDERR_FILENO);
    CG_CHECK(!cg_log_access_enabled());
    cg_log(CG_LOG_DEBUG, "no");
    cg_log(CG_LOG_INFO, "yes");
    cg_log_access(CG_SLICE("nowhere"));
    cg_log_flush();
    check_message("stderr", CG_SLICE("yes\n"));
}

CG_TEST(control_characters_cannot_forge_a_line) {
    open_logs("info");
    cg_log(CG_LOG_INFO, "GET /\r\n[x] [1] [INFO] forged\x1b[0m\x7f\t\xc3\xa9");
    check_message("error", CG_SLICE("GET /??[x] [1] [INFO] forged?[0m?\t\xc3\xa9\n"));
}

CG_TEST(long_line_is_cut_to_four_kib) {
    open_logs("info");
    cg_log(CG_LOG_INFO, "%*s", 100000, "");
    struct cg_buf got = read_log("error");
    CG_CHECK_INT(got.len, 4096);
    CG_CHECK_SLICE(cg_slice_of(got.at + got.len - 5, 5), " ...\n");
    cg_buf_done(&got);
}

CG_TEST(text_keeps_its_lines) {
    open_logs("info");
    cg_log_text(CG_LOG_ERROR, CG_SLICE("Traceback:\n  a\n  b"));
    check_message("error", CG_SLICE("Traceback:\n  a\n  b\n"));
    CG_CHECK_INT(truncate("error", 0), 0);
    cg_log_text(CG_LOG_ERROR, CG_SLICE("ends itself\n"));
    check_message("error", CG_SLICE("ends itself\n"));
}

CG_TEST(access_lines_wait_for_a_flush) {
    open_logs("info");
    CG_CHECK(cg_log_access_enabled());
    cg_log_access(CG_SLICE("one"));
    cg_log_access(CG_SLICE(""));
    cg_log_access(CG_SLICE("three"));
    check_file("access", CG_SLICE(""));
    cg_log_flush();
    check_file("access", CG_SLICE("one\n\nthree\n"));
    cg_log_flush();
    check_file("access", CG_SLICE("one\n\nthree\n"));
}

CG_TEST(lines_written_as_they_are_stand_behind_those_that_wait) {
    open_logs("critical");
    cg_log_access(CG_SLICE("waits"));
    cg_log_write(CG_LOG_FILE_ACCESS, CG_SLICE("one\ntwo\n"));
    check_file("access", CG_SLICE("waits\none\ntwo\n"));
    cg_log_write(CG_LOG_FILE_ERROR, CG_SLICE("as it is\n"));
    check_file("error", CG_SLICE("as it is\n"));
}

static char taken[256];

static void take(void *ctx, enum cg_log_file file, enum cg_log_level level, struct cg_slice text) {
    snprintf(taken, sizeof(taken), "%s %d %d %.*s", (const char *)ctx, (int)file, (int)level,
             (int)text.len, text.at);
}

CG_TEST(a_taker_gets_lines_in_the_place_of_the_file) {
    struct cg_log_taker errors = {
        .takes_errors = true, .lowest = CG_LOG_DEBUG, .take = take, .ctx = "ctx"};
    open_logs("critical");
    cg_log_divert(&errors);
    cg_log(CG_LOG_DEBUG, "a\nb");
    CG_CHECK_SLICE(cg_slice_str(taken), "ctx 0 0 a?b");
    cg_log_text(CG_LOG_ERROR, CG_SLICE("two\nlines"));
    CG_CHECK_SLICE(cg_slice_str(taken), "ctx 0 3 two\nlines");
    CG_CHECK(!cg_log_access_diverted());
    cg_log_access(CG_SLICE("the file's"));
    cg_log_flush();
    check_file("access", CG_SLICE("the file's\n"));
    struct cg_log_taker access = {.takes_access = true, .take = take, .ctx = "ctx"};
    cg_log_divert(&access);
    CG_CHECK(cg_log_access_diverted());
    cg_log_access(CG_SLICE("line"));
    CG_CHECK_SLICE(cg_slice_str(taken), "ctx 1 1 line");
    check_file("error", CG_SLICE(""));
    cg_log_divert(NULL);
}

CG_TEST(captured_output_follows_the_error_log) {
    open_logs("info");
    CG_CHECK_INT(cg_log_capture_output(), 0);
    CG_CHECK_INT(write(STDOUT_FILENO, "one", 3), 3);
    CG_CHECK_INT(rename("error", "old"), 0);
    CG_CHECK_INT(cg_log_reopen(), 0);
    CG_CHECK_INT(write(STDERR_FILENO, "two", 3), 3);
    check_file("old", CG_SLICE("one"));
    check_file("error", CG_SLICE("two"));
}

CG_TEST(log_files_belong_to_whom_they_are_given) {
    struct stat status;
    uid_t uid = geteuid() == 0 ? 12345 : geteuid();
    open_logs("info");
    CG_CHECK_INT(cg_log_own(uid, getegid()), 0);
    CG_CHECK_INT(stat("access", &status), 0);
    CG_CHECK_INT(status.st_uid, uid);
    CG_CHECK_INT(rename("error", "old"), 0);
    CG_CHECK_INT(cg_log_reopen(), 0);
    CG_CHECK_INT(stat("error", &status), 0);
    CG_CHECK_INT(status.st_uid, uid);
}

/* Only root could give them away. */
CG_TEST(files_behind_links_are_not_given_away) {
    struct stat status;
    const char *failed;
    enter_folder();
    close(open("target", O_WRONLY | O_CREAT, 0644));
    CG_CHECK_INT(symlink("target", "error"), 0);
    CG_CHECK_INT(link("target", "access"), 0);
    CG_CHECK_INT(cg_log_open("error", "access", "info", &failed), 0);
    CG_CHECK_INT(cg_log_own(12345, 12345), 0);
    CG_CHECK_INT(cg_log_reopen(), 0);
    CG_CHECK_INT(stat("target", &status), 0);
    CG_CHECK_INT(status.st_uid, geteuid());
}

CG_TEST(full_buffer_flushes_itself) {
    enum { LINE = 1000, LINES = 500 };
    char line[LINE];
    open_logs("info");
    memset(line, 'x', LINE);
    for (int i = 0; i < LINES; i++)
        cg_log_access(cg_slice_of(line, LINE));
    struct cg_buf got = read_log("access");
    CG_CHECK(got.len > (size_t)(LINES - 70) * (LINE + 1));
    cg_buf_done(&got);
    cg_log_flush();
    got = read_log("access");
    CG_CHECK_INT(got.len, LINES * (LINE + 1));
    cg_buf_done(&got);
}

CG_TEST(line_longer_than_the_buffer_is_written_whole_and_in_order) {
    enum { LINE = 200000 };
    char *line = malloc(LINE);
    open_logs("info");
    memset(line, 'x', LINE);
    cg_log_access(CG_SLICE("first"));
    cg_log_access(cg_slice_of(line, LINE));
    cg_log_access(CG_SLICE("last"));
    cg_log_flush();
    struct cg_buf got = read_log("access");
    CG_CHECK_INT(got.len, 6 + LINE + 1 + 5);
    CG_CHECK_SLICE(cg_slice_of(got.at, 7), "first\nx");
    CG_CHECK_SLICE(cg_slice_of(got.at + got.len - 7, 7), "x\nlast\n");
    cg_buf_done(&got);
    free(line);
}

CG_TEST(child_does_not_write_its_parents_lines) {
    open_logs("info");
    cg_log_access(CG_SLICE("parent"));
    pid_t pid = fork();
    if (pid == 0) {
        cg_log_access(CG_SLICE("child"));
        cg_log_flush();
        _exit(0);
    }
    wait_for_child(pid);
    pid = fork();
    if (pid == 0) {
        cg_log_flush();
        _exit(0);
    }
    wait_for_child(pid);
    cg_log_flush();
    check_file("access", CG_SLICE("child\nparent\n"));
}

CG_TEST(reopen_follows_a_rename_and_keeps_the_number) {
    open_logs("info");
    int fd = cg_log_error_fd();
    cg_log_access(CG_SLICE("before"));
    CG_CHECK(rename("error", "error.1") == 0 && rename("access", "access.1") == 0);
    CG_CHECK_INT(cg_log_reopen(), 0);
    CG_CHECK_INT(cg_log_error_fd(), fd);
    cg_log(CG_LOG_INFO, "after");
    cg_log_access(CG_SLICE("after"));
    cg_log_flush();
    check_file("error.1", CG_SLICE(""));
    check_file("access.1", CG_SLICE("before\n"));
    check_message("error", CG_SLICE("after\n"));
    check_file("access", CG_SLICE("after\n"));
}

CG_TEST(failed_reopen_leaves_the_log_as_it_was) {
    open_logs("info");
    CG_CHECK_INT(rename("error", "kept"), 0);
    CG_CHECK_INT(mkdir("error", 0700), 0);
    CG_CHECK_INT(cg_log_reopen(), -EISDIR);
    cg_log(CG_LOG_INFO, "still here");
    check_message("kept", CG_SLICE("still here\n"));
}

CG_TEST(relative_path_survives_a_chdir) {
    open_logs("info");
    CG_CHECK_INT(unlink("error"), 0);
    CG_CHECK_INT(chdir("/"), 0);
    CG_CHECK_INT(cg_log_reopen(), 0);
    CG_CHECK_INT(chdir(folder), 0);
    check_file("error", CG_SLICE(""));
}

CG_TEST(failed_open_names_the_file_and_keeps_the_old_logs) {
    const char *failed = NULL;
    open_logs("info");
    CG_CHECK_INT(cg_log_open("none/error", "access2", "debug", &failed), -ENOENT);
    CG_CHECK_SLICE(cg_slice_str(failed), "none/error");
    CG_CHECK_INT(cg_log_open("error2", "none/access", "debug", &failed), -ENOENT);
    CG_CHECK_SLICE(cg_slice_str(failed), "none/access");
    CG_CHECK(!cg_log_enabled(CG_LOG_DEBUG));
    cg_log(CG_LOG_INFO, "old");
    check_message("error", CG_SLICE("old\n"));
}

CG_TEST(open_again_switches_and_keeps_the_number) {
    const char *failed = NULL;
    open_logs("info");
    int fd = cg_log_error_fd();
    cg_log_access(CG_SLICE("old"));
    CG_CHECK_INT(cg_log_open("error2", NULL, "debug", &failed), 0);
    CG_CHECK_INT(cg_log_error_fd(), fd);
    CG_CHECK(!cg_log_access_enabled());
    cg_log_access(CG_SLICE("nowhere"));
    cg_log(CG_LOG_DEBUG, "new");
    check_file("access", CG_SLICE("old\n"));
    check_file("error", CG_SLICE(""));
    check_message("error2", CG_SLICE("new\n"));
    CG_CHECK_INT(cg_log_open("error", "access", "info", &failed), 0);
    cg_log_access(CG_SLICE("again"));
    cg_log_flush();
    check_file("access", CG_SLICE("old\nagain\n"));
}

CG_TEST(files_are_not_inherited_over_exec) {
    open_logs("info");
    CG_CHECK_INT(fcntl(cg_log_error_fd(), F_GETFD), FD_CLOEXEC);
    CG_CHECK_INT(cg_log_reopen(), 0);
    CG_CHECK_INT(fcntl(cg_log_error_fd(), F_GETFD), FD_CLOEXEC);
    CG_CHECK(fcntl(cg_log_error_fd(), F_GETFL) & O_APPEND);
}

CG_TEST(closed_standard_streams_are_no_obstacle) {
    const char *failed = NULL;
    close(STDIN_FILENO);
    close(STDOUT_FILENO);
    close(STDERR_FILENO);
    int rc = cg_log_open("-", "-", "info", &failed);
    cg_log(CG_LOG_INFO, "into the void");
    if (rc != 0 || cg_log_error_fd() <= STDERR_FILENO)
        abort();
}

CG_TEST(full_disk_drops_lines_and_nothing_else) {
    const char *failed = NULL;
    if (access("/dev/full", W_OK) != 0)
        return;
    CG_CHECK_INT(cg_log_open("/dev/full", "/dev/full", "info", &failed), 0);
    for (int i = 0; i < 20000; i++) {
        cg_log(CG_LOG_INFO, "lost");
        cg_log_access(CG_SLICE("lost as well"));
    }
    cg_log_flush();
}

CG_TEST(full_pipe_never_blocks_and_tears_no_line) {
    enum { LINES = 30000 };
    const char *failed = NULL;
    int fds[2];
    CG_CHECK_INT(cg_fd_wake_pipe(fds), 0);
    int stdout_copy = dup(STDOUT_FILENO);
    CG_CHECK_INT(dup2(fds[1], STDOUT_FILENO), STDOUT_FILENO);
    CG_CHECK_INT(cg_log_open("-", "-", "info", &failed), 0);
    for (int i = 0; i < LINES; i++)
        cg_log_access(CG_SLICE("0123456789"));
    struct cg_buf got = CG_BUF_INIT;
    for (ssize_t n = 1; n > 0; cg_log_flush()) {
        CG_CHECK_INT(cg_buf_reserve(&got, 65536), 0);
        n = read(fds[0], got.at + got.len, got.cap - got.len);
        got.len += n > 0 ? (size_t)n : 0;
    }
    CG_CHECK(got.len > 100000 && got.len < LINES * 11);
    CG_CHECK_INT(got.len % 11, 0);
    for (size_t i = 0; i < got.len; i += 11)
        CG_CHECK_SLICE(cg_slice_of(got.at + i, 11), "0123456789\n");
    cg_buf_done(&got);
    dup2(stdout_copy, STDOUT_FILENO);
}

enum { THREADS = 4, LINES_PER_THREAD = 2000 };

static void *log_lines(void *unused) {
    (void)unused;
    for (int i = 0; i < LINES_PER_THREAD; i++) {
        cg_log(CG_LOG_INFO, "0123456789");
        cg_log_access(CG_SLICE("0123456789"));
        if (i % 100 == 0)
            cg_log_reopen();
    }
    return NULL;
}

CG_TEST(threads_write_whole_lines_also_while_reopening) {
    pthread_t threads[THREADS];
    open_logs("info");
    for (int i = 0; i < THREADS; i++)
        CG_CHECK_INT(pthread_create(&threads[i], NULL, log_lines, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        CG_CHECK_INT(pthread_join(threads[i], NULL), 0);
    cg_log_flush();
    struct cg_buf got = read_log("access");
    CG_CHECK_INT(got.len, THREADS * LINES_PER_THREAD * 11);
    for (size_t i = 0; i < got.len; i += 11)
        CG_CHECK_SLICE(cg_slice_of(got.at + i, 11), "0123456789\n");
    cg_buf_done(&got);
    got = read_log("error");
    size_t lines_n = 0;
    for (size_t i = 0; i < got.len; i++)
        lines_n += got.at[i] == '\n';
    CG_CHECK_INT(lines_n, THREADS * LINES_PER_THREAD);
    CG_CHECK_INT(got.len % lines_n, 0);
    cg_buf_done(&got);
}

CG_TEST(failed_assert_is_logged_and_aborts) {
    open_logs("info");
    pid_t pid = fork();
    if (pid == 0)
        cg_assert_failed("server/x.c", 12, "a == b");
    int status;
    CG_CHECK_INT(waitpid(pid, &status, 0), pid);
    CG_CHECK(WIFSIGNALED(status));
    CG_CHECK_INT(WTERMSIG(status), SIGABRT);
    check_message("error", CG_SLICE("Assertion failed at server/x.c:12: a == b\n"));
}
