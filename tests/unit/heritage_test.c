/* SPDX-License-Identifier: MIT
 *
 * What the variables of a service manager and of an old master say.
 */
#include "tests/unit/test.h"

#include "server/arbiter/heritage.h"

#include <errno.h>

enum { SELF = 4711 };

static struct cg_heritage parsed(struct cg_heritage_text text) {
    struct cg_heritage h;
    char sentence[200];
    CG_CHECK_INT(cg_heritage_parse(&text, SELF, &h, sentence, sizeof(sentence)), 0);
    return h;
}

static void check_refused(struct cg_heritage_text text, const char *want) {
    struct cg_heritage h;
    char sentence[200];
    CG_CHECK_INT(cg_heritage_parse(&text, SELF, &h, sentence, sizeof(sentence)), -EINVAL);
    CG_CHECK(strcmp(sentence, want) == 0);
}

CG_TEST(no_variables_are_no_heritage) {
    struct cg_heritage h = parsed((struct cg_heritage_text){0});
    CG_CHECK_INT(h.from, CG_HERITAGE_NOTHING);
    CG_CHECK_INT(h.fds_n, 0);
    CG_CHECK_INT(h.old_master, 0);
}

CG_TEST(listen_fds_are_ours_when_listen_pid_is) {
    struct cg_heritage h =
        parsed((struct cg_heritage_text){.listen_pid = "4711", .listen_fds = "2"});
    CG_CHECK_INT(h.from, CG_HERITAGE_MANAGER);
    CG_CHECK_INT(h.fds_n, 2);
    CG_CHECK_INT(h.fds[0], 3);
    CG_CHECK_INT(h.fds[1], 4);
}

CG_TEST(listen_fds_of_another_process_do_not_count) {
    const char *pids[] = {"4712", "x", "", NULL};
    for (size_t i = 0; i < sizeof(pids) / sizeof(pids[0]); i++) {
        struct cg_heritage_text text = {.listen_pid = pids[i], .listen_fds = "garbage"};
        CG_CHECK_INT(parsed(text).from, CG_HERITAGE_NOTHING);
    }
    struct cg_heritage_text none = {.listen_pid = "4711", .listen_fds = "0"};
    CG_CHECK_INT(parsed(none).from, CG_HERITAGE_NOTHING);
}

CG_TEST(a_listen_fds_that_is_no_number_is_refused) {
    const char *bad[] = {"x", "", "-1", "257", "1 "};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char want[100];
        snprintf(want, sizeof(want), "LISTEN_FDS is '%s', which is no number from 0 to 256.",
                 bad[i]);
        check_refused((struct cg_heritage_text){.listen_pid = "4711", .listen_fds = bad[i]}, want);
    }
}

CG_TEST(gunicorn_fd_lists_the_sockets_of_an_old_master) {
    struct cg_heritage h =
        parsed((struct cg_heritage_text){.gunicorn_fd = "5,9,5", .gunicorn_pid = "12"});
    CG_CHECK_INT(h.from, CG_HERITAGE_MASTER);
    CG_CHECK_INT(h.fds_n, 2);
    CG_CHECK_INT(h.fds[0], 5);
    CG_CHECK_INT(h.fds[1], 9);
    CG_CHECK_INT(h.old_master, 12);
}

CG_TEST(listen_fds_go_before_gunicorn_fd) {
    struct cg_heritage h = parsed((struct cg_heritage_text){
        .listen_pid = "4711", .listen_fds = "1", .gunicorn_fd = "8", .gunicorn_pid = "12"});
    CG_CHECK_INT(h.from, CG_HERITAGE_MANAGER);
    CG_CHECK_INT(h.fds_n, 1);
    CG_CHECK_INT(h.fds[0], 3);
    CG_CHECK_INT(h.old_master, 12);
}

CG_TEST(a_gunicorn_fd_that_is_no_list_is_refused) {
    const char *bad[] = {"x", "", "3,", ",3", "3;4", "-3", "99999999999"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char want[100];
        snprintf(want, sizeof(want),
                 "GUNICORN_FD is '%s', which is no list of at most 256 file descriptors.", bad[i]);
        check_refused((struct cg_heritage_text){.gunicorn_fd = bad[i]}, want);
    }
}

CG_TEST(a_gunicorn_pid_that_is_no_process_id_is_refused) {
    check_refused((struct cg_heritage_text){.gunicorn_pid = "0"},
                  "GUNICORN_PID is '0', which is no process id.");
    check_refused((struct cg_heritage_text){.gunicorn_pid = "1x"},
                  "GUNICORN_PID is '1x', which is no process id.");
}
