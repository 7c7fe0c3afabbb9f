/* SPDX-License-Identifier: MIT
 *
 * Rules of server/base/title.h, as other processes see them: through /proc.
 */
#include "server/base/title.h"
#include "tests/unit/test.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef __linux__

static void check_file(const char *path, const char *want) {
    char text[8192] = "";
    int fd = open(path, O_RDONLY);
    CG_CHECK(fd >= 0);
    CG_CHECK(read(fd, text, sizeof(text) - 1) >= 0);
    close(fd);
    text[strcspn(text, "\n")] = '\0';
    CG_CHECK(strcmp(text, want) == 0);
}

CG_TEST(others_see_the_title_and_the_name) {
    cg_title_set("cgunicorn: master [x]");
    check_file("/proc/self/cmdline", "cgunicorn: master [x]");
    check_file("/proc/self/comm", "cgunicorn");
    cg_title_set("short");
    check_file("/proc/self/cmdline", "short");
}

CG_TEST(the_environment_survives) {
    char path[4096];
    CG_CHECK(getenv("PATH"));
    snprintf(path, sizeof(path), "%s", getenv("PATH"));
    cg_title_set("cgunicorn: a title that is longer than the arguments of this test program were");
    check_file("/proc/self/cmdline",
               "cgunicorn: a title that is longer than the arguments of this test program were");
    CG_CHECK(strcmp(getenv("PATH"), path) == 0);
    CG_CHECK_INT(setenv("CG_TITLE_TEST", "/x", 1), 0);
    CG_CHECK(strcmp(getenv("CG_TITLE_TEST"), "/x") == 0);
}

CG_TEST(a_title_without_end_is_cut) {
    static char title[1 << 20];
    memset(title, 'x', sizeof(title) - 1);
    char before = *getenv("PATH");
    cg_title_set(title);
    CG_CHECK_INT(*getenv("PATH"), before);
}

#endif
