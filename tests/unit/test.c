/* SPDX-License-Identifier: MIT
 *
 * The runner behind test.h: main(), one forked process per case, a summary line.
 */
#include "tests/unit/test.h"

#include <stdarg.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CASE_TIMEOUT_S = 60 };

static struct cg_test_case *cases;

void cg_test_register(struct cg_test_case *c) {
    struct cg_test_case **end = &cases;
    while (*end)
        end = &(*end)->next;
    *end = c;
}

void cg_test_fail(const char *file, int line, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s:%d: ", file, line);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

static void print_escaped(struct cg_slice s) {
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.at[i];
        fprintf(stderr, c >= 0x20 && c < 0x7f && c != '\\' ? "%c" : "\\x%02x", c);
    }
}

void cg_test_check_slice(const char *file, int line, struct cg_slice got, struct cg_slice want) {
    if (cg_slice_eq(got, want))
        return;
    fprintf(stderr, "got  \"");
    print_escaped(got);
    fprintf(stderr, "\"\nwant \"");
    print_escaped(want);
    fprintf(stderr, "\"\n");
    cg_test_fail(file, line, "bytes differ");
}

static bool run_forked(const struct cg_test_case *c) {
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(CASE_TIMEOUT_S);
        c->run();
        exit(0);
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return false;
    if (WIFSIGNALED(status))
        fprintf(stderr, "%s: killed by signal %d\n", c->name, WTERMSIG(status));
    return status == 0;
}

int main(int argc, char **argv) {
    int run_n = 0, failed_n = 0;
    for (const struct cg_test_case *c = cases; c; c = c->next) {
        if (argc > 1) {
            if (strcmp(argv[1], c->name) == 0) {
                c->run();
                return 0;
            }
            continue;
        }
        run_n++;
        if (!run_forked(c)) {
            failed_n++;
            printf("FAILED %s\n", c->name);
        }
    }
    printf("%d cases, %d failed\n", run_n, failed_n);
    return failed_n || run_n == 0;
}
