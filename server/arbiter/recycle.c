/* SPDX-License-Identifier: MIT
 *
 * Limits of age and memory. Memory is read by the arbiter, from /proc, once a second: 3 us for a
 * worker, and the worker is not asked, which may be in a request for long. No state of its own.
 */
#include "server/arbiter/recycle.h"

#include "server/base/log.h"
#include "server/base/num.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { SECOND_US = 1000000, WEIGH_US = 1000000, MIB = 1024 * 1024 };

/* limit and jitter in a unit; UINT64_MAX when there is no limit. */
static uint64_t draw(int64_t limit, int64_t jitter, uint64_t unit) {
    if (limit <= 0)
        return UINT64_MAX;
    return ((uint64_t)limit + cg_num_draw(jitter > 0 ? (uint64_t)jitter : 0)) * unit;
}

void cg_recycle_draw(struct cg_recycle *r, const struct cg_settings *settings, uint64_t now_us) {
    uint64_t life_us =
        draw(settings->max_worker_lifetime, settings->max_worker_lifetime_jitter, SECOND_US);
    *r = (struct cg_recycle){
        .old_us = life_us == UINT64_MAX ? UINT64_MAX : now_us + life_us,
        .rss_bytes = draw(settings->reload_on_rss, settings->reload_on_rss_jitter, MIB),
    };
}

/* /proc/PID/statm is "size resident ...", in pages. */
uint64_t cg_recycle_rss_bytes(pid_t pid) {
    char path[40], text[128];
    snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    const char *resident = text + strcspn(text, " ");
    resident += *resident == ' ';
    uint64_t pages_n = 0;
    if (cg_num_parse_u64(cg_slice_of(resident, strcspn(resident, " \n")), &pages_n) < 0)
        return 0;
    return pages_n * (uint64_t)sysconf(_SC_PAGESIZE);
}

static bool is_too_big(struct cg_recycle *r, pid_t pid, uint64_t now_us) {
    if (r->rss_bytes == UINT64_MAX || now_us < r->weigh_us)
        return false;
    r->weigh_us = now_us + WEIGH_US;
    uint64_t rss_bytes = cg_recycle_rss_bytes(pid);
    if (rss_bytes < r->rss_bytes)
        return false;
    cg_log(CG_LOG_INFO, "Worker (pid:%d) is to be replaced: %llu MiB of memory, the limit is %llu",
           (int)pid, (unsigned long long)(rss_bytes / MIB),
           (unsigned long long)(r->rss_bytes / MIB));
    return true;
}

static bool is_too_old(const struct cg_recycle *r, pid_t pid, uint64_t now_us) {
    if (now_us < r->old_us)
        return false;
    cg_log(CG_LOG_INFO, "Worker (pid:%d) is to be replaced: its lifetime is over", (int)pid);
    return true;
}

/* Memory grows without a request, too. */
uint64_t cg_recycle_next_us(const struct cg_recycle *r) {
    return r->rss_bytes == UINT64_MAX ? r->old_us : 0;
}

void cg_recycle_look(struct cg_recycle *r, const struct cg_slot *slot, pid_t pid, uint64_t now_us) {
    if (r->spent_us != 0)
        return;
    if (atomic_load(&slot->spent) || is_too_old(r, pid, now_us) || is_too_big(r, pid, now_us))
        r->spent_us = now_us;
}
