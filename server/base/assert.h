/* SPDX-License-Identifier: MIT
 *
 * Asserts that stay on in production: for what cannot happen, never for input. A failed one writes
 * a line to the error log and aborts the process; the arbiter replaces the worker.
 */
#ifndef CG_BASE_ASSERT_H
#define CG_BASE_ASSERT_H

_Noreturn void cg_assert_failed(const char *file, int line, const char *condition);

#define CG_ASSERT(condition)                                                                       \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0))                                                     \
            cg_assert_failed(__FILE__, __LINE__, #condition);                                      \
    } while (0)

#endif
