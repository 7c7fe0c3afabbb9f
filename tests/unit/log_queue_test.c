/* SPDX-License-Identifier: MIT
 *
 * Rules of server/base/log_queue.h.
 */
#include "server/base/log_queue.h"
#include "tests/unit/test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    LINE_BYTES = sizeof(struct cg_log_line),
    PRODUCERS_N = 4,
    LINES_N = 2000, /* of each producer */
    FORKS_N = 20,
    STOP_WAIT_S = 50,
};

static bool put(struct cg_log_queue *q, const char *text) {
    return cg_log_queue_put(q, 1, CG_LOG_INFO, NULL, cg_slice_of(text, strlen(text)));
}

static void check_next(struct cg_log_queue *q, const char *want) {
    struct cg_log_line *line = cg_log_queue_take(q);
    CG_CHECK(line);
    cg_test_check_slice(__FILE__, __LINE__, cg_slice_of(line->text, line->len),
                        cg_slice_of(want, strlen(want)));
    free(line);
}

static void check_empty(struct cg_log_queue *q) {
    CG_CHECK(!cg_log_queue_take(q));
    CG_CHECK_INT(cg_log_queue_take_lost(q), 0);
}

/* One thread */

CG_TEST(lines_leave_in_the_order_in_which_they_came) {
    struct cg_log_queue q = CG_LOG_QUEUE_INIT(4096);
    check_empty(&q);
    CG_CHECK(put(&q, "first") && put(&q, "second"));
    check_next(&q, "first");
    CG_CHECK(put(&q, "third"));
    check_next(&q, "second");
    check_next(&q, "third");
    check_empty(&q);
    CG_CHECK(put(&q, "another"));
    check_next(&q, "another");
    check_empty(&q);
}

CG_TEST(a_line_keeps_all_that_was_said_about_it) {
    struct cg_log_queue q = CG_LOG_QUEUE_INIT(65536);
    int rider = 0;
    CG_CHECK(cg_log_queue_put(&q, 7, CG_LOG_ERROR, &rider, CG_SLICE("a\0b\n")));
    struct cg_log_line *line = cg_log_queue_take(&q);
    CG_CHECK(line && line->rider == &rider);
    CG_CHECK_INT(line->kind, 7);
    CG_CHECK_INT(line->level, CG_LOG_ERROR);
    CG_CHECK_SLICE(cg_slice_of(line->text, line->len), "a\0b\n");
    free(line);
}

CG_TEST(the_text_is_copied) {
    struct cg_log_queue q = CG_LOG_QUEUE_INIT(4096);
    char text[] = "before";
    CG_CHECK(put(&q, text));
    memset(text, 'x', sizeof(text) - 1);
    check_next(&q, "before");
}

/* Bounds */

CG_TEST(a_full_queue_loses_and_counts_the_new_lines) {
    struct cg_log_queue q = CG_LOG_QUEUE_INIT(2 * (LINE_BYTES + 4));
    CG_CHECK(put(&q, "aaaa") && put(&q, "bbbb"));
    CG_CHECK(!put(&q, "cccc") && !put(&q, ""));
    CG_CHECK_INT(cg_log_queue_take_lost(&q), 2);
    CG_CHECK_INT(cg_log_queue_take_lost(&q), 0);
    check_next(&q, "aaaa");
    CG_CHECK(put(&q, "dddd"));
    CG_CHECK(!put(&q, "e"));
    check_next(&q, "bbbb");
    check_next(&q, "dddd");
    CG_CHECK_INT(cg_log_queue_take_lost(&q), 1);
    check_empty(&q);
}

CG_TEST(a_line_that_would_never_fit_is_lost) {
    struct cg_log_queue q = CG_LOG_QUEUE_INIT(LINE_BYTES + 4);
    CG_CHECK(!put(&q, "aaaaa"));
    /* Nothing of it is read, and no memory of that size is asked for. */
    CG_CHECK(!cg_log_queue_put(&q, 1, CG_LOG_INFO, NULL, cg_slice_of("", (size_t)-1)));
    CG_CHECK_INT(cg_log_queue_take_lost(&q), 2);
    CG_CHECK(put(&q, "aaaa"));
    check_next(&q, "aaaa");
    check_empty(&q);
}

CG_TEST(empty_lines_are_bounded_too) {
    struct cg_log_queue q = CG_LOG_QUEUE_INIT(10 * LINE_BYTES);
    for (int i = 0; i < 25; i++)
        CG_CHECK(put(&q, "") == (i < 10));
    CG_CHECK_INT(cg_log_queue_take_lost(&q), 15);
    for (int i = 0; i < 10; i++)
        check_next(&q, "");
    check_empty(&q);
}

CG_TEST(what_rides_along_counts_and_stays_the_callers_when_it_is_lost) {
    struct cg_log_queue q = CG_LOG_QUEUE_INIT(CG_LOG_RIDER_BYTES + 2 * LINE_BYTES);
    int rider = 0;
    CG_CHECK(cg_log_queue_put(&q, 1, CG_LOG_INFO, &rider, CG_SLICE("")));
    CG_CHECK(!cg_log_queue_put(&q, 1, CG_LOG_INFO, &rider, CG_SLICE("")));
    CG_CHECK(put(&q, ""));
    struct cg_log_line *line = cg_log_queue_take(&q);
    CG_CHECK(line && line->rider == &rider);
    free(line);
    line = cg_log_queue_take(&q);
    CG_CHECK(line && !line->rider);
    free(line);
    CG_CHECK_INT(cg_log_queue_take_lost(&q), 1);
    check_empty(&q);
}

/* Several threads. What a producer writes is its number and the line's. */

struct talk {
    struct cg_log_queue *q;
    int who;
    bool insists; /* until each line is taken */
    size_t lost_n;
};

struct mark {
    int who, n;
};

static void *produce(void *arg) {
    struct talk *t = arg;
    for (int i = 0; i < LINES_N; i++) {
        struct mark m = {t->who, i};
        struct cg_slice text = cg_slice_of((const char *)&m, sizeof(m));
        while (!cg_log_queue_put(t->q, t->who, CG_LOG_INFO, NULL, text)) {
            t->lost_n++;
            if (!t->insists)
                break;
            sched_yield();
        }
    }
    return NULL;
}

/* Who was heard, and up to where. */
struct heard {
    struct cg_log_queue *q;
    int next[PRODUCERS_N];
    size_t n;
};

/* Each producer's lines keep their order, though some may be lost. */
static void hear_all(struct heard *h) {
    for (struct cg_log_line *line; (line = cg_log_queue_take(h->q)); h->n++) {
        struct mark m;
        CG_CHECK_INT(line->len, sizeof(m));
        memcpy(&m, line->text, sizeof(m));
        CG_CHECK_INT(m.who, line->kind);
        CG_CHECK(m.who >= 0 && m.who < PRODUCERS_N && m.n >= h->next[m.who]);
        h->next[m.who] = m.n + 1;
        free(line);
    }
}

static void *pump(void *arg) {
    struct heard *h = arg;
    bool more;
    cg_log_queue_pump_begin(h->q);
    do {
        more = cg_log_queue_pump_wait(h->q);
        hear_all(h);
    } while (more);
    cg_log_queue_pump_end(h->q);
    return NULL;
}

static pthread_t start(void *(*run)(void *), void *arg) {
    pthread_t thread;
    CG_CHECK_INT(pthread_create(&thread, NULL, run, arg), 0);
    return thread;
}

static void wait_for_pump(struct cg_log_queue *q) {
    while (!cg_log_queue_is_pumped(q))
        usleep(100);
}

/* How many lines the producers lost, when all are done. */
static size_t produce_all(struct cg_log_queue *q, bool insists) {
    struct talk talks[PRODUCERS_N];
    pthread_t threads[PRODUCERS_N];
    size_t lost_n = 0;
    for (int i = 0; i < PRODUCERS_N; i++) {
        talks[i] = (struct talk){.q = q, .who = i, .insists = insists};
        threads[i] = start(produce, &talks[i]);
    }
    for (int i = 0; i < PRODUCERS_N; i++) {
        pthread_join(threads[i], NULL);
        lost_n += talks[i].lost_n;
    }
    return lost_n;
}

CG_TEST(no_line_of_several_threads_is_lost_or_out_of_order) {
    struct cg_log_queue q = CG_LOG_QUEUE_INIT(16 * 1024 * 1024);
    struct heard h = {.q = &q};
    pthread_t pumping = start(pump, &h);
    wait_for_pump(&q);
    CG_CHECK_INT(produce_all(&q, false), 0);
    cg_log_queue_stop(&q, STOP_WAIT_S);
    pthread_join(pumping, NULL);
    CG_CHECK_INT(h.n, PRODUCERS_N * LINES_N);
    check_empty(&q);
}

CG_TEST(every_line_that_found_no_room_is_counted_once) {
    struct cg_log_queue q = CG_LOG_QUEUE_INIT(20 * LINE_BYTES);
    struct heard h = {.q = &q};
    pthread_t pumping = start(pump, &h);
    wait_for_pump(&q);
    size_t lost_n = produce_all(&q, true);
    cg_log_queue_stop(&q, STOP_WAIT_S);
    pthread_join(pumping, NULL);
    CG_CHECK_INT(h.n, PRODUCERS_N * LINES_N);
    CG_CHECK_INT(cg_log_queue_take_lost(&q), lost_n);
    check_empty(&q);
}

CG_TEST(without_a_pump_the_first_lines_are_kept) {
    struct cg_log_queue q = CG_LOG_QUEUE_INIT(20 * (LINE_BYTES + sizeof(struct mark)));
    struct heard h = {.q = &q};
    size_t lost_n = produce_all(&q, false);
    CG_CHECK_INT(lost_n, PRODUCERS_N * LINES_N - 20);
    CG_CHECK_INT(cg_log_queue_take_lost(&q), lost_n);
    hear_all(&h);
    CG_CHECK_INT(h.n, 20);
}

/* The pump */

CG_TEST(a_pump_that_is_told_to_end_takes_what_is_left) {
    struct cg_log_queue q = CG_LOG_QUEUE_INIT(4096);
    CG_CHECK(put(&q, "left"));
    cg_log_queue_stop(&q, STOP_WAIT_S);
    cg_log_queue_pump_begin(&q);
    CG_CHECK(!cg_log_queue_pump_wait(&q));
    check_next(&q, "left");
    cg_log_queue_pump_end(&q);
    CG_CHECK(!cg_log_queue_is_pumped(&q));
}

CG_TEST(a_pump_that_hangs_is_not_waited_for_any_longer) {
    struct cg_log_queue q = CG_LOG_QUEUE_INIT(4096);
    cg_log_queue_pump_begin(&q);
    cg_log_queue_stop(&q, 0);
    CG_CHECK(!cg_log_queue_is_pumped(&q));
}

/* A fork, while other threads put lines and take them. The handlers of pthread_atfork() know of no
 * queue but the process's one. */

static struct cg_log_queue shared = CG_LOG_QUEUE_INIT(1024 * 1024);
static atomic_bool producing;

static void fork_prepare(void) {
    cg_log_queue_fork_prepare(&shared);
}

static void fork_parent(void) {
    cg_log_queue_fork_parent(&shared);
}

static void fork_child(void) {
    cg_log_queue_fork_child(&shared);
}

static void *produce_for_ever(void *arg) {
    while (atomic_load(&producing))
        put(&shared, "of the parent");
    return NULL;
}

/* In the child: an empty queue that works, and that nobody pumps. */
static void run_child(void) {
    CG_CHECK(!cg_log_queue_is_pumped(&shared));
    check_empty(&shared);
    CG_CHECK(put(&shared, "of the child"));
    check_next(&shared, "of the child");
    cg_log_queue_stop(&shared, STOP_WAIT_S);
    _exit(0);
}

static void check_child(void) {
    int status = -1;
    pid_t pid = fork();
    CG_CHECK(pid >= 0);
    if (pid == 0)
        run_child();
    CG_CHECK_INT(waitpid(pid, &status, 0), pid);
    CG_CHECK_INT(status, 0);
}

CG_TEST(a_child_finds_an_empty_queue_without_a_pump) {
    CG_CHECK_INT(pthread_atfork(fork_prepare, fork_parent, fork_child), 0);
    CG_CHECK(put(&shared, "of the parent"));
    cg_log_queue_pump_begin(&shared);
    check_child();
    CG_CHECK(cg_log_queue_is_pumped(&shared));
    check_next(&shared, "of the parent");
    check_empty(&shared);
}

CG_TEST(a_fork_beside_busy_threads_leaves_the_child_no_locked_queue) {
    CG_CHECK_INT(pthread_atfork(fork_prepare, fork_parent, fork_child), 0);
    pthread_t threads[PRODUCERS_N];
    atomic_store(&producing, true);
    for (int i = 0; i < PRODUCERS_N; i++)
        threads[i] = start(produce_for_ever, NULL);
    for (int i = 0; i < FORKS_N; i++) {
        check_child();
        for (int n = 0; n < 100; n++) /* not all: they come as fast */
            free(cg_log_queue_take(&shared));
    }
    atomic_store(&producing, false);
    for (int i = 0; i < PRODUCERS_N; i++)
        pthread_join(threads[i], NULL);
}
