/* SPDX-License-Identifier: MIT
 *
 * Reads the files of tests/corpus, for the tests that feed them to the core and for the fuzz
 * targets. A file in another form than tests/corpus/README.md's fails the test.
 */
#ifndef CG_TESTS_UNIT_CORPUS_H
#define CG_TESTS_UNIT_CORPUS_H

#include "server/base/buf.h"
#include "server/settings/settings.h"

enum { CORPUS_PATH_MAX = 512 };

struct corpus_case {
    char path[CORPUS_PATH_MAX];
    struct cg_settings settings;
    char verdict[64];
    uint64_t requests_n;
    struct cg_buf body, bytes;
};

/* settings: those that the file does not set. */
void corpus_load(struct corpus_case *c, const char *path, const struct cg_settings *settings);
void corpus_case_done(struct corpus_case *c);

/* Calls use for each file of a folder, by name; returns how many there are, 0 when there is no such
 * folder. */
int corpus_each(const char *folder, void (*use)(void *ctx, const char *path), void *ctx);

#endif
