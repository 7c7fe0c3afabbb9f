/* SPDX-License-Identifier: MIT
 *
 * The real worker frame with a real driver (sync, or what CG_RIG_WORKER_CLASS names) in a process
 * of its own, behind real TCP and unix sockets; the application is a scripted one in C. The test
 * plays the arbiter and the clients. One rig per test case; change rig.settings before rig_start().
 *
 * The application's paths: "/" says hello; "/gate" reports to entered_fds and says hello after a
 * byte in gate_fds; "/nap" says it after RIG_NAP_MS; "/big" and "/file" answer RIG_BIG_LEN bytes at
 * once, "/drip" RIG_DRIPS_N times RIG_DRIP_LEN, "/push" pushes until it fails; "/trickle" answers a
 * few bytes, then is as "/gate".
 */
#ifndef CG_TESTS_UNIT_WORKER_RIG_H
#define CG_TESTS_UNIT_WORKER_RIG_H

#include "tests/unit/test.h"
#include "workers/worker.h"

enum {
    RIG_PATIENCE_MS = 30 * 1000,
    RIG_BIG_LEN = 16 * 1024 * 1024, /* more than any socket buffer here takes */
    RIG_DRIP_LEN = 256 * 1024,
    RIG_DRIPS_N = 64,
    RIG_NAP_MS = 5,
};

struct rig {
    struct cg_settings settings;
    enum cg_exit boot_code; /* what the runtime's boot says */
    int clients_max;        /* > 0: boot leaves descriptors for so many clients only */
    struct cg_slot *slot;
    pid_t server;
    int entered_fds[2], gate_fds[2];
    int life_fds[2]; /* the arbiter's end is [1] */
    char log_path[64], access_path[64];
};

extern struct rig rig;

/* Starts the worker; returns when it is ready, or at once if its boot is to fail. */
void rig_start(void);
int rig_await_exit(void); /* the exit code */
void rig_stop(void);      /* TERM, which must lead to exit code 0 */

int rig_count_in(const char *path, const char *words);
void rig_await_in(const char *path, const char *words);
void rig_await_log(const char *words);

bool rig_readable(int fd, int timeout_ms);
void rig_await_byte(int fd);

int rig_try_connect_tcp(void); /* -errno */
int rig_connect_tcp(void);
int rig_connect_unix(void);

void rig_say(int fd, const char *text);
void rig_ask(int fd, const char *path);
/* Reads until `words` have come n times, or, with NULL, until the end. The text read, until the
 * next call. */
const char *rig_hear(int fd, const char *words, int n);
void rig_hear_hello(int fd);
void rig_hear_end(int fd); /* and nothing before it; closes */
/* Reads to the end; the number of bytes. */
size_t rig_swallow(int fd);
/* One request from somebody else is answered. */
void rig_expect_service(void);

#endif
