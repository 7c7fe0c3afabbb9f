/* SPDX-License-Identifier: MIT
 *
 * The pidfile. Whom it may be taken from, and in which words it is refused, are Gunicorn's. No
 * state besides the caller's struct cg_pidfile.
 */
#include "server/arbiter/pidfile.h"

#include "server/base/fd.h"
#include "server/base/log.h"
#include "server/base/num.h"
#include "server/base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PID_TEXT_MAX = 32 };

/* The number in a text of digits and white space, or 0. */
static pid_t parse_pid(const char *text) {
    uint64_t pid;
    size_t len = strcspn(text, " \t\r\n");
    if (text[len + strspn(text + len, " \t\r\n")])
        return 0;
    if (cg_num_parse_u64(cg_slice_of(text, len), &pid) < 0 || pid > INT_MAX)
        return 0;
    return (pid_t)pid;
}

/* Fills text with the file's beginning and a NUL behind it; returns the length without that. */
static size_t read_text(const char *path, char *text, size_t size) {
    text[0] = '\0';
    /* Whatever the path names must not hold the arbiter up: no waiting for the writer of a pipe. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, size - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

pid_t cg_pidfile_read(const char *path) {
    char text[PID_TEXT_MAX];
    read_text(path, text, sizeof(text));
    return parse_pid(text);
}

/* Whether the path names what no server has left there: a device, or a file of something else than
 * numbers, which a slip of the hand would otherwise replace and remove. A file that is full of NULs
 * is what a crash of the machine may leave of a pidfile. */
static bool is_foreign(const char *path) {
    struct stat st;
    if (stat(path, &st) < 0 || S_ISDIR(st.st_mode))
        return false; /* what happens next tells */
    char text[PID_TEXT_MAX];
    size_t len = S_ISREG(st.st_mode) ? read_text(path, text, sizeof(text)) : sizeof(text);
    if (len >= sizeof(text) - 1)
        return true;
    for (size_t i = 0; i < len; i++)
        if (text[i] && !strchr("0123456789- \t\r\n", text[i]))
            return true;
    return false;
}

/* Our own pid is nobody else's: in a new container the same number is given out again. */
static pid_t other_holder(const char *path) {
    pid_t pid = cg_pidfile_read(path);
    bool is_alive = pid > 0 && (kill(pid, 0) == 0 || errno == EPERM);
    return is_alive && pid != getpid() ? pid : 0;
}

static int fill(int fd) {
    char text[PID_TEXT_MAX];
    int len = snprintf(text, sizeof(text), "%d\n", (int)getpid());
    int rc = cg_fd_write_all(fd, text, (size_t)len);
    if (rc == 0 && fchmod(fd, 0644) < 0)
        rc = -errno;
    return rc;
}

/* Puts the file in place of whatever has the path. 0 or -errno, with nothing left behind. */
static int put(const char *path) {
    char *temporary;
    if (asprintf(&temporary, "%s.XXXXXX", path) < 0)
        return -ENOMEM;
    int fd = mkostemp(temporary, O_CLOEXEC);
    int rc = fd < 0 ? -errno : fill(fd);
    cg_fd_close(&fd);
    if (rc == 0 && rename(temporary, path) < 0)
        rc = -errno;
    if (rc < 0 && rc != -ENOENT)
        unlink(temporary);
    free(temporary);
    return rc;
}

static void log_failure(const char *path, int error) {
    const char *slash = strrchr(path, '/');
    int folder_len = slash > path ? (int)(slash - path) : 1;
    if (error == ENOENT || error == ENOTDIR)
        cg_log(CG_LOG_ERROR, "%.*s doesn't exist. Can't create pidfile.", folder_len, path);
    else
        cg_log(CG_LOG_ERROR, "Can't create pidfile '%s': %s", path, strerror(error));
}

/* 0, or -errno after logging why. */
static int write_checked(const char *path) {
    pid_t holder = other_holder(path);
    if (holder) {
        cg_log(CG_LOG_ERROR, "Already running on PID %d (or pid file '%s' is stale)", (int)holder,
               path);
        return -EEXIST;
    }
    if (is_foreign(path)) {
        cg_log(CG_LOG_ERROR, "Can't create pidfile '%s': what is there is no pidfile", path);
        return -EEXIST;
    }
    int rc = put(path);
    if (rc < 0)
        log_failure(path, -rc);
    return rc;
}

int cg_pidfile_create(struct cg_pidfile *p, const char *path) {
    *p = (struct cg_pidfile){NULL};
    if (!path || !path[0])
        return 0;
    char *absolute = cg_path_absolute(path);
    int rc = absolute ? write_checked(absolute) : -errno;
    if (!absolute)
        log_failure(path, -rc);
    if (rc < 0)
        free(absolute);
    else
        p->path = absolute;
    return rc;
}

void cg_pidfile_bury(const char *path, pid_t ended) {
    if (path && cg_pidfile_read(path) == ended)
        unlink(path);
}

int cg_pidfile_move(struct cg_pidfile *p, const char *path) {
    struct cg_pidfile next;
    int rc = cg_pidfile_create(&next, path);
    if (rc < 0)
        return rc;
    if (p->path && next.path && strcmp(p->path, next.path) == 0)
        free(p->path);
    else
        cg_pidfile_remove(p);
    *p = next;
    return 0;
}

void cg_pidfile_remove(struct cg_pidfile *p) {
    if (p->path && cg_pidfile_read(p->path) == getpid())
        unlink(p->path);
    free(p->path);
    p->path = NULL;
}
