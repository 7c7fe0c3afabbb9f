/* SPDX-License-Identifier: MIT
 *
 * The scripted application of fake_app.h. An exchange's app_state points to the fake_app between
 * begin and end.
 */
#include "tests/unit/fake_app.h"

#include "tests/unit/test.h"

#include <errno.h>

static void read_body(struct fake_app *app, struct cg_body *body) {
    struct cg_slice bytes;
    app->body.len = 0;
    while (cg_body_window(body, &bytes) == 0 && bytes.len) {
        CG_CHECK_INT(cg_buf_append(&app->body, bytes), 0);
        cg_body_consume(body, bytes.len);
    }
}

static void start_response(const struct fake_script *s, struct cg_response *r) {
    if (!s->status)
        return;
    CG_CHECK_INT(cg_response_start(r, cg_slice_str(s->status)), CG_RESPONSE_OK);
    for (int i = 0; s->fields[i][0]; i++)
        CG_CHECK_INT(
            cg_response_add_field(r, cg_slice_str(s->fields[i][0]), cg_slice_str(s->fields[i][1])),
            CG_RESPONSE_OK);
}

static enum cg_app_result fake_begin(void *ctx, struct cg_exchange *ex) {
    struct fake_app *app = ctx;
    const struct fake_script *s = app->script;
    CG_CHECK_INT(app->begin_n, app->end_n);
    CG_CHECK(ex->app_state == NULL);
    ex->app_state = app;
    app->begin_n++;
    app->chunk_at = 0;
    if (s->echoes)
        read_body(app, &ex->body);
    start_response(s, &ex->response);
    if (s->inform_fields)
        app->inform_rc = cg_exchange_inform(ex, 103, cg_slice_str(s->inform_fields));
    for (int i = 0; s->pushes[i]; i++)
        app->push_rc = cg_exchange_push(ex, cg_slice_str(s->pushes[i]));
    return s->fails_in_begin ? CG_APP_FAILED : CG_APP_CHUNK;
}

static enum cg_app_result fake_next(void *ctx, struct cg_exchange *ex, struct cg_chunk *ret_chunk) {
    struct fake_app *app = ctx;
    const struct fake_script *s = app->script;
    CG_CHECK(ex->app_state == app);
    app->next_n++;
    int at = app->chunk_at++;
    if (s->echoes) {
        ret_chunk->bytes = cg_buf_slice(&app->body);
        ret_chunk->last = true;
        return at == 0 ? CG_APP_CHUNK : CG_APP_END;
    }
    if (at < 8 && s->chunks[at]) {
        ret_chunk->bytes = cg_slice_str(s->chunks[at]);
        ret_chunk->last = s->knows_last && (at == 7 || !s->chunks[at + 1]);
        return CG_APP_CHUNK;
    }
    if (s->fails_in_next)
        return CG_APP_FAILED;
    if (s->sends_file && (at == 0 || s->chunks[at - 1])) {
        *ret_chunk = (struct cg_chunk){
            .fd = s->file_fd, .file_offset = s->file_offset, .file_len = s->file_len, .last = true};
        return CG_APP_CHUNK;
    }
    return CG_APP_END;
}

static void fake_end(void *ctx, struct cg_exchange *ex) {
    struct fake_app *app = ctx;
    CG_CHECK(ex->app_state == app);
    app->end_n++;
    CG_CHECK_INT(app->begin_n, app->end_n);
    /* A close() that writes must neither be heard nor crash. */
    int rc = cg_exchange_push(ex, CG_SLICE("late"));
    CG_CHECK(rc == -ESHUTDOWN || rc == -EPIPE);
}

const struct cg_app fake_app_table = {.begin = fake_begin, .next = fake_next, .end = fake_end};

void fake_app_done(struct fake_app *app) {
    cg_buf_done(&app->body);
}
