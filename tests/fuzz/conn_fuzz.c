/* SPDX-License-Identifier: MIT
 *
 * Whole talks with a connection. Whatever is sent, answered and broken: the application's begin and
 * end are balanced (fake_app.c checks it), the talk ends, and what was sent is one well-formed
 * response for each request, with the body that the application gave, and nothing behind the last
 * one. How reads and writes are cut changes nothing.
 *
 * Input: TALK_PLAN_LEN bytes of choices (talk.h), then what the client sends.
 */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/response_reader.h"
#include "tests/fuzz/talk.h"
#include "tests/unit/test.h"

/* All usual: cut at random, no events, "hello" with a length, the same chunked, an echo. */
const struct fuzz_target fuzz_target = {
    "conn",
    "\0\0\10\1"
    "\0\0\0\0\0\0"
    "\0\40\2\0\0\2\10\0\0\10\0\0\0\0\0",
    TALK_PLAN_LEN,
};

/* Interim responses, then the final one; false when that has not come. */
static bool read_final(struct cg_slice *bytes, bool is_head, bool knows_interim,
                       struct reader_response *ret_response) {
    int continues_n = 0;
    while (reader_next(bytes, is_head, ret_response)) {
        if (!reader_is_interim(ret_response))
            return true;
        CG_CHECK(knows_interim && (ret_response->status == 100 || ret_response->status == 103));
        continues_n += ret_response->status == 100;
        CG_CHECK(continues_n <= 1);
        reader_response_done(ret_response);
    }
    return false;
}

static void check_body(const struct talk_exchange *x, const struct reader_response *r,
                       bool may_be_cut) {
    if (x->status == 500)
        return; /* an error page: no script gives this status */
    struct cg_slice body = cg_buf_slice(&r->body);
    CG_CHECK(body.len <= x->said.len &&
             (body.len == 0 || memcmp(body.at, x->said.at, body.len) == 0));
    if (may_be_cut || x->is_head || r->status == 204 || r->status == 304)
        return;
    CG_CHECK_INT(body.len, r->has_length && r->length < x->said.len ? r->length : x->said.len);
}

/* The response to one exchange. Returns whether it was the last one. */
static bool check_exchange(const struct talk *talk, const struct talk_exchange *x,
                           struct cg_slice *bytes) {
    struct reader_response r;
    bool is_short = x->length > x->said.len;
    if (!read_final(bytes, x->is_head, x->knows_interim, &r)) {
        CG_CHECK(talk->cut_off || !x->head_sent);
        return true;
    }
    CG_CHECK(r.is_whole || talk->cut_off || x->failed || is_short);
    if (r.status) {
        CG_CHECK_INT(r.status, x->status);
        CG_CHECK_INT(r.version_minor, !x->is_1_0);
        check_body(x, &r, talk->cut_off || x->failed);
    }
    bool is_last = r.says_close || !r.is_whole || x->failed;
    reader_response_done(&r);
    return is_last;
}

/* What no application has answered: at most one error page, which ends the connection. */
static bool check_rest(struct talk *talk, struct cg_slice *bytes) {
    struct reader_response r;
    bool is_head = cg_conn_exchange(talk->t.conn)->request.is_head;
    if (!read_final(bytes, is_head, true, &r))
        return false;
    CG_CHECK(talk->cut_off || (r.is_whole && r.status >= 400 && r.says_close));
    reader_response_done(&r);
    return true;
}

static void check_sent(struct talk *talk) {
    struct cg_slice bytes = cg_buf_slice(&talk->t.sent);
    bool is_last = false;
    if (talk->freed || talk->exchanges_n > TALK_EXCHANGES_MAX)
        return;
    CG_CHECK(talk->t.closed);
    for (int i = 0; i < talk->exchanges_n; i++) {
        CG_CHECK(!is_last);
        is_last = check_exchange(talk, &talk->exchanges[i], &bytes);
    }
    if (is_last)
        CG_CHECK_INT(bytes.len, 0);
    else
        is_last = check_rest(talk, &bytes);
    CG_CHECK_INT(bytes.len, 0);
    CG_CHECK(is_last || talk->ended || talk->expired || talk->cut_off);
}

/* 100 Continue depends on what has come with the head, and so on the cuts. */
static bool may_expect(struct cg_slice input) {
    for (size_t i = 0; i + 6 <= input.len; i++)
        if (cg_slice_eq_ci(cg_slice_of(input.at + i, 6), CG_SLICE("expect")))
            return true;
    return false;
}

static void check_uncut(const struct talk *talk, struct cg_slice input) {
    static struct talk whole;
    struct talk_plan plan = *talk->plan;
    plan.reads = plan.writes = MT_WHOLE;
    talk_hold(&whole, &plan, input);
    cg_test_check_slice(__FILE__, __LINE__, cg_buf_slice(&talk->t.sent),
                        cg_buf_slice(&whole.t.sent));
    cg_test_check_slice(__FILE__, __LINE__, cg_buf_slice(&talk->t.reports),
                        cg_buf_slice(&whole.t.reports));
    cg_test_check_slice(__FILE__, __LINE__, cg_buf_slice(&talk->t.lines),
                        cg_buf_slice(&whole.t.lines));
    CG_CHECK_INT(talk->exchanges_n, whole.exchanges_n);
    talk_done(&whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct talk talk;
    struct cg_slice input = cg_slice_of((const char *)data, size);
    struct talk_plan plan;
    talk_choose(&plan, &input);
    talk_hold(&talk, &plan, input);
    check_sent(&talk);
    if (!talk_has_events(&plan) && !may_expect(input))
        check_uncut(&talk, input);
    talk_done(&talk);
    return 0;
}
