/* SPDX-License-Identifier: MIT
 *
 * The title of the process. On Linux others see it by reading the memory in which the kernel put
 * the arguments, so that is where it goes: PR_SET_MM could point them elsewhere but needs a
 * privilege. The interpreter has long copied its arguments; where they are is in /proc/self/stat.
 * The environment lies right behind them and is moved away, for more room.
 *
 * Owns, for the process: the place of the title.
 */
#include "server/base/title.h"

#ifdef __linux__

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Fields of proc_pid_stat(5), counted from 1, and the first one behind the command's name. */
enum { ARG_START = 48, FIRST_FIELD = 3, STAT_BYTES = 2048 };

/* What kill -l and pgrep without -f see; a kernel limit of 15 bytes leaves no room for more. */
#define COMMAND_NAME "cgunicorn"

static char *place; /* NULL = there is none */
static size_t place_len;
static bool searched;

/* ARG_START, arg_end, env_start and env_end of /proc/self/stat. */
static bool read_bounds(unsigned long ret_bounds[4]) {
    char text[STAT_BYTES];
    int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return false;
    text[n] = '\0';
    char *at = strrchr(text, ')'); /* the name before it may have spaces */
    for (int field = FIRST_FIELD; at && field <= ARG_START; field++) {
        at = strchr(at, ' ');
        at += at != NULL;
    }
    return at && sscanf(at, "%lu %lu %lu %lu", &ret_bounds[0], &ret_bounds[1], &ret_bounds[2],
                        &ret_bounds[3]) == 4;
}

/* Copies the variables that lie between start and end to the heap, where they stay for good. */
static bool move_environment(const char *start, const char *end) {
    for (char **at = environ; at && *at; at++) {
        if (*at < start || *at >= end)
            continue;
        char *copy = strdup(*at);
        if (!copy)
            return false;
        *at = copy;
    }
    return true;
}

static void find_place(void) {
    unsigned long bounds[4];
    searched = true;
    if (!read_bounds(bounds) || bounds[0] == 0 || bounds[1] <= bounds[0])
        return;
    place = (char *)(uintptr_t)bounds[0];
    place_len = bounds[1] - bounds[0];
    const char *environment = (char *)(uintptr_t)bounds[2], *end = (char *)(uintptr_t)bounds[3];
    if (bounds[2] == bounds[1] && end > environment && move_environment(environment, end))
        place_len += bounds[3] - bounds[2];
}

void cg_title_set(const char *title) {
    prctl(PR_SET_NAME, COMMAND_NAME);
    if (title && !searched)
        find_place();
    if (!title || !place)
        return;
    size_t len = strlen(title);
    if (len > place_len - 1)
        len = place_len - 1;
    memset(place, 0, place_len);
    memcpy(place, title, len);
}

#else

void cg_title_set(const char *title) {
    (void)title;
}

#endif
