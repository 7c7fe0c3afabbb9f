/* SPDX-License-Identifier: MIT
 *
 * The access line of a request that ended with its worker: rendered in the arbiter's process, from
 * what the worker's slot showed, as the line of any other request. It knows the client, the request
 * line and the time; header fields show as absent, and of the response there is no more than a
 * status for the log.
 */
#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/http/access.h"
#include "server/http/request_line.h"
#include "server/http/target.h"
#include "workers/core.h"

/* Up to the next space, which goes too. */
static struct cg_slice take_word(struct cg_slice *rest) {
    size_t len = 0;
    while (len < rest->len && rest->at[len] != ' ')
        len++;
    struct cg_slice word = cg_slice_of(rest->at, len);
    len += len < rest->len;
    *rest = cg_slice_of(rest->at + len, rest->len - len);
    return word;
}

/* A line that was cut is judged like any other: what it lacks stays empty. */
static void fill_request(struct cg_request *r, const struct cg_lost *lost) {
    struct cg_slice rest = r->line = cg_slice_str(lost->view->line);
    r->method = take_word(&rest);
    r->target = take_word(&rest);
    r->version = take_word(&rest);
    (void)cg_request_line_judge(r, lost->settings);
    (void)cg_target_split(r);
}

static void fill_client(struct cg_endpoint *client, const struct cg_slot_view *view) {
    struct cg_slice host = cg_slice_str(view->client);
    client->host_len = (uint8_t)host.len;
    memcpy(client->host, host.at, host.len);
}

static void log_line(struct cg_access *access, const struct cg_lost *lost, uint64_t now_us) {
    struct cg_endpoint client = {.family = CG_FAMILY_UNIX};
    struct cg_exchange ex = {
        .client = &client, .peer = &client, .begun_us = lost->view->request_us, .aborted = true};
    struct cg_buf line = CG_BUF_INIT;
    cg_request_init(&ex.request);
    fill_client(&client, lost->view);
    fill_request(&ex.request, lost);
    ex.response.status = lost->status;
    cg_access_set_pid(access, lost->pid);
    if (cg_access_render(access, &ex, now_us, cg_clock_wall_s(), &line) == 0)
        cg_log_access(cg_buf_slice(&line));
    cg_log_flush();
    cg_buf_done(&line);
    cg_request_done(&ex.request);
}

void cg_worker_lost(const struct cg_lost *lost, uint64_t now_us) {
    if (!cg_log_access_enabled())
        return;
    struct cg_access *access = cg_core_access_new(lost->settings);
    if (access)
        log_line(access, lost, now_us);
    cg_access_free(access);
}
