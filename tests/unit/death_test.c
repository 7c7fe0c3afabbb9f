/* SPDX-License-Identifier: MIT
 *
 * Deaths are told apart by what the kernel and the arbiter's own orders say. Wait statuses are made
 * as W_EXITCODE(code, signal) does, which musl lacks.
 */
#include "tests/unit/test.h"

#include "server/arbiter/death.h"
#include "server/arbiter/proc.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECOND_US = 1000000 };

static const struct cg_orders none = {false};

static int exited(int code) {
    return code << 8;
}

static void put(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    CG_CHECK(f);
    fputs(text, f);
    fclose(f);
}

/* A control group and a machine of our own, in a temporary folder that is the working directory. */
static struct cg_oom make_counter(const char *proc_cgroup) {
    char folder[] = "/tmp/cg-death-XXXXXX";
    CG_CHECK(mkdtemp(folder) && chdir(folder) == 0);
    CG_CHECK(mkdir("root", 0700) == 0 && mkdir("root/mine", 0700) == 0);
    put("cgroup", proc_cgroup);
    put("root/mine/memory.events", "low 0\noom 4\noom_kill 2\noom_group_kill 9\n");
    put("vmstat", "pgfault 77\noom_kill 5\n");
    struct cg_oom o;
    cg_oom_init_at(&o, "cgroup", "root", "vmstat");
    return o;
}

static void remove_counter(void) {
    char folder[200];
    CG_CHECK(getcwd(folder, sizeof(folder)));
    unlink("root/mine/memory.events");
    unlink("cgroup");
    unlink("vmstat");
    rmdir("root/mine");
    rmdir("root");
    rmdir(folder);
}

CG_TEST(exit_codes_and_signals_are_told_apart) {
    struct cg_oom o = {.path = ""};
    CG_CHECK_INT(cg_death_of(exited(0), none, &o, 1), CG_DEATH_DONE);
    CG_CHECK_INT(cg_death_of(exited(3), none, &o, 1), CG_DEATH_EXITED);
    CG_CHECK_INT(cg_death_of(SIGSEGV, none, &o, 1), CG_DEATH_CRASHED);
    CG_CHECK_INT(cg_death_of(SIGABRT, none, &o, 1), CG_DEATH_CRASHED);
    CG_CHECK_INT(cg_death_of(CG_DEATH_STATUS_LOST, none, &o, 1), CG_DEATH_LOST);
    CG_CHECK(!cg_death_boot_reason(CG_DEATH_STATUS_LOST));
    CG_CHECK_INT(cg_death_of(SIGTERM, none, &o, 1), CG_DEATH_TERMINATED);
    CG_CHECK_INT(cg_death_of(SIGQUIT, none, &o, 1), CG_DEATH_CRASHED);
    CG_CHECK_INT(cg_death_of(SIGKILL, none, &o, 1), CG_DEATH_OOM_PERHAPS);
}

CG_TEST(what_the_arbiter_ordered_is_not_blamed_on_others) {
    struct cg_oom o = {.path = ""};
    struct cg_orders timeout = {.timeout = true, .kill = true}, leave = {.leave = true};
    struct cg_orders overdue = {.leave = true, .kill = true}, quick = {.quick = true};
    CG_CHECK_INT(cg_death_of(SIGABRT, timeout, &o, 1), CG_DEATH_TIMED_OUT);
    CG_CHECK_INT(cg_death_of(SIGKILL, timeout, &o, 1), CG_DEATH_TIMED_OUT);
    CG_CHECK_INT(cg_death_of(exited(1), timeout, &o, 1), CG_DEATH_TIMED_OUT);
    CG_CHECK_INT(cg_death_of(SIGKILL, overdue, &o, 1), CG_DEATH_OVERDUE);
    CG_CHECK_INT(cg_death_of(SIGKILL, leave, &o, 1), CG_DEATH_OOM_PERHAPS);
    CG_CHECK_INT(cg_death_of(SIGQUIT, quick, &o, 1), CG_DEATH_TERMINATED);
}

CG_TEST(out_of_memory_is_what_our_control_group_counts) {
    struct cg_oom o = make_counter("12:cpu:/x\n0::/mine\n");
    CG_CHECK(o.own);
    CG_CHECK_INT(o.kills_n, 2);
    CG_CHECK_INT(cg_death_of(SIGKILL, none, &o, SECOND_US), CG_DEATH_KILLED);
    put("root/mine/memory.events", "oom_kill 4\n");
    CG_CHECK_INT(cg_death_of(SIGKILL, none, &o, 2 * SECOND_US), CG_DEATH_OOM);
    CG_CHECK_INT(cg_death_of(SIGKILL, none, &o, 2 * SECOND_US + 1), CG_DEATH_OOM);
    CG_CHECK_INT(cg_death_of(SIGKILL, none, &o, 4 * SECOND_US), CG_DEATH_KILLED);
    remove_counter();
}

CG_TEST(the_machine_s_counter_only_says_perhaps) {
    struct cg_oom o = make_counter("0::/gone\n");
    CG_CHECK(!o.own);
    CG_CHECK_INT(o.kills_n, 5);
    CG_CHECK_INT(cg_death_of(SIGKILL, none, &o, SECOND_US), CG_DEATH_KILLED);
    put("vmstat", "oom_kill 6\n");
    CG_CHECK_INT(cg_death_of(SIGKILL, none, &o, SECOND_US), CG_DEATH_OOM_PERHAPS);
    remove_counter();
}

CG_TEST(a_counter_that_is_no_number_is_none) {
    struct cg_oom o = make_counter("0::/mine\n");
    put("root/mine/memory.events", "oom_kill x\n");
    put("vmstat", "");
    cg_oom_init_at(&o, "cgroup", "root", "vmstat");
    CG_CHECK_INT(strlen(o.path), 0);
    remove_counter();
}

CG_TEST(a_death_is_early_before_ready_and_two_seconds_after) {
    CG_CHECK(cg_death_is_early(CG_DEATH_EXITED, none, 0, 90 * SECOND_US));
    CG_CHECK(cg_death_is_early(CG_DEATH_CRASHED, none, SECOND_US, 3 * SECOND_US - 1));
    CG_CHECK(!cg_death_is_early(CG_DEATH_CRASHED, none, SECOND_US, 3 * SECOND_US));
    CG_CHECK(cg_death_is_early(CG_DEATH_DONE, none, 0, 1));
    CG_CHECK(!cg_death_is_early(CG_DEATH_DONE, none, 1, 2));
}

CG_TEST(a_death_by_somebody_s_hand_or_by_order_is_not_early) {
    struct cg_orders leave = {.leave = true}, quick = {.quick = true};
    CG_CHECK(!cg_death_is_early(CG_DEATH_KILLED, none, 0, 1));
    CG_CHECK(!cg_death_is_early(CG_DEATH_OVERDUE, leave, 0, 1));
    CG_CHECK(!cg_death_is_early(CG_DEATH_CRASHED, leave, 0, 1));
    CG_CHECK(!cg_death_is_early(CG_DEATH_CRASHED, quick, 0, 1));
}

CG_TEST(only_the_two_boot_codes_are_reasons_to_end_a_server) {
    CG_CHECK_SLICE(cg_slice_str(cg_death_boot_reason(exited(3))), "Worker failed to boot.");
    CG_CHECK_SLICE(cg_slice_str(cg_death_boot_reason(exited(4))), "App failed to load.");
    CG_CHECK(!cg_death_boot_reason(exited(1)));
    CG_CHECK(!cg_death_boot_reason(3)); /* a signal's number, no exit code */
}

CG_TEST(what_a_worker_is_doing_is_put_in_words) {
    struct cg_scoreboard b;
    CG_CHECK_INT(cg_scoreboard_init(&b, 1), 0);
    struct cg_slot *s = cg_slot_take(&b, 1);
    char text[CG_DOING_MAX];
    CG_CHECK_SLICE(cg_slice_str(cg_doing(s, 1, text)), "while booting");
    cg_slot_set_state(s, CG_SLOT_READY);
    CG_CHECK_SLICE(cg_slice_str(cg_doing(s, 1, text)), "idle");
    cg_slot_begin_request(s, CG_SLICE("127.0.0.1"), CG_SLICE("GET /x HTTP/1.1"), 5);
    CG_CHECK_SLICE(cg_slice_str(cg_doing(s, 5 + 31 * SECOND_US, text)),
                   "request \"GET /x HTTP/1.1\" from 127.0.0.1 is running for 31 s");
    cg_slot_begin_request(s, CG_SLICE(""), CG_SLICE("GET /y HTTP/1.1"), 5);
    CG_CHECK_SLICE(cg_slice_str(cg_doing(s, 1, text)),
                   "request \"GET /y HTTP/1.1\" is running for 0 s");
    cg_scoreboard_done(&b);
}

CG_TEST(time_in_which_the_arbiter_stood_still_is_no_silence) {
    struct cg_scoreboard b;
    CG_CHECK_INT(cg_scoreboard_init(&b, 1), 0);
    struct cg_settings settings = {.timeout = 30};
    struct cg_proc proc = {
        .settings = &settings, .slot = cg_slot_take(&b, SECOND_US), .kill_us = 7};
    cg_slot_set_state(proc.slot, CG_SLOT_READY);
    CG_CHECK_INT(cg_proc_judge_us(&proc), 31 * SECOND_US);
    cg_proc_excuse(&proc, 60 * SECOND_US);
    cg_proc_excuse(&proc, 5 * SECOND_US);
    CG_CHECK_INT(cg_proc_judge_us(&proc), (31 + 65) * SECOND_US);
    CG_CHECK_INT(cg_proc_enforce_us(&proc), 7 + 65 * SECOND_US);
    cg_slot_beat(proc.slot, 70 * SECOND_US);
    CG_CHECK_INT(cg_proc_judge_us(&proc), 100 * SECOND_US);
    cg_scoreboard_done(&b);
}

CG_TEST(each_part_of_a_life_has_its_own_time) {
    struct cg_scoreboard b;
    CG_CHECK_INT(cg_scoreboard_init(&b, 1), 0);
    struct cg_settings settings = {.timeout = 30, .graceful_timeout = 5};
    struct cg_proc proc = {.settings = &settings, .slot = cg_slot_take(&b, 0)};
    cg_recycle_draw(&proc.recycle, &settings, 0);
    CG_CHECK(cg_proc_judge_us(&proc) == UINT64_MAX);
    settings.boot_timeout = 90;
    CG_CHECK_INT(cg_proc_judge_us(&proc), 90 * SECOND_US);
    cg_slot_set_state(proc.slot, CG_SLOT_READY);
    CG_CHECK_INT(cg_proc_judge_us(&proc), 30 * SECOND_US);
    settings.timeout = 0;
    CG_CHECK(cg_proc_judge_us(&proc) == UINT64_MAX);
    cg_proc_note_end(&proc, 7);
    CG_CHECK(cg_proc_enforce_us(&proc) == UINT64_MAX);
    cg_slot_set_state(proc.slot, CG_SLOT_EXITING);
    cg_proc_note_end(&proc, SECOND_US);
    cg_proc_note_end(&proc, 2 * SECOND_US);
    CG_CHECK(cg_proc_judge_us(&proc) == UINT64_MAX);
    CG_CHECK_INT(cg_proc_enforce_us(&proc), 6 * SECOND_US);
    cg_scoreboard_done(&b);
}
