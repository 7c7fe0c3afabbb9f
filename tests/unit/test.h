/* SPDX-License-Identifier: MIT
 *
 * A test program is a list of CG_TEST cases. Each case runs in a process of its own with a time
 * limit; `program NAME` runs one case in-process, for a debugger.
 */
#ifndef CG_TESTS_UNIT_TEST_H
#define CG_TESTS_UNIT_TEST_H

#include "server/base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct cg_test_case {
    const char *name;
    void (*run)(void);
    struct cg_test_case *next;
};

void cg_test_register(struct cg_test_case *c);
_Noreturn __attribute__((format(printf, 3, 4))) void cg_test_fail(const char *file, int line,
                                                                  const char *format, ...);
void cg_test_check_slice(const char *file, int line, struct cg_slice got, struct cg_slice want);

#define CG_TEST(id)                                                                                \
    static void id(void);                                                                          \
    static struct cg_test_case id##_case = {#id, id, NULL};                                        \
    __attribute__((constructor)) static void id##_register(void) {                                 \
        cg_test_register(&id##_case);                                                              \
    }                                                                                              \
    static void id(void)

#define CG_CHECK(condition)                                                                        \
    do {                                                                                           \
        if (!(condition))                                                                          \
            cg_test_fail(__FILE__, __LINE__, "not true: %s", #condition);                          \
    } while (0)

#define CG_CHECK_INT(got, want)                                                                    \
    do {                                                                                           \
        long long cg_got = (long long)(got), cg_want = (long long)(want);                          \
        if (cg_got != cg_want)                                                                     \
            cg_test_fail(__FILE__, __LINE__, "%s is %lld, want %lld", #got, cg_got, cg_want);      \
    } while (0)

#define CG_CHECK_SLICE(got, literal)                                                               \
    cg_test_check_slice(__FILE__, __LINE__, (got), CG_SLICE(literal))

#endif
