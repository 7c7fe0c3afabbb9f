/* SPDX-License-Identifier: MIT
 *
 * The log sink: one error log and one access log per process, shared by all its threads. This
 * module owns the two descriptors and the level (file-level state, set once by open, inherited over
 * fork). Reopening keeps the descriptor numbers, so whoever holds one (a crash handler) keeps a
 * good one.
 *
 * Error lines: "[2026-11-20 12:00:00 +0000] [pid] [LEVEL] message", one write(2) a line.
 * Access lines are written as they come, buffered until cg_log_flush(): drivers flush before they
 * wait and before they enter the application.
 */
#ifndef CG_BASE_LOG_H
#define CG_BASE_LOG_H

#include "server/base/slice.h"

#include <stdarg.h>
#include <sys/types.h>

enum cg_log_file { CG_LOG_FILE_ERROR, CG_LOG_FILE_ACCESS };

enum cg_log_level {
    CG_LOG_DEBUG,
    CG_LOG_INFO,
    CG_LOG_WARNING,
    CG_LOG_ERROR,
    CG_LOG_CRITICAL,
};

/* Opens both logs. A path of "-" is stderr for the error log (NULL too) and stdout for the access
 * log; access_path NULL means no access log. Files are opened for append, mode 0644, close-on-exec.
 * 0 or -errno, *ret_path then names the file that failed; the former logs stay in use. May be
 * called again with other paths, while no other thread logs. */
int cg_log_open(const char *error_path, const char *access_path, const char *level,
                const char **ret_path);

/* Who takes lines in the place of the files, because the host has a logging framework of its own.
 */
struct cg_log_taker {
    bool takes_errors, takes_access;
    enum cg_log_level lowest; /* of the error log's lines */
    /* From any thread, never from a signal handler. An error line comes without its stamp. */
    void (*take)(void *ctx, enum cg_log_file file, enum cg_log_level level, struct cg_slice text);
    void *ctx;
};

/* Lines go to the taker from now on, which is copied; NULL: to the files. While no other thread
 * logs. */
void cg_log_divert(const struct cg_log_taker *taker);

/* Around a write that waits for a reader, as of a full pipe: `give` lets others have what the
 * calling thread has of the host and says whether that was anything, `take` takes it back. Both
 * from any thread. Set before any other thread logs. */
struct cg_log_host {
    bool (*give)(void);
    void (*take)(void);
};

void cg_log_set_host(const struct cg_log_host *host);

/* Opens the same paths anew (USR1, after logrotate). 0 or the first -errno; what cannot be opened
 * stays as it was. */
int cg_log_reopen(void);

bool cg_log_enabled(enum cg_log_level level);
bool cg_log_access_enabled(void);
/* The access log has a taker. */
bool cg_log_access_diverted(void);

/* Standard output and error go to the error log from now on, when it is a file, and to the one that
 * takes its place. 0 or -errno. */
int cg_log_capture_output(void);

/* Log files belong to this user and group, those there are and those that are opened later, so that
 * a process which runs as them can open its logs anew; but not links, nor anything when the user
 * and the group are this process's own. 0 or -errno, -EPERM when it may not give files away. */
int cg_log_own(uid_t uid, gid_t gid);

/* Whole lines into a log's file as they are, at once, whatever the level, the taker's too. */
void cg_log_write(enum cg_log_file file, struct cg_slice lines);

/* The error log's descriptor, for handlers that may not call us. Never -1: stderr before open. */
int cg_log_error_fd(void);

/* One line of at most 4 KiB: a longer one is cut and ends in "..."; a control character becomes
 * "?". */
__attribute__((format(printf, 2, 3))) void cg_log(enum cg_log_level level, const char *format, ...);

/* A message that may span lines (a traceback); it is written unchanged behind the stamp. */
void cg_log_text(enum cg_log_level level, struct cg_slice text);

/* One access line, without its newline. The caller has escaped what a client controls. Waits for a
 * reader when the buffer is full. */
void cg_log_access(struct cg_slice line);

/* Writes what is buffered. What the log refuses stays for the next flush; when the buffer is full,
 * new lines are dropped. Lines that a parent process buffered are never written by its child. */
void cg_log_flush(void);

/* The same without waiting for a reader: false when lines are left that one has to be waited for.
 */
bool cg_log_try_flush(void);

#endif
