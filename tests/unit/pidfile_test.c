/* SPDX-License-Identifier: MIT
 *
 * Rules of server/arbiter/pidfile.h, in a temporary folder.
 */
#include "server/arbiter/pidfile.h"
#include "tests/unit/test.h"

#include "server/base/log.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/cg-pidfile-XXXXXX";

static void leave_folder(void) {
    char command[64];
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    if (chdir("/") != 0 || system(command) != 0)
        fprintf(stderr, "could not remove %s\n", folder);
}

/* Goes to a fresh folder, which is removed when the case ends; the error log goes to "log". */
static void enter_folder(void) {
    const char *failed;
    CG_CHECK(mkdtemp(folder));
    CG_CHECK_INT(chdir(folder), 0);
    atexit(leave_folder);
    CG_CHECK_INT(cg_log_open("log", NULL, "debug", &failed), 0);
}

static void write_text(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    CG_CHECK(file);
    fputs(text, file);
    fclose(file);
}

static void check_logged(const char *text) {
    char line[512] = "";
    FILE *file = fopen("log", "r");
    CG_CHECK(file);
    while (!strstr(line, text))
        CG_CHECK(fgets(line, sizeof(line), file));
    fclose(file);
}

static int files_n(void) {
    int n = 0;
    DIR *dir = opendir(".");
    CG_CHECK(dir);
    for (const struct dirent *at = readdir(dir); at; at = readdir(dir))
        n += at->d_name[0] != '.' && strcmp(at->d_name, "log") != 0;
    closedir(dir);
    return n;
}

/* A process that lives until it is killed. */
static pid_t start_other(void) {
    pid_t pid = fork();
    if (pid == 0)
        for (;;)
            pause();
    return pid;
}

static void end_other(pid_t pid) {
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

CG_TEST(it_holds_our_pid_and_everybody_may_read_it) {
    enter_folder();
    struct cg_pidfile p;
    struct stat st;
    umask(0077);
    CG_CHECK_INT(cg_pidfile_create(&p, "x.pid"), 0);
    CG_CHECK_INT(cg_pidfile_read("x.pid"), getpid());
    CG_CHECK_INT(stat("x.pid", &st), 0);
    CG_CHECK_INT(st.st_mode & 07777, 0644);
    CG_CHECK_INT(files_n(), 1);
    cg_pidfile_remove(&p);
    CG_CHECK_INT(files_n(), 0);
}

CG_TEST(without_a_path_there_is_none) {
    enter_folder();
    struct cg_pidfile p;
    CG_CHECK_INT(cg_pidfile_create(&p, NULL), 0);
    cg_pidfile_remove(&p);
    CG_CHECK_INT(cg_pidfile_create(&p, ""), 0);
    cg_pidfile_remove(&p);
    CG_CHECK_INT(files_n(), 0);
}

CG_TEST(a_living_process_is_not_pushed_out) {
    enter_folder();
    struct cg_pidfile p;
    pid_t other = start_other();
    char text[64], want[128];
    snprintf(text, sizeof(text), "%d\n", (int)other);
    write_text("x.pid", text);
    CG_CHECK_INT(cg_pidfile_create(&p, "x.pid"), -EEXIST);
    snprintf(want, sizeof(want), "Already running on PID %d (or pid file '%s/x.pid' is stale)",
             (int)other, folder);
    check_logged(want);
    cg_pidfile_remove(&p);
    CG_CHECK_INT(cg_pidfile_read("x.pid"), other);
    end_other(other);
    CG_CHECK_INT(cg_pidfile_create(&p, "x.pid"), 0);
    CG_CHECK_INT(cg_pidfile_read("x.pid"), getpid());
    cg_pidfile_remove(&p);
}

CG_TEST(what_names_no_living_process_is_replaced) {
    static const char *const texts[] = {"", "-5", "0\n", "12 13", "99999999999"};
    enter_folder();
    struct cg_pidfile p;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        write_text("x.pid", texts[i]);
        CG_CHECK_INT(cg_pidfile_create(&p, "x.pid"), 0);
        CG_CHECK_INT(cg_pidfile_read("x.pid"), getpid());
        free(p.path);
    }
    /* A number that is ours already was left by a former container. */
    CG_CHECK_INT(cg_pidfile_create(&p, "x.pid"), 0);
    cg_pidfile_remove(&p);
}

CG_TEST(a_file_of_something_else_is_refused_and_left_alone) {
    static const char *const texts[] = {"no number\n", "12 of 13",
                                        "1111111111111111111111111111111111111111"};
    enter_folder();
    struct cg_pidfile p;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char there[64] = "";
        write_text("app.py", texts[i]);
        CG_CHECK_INT(cg_pidfile_create(&p, "app.py"), -EEXIST);
        check_logged("app.py': what is there is no pidfile");
        FILE *file = fopen("app.py", "r");
        CG_CHECK(file && fread(there, 1, sizeof(there) - 1, file) > 0);
        fclose(file);
        CG_CHECK(strcmp(there, texts[i]) == 0);
    }
    CG_CHECK_INT(mkfifo("pipe", 0600), 0);
    CG_CHECK_INT(cg_pidfile_create(&p, "pipe"), -EEXIST);
    CG_CHECK_INT(files_n(), 2);
}

CG_TEST(what_a_crash_of_the_machine_leaves_is_replaced) {
    enter_folder();
    struct cg_pidfile p;
    CG_CHECK_INT(mknod("x.pid", S_IFREG | 0644, 0), 0);
    CG_CHECK_INT(truncate("x.pid", 6), 0);
    CG_CHECK_INT(cg_pidfile_create(&p, "x.pid"), 0);
    CG_CHECK_INT(cg_pidfile_read("x.pid"), getpid());
    cg_pidfile_remove(&p);
}

CG_TEST(a_missing_folder_is_told) {
    enter_folder();
    struct cg_pidfile p;
    char want[128];
    CG_CHECK_INT(cg_pidfile_create(&p, "gone/x.pid"), -ENOENT);
    snprintf(want, sizeof(want), "%s/gone doesn't exist. Can't create pidfile.", folder);
    check_logged(want);
    CG_CHECK(!p.path);
}

CG_TEST(a_folder_in_the_way_is_told_and_nothing_is_left) {
    enter_folder();
    struct cg_pidfile p;
    CG_CHECK_INT(mkdir("x.pid", 0755), 0);
    CG_CHECK_INT(cg_pidfile_create(&p, "x.pid"), -EISDIR);
    check_logged("Can't create pidfile '");
    CG_CHECK_INT(files_n(), 1);
}

CG_TEST(it_is_removed_only_while_it_is_ours) {
    enter_folder();
    struct cg_pidfile p;
    CG_CHECK_INT(cg_pidfile_create(&p, "x.pid"), 0);
    write_text("x.pid", "1\n");
    cg_pidfile_remove(&p);
    CG_CHECK_INT(cg_pidfile_read("x.pid"), 1);
}

CG_TEST(it_is_found_again_from_another_folder) {
    enter_folder();
    struct cg_pidfile p;
    CG_CHECK_INT(cg_pidfile_create(&p, "x.pid"), 0);
    CG_CHECK_INT(chdir("/"), 0);
    cg_pidfile_remove(&p);
    CG_CHECK_INT(chdir(folder), 0);
    CG_CHECK_INT(files_n(), 0);
}

CG_TEST(a_move_takes_the_old_file_away_and_a_failed_one_changes_nothing) {
    enter_folder();
    struct cg_pidfile p;
    CG_CHECK_INT(cg_pidfile_create(&p, "x.pid.2"), 0);
    CG_CHECK_INT(cg_pidfile_move(&p, "x.pid"), 0);
    CG_CHECK_INT(cg_pidfile_read("x.pid"), getpid());
    CG_CHECK_INT(files_n(), 1);
    CG_CHECK_INT(cg_pidfile_move(&p, "gone/x.pid"), -ENOENT);
    CG_CHECK_INT(cg_pidfile_read("x.pid"), getpid());
    unlink("x.pid");
    CG_CHECK_INT(cg_pidfile_move(&p, "x.pid"), 0);
    CG_CHECK_INT(cg_pidfile_read("x.pid"), getpid());
    CG_CHECK_INT(cg_pidfile_move(&p, NULL), 0);
    CG_CHECK_INT(files_n(), 0);
    cg_pidfile_remove(&p);
}
