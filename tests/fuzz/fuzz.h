/* SPDX-License-Identifier: MIT
 *
 * What the fuzz targets share. A target is <name>_fuzz.c: one function that takes any bytes and
 * holds the code to rules that must be true for all of them. libFuzzer calls it, or, in an ordinary
 * test program, replay.c. No state.
 *
 * Checks are those of tests/unit/test.h; here a failed one aborts, as a crash does.
 */
#ifndef CG_TESTS_FUZZ_FUZZ_H
#define CG_TESTS_FUZZ_FUZZ_H

#include "server/base/slice.h"
#include "server/settings/settings.h"

#include <stdint.h>

struct fuzz_target {
    const char *name;
    /* A target that is fed with requests gets those of tests/corpus as seeds, behind these bytes:
     * its own choices, such that all is usual. NULL: only tests/fuzz/seeds/<name>. */
    const char *prefix;
    size_t prefix_len;
};

extern const struct fuzz_target fuzz_target;

/* libFuzzer's name for it. Always 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Cuts a byte off the front; 0 when there is none left. */
uint8_t fuzz_take_byte(struct cg_slice *input);
/* Cuts off n bytes, or what is left. */
struct cg_slice fuzz_take(struct cg_slice *input, size_t n);
/* Cuts off a byte that says how many bytes follow, and those. */
struct cg_slice fuzz_take_short(struct cg_slice *input);

/* True when all of part lies within whole; an empty slice lies everywhere. */
bool fuzz_lies_in(struct cg_slice part, struct cg_slice whole);
/* Settings that permit what the standards do not, and that decide who is trusted. */
void fuzz_choose_leniency(struct cg_settings *s, uint8_t choice);

/* A byte below 0x20 or 0x7f, HTAB excepted when it is allowed. */
bool fuzz_has_control(struct cg_slice s, bool tab_allowed);

#endif
