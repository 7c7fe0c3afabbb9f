/* SPDX-License-Identifier: MIT
 *
 * The alarm of async_tick.h. No state of its own, no thread.
 */
#include "workers/async_tick.h"

#include "server/base/assert.h"
#include "server/base/fd.h"

#include <errno.h>
#include <stdlib.h>

#ifdef __linux__

#include <sys/timerfd.h>
#include <unistd.h>

struct cg_tick {
    int fd;
};

struct cg_tick *cg_tick_new(void) {
    struct cg_tick *t = malloc(sizeof(*t));
    if (!t)
        return NULL;
    t->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    if (t->fd >= 0)
        return t;
    free(t);
    return NULL;
}

void cg_tick_free(struct cg_tick *t) {
    if (t)
        cg_fd_close(&t->fd);
    free(t);
}

void cg_tick_set(struct cg_tick *t, uint32_t in_us) {
    struct itimerspec at = {.it_value = {in_us / 1000000, in_us % 1000000 * 1000L}};
    int rc = timerfd_settime(t->fd, 0, &at, NULL);
    CG_ASSERT(rc == 0);
}

void cg_tick_wait(struct cg_tick *t) {
    uint64_t times;
    while (read(t->fd, &times, sizeof(times)) < 0)
        CG_ASSERT(errno == EINTR);
}

#else

#include <stdbool.h>
#include <uv.h>

struct cg_tick {
    uv_mutex_t lock;
    uv_cond_t changed;
    uint64_t at_ns; /* uv_hrtime(); 0 = not set */
};

struct cg_tick *cg_tick_new(void) {
    struct cg_tick *t = calloc(1, sizeof(*t));
    if (!t || uv_mutex_init(&t->lock) == 0) {
        if (!t || uv_cond_init(&t->changed) == 0)
            return t;
        uv_mutex_destroy(&t->lock);
    }
    free(t);
    errno = ENOMEM;
    return NULL;
}

void cg_tick_free(struct cg_tick *t) {
    if (t) {
        uv_cond_destroy(&t->changed);
        uv_mutex_destroy(&t->lock);
    }
    free(t);
}

void cg_tick_set(struct cg_tick *t, uint32_t in_us) {
    uv_mutex_lock(&t->lock);
    bool sleeps = t->at_ns == 0;
    t->at_ns = in_us ? uv_hrtime() + in_us * UINT64_C(1000) : 0;
    if (sleeps && in_us)
        uv_cond_signal(&t->changed);
    uv_mutex_unlock(&t->lock);
}

void cg_tick_wait(struct cg_tick *t) {
    uv_mutex_lock(&t->lock);
    for (uint64_t now_ns = uv_hrtime(); t->at_ns == 0 || t->at_ns > now_ns; now_ns = uv_hrtime()) {
        if (t->at_ns == 0)
            uv_cond_wait(&t->changed, &t->lock);
        else
            uv_cond_timedwait(&t->changed, &t->lock, t->at_ns - now_ns);
    }
    t->at_ns = 0;
    uv_mutex_unlock(&t->lock);
}

#endif
