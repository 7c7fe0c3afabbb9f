/* SPDX-License-Identifier: MIT
 *
 * What the arbiter tells its host, in which order and process, and what happens when the host says
 * that this is the end. The letters are those of server.h.
 */
#include "tests/unit/server.h"

#include "server/arbiter/runtime.h"

#include <signal.h>

enum { TAG_OF_RELOAD = 2 };

static void init(struct server *s) {
    server_init(s);
    s->settings.workers = 1;
    s->script.tells_moments = true;
}

static struct cg_settings next_generation(const struct server *s) {
    struct cg_settings next = s->settings;
    next.max_requests = TAG_OF_RELOAD;
    return next;
}

/* Each letter in turn, all but R and the workers' signals in the arbiter's process or about a
 * worker. The last report. */
static struct report expect_all(const struct server *s, const char *letters) {
    struct report r = {0, 0, 0, 0};
    for (; *letters; letters++)
        r = server_expect(s, *letters);
    return r;
}

static void check_number(const struct server *s, int new_n, int old_n) {
    struct report r = server_expect(s, 'n');
    CG_CHECK_INT(r.age, new_n);
    CG_CHECK_INT(r.tag, old_n);
    CG_CHECK_INT(r.pid, s->pid);
}

static void check_pre_fork(const struct server *s, int age, int tag) {
    struct report r = server_expect(s, 'p');
    CG_CHECK_INT(r.age, age);
    CG_CHECK_INT(r.tag, tag);
    CG_CHECK_INT(r.pid, s->pid);
}

/* The fork and the worker's being ready come in either order. The worker's pid. */
static pid_t check_forked(const struct server *s) {
    struct report r = server_expect_any(s, "kR"), other = server_expect_any(s, "kR");
    CG_CHECK(r.what != other.what);
    CG_CHECK_INT(r.pid, other.pid);
    return r.pid;
}

static void check_end(struct server *s, int code) {
    CG_CHECK_INT(server_expect(s, 'E').age, code);
    CG_CHECK_INT(server_wait(s), code);
    server_done(s);
}

CG_TEST(a_life_is_told_in_order) {
    struct server s;
    init(&s);
    server_start(&s);
    check_number(&s, 1, -1);
    expect_all(&s, "sw");
    check_pre_fork(&s, 1, 1);
    pid_t first = check_forked(&s);
    server_tell(&s, SIGTTIN);
    check_number(&s, 2, 1);
    check_pre_fork(&s, 2, 1);
    check_forked(&s);
    server_tell(&s, SIGTTOU);
    check_number(&s, 1, 2);
    server_expect(&s, 'T');
    struct report gone = server_expect(&s, 'c');
    CG_CHECK_INT(gone.pid, first);
    CG_CHECK_INT(gone.age, 0);
    server_tell(&s, SIGTTOU);
    server_tell(&s, SIGQUIT);
    CG_CHECK_INT(expect_all(&s, "Qce").pid, s.pid);
    check_end(&s, 0);
}

CG_TEST(a_reload_tells_its_number_and_itself_before_it_forks) {
    struct server s;
    init(&s);
    struct cg_settings next = next_generation(&s);
    next.workers = 2;
    s.script.reloads[0] = &next;
    server_start(&s);
    expect_all(&s, "nswp");
    pid_t old = check_forked(&s);
    server_tell(&s, SIGHUP);
    check_number(&s, 2, 1);
    CG_CHECK_INT(server_expect(&s, 'l').tag, TAG_OF_RELOAD);
    check_pre_fork(&s, 2, TAG_OF_RELOAD);
    struct report r;
    int seen_n = 0;
    do {
        r = server_expect_any(&s, "kRpTc");
        seen_n++;
    } while (r.what != 'c');
    CG_CHECK_INT(r.pid, old);
    CG_CHECK_INT(r.tag, TAG_OF_RELOAD);
    CG_CHECK(seen_n >= 7);
    server_tell(&s, SIGQUIT);
    server_wait_moment(&s, 'e');
    server_wait_moment(&s, 'E');
    CG_CHECK_INT(server_wait(&s), 0);
    server_done(&s);
}

CG_TEST(a_worker_whose_boot_ends_the_server_is_told_as_such) {
    struct server s;
    init(&s);
    s.settings.worker_class = "exit3";
    server_start(&s);
    expect_all(&s, "nswpk");
    struct report r = server_expect(&s, 'c');
    CG_CHECK_INT(r.age, 1);
    server_expect(&s, 'e');
    check_end(&s, CG_EXIT_WORKER_BOOT);
}

CG_TEST(a_host_that_refuses_the_start_ends_the_server_before_it_listens) {
    struct server s;
    init(&s);
    s.script.refused = 's';
    s.script.refused_code = 1;
    server_start(&s);
    expect_all(&s, "ns");
    CG_CHECK_INT(server_expect(&s, 'E').age, 1);
    CG_CHECK(!server_logged(&s, "Listening at"));
    CG_CHECK_INT(server_wait(&s), 1);
    server_done(&s);
}

CG_TEST(a_host_that_refuses_a_fork_ends_the_server_with_its_code) {
    struct server s;
    init(&s);
    s.settings.workers = 2;
    s.script.refused = 'p';
    s.script.refused_from = 1;
    s.script.refused_code = 255;
    server_start(&s);
    expect_all(&s, "nswp");
    struct report r;
    do
        r = server_expect_any(&s, "kRpQce");
    while (r.what != 'e');
    check_end(&s, 255);
}

CG_TEST(a_host_that_refuses_a_reload_leaves_the_old_workers) {
    struct server s;
    init(&s);
    struct cg_settings next = next_generation(&s);
    next.workers = 3;
    s.script.reloads[0] = &next;
    s.script.refused = 'l';
    s.script.refused_code = 1;
    server_start(&s);
    expect_all(&s, "nswp");
    check_forked(&s);
    server_tell(&s, SIGHUP);
    check_number(&s, 3, 1);
    server_expect(&s, 'l');
    check_number(&s, 1, 3);
    server_expect(&s, 'F');
    server_expect_log(&s, "Reload failed, the old workers go on: a hook refused it");
    CG_CHECK(server_connects(s.address));
    server_tell(&s, SIGQUIT);
    expect_all(&s, "Qce");
    check_end(&s, 0);
}

CG_TEST(a_host_that_refuses_a_fork_of_a_reload_gives_up_the_reload) {
    struct server s;
    init(&s);
    struct cg_settings next = next_generation(&s);
    s.script.reloads[0] = &next;
    s.script.refused = 'p';
    s.script.refused_from = 1;
    s.script.refused_code = 255;
    server_start(&s);
    expect_all(&s, "nswp");
    check_forked(&s);
    server_tell(&s, SIGHUP);
    expect_all(&s, "nlpF");
    server_expect_log(&s, "Reload failed, the old workers go on: a hook refused it");
    server_tell(&s, SIGQUIT);
    expect_all(&s, "Qce");
    check_end(&s, 0);
}

CG_TEST(the_last_word_of_the_host_may_change_the_exit_code) {
    struct server s;
    init(&s);
    s.script.refused = 'e';
    s.script.refused_code = 1;
    server_start(&s);
    expect_all(&s, "nswp");
    check_forked(&s);
    server_tell(&s, SIGQUIT);
    expect_all(&s, "Qce");
    check_end(&s, 1);
}
