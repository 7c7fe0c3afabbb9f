/* SPDX-License-Identifier: MIT
 *
 * tests/corpus through scanner, parser, policy and body, in every way of feeding. */
#include "tests/unit/corpus.h"
#include "tests/unit/incoming.h"
#include "tests/unit/test.h"

static void run_case(const struct corpus_case *c, struct incoming *in, enum incoming_way way,
                     unsigned seed) {
    size_t at = 0;
    enum cg_fault fault = CG_FAULT_NONE;
    for (uint64_t i = 0; i < c->requests_n; i++) {
        if (fault != CG_FAULT_NONE)
            cg_test_fail(c->path, 1, "a request before the last: %s", incoming_fault_name(fault));
        fault = incoming_run(in, &c->settings, cg_slice_of(c->bytes.at + at, c->bytes.len - at),
                             way, seed);
        at += in->used;
    }
    if (strcmp(incoming_fault_name(fault), c->verdict) != 0)
        cg_test_fail(c->path, 1, "%s, not %s (way %d, seed %u)", incoming_fault_name(fault),
                     c->verdict, way, seed);
    if (fault != CG_FAULT_NONE)
        return;
    struct cg_buf body = CG_BUF_INIT;
    incoming_take_body(&in->body, &body);
    cg_test_check_slice(c->path, 1, cg_buf_slice(&body), cg_buf_slice(&c->body));
    cg_buf_done(&body);
}

static void run_file(void *folder, const char *path) {
    struct corpus_case c;
    struct incoming in;
    corpus_load(&c, path, &incoming_settings);
    if ((strcmp(c.verdict, "ok") == 0) != (strcmp(folder, "valid") == 0))
        cg_test_fail(path, 1, "is in the wrong folder");
    incoming_init(&in);
    in.peer.family = CG_FAMILY_UNIX; /* trusted, as peers on the same machine are by default */
    for (unsigned seed = 0; seed < 6; seed++)
        run_case(&c, &in, seed < 2 ? (enum incoming_way)seed : INCOMING_SPLITS, seed);
    incoming_done(&in);
    corpus_case_done(&c);
}

static void run_folder(const char *folder) {
    char path[CORPUS_PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", CG_CORPUS_DIR, folder);
    CG_CHECK(corpus_each(path, run_file, (void *)folder) > 30);
}

CG_TEST(valid_requests_are_accepted) {
    run_folder("valid");
}

CG_TEST(invalid_requests_get_their_fault) {
    run_folder("invalid");
}
