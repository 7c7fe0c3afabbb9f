/* SPDX-License-Identifier: MIT
 *
 * The functions of moments.h, between the pool and the runtime table.
 */
#include "server/arbiter/moments.h"

/* The configuration in force: a reload's own from the moment it begins. */
static const struct cg_settings *settings_of(const struct cg_pool *p) {
    const struct cg_generation *g = p->pending ? p->pending : p->current;
    return g ? g->settings : NULL;
}

/* The exit code that the host asks for, or CG_MOMENT_GO_ON. */
static int ask(struct cg_pool *p, struct cg_moment m) {
    int code = p->runtime->moment(p->rt, &m);
    cg_pool_distrust(p);
    return code;
}

static bool tell(struct cg_pool *p, struct cg_moment m) {
    int code = ask(p, m);
    if (code != CG_MOMENT_GO_ON && p->told_to_end == CG_MOMENT_GO_ON)
        p->told_to_end = code;
    return code == CG_MOMENT_GO_ON;
}

bool cg_moments_tell(struct cg_pool *p, enum cg_moment_id id, const struct cg_settings *settings,
                     const struct cg_listeners *listeners) {
    return tell(p, (struct cg_moment){.id = id, .settings = settings, .listeners = listeners});
}

bool cg_moments_tell_nworkers(struct cg_pool *p, const struct cg_settings *settings, int new_n,
                              int old_n) {
    return tell(p, (struct cg_moment){
                       .id = CG_MOMENT_NWORKERS_CHANGED,
                       .settings = settings,
                       .new_n = new_n,
                       .old_n = old_n,
                   });
}

bool cg_moments_tell_reload(struct cg_pool *p) {
    const struct cg_generation *g = p->pending;
    struct cg_moment nworkers = {
        .id = CG_MOMENT_NWORKERS_CHANGED,
        .settings = g->settings,
        .new_n = g->full_n,
        .old_n = p->current->full_n,
    };
    struct cg_moment reload = {
        .id = CG_MOMENT_ON_RELOAD,
        .settings = g->settings,
        .listeners = &g->listeners,
    };
    return ask(p, nworkers) == CG_MOMENT_GO_ON && ask(p, reload) == CG_MOMENT_GO_ON;
}

void cg_moments_tell_given_up(struct cg_pool *p, const struct cg_generation *g) {
    const struct cg_generation *current = p->current;
    if (g->full_n != current->full_n)
        cg_moments_tell_nworkers(p, current->settings, current->full_n, g->full_n);
}

bool cg_moments_tell_pre_fork(struct cg_pool *p, const struct cg_generation *g,
                              struct cg_slot *slot) {
    struct cg_moment m = {
        .id = CG_MOMENT_PRE_FORK,
        .settings = g->settings,
        .listeners = &g->listeners,
        .age = p->last_age,
        .slot = slot,
    };
    if (g != p->pending)
        return tell(p, m);
    if (ask(p, m) == CG_MOMENT_GO_ON)
        return true;
    p->pending_refused = true;
    return false;
}

void cg_moments_tell_forked(struct cg_pool *p, const struct cg_generation *g, pid_t pid) {
    tell(p, (struct cg_moment){.id = CG_MOMENT_FORKED, .settings = g->settings, .pid = pid});
}

void cg_moments_tell_child_exit(struct cg_pool *p, pid_t pid, bool halts) {
    tell(p, (struct cg_moment){
                .id = CG_MOMENT_CHILD_EXIT,
                .settings = settings_of(p),
                .pid = pid,
                .halts = halts,
            });
}
