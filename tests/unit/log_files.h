/* SPDX-License-Identifier: MIT
 *
 * Log files for tests of the log sink: a folder for each case, and what is in the files.
 */
#ifndef CG_TESTS_UNIT_LOG_FILES_H
#define CG_TESTS_UNIT_LOG_FILES_H

#include "server/base/buf.h"
#include "tests/unit/test.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/cg-log-XXXXXX";

static inline void leave_folder(void) {
    char command[64];
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    if (chdir("/") != 0 || system(command) != 0)
        fprintf(stderr, "could not remove %s\n", folder);
}

/* Goes to a fresh folder, which is removed when the case ends. */
static inline void enter_folder(void) {
    CG_CHECK(mkdtemp(folder));
    CG_CHECK_INT(chdir(folder), 0);
    atexit(leave_folder);
}

/* The whole file; the caller's to free. */
static inline struct cg_buf read_log(const char *path) {
    struct cg_buf b = CG_BUF_INIT;
    int fd = open(path, O_RDONLY);
    CG_CHECK(fd >= 0);
    ssize_t n;
    do {
        CG_CHECK_INT(cg_buf_reserve(&b, 65536), 0);
        n = read(fd, b.at + b.len, b.cap - b.len);
        b.len += n > 0 ? (size_t)n : 0;
    } while (n > 0);
    close(fd);
    return b;
}

static inline void check_file(const char *path, struct cg_slice want) {
    struct cg_buf got = read_log(path);
    cg_test_check_slice(__FILE__, __LINE__, cg_buf_slice(&got), want);
    cg_buf_done(&got);
}

static inline void wait_for_child(pid_t pid) {
    int status;
    CG_CHECK_INT(waitpid(pid, &status, 0), pid);
    CG_CHECK_INT(status, 0);
}

#endif
