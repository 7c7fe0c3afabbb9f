/* SPDX-License-Identifier: MIT
 *
 * Talks with a connection. Owns the file that scripted responses are sent from (file-level state).
 */
#include "tests/fuzz/talk.h"

#include "server/base/fd.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/test.h"

#include <unistd.h>

#define TEN "0123456789"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

enum { STEPS_MAX = 2000 * 1000, FILE_LEN = 100, FILE_OFFSET = 7 };

static int file_fd = -1;

static int open_file(void) {
    if (file_fd < 0) {
        file_fd = cg_fd_open_temp(NULL);
        CG_CHECK(file_fd >= 0);
        CG_CHECK_INT(cg_fd_write_all(file_fd, HUNDRED, FILE_LEN), 0);
    }
    return file_fd;
}

static void choose_settings(struct talk_plan *plan, uint8_t choice) {
    struct cg_settings *s = &plan->settings;
    *s = mt_default_settings();
    if (choice & 1)
        s->keepalive = 0;
    if (choice & 2)
        s->limit_request_line = s->limit_request_field_size = 64;
    if (choice & 4)
        s->limit_request_fields = 4;
    if (choice & 8)
        s->limit_request_body = 10;
    if (choice & 16)
        s->client_body_buffer_size = 8;
    if (choice & 32)
        s->send_timeout = s->client_header_timeout = 0;
    plan->logs_access = choice & 64;
    s->proxy_protocol = choice & 128 ? "auto" : "off";
    s->proxy_allow_ips = "*";
    s->protocol = "http"; /* packets have a target of their own */
}

static void choose_cuts(struct talk_plan *plan, uint8_t choice) {
    static const enum talk_event ends[] = {TALK_EOF, TALK_EXPIRE, TALK_BROKEN, TALK_FREE};
    plan->reads = (enum mt_cut)(choice % 3);
    plan->writes = (enum mt_cut)(choice / 3 % 3);
    plan->at_end = ends[choice / 9 % 4];
}

static void choose_fields(struct fake_script *s, uint8_t choice) {
    static const char *const lengths[] = {NULL, "0", "5", "12"};
    int n = 0;
    if (lengths[choice & 3]) {
        s->fields[n][0] = "Content-Length";
        s->fields[n++][1] = lengths[choice & 3];
    }
    if (choice & 4) {
        s->fields[n][0] = "Connection";
        s->fields[n++][1] = "close";
    }
    if (choice & 8) {
        s->fields[n][0] = "Upgrade";
        s->fields[n++][1] = "h2c";
        s->fields[n][0] = "Connection";
        s->fields[n++][1] = "upgrade";
    }
    if (choice & 16)
        s->inform_fields = "Link: </a>\r\n";
    s->knows_last = choice & 32;
    s->fails_in_begin = choice & 64;
    s->fails_in_next = choice & 128;
}

/* A file is the only chunk: behind others its head might have left as chunked (app.h). */
static void choose_chunks(struct fake_script *s, uint8_t chunks, uint8_t pushes) {
    static const char *const pieces[] = {NULL, "", "hello", HUNDRED HUNDRED HUNDRED HUNDRED};
    for (int i = 0; i < 3; i++, chunks >>= 2) {
        s->chunks[i] = pieces[chunks & 3];
        if (!s->chunks[i])
            break;
    }
    for (int i = 0; i < 2 && (pushes & 3); i++, pushes >>= 2)
        s->pushes[i] = pieces[pushes & 3];
    s->sends_file = !s->chunks[0] && !s->pushes[0];
    s->file_fd = open_file();
    s->file_offset = FILE_OFFSET;
    s->file_len = FILE_LEN - FILE_OFFSET;
}

static void choose_script(struct fake_script *s, struct cg_slice *input) {
    static const char *const statuses[] = {"200 OK", "200 OK", "204 No Content", "304 Not Modified",
                                           "404 ",   "200",    "799 \xe4",       NULL};
    *s = (struct fake_script){.file_fd = -1};
    uint8_t first = fuzz_take_byte(input), fields = fuzz_take_byte(input);
    s->status = statuses[first & 7];
    s->echoes = first & 8;
    if (s->status)
        choose_fields(s, fields);
    uint8_t chunks = fuzz_take_byte(input);
    if (!s->echoes)
        choose_chunks(s, chunks, s->status ? first >> 4 : 0);
}

void talk_choose(struct talk_plan *plan, struct cg_slice *input) {
    struct cg_slice bytes = fuzz_take(input, TALK_PLAN_LEN);
    choose_settings(plan, fuzz_take_byte(&bytes));
    fuzz_choose_leniency(&plan->settings, fuzz_take_byte(&bytes));
    choose_cuts(plan, fuzz_take_byte(&bytes));
    plan->seed = fuzz_take_byte(&bytes);
    for (int i = 0; i < TALK_EVENTS_N; i++) {
        plan->events[i].step = fuzz_take_byte(&bytes);
        plan->events[i].what = (enum talk_event)(fuzz_take_byte(&bytes) % TALK_EVENTS_KINDS_N);
    }
    for (int i = 0; i < TALK_SCRIPTS_N; i++)
        choose_script(&plan->scripts[i], &bytes);
}

bool talk_has_events(const struct talk_plan *plan) {
    for (int i = 0; i < TALK_EVENTS_N; i++)
        if (plan->events[i].what != TALK_NOTHING)
            return true;
    return false;
}

static struct talk *talk_of(void *app) {
    return (struct talk *)((char *)app - offsetof(struct talk, t.app));
}

static enum cg_app_result begin(void *app, struct cg_exchange *ex) {
    struct talk *talk = talk_of(app);
    talk->t.app.script = &talk->plan->scripts[talk->t.app.begin_n % TALK_SCRIPTS_N];
    enum cg_app_result result = fake_app_table.begin(app, ex);
    talk->app_failed = result == CG_APP_FAILED || !talk->t.app.script->status;
    return result;
}

static enum cg_app_result next(void *app, struct cg_exchange *ex, struct cg_chunk *ret_chunk) {
    enum cg_app_result result = fake_app_table.next(app, ex, ret_chunk);
    talk_of(app)->app_failed |= result == CG_APP_FAILED;
    return result;
}

static void note_said(struct talk_exchange *x, const struct fake_app *app) {
    const struct fake_script *s = app->script;
    for (int i = 0; s->pushes[i]; i++)
        CG_CHECK_INT(cg_buf_append(&x->said, cg_slice_str(s->pushes[i])), 0);
    for (int i = 0; s->chunks[i]; i++)
        CG_CHECK_INT(cg_buf_append(&x->said, cg_slice_str(s->chunks[i])), 0);
    if (s->sends_file)
        CG_CHECK_INT(cg_buf_append(&x->said, cg_slice_of(&HUNDRED[FILE_OFFSET], s->file_len)), 0);
    if (s->echoes)
        CG_CHECK_INT(cg_buf_append(&x->said, cg_buf_slice(&app->body)), 0);
}

static void end(void *app, struct cg_exchange *ex) {
    struct talk *talk = talk_of(app);
    talk->cut_off |= ex->client_left; /* the core has asked whether it is there */
    if (talk->exchanges_n < TALK_EXCHANGES_MAX) {
        struct talk_exchange *x = &talk->exchanges[talk->exchanges_n];
        *x = (struct talk_exchange){
            .is_head = ex->request.is_head,
            .is_1_0 = ex->request.version_major == 1 && ex->request.version_minor == 0,
            .knows_interim = cg_request_is_1_1(&ex->request),
            .head_sent = ex->response.head_sent,
            .failed = talk->app_failed,
            .status = ex->response.status,
            .length = ex->response.length,
        };
        note_said(x, &talk->t.app);
    }
    talk->exchanges_n++;
    fake_app_table.end(app, ex);
}

static const struct cg_app app_table = {.begin = begin, .next = next, .end = end};

static void expire(struct talk *talk) {
    talk->expired = true;
    talk->cut_off |= cg_conn_wants(talk->t.conn) == CG_WANT_WRITE;
    cg_conn_expire(talk->t.conn);
}

static void befall(struct talk *talk, enum talk_event what) {
    struct memory_transport *t = &talk->t;
    switch (what) {
    case TALK_EOF:
        talk->ended = true;
        t->input.len = 0;
        cg_conn_eof(t->conn);
        break;
    case TALK_EXPIRE:
        expire(talk);
        break;
    case TALK_BROKEN:
        talk->cut_off = true;
        cg_conn_broken(t->conn);
        break;
    case TALK_SENDS_NO_MORE:
        talk->cut_off = true;
        t->sends_max = t->sent.len + talk->plan->seed;
        break;
    case TALK_CLIENT_GONE:
        t->client_gone = true;
        break;
    case TALK_DRAINING:
        t->http.draining = true;
        break;
    case TALK_TIME_PASSES:
        t->http.now_us += 6 * UINT64_C(1000000);
        if (cg_conn_deadline_us(t->conn) <= t->http.now_us)
            expire(talk);
        break;
    case TALK_TRIM:
        cg_conn_trim(t->conn);
        break;
    case TALK_FREE:
        talk->freed = true;
        break;
    case TALK_NOTHING:
    case TALK_EVENTS_KINDS_N:
        break;
    }
}

/* False when the client has nothing more to say, and is waited for. */
static bool goes_on(struct talk *talk) {
    bool reads = cg_conn_wants(talk->t.conn) == CG_WANT_READ;
    CG_CHECK(!reads || !talk->ended); /* nobody will tell it a second time */
    CG_CHECK(cg_conn_doing(talk->t.conn)[0]);
    return !talk->t.closed && !talk->freed && (!reads || talk->t.input.len > 0);
}

static void take_steps(struct talk *talk, bool with_events) {
    for (unsigned step = 0; goes_on(talk); step++) {
        CG_CHECK(step < STEPS_MAX);
        for (int i = 0; with_events && i < TALK_EVENTS_N; i++)
            if (talk->plan->events[i].step == step && !talk->t.closed)
                befall(talk, talk->plan->events[i].what);
        if (goes_on(talk))
            mt_step(&talk->t, 1);
    }
}

void talk_hold(struct talk *talk, const struct talk_plan *plan, struct cg_slice input) {
    struct memory_transport *t = &talk->t;
    *talk = (struct talk){.plan = plan};
    mt_open(t, &plan->scripts[0], &plan->settings);
    t->http.app = &app_table;
    t->reads = plan->reads;
    t->writes = plan->writes;
    t->seed = plan->seed;
    t->input = input;
    if (plan->logs_access)
        mt_log_access(t, "%(h)s \"%(r)s\" %(s)s %(B)s \"%(a)s\" %({x-app}o)s");
    take_steps(talk, true);
    /* An answer to a timeout is followed by a wait for the client to close, with its own. */
    for (int i = 0; i < 2 && !t->closed && !talk->freed; i++) {
        befall(talk, plan->at_end);
        take_steps(talk, false);
    }
}

void talk_done(struct talk *talk) {
    mt_close(&talk->t);
    for (int i = 0; i < talk->exchanges_n && i < TALK_EXCHANGES_MAX; i++)
        cg_buf_done(&talk->exchanges[i].said);
}
