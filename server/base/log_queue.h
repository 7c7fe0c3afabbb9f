/* SPDX-License-Identifier: MIT
 *
 * Log lines that wait for somebody who hands them on: from any number of threads, taken one by one
 * in the order in which they came. It is bounded, by what the lines occupy: those that find it full
 * are lost and counted. It knows nothing of what becomes of a line; pyext/log_relay.c does.
 *
 * Every function may be called from any thread, and none of them waits but those that say so.
 */
#ifndef CG_BASE_LOG_QUEUE_H
#define CG_BASE_LOG_QUEUE_H

#include "server/base/log.h"

#include <pthread.h>

/* What an exchange is taken to hold on to, beside its line. */
enum { CG_LOG_RIDER_BYTES = 4096 };

struct cg_log_line {
    struct cg_log_line *next; /* the queue's */
    int kind;                 /* the user's, as level and rider are */
    enum cg_log_level level;
    void *rider; /* goes where the line goes, or NULL */
    size_t len;
    char text[];
};

/* Embedded. Of its parts none is the user's to touch. */
struct cg_log_queue {
    pthread_mutex_t lock; /* of the rest */
    pthread_cond_t changed;
    struct cg_log_line *first, **end;
    size_t bytes, bytes_max, lost_n;
    bool pumped, stopping;
};

#define CG_LOG_QUEUE_INIT(max)                                                                     \
    { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .bytes_max = (max) }

/* Copies the text to the end. False: the line is lost, and the rider stays the caller's. */
bool cg_log_queue_put(struct cg_log_queue *q, int kind, enum cg_log_level level, void *rider,
                      struct cg_slice text);

/* The first line, which is the caller's to free() from now on, or NULL. */
struct cg_log_line *cg_log_queue_take(struct cg_log_queue *q);

/* No line waits, and none was lost that has not been told of. */
bool cg_log_queue_is_empty(struct cg_log_queue *q);

/* How many lines were lost since the last call. */
size_t cg_log_queue_take_lost(struct cg_log_queue *q);

/* A pump is a thread that does nothing else than to take lines; there is one at most:
 *
 *     cg_log_queue_pump_begin(q);
 *     do {
 *         more = cg_log_queue_pump_wait(q);
 *         take all there are
 *     } while (more);
 *     cg_log_queue_pump_end(q);
 */
void cg_log_queue_pump_begin(struct cg_log_queue *q);
/* Waits until there is a line. False: the pump shall take what there is, and end. */
bool cg_log_queue_pump_wait(struct cg_log_queue *q);
void cg_log_queue_pump_end(struct cg_log_queue *q);
bool cg_log_queue_is_pumped(struct cg_log_queue *q);

/* Tells the pump to end, now or when it begins, and waits until it has, at most wait_s seconds. The
 * queue counts as one without a pump afterwards. */
void cg_log_queue_stop(struct cg_log_queue *q, int wait_s);

/* For pthread_atfork(). The child's queue is empty and has no pump: the lines that waited are the
 * parent's to hand on. What they occupy is not given back, riders included. */
void cg_log_queue_fork_prepare(struct cg_log_queue *q);
void cg_log_queue_fork_parent(struct cg_log_queue *q);
void cg_log_queue_fork_child(struct cg_log_queue *q);

#endif
