/* SPDX-License-Identifier: MIT
 *
 * The log sink of log.h. Owns, for the whole process: the two descriptors with the paths behind
 * them, whom their files belong to, the level, the taker, and the access lines that wait for a
 * flush. It rotates, filters and formats nothing else.
 *
 * Error lines take no lock, so they can be written from any thread and in a child forked from a
 * threaded process: the stamp is cached per thread, a descriptor keeps its number for ever once it
 * has one, and O_APPEND keeps the lines of all processes apart. Access lines share one buffer under
 * a mutex that is never held over a write. Who writes them has the turn, which is waited for, as a
 * full pipe is, without the host. A child of this process finds no lines and no turn taken.
 *
 * Whatever cannot be written (no space, a reader that is gone, a full non-blocking pipe) is
 * dropped: logging never fails a request. SIGPIPE must be ignored by the process.
 */
#include "server/base/log.h"

#include "server/base/assert.h"
#include "server/base/clock.h"
#include "server/base/fd.h"
#include "server/base/statsd.h"
#include "server/base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    ACCESS_BYTES = 64 * 1024,
    STAMP_LEN = 27, /* "[2026-11-20 12:00:00 +0000]" */
    PREFIX_MAX = 64,
    LINE_MAX_BYTES = 4096, /* within PIPE_BUF on Linux: a pipe keeps such lines whole */
};

/* A log file, or one of the standard streams. */
struct target {
    int fd;                  /* -1 = none */
    char *path;              /* owned, absolute or "-"; NULL = none */
    _Atomic bool has_reader; /* no regular file: to write into it may take until somebody reads */
};

static struct target error_log = {STDERR_FILENO, NULL, true};
static struct target access_log = {-1, NULL, false};
static enum cg_log_level lowest = CG_LOG_INFO;
static struct cg_log_taker taker;
static struct cg_log_host host;
static bool captures_output;
static bool has_owner;
static uid_t owner_uid;
static gid_t owner_gid;

static pthread_mutex_t access_lock = PTHREAD_MUTEX_INITIALIZER; /* of the next two */
static char access_bytes[ACCESS_BYTES];
static size_t access_len;

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER; /* of the rest; before access_lock */
static char leaving_bytes[ACCESS_BYTES];
static size_t leaving_at, leaving_len;

static const struct {
    const char *name; /* of the setting */
    const char *shown;
} levels[] = {
    [CG_LOG_DEBUG] = {"debug", "DEBUG"},          [CG_LOG_INFO] = {"info", "INFO"},
    [CG_LOG_WARNING] = {"warning", "WARNING"},    [CG_LOG_ERROR] = {"error", "ERROR"},
    [CG_LOG_CRITICAL] = {"critical", "CRITICAL"},
};

static enum cg_log_level level_of(const char *name) {
    for (size_t i = 0; name && i < sizeof(levels) / sizeof(levels[0]); i++)
        if (strcmp(name, levels[i].name) == 0)
            return (enum cg_log_level)i;
    return CG_LOG_INFO;
}

/* Writes the pieces in one call if the descriptor takes them so; gives up on the first error.
 * Returns the number of bytes that went out. */
static size_t write_pieces(int fd, struct iovec *iov, int n) {
    size_t total = 0;
    while (n > 0) {
        ssize_t put = writev(fd, iov, n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return total;
        total += (size_t)put;
        for (size_t left = (size_t)put; n > 0; iov++, n--) {
            if (left < iov->iov_len) {
                iov->iov_base = (char *)iov->iov_base + left;
                iov->iov_len -= left;
                break;
            }
            left -= iov->iov_len;
        }
    }
    return total;
}

/* Gives a log file to its owner. Not what is reached through a link, be it a symbolic or a hard
 * one: whoever may write into the folder would make a present of any file to himself. */
static int own(int fd, const char *path) {
    struct stat file, entry;
    if (!has_owner || fstat(fd, &file) < 0 || lstat(path, &entry) < 0)
        return 0;
    bool is_entry = file.st_dev == entry.st_dev && file.st_ino == entry.st_ino;
    if (!is_entry || !S_ISREG(file.st_mode) || file.st_nlink != 1 ||
        (file.st_uid == owner_uid && file.st_gid == owner_gid))
        return 0;
    return fchown(fd, owner_uid, owner_gid) < 0 ? -errno : 0;
}

static bool is_file(const struct target *t) {
    return t->path && strcmp(t->path, "-") != 0;
}

/* A descriptor of our own, past the standard streams so that redirecting those never hits it.
 * A closed standard stream is /dev/null. */
static int open_path(const char *path, int stream) {
    if (strcmp(path, "-") == 0) {
        int copy = fcntl(stream, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
        if (copy >= 0 || errno != EBADF)
            return copy < 0 ? -errno : copy;
        path = "/dev/null";
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0644);
    if (fd < 0)
        return -errno;
    own(fd, path);
    if (fd > STDERR_FILENO)
        return fd;
    int lifted = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    int rc = lifted < 0 ? -errno : lifted;
    close(fd);
    return rc;
}

static void target_done(struct target *t) {
    cg_fd_close(&t->fd);
    free(t->path);
    t->path = NULL;
}

static void look_at(struct target *t) {
    struct stat file;
    t->has_reader = fstat(t->fd, &file) < 0 || !S_ISREG(file.st_mode);
}

/* path NULL gives an empty target. 0 or -errno. */
static int target_init(struct target *t, const char *path, int stream) {
    *t = (struct target){-1, NULL, false};
    if (!path)
        return 0;
    if (!path[0])
        return -ENOENT;
    t->path = strcmp(path, "-") == 0 ? strdup(path) : cg_path_absolute(path);
    if (!t->path)
        return -ENOMEM;
    t->fd = open_path(t->path, stream);
    if (t->fd < 0)
        return t->fd;
    look_at(t);
    return 0;
}

/* Takes `from` over into `to`, which keeps its descriptor's number if it had one of its own. */
static void target_take(struct target *to, struct target *from) {
    if (to->path && from->path) {
        int rc = cg_fd_replace(to->fd, from->fd);
        CG_ASSERT(rc == 0); /* both are open, so no descriptor is needed */
        close(from->fd);
        from->fd = to->fd;
    } else if (to->path) {
        close(to->fd);
    }
    free(to->path);
    to->fd = from->fd;
    to->path = from->path;
    to->has_reader = from->has_reader;
}

static int target_reopen(struct target *t, int stream) {
    if (!is_file(t))
        return 0;
    int fd = open_path(t->path, stream);
    if (fd < 0)
        return fd;
    int rc = cg_fd_replace(t->fd, fd);
    close(fd);
    look_at(t);
    return rc;
}

/* Waiting for a reader */

static bool is_ready(const struct target *t) {
    struct pollfd p = {.fd = t->fd, .events = POLLOUT};
    return !t->has_reader || poll(&p, 1, 0) == 1;
}

/* Gives the host away, unless *away says that it is. */
static void give_host(bool *away) {
    if (!*away && host.give)
        *away = host.give();
}

static void take_host(bool away) {
    if (away)
        host.take();
}

/* Before so many bytes are written, which may take until somebody has read. */
static void prepare_to_wait(const struct target *t, size_t len, bool *away) {
    if (t->has_reader && (len > PIPE_BUF || !is_ready(t)))
        give_host(away);
}

static void write_error(struct iovec *iov, int n) {
    bool away = false;
    size_t len = 0;
    for (int i = 0; i < n; i++)
        len += iov[i].iov_len;
    prepare_to_wait(&error_log, len, &away);
    write_pieces(error_log.fd, iov, n);
    take_host(away);
}

/* Access lines on their way out */

static bool take_turn(bool may_wait, bool *away) {
    if (pthread_mutex_trylock(&turn) == 0)
        return true;
    if (!may_wait)
        return false;
    give_host(away);
    pthread_mutex_lock(&turn);
    return true;
}

/* The host last: it may be long in coming, and nobody is to wait for that. */
static void end_turn(bool away) {
    pthread_mutex_unlock(&turn);
    take_host(away);
}

/* In one's turn. False when nothing is to be written. */
static bool take_lines(void) {
    if (leaving_len > 0)
        return true;
    pthread_mutex_lock(&access_lock);
    memcpy(leaving_bytes, access_bytes, access_len);
    leaving_at = 0;
    leaving_len = access_len;
    access_len = 0;
    pthread_mutex_unlock(&access_lock);
    return leaving_len > 0;
}

/* Whole lines, and into a pipe no more than it keeps whole, which it takes at once when it is
 * ready. A line that alone is longer is a piece of its own if the reader may be waited for. */
static size_t piece_len(bool may_wait) {
    const char *at = leaving_bytes + leaving_at;
    if (!access_log.has_reader || leaving_len <= PIPE_BUF)
        return leaving_len;
    for (size_t len = PIPE_BUF; len > 0; len--)
        if (at[len - 1] == '\n')
            return len;
    if (!may_wait)
        return PIPE_BUF;
    const char *end = memchr(at, '\n', leaving_len);
    return end ? (size_t)(end - at) + 1 : leaving_len;
}

/* In one's turn. What cannot be written stays. False when a reader is to be waited for, which
 * may_wait forbids. */
static bool write_lines(bool may_wait, bool *away) {
    for (int i = 0; i < 2 && take_lines(); i++) {
        while (leaving_len > 0) {
            size_t len = piece_len(may_wait);
            if (may_wait)
                prepare_to_wait(&access_log, len, away);
            else if (!is_ready(&access_log))
                return false;
            size_t put =
                write_pieces(access_log.fd, &(struct iovec){leaving_bytes + leaving_at, len}, 1);
            leaving_at += put;
            leaving_len -= put;
            if (put < len)
                return true;
        }
    }
    return true;
}

static bool flush(bool may_wait) {
    bool away = false;
    if (!take_turn(may_wait, &away))
        return false;
    bool done = write_lines(may_wait, &away);
    end_turn(away);
    return done;
}

/* Past the buffer, behind what is in it; lost if that cannot be written. */
static void write_access(struct iovec *iov, int n, size_t len) {
    bool away = false;
    take_turn(true, &away);
    write_lines(true, &away);
    if (leaving_len == 0) {
        prepare_to_wait(&access_log, len, &away);
        write_pieces(access_log.fd, iov, n);
    }
    end_turn(away);
}

/* Fork. What a process has in its buffers is its own to write, and a thread of it that writes is
 * none of its child's. */

static void before_fork(void) {
    pthread_mutex_lock(&access_lock);
}

static void after_fork_in_parent(void) {
    pthread_mutex_unlock(&access_lock);
}

static void after_fork_in_child(void) {
    access_len = leaving_len = 0;
    pthread_mutex_unlock(&access_lock);
    pthread_mutex_init(&turn, NULL);
}

static void follow_forks(void) {
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

int cg_log_open(const char *error_path, const char *access_path, const char *level,
                const char **ret_path) {
    struct target error_new, access_new;
    if (!error_path)
        error_path = "-";
    int rc = target_init(&error_new, error_path, STDERR_FILENO);
    if (rc < 0) {
        *ret_path = error_path;
        target_done(&error_new);
        return rc;
    }
    rc = target_init(&access_new, access_path, STDOUT_FILENO);
    if (rc < 0) {
        *ret_path = access_path;
        target_done(&error_new);
        target_done(&access_new);
        return rc;
    }
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, follow_forks);
    flush(true);
    access_len = leaving_len = 0;
    target_take(&access_log, &access_new);
    target_take(&error_log, &error_new);
    lowest = level_of(level);
    return 0;
}

static int capture_output(void) {
    bool is_done = dup2(error_log.fd, STDOUT_FILENO) >= 0 && dup2(error_log.fd, STDERR_FILENO) >= 0;
    return is_done ? 0 : -errno;
}

int cg_log_capture_output(void) {
    captures_output = is_file(&error_log);
    return captures_output ? capture_output() : 0;
}

int cg_log_own(uid_t uid, gid_t gid) {
    has_owner = uid != geteuid() || gid != getegid();
    owner_uid = uid;
    owner_gid = gid;
    int error_rc = is_file(&error_log) ? own(error_log.fd, error_log.path) : 0;
    int access_rc = is_file(&access_log) ? own(access_log.fd, access_log.path) : 0;
    return error_rc < 0 ? error_rc : access_rc;
}

void cg_log_set_host(const struct cg_log_host *new_host) {
    host = *new_host;
}

void cg_log_divert(const struct cg_log_taker *to) {
    taker = to ? *to : (struct cg_log_taker){.take = NULL};
}

int cg_log_reopen(void) {
    int error_rc = target_reopen(&error_log, STDERR_FILENO);
    if (error_rc == 0 && captures_output)
        error_rc = capture_output();
    flush(false);
    int access_rc = target_reopen(&access_log, STDOUT_FILENO);
    return error_rc < 0 ? error_rc : access_rc;
}

bool cg_log_enabled(enum cg_log_level level) {
    return level >= (taker.takes_errors ? taker.lowest : lowest);
}

bool cg_log_access_enabled(void) {
    return access_log.path || taker.takes_access;
}

bool cg_log_access_diverted(void) {
    return taker.takes_access;
}

int cg_log_error_fd(void) {
    return error_log.fd;
}

/* Local time takes a lock inside libc, so each thread asks for it once a second. */
static const char *stamp_now(void) {
    static _Thread_local time_t at;
    static _Thread_local char text[STAMP_LEN + 1];
    time_t now = cg_clock_wall_s();
    if (now == at && text[0])
        return text;
    struct tm tm;
    at = now;
    if (!localtime_r(&now, &tm) || !strftime(text, sizeof(text), "[%Y-%m-%d %H:%M:%S %z]", &tm))
        text[0] = '\0';
    return text;
}

/* "[stamp] [pid] [LEVEL] "; its length. */
static size_t format_prefix(char at[PREFIX_MAX], enum cg_log_level level) {
    const char *name = levels[level].shown;
    int n = snprintf(at, PREFIX_MAX, "%s [%d] [%s] ", stamp_now(), (int)getpid(), name);
    return n < 0 ? 0 : (size_t)n;
}

/* One line stays one line, whatever a client managed to get into it. */
static void blank_controls(char *at, size_t len) {
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)at[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            at[i] = '?';
    }
}

/* What statsd is told about lines of the server's own, whatever the level that is logged. */
static void count(enum cg_log_level level, bool is_exception) {
    static const char *const names[] = {
        [CG_LOG_WARNING] = "gunicorn.log.warning",
        [CG_LOG_ERROR] = "gunicorn.log.error",
        [CG_LOG_CRITICAL] = "gunicorn.log.critical",
    };
    if (level >= CG_LOG_WARNING)
        cg_statsd_count(is_exception ? "gunicorn.log.exception" : names[level], 1);
}

void cg_log(enum cg_log_level level, const char *format, ...) {
    count(level, false);
    if (!cg_log_enabled(level))
        return;
    char line[LINE_MAX_BYTES];
    size_t len = taker.takes_errors ? 0 : format_prefix(line, level);
    size_t room = sizeof(line) - len; /* the NUL of vsnprintf makes way for the newline */
    va_list args;
    va_start(args, format);
    int wanted = vsnprintf(line + len, room, format, args);
    va_end(args);
    size_t text_len = wanted < 0 ? 0 : (size_t)wanted;
    if (text_len >= room) {
        text_len = room - 1;
        memcpy(line + len + text_len - 3, "...", 3);
    }
    blank_controls(line + len, text_len);
    len += text_len;
    if (taker.takes_errors) {
        taker.take(taker.ctx, CG_LOG_FILE_ERROR, level, cg_slice_of(line, len));
        return;
    }
    line[len++] = '\n';
    write_error(&(struct iovec){line, len}, 1);
}

void cg_log_text(enum cg_log_level level, struct cg_slice text) {
    count(level, level == CG_LOG_ERROR);
    if (!cg_log_enabled(level))
        return;
    if (taker.takes_errors) {
        taker.take(taker.ctx, CG_LOG_FILE_ERROR, level, text);
        return;
    }
    char prefix[PREFIX_MAX];
    bool ended = text.len > 0 && text.at[text.len - 1] == '\n';
    struct iovec iov[] = {
        {prefix, format_prefix(prefix, level)},
        {(char *)text.at, text.len},
        {"\n", ended ? 0 : 1},
    };
    write_error(iov, 3);
}

/* False when there is no room. */
static bool append(struct cg_slice line) {
    pthread_mutex_lock(&access_lock);
    bool fits = line.len < ACCESS_BYTES - access_len;
    if (fits) {
        if (line.len > 0)
            memcpy(access_bytes + access_len, line.at, line.len);
        access_len += line.len;
        access_bytes[access_len++] = '\n';
    }
    pthread_mutex_unlock(&access_lock);
    return fits;
}

void cg_log_access(struct cg_slice line) {
    if (taker.takes_access) {
        taker.take(taker.ctx, CG_LOG_FILE_ACCESS, CG_LOG_INFO, line);
        return;
    }
    if (!access_log.path || append(line))
        return;
    flush(true);
    if (!append(line) && line.len >= ACCESS_BYTES)
        write_access((struct iovec[]){{(char *)line.at, line.len}, {"\n", 1}}, 2, line.len + 1);
}

void cg_log_write(enum cg_log_file file, struct cg_slice lines) {
    struct iovec all = {(char *)lines.at, lines.len};
    if (file == CG_LOG_FILE_ERROR)
        write_error(&all, 1);
    else if (access_log.path)
        write_access(&all, 1, lines.len);
}

void cg_log_flush(void) {
    flush(true);
}

bool cg_log_try_flush(void) {
    return flush(false);
}
