/* SPDX-License-Identifier: MIT
 *
 * One client's talk with a connection, chosen by bytes: what it sends and how it is cut, what the
 * application answers, and what befalls the connection meanwhile. For the fuzz target conn.
 */
#ifndef CG_TESTS_FUZZ_TALK_H
#define CG_TESTS_FUZZ_TALK_H

#include "tests/unit/memory_transport.h"

enum {
    TALK_EVENTS_N = 3,
    TALK_SCRIPTS_N = 5,
    TALK_EXCHANGES_MAX = 512, /* more are not recorded, and what they sent is not checked */
    TALK_PLAN_LEN = 4 + 2 * TALK_EVENTS_N + 3 * TALK_SCRIPTS_N,
};

enum talk_event {
    TALK_NOTHING,
    TALK_EOF,
    TALK_EXPIRE,
    TALK_BROKEN,
    TALK_SENDS_NO_MORE,
    TALK_CLIENT_GONE,
    TALK_DRAINING,
    TALK_TIME_PASSES,
    TALK_TRIM,
    TALK_FREE,
    TALK_EVENTS_KINDS_N
};

/* What was chosen. */
struct talk_plan {
    struct cg_settings settings;
    bool logs_access;
    enum mt_cut reads, writes;
    unsigned seed;
    enum talk_event at_end; /* when all is sent: EOF, EXPIRE, BROKEN or FREE */
    struct {
        unsigned step;
        enum talk_event what;
    } events[TALK_EVENTS_N];
    struct fake_script scripts[TALK_SCRIPTS_N]; /* of the first, second ... exchange, round */
};

/* One exchange that the application saw, noted when it ended. */
struct talk_exchange {
    bool is_head;
    bool is_1_0, knows_interim; /* by its version */
    bool head_sent, failed;
    int status;
    struct cg_buf said; /* the body that the script gives */
    uint64_t length;    /* with CG_RESPONSE_LENGTH: what the head promised */
};

struct talk {
    const struct talk_plan *plan;
    struct memory_transport t;
    bool ended;   /* the client has said that it sends no more */
    bool cut_off; /* something broke the connection, so that its last response may be cut */
    bool freed;   /* stopped in the middle */
    bool expired;
    bool app_failed; /* in the exchange under way */
    int exchanges_n;
    struct talk_exchange exchanges[TALK_EXCHANGES_MAX];
};

/* From the first TALK_PLAN_LEN bytes of input. */
void talk_choose(struct talk_plan *plan, struct cg_slice *input);
bool talk_has_events(const struct talk_plan *plan);

/* Holds the talk to its end and leaves the connection open for questions; done closes it. */
void talk_hold(struct talk *talk, const struct talk_plan *plan, struct cg_slice input);
void talk_done(struct talk *talk);

#endif
