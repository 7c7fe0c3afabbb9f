/* SPDX-License-Identifier: MIT
 *
 * USR2 as the arbiter does it: what is handed over, and what becomes of both masters. That the new
 * one is a whole server is shown by the integration tests.
 */
#include "tests/unit/server.h"

#include "server/base/log.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum { NEW_MASTER_LIFE_S = 60 };

/* Logs each variable and, of the first descriptor that they name, whether exec would close it. */
static void show_variables(const char *const *variables) {
    for (; *variables; variables++) {
        cg_log(CG_LOG_INFO, "got %s", *variables);
        if (strncmp(*variables, "GUNICORN_FD=", 12) == 0)
            cg_log(CG_LOG_INFO, "flags %d", fcntl(atoi(*variables + 12), F_GETFD));
    }
}

CG_TEST(a_new_master_gets_the_sockets_and_the_pid_of_the_old_one) {
    struct server s;
    char variable[64];
    server_init(&s);
    s.settings.workers = 1;
    s.script.execute = show_variables;
    server_start(&s);
    server_expect(&s, 'R');
    server_tell(&s, SIGUSR2);
    server_expect(&s, 'X');
    snprintf(variable, sizeof(variable), "got GUNICORN_PID=%d\n", (int)s.pid);
    server_expect_log(&s, variable);
    server_expect_log(&s, "got GUNICORN_FD=");
    server_expect_log(&s, "flags 0");
    server_expect_log(&s, ") exited with code 1, this one goes on");
    server_quit(&s);
}

CG_TEST(a_new_master_that_failed_can_be_tried_again) {
    struct server s;
    server_init(&s);
    s.settings.workers = 1;
    server_start(&s);
    server_expect(&s, 'R');
    for (int i = 0; i < 2; i++) {
        server_tell(&s, SIGUSR2);
        struct report r = server_expect(&s, 'X');
        char end[64];
        snprintf(end, sizeof(end), "The new master (pid:%d) exited with code 1", (int)r.pid);
        server_expect_log(&s, end);
    }
    CG_CHECK(server_connects(s.address));
    server_quit(&s);
}

CG_TEST(a_server_whose_old_master_has_gone_already_is_promoted) {
    struct server s;
    server_init(&s);
    s.settings.workers = 1;
    s.heritage.gunicorn_pid = "999999999";
    server_start(&s);
    server_expect(&s, 'R');
    server_expect_log(&s, "Master has been promoted.");
    server_quit(&s);
}

static void linger(const char *const *variables) {
    alarm(NEW_MASTER_LIFE_S);
    pause();
}

CG_TEST(a_stop_beside_a_new_master_leaves_the_socket_file) {
    struct server s;
    server_init(&s);
    s.settings.workers = 1;
    s.script.execute = linger;
    server_start(&s);
    server_expect(&s, 'R');
    server_tell(&s, SIGUSR2);
    struct report r = server_expect(&s, 'X');
    server_tell(&s, SIGTERM);
    server_expect(&s, 'T');
    server_expect(&s, 'E');
    CG_CHECK_INT(server_wait(&s), 0);
    CG_CHECK_INT(access(s.address + 5, F_OK), 0);
    CG_CHECK_INT(kill(r.pid, SIGKILL), 0);
    server_done(&s);
}
