/* SPDX-License-Identifier: MIT
 *
 * An intrusive doubly linked ring. A node that is not in a list points to itself.
 */
#ifndef CG_BASE_LIST_H
#define CG_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct cg_list {
    struct cg_list *prev, *next;
};

#define CG_LIST_ENTRY(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

static inline void cg_list_init(struct cg_list *l) {
    l->prev = l->next = l;
}

static inline bool cg_list_empty(const struct cg_list *l) {
    return l->next == l;
}

static inline void cg_list_push_back(struct cg_list *l, struct cg_list *node) {
    node->prev = l->prev;
    node->next = l;
    l->prev->next = node;
    l->prev = node;
}

/* Taking out a node that is in no list is fine. */
static inline void cg_list_remove(struct cg_list *node) {
    node->prev->next = node->next;
    node->next->prev = node->prev;
    cg_list_init(node);
}

#endif
