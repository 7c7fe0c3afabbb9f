/* SPDX-License-Identifier: MIT
 *
 * A server under test: an arbiter in a process of its own, with a no-op runtime and workers
 * scripted in C. Tests wait for what its processes report through a pipe and for lines in its log,
 * with a deadline; they never sleep. A failed expectation prints the log.
 */
#ifndef CG_TESTS_UNIT_SERVER_H
#define CG_TESTS_UNIT_SERVER_H

#include "tests/unit/test.h"

#include "server/arbiter/heritage.h"
#include "server/settings/settings.h"

#include <sys/types.h>

enum { SERVER_RELOADS_MAX = 4 };

/* What happened in a process of the server. */
struct report {
    char what; /* R ready, T term, Q quit, U usr1, L life line cut; E the arbiter has returned; F
                  settings freed; with script.tells_moments, the moments of moment.def: n s w p k l
                  c x e; X execute */
    pid_t pid;
    int age; /* of the worker; for E the exit code, for F the tag, for n the new number */
    int tag; /* settings->max_requests, which tells generations apart; for n the old number */
};

/* A worker does what its settings->worker_class says: "serve", "stubborn" (TERM does not end it),
 * "spent" (asks for a successor when it is ready), "exit0" to "exit9", "crash" (in a request),
 * "hang" (in a request), "hang_boot". */
struct script {
    int reports_fd;
    pid_t server_pid;
    int first_bad_age, last_bad_age; /* workers outside of these just serve; 0 = no bound */
    int unbootable_age;              /* from this one on they exit with 3; 0 = none does */
    const struct cg_settings *reloads[SERVER_RELOADS_MAX]; /* one per HUP; NULL = a broken one */
    int reloads_n;
    void (*prepare)(void);                         /* called in the server before it runs */
    void (*execute)(const char *const *variables); /* becomes a new master; NULL = fails */
    bool tells_moments;
    char refused;                   /* the moment at which the host wants the server to end, */
    int refused_from, refused_code; /* from this occurrence on (0 = the first), with this code */
};

struct server {
    char folder[64];
    char log_path[96];
    char address[96], other_address[96]; /* bind strings of unix sockets in the folder */
    const char *bind[2], *other_bind[2];
    struct cg_heritage_text heritage;
    struct cg_settings settings; /* two workers that serve; tag 1 */
    struct script script;
    pid_t pid;
    int reports_fd;
};

/* Everything but the process; done removes the folder, which must hold nothing unknown. */
void server_init(struct server *s);
void server_done(struct server *s);

void server_start(struct server *s);
void server_tell(const struct server *s, int number);
int server_wait(struct server *s); /* the exit code */

/* Ends it by QUIT, checks that nothing is left of it, and does `done`. */
void server_quit(struct server *s);

/* The next report, which must be this one. */
struct report server_expect(const struct server *s, char what);
/* One of these. */
struct report server_expect_any(const struct server *s, const char *whats);
/* Skips reports up to this one. */
struct report server_wait_moment(const struct server *s, char what);

bool server_logged(const struct server *s, const char *text);
void server_expect_log(const struct server *s, const char *text);

/* Whether a client can connect to a unix socket given as a bind string. */
bool server_connects(const char *address);

#endif
