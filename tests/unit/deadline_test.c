/* SPDX-License-Identifier: MIT
 *
 * The heap of deadlines: the earliest is always on top, whatever was moved or taken out.
 */
#include "tests/unit/test.h"
#include "workers/deadline.h"

#include <stdlib.h>

enum { NODES_N = 300 };

static struct cg_deadline nodes[NODES_N];

static void fill(struct cg_deadlines *h, unsigned seed) {
    srand(seed);
    for (int i = 0; i < NODES_N; i++) {
        nodes[i] = CG_DEADLINE_INIT;
        CG_CHECK_INT(cg_deadlines_set(h, &nodes[i], (uint64_t)(rand() % 100)), 0);
    }
}

/* Takes all out in order; returns how many there were. */
static int drain_in_order(struct cg_deadlines *h) {
    uint64_t last_us = 0;
    int n = 0;
    for (struct cg_deadline *d; (d = cg_deadlines_first(h)); n++) {
        CG_CHECK(d->at_us >= last_us);
        last_us = d->at_us;
        cg_deadlines_remove(h, d);
        CG_CHECK(!cg_deadline_is_set(d));
    }
    return n;
}

CG_TEST(first_is_the_earliest) {
    struct cg_deadlines h = CG_DEADLINES_INIT;
    CG_CHECK(!cg_deadlines_first(&h));
    fill(&h, 1);
    CG_CHECK_INT(drain_in_order(&h), NODES_N);
    cg_deadlines_done(&h);
}

CG_TEST(moved_deadlines_keep_the_order) {
    struct cg_deadlines h = CG_DEADLINES_INIT;
    fill(&h, 2);
    for (int i = 0; i < NODES_N; i++)
        CG_CHECK_INT(cg_deadlines_set(&h, &nodes[rand() % NODES_N], (uint64_t)(rand() % 200)), 0);
    CG_CHECK_INT(drain_in_order(&h), NODES_N);
    cg_deadlines_done(&h);
}

CG_TEST(any_node_can_be_taken_out) {
    struct cg_deadlines h = CG_DEADLINES_INIT;
    fill(&h, 3);
    for (int i = 0; i < NODES_N; i += 2)
        cg_deadlines_remove(&h, &nodes[i]);
    cg_deadlines_remove(&h, &nodes[0]); /* twice is fine */
    CG_CHECK_INT(drain_in_order(&h), NODES_N / 2);
    cg_deadlines_done(&h);
}

CG_TEST(never_comes_last) {
    struct cg_deadlines h = CG_DEADLINES_INIT;
    struct cg_deadline never = CG_DEADLINE_INIT, soon = CG_DEADLINE_INIT;
    CG_CHECK_INT(cg_deadlines_set(&h, &never, UINT64_MAX), 0);
    CG_CHECK_INT(cg_deadlines_set(&h, &soon, 5), 0);
    CG_CHECK(cg_deadlines_first(&h) == &soon);
    cg_deadlines_done(&h);
}
