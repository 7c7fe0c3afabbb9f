/* SPDX-License-Identifier: MIT
 *
 * The queue of log_queue.h: a list under a mutex. Holds no state of its own.
 */
#include "server/base/log_queue.h"

#include "server/base/clock.h"

#include <poll.h>
#include <stdlib.h>

enum { STOP_LOOK_MS = 1 };

/* What a line counts for. None is without weight, or empty ones would have no bound. */
static size_t weight(const struct cg_log_line *line) {
    return sizeof(*line) + line->len + (line->rider ? CG_LOG_RIDER_BYTES : 0);
}

/* The caller's, or NULL: no memory, or too long for any queue. */
static struct cg_log_line *line_new(const struct cg_log_queue *q, struct cg_slice text) {
    if (text.len > q->bytes_max)
        return NULL;
    struct cg_log_line *line = malloc(sizeof(*line) + text.len);
    if (line && text.len > 0)
        memcpy(line->text, text.at, text.len);
    return line;
}

bool cg_log_queue_put(struct cg_log_queue *q, int kind, enum cg_log_level level, void *rider,
                      struct cg_slice text) {
    struct cg_log_line *line = line_new(q, text);
    if (line) {
        line->next = NULL;
        line->kind = kind;
        line->level = level;
        line->rider = rider;
        line->len = text.len;
    }
    pthread_mutex_lock(&q->lock);
    bool fits = line && weight(line) <= q->bytes_max - q->bytes;
    if (fits) {
        *(q->first ? q->end : &q->first) = line;
        q->end = &line->next;
        q->bytes += weight(line);
        pthread_cond_signal(&q->changed);
    } else {
        q->lost_n++;
    }
    pthread_mutex_unlock(&q->lock);
    if (!fits)
        free(line);
    return fits;
}

struct cg_log_line *cg_log_queue_take(struct cg_log_queue *q) {
    pthread_mutex_lock(&q->lock);
    struct cg_log_line *line = q->first;
    if (line) {
        q->first = line->next;
        q->bytes -= weight(line);
    }
    pthread_mutex_unlock(&q->lock);
    return line;
}

bool cg_log_queue_is_empty(struct cg_log_queue *q) {
    pthread_mutex_lock(&q->lock);
    bool is_empty = !q->first && q->lost_n == 0;
    pthread_mutex_unlock(&q->lock);
    return is_empty;
}

size_t cg_log_queue_take_lost(struct cg_log_queue *q) {
    pthread_mutex_lock(&q->lock);
    size_t lost_n = q->lost_n;
    q->lost_n = 0;
    pthread_mutex_unlock(&q->lock);
    return lost_n;
}

static void set_pumped(struct cg_log_queue *q, bool pumped) {
    pthread_mutex_lock(&q->lock);
    q->pumped = pumped;
    pthread_cond_broadcast(&q->changed);
    pthread_mutex_unlock(&q->lock);
}

void cg_log_queue_pump_begin(struct cg_log_queue *q) {
    set_pumped(q, true);
}

bool cg_log_queue_pump_wait(struct cg_log_queue *q) {
    pthread_mutex_lock(&q->lock);
    while (!q->first && !q->stopping)
        pthread_cond_wait(&q->changed, &q->lock);
    bool more = !q->stopping;
    pthread_mutex_unlock(&q->lock);
    return more;
}

void cg_log_queue_pump_end(struct cg_log_queue *q) {
    set_pumped(q, false);
}

bool cg_log_queue_is_pumped(struct cg_log_queue *q) {
    pthread_mutex_lock(&q->lock);
    bool pumped = q->pumped;
    pthread_mutex_unlock(&q->lock);
    return pumped;
}

void cg_log_queue_stop(struct cg_log_queue *q, int wait_s) {
    uint64_t until_ms = cg_clock_ms() + (uint64_t)wait_s * 1000;
    pthread_mutex_lock(&q->lock);
    q->stopping = true;
    pthread_cond_broadcast(&q->changed);
    /* Not by the condition: its time limit is by the wall clock, which may jump. */
    while (q->pumped && cg_clock_ms() < until_ms) {
        pthread_mutex_unlock(&q->lock);
        poll(NULL, 0, STOP_LOOK_MS);
        pthread_mutex_lock(&q->lock);
    }
    q->pumped = false;
    pthread_mutex_unlock(&q->lock);
}

void cg_log_queue_fork_prepare(struct cg_log_queue *q) {
    pthread_mutex_lock(&q->lock);
}

void cg_log_queue_fork_parent(struct cg_log_queue *q) {
    pthread_mutex_unlock(&q->lock);
}

/* The mutex is this thread's, which locked it. The condition may have waiters that exist no more.
 */
void cg_log_queue_fork_child(struct cg_log_queue *q) {
    q->changed = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    q->first = NULL;
    q->bytes = q->lost_n = 0;
    q->pumped = q->stopping = false;
    pthread_mutex_unlock(&q->lock);
}
