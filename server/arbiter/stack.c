/* SPDX-License-Identifier: MIT
 *
 * The functions of stack.h. No state of its own.
 */
#include "server/arbiter/stack.h"

#include "server/base/log.h"

#include <stdio.h>
#include <unistd.h>

enum { TEXT_MAX = 256 + CG_SLOT_WORDS_MAX + CG_SLOT_STACK_MAX };

void cg_stack_be_ready(struct cg_slot *s) {
    atomic_store(&s->stack_state, CG_STACK_READY);
}

void cg_stack_tell(struct cg_slot *s, int fd) {
    uint32_t len = 0;
    ssize_t n;
    while (len < sizeof(s->stack) && (n = read(fd, s->stack + len, sizeof(s->stack) - len)) > 0)
        len += (uint32_t)n;
    s->stack_len = len;
    atomic_store(&s->stack_state, CG_STACK_TOLD);
}

bool cg_stack_ask(struct cg_slot *s, pid_t pid) {
    return atomic_load(&s->stack_state) == CG_STACK_READY && kill(pid, CG_STACK_SIGNAL_ALL) == 0;
}

bool cg_stack_is_told(const struct cg_slot *s) {
    return atomic_load(&s->stack_state) == CG_STACK_TOLD;
}

struct cg_slice cg_stack_read(const struct cg_slot *s, char ret_text[CG_SLOT_STACK_MAX]) {
    size_t len = cg_stack_is_told(s) ? s->stack_len : 0;
    if (len > CG_SLOT_STACK_MAX)
        len = CG_SLOT_STACK_MAX;
    for (size_t i = 0; i < len; i++) {
        char c = s->stack[i];
        ret_text[i] = c == '\n' || (c >= 0x20 && c < 0x7f) ? c : '?';
    }
    return cg_slice_of(ret_text, len);
}

void cg_stack_log(pid_t pid, const char *doing, struct cg_slice stack) {
    char text[TEXT_MAX];
    int len = snprintf(text, sizeof(text), "WORKER TIMEOUT (pid:%d): %s%s%.*s", (int)pid, doing,
                       stack.len > 0 ? "\n" : " (no stack: it does not answer)", (int)stack.len,
                       stack.at ? stack.at : "");
    size_t room = sizeof(text) - 1;
    cg_log_text(CG_LOG_CRITICAL, cg_slice_of(text, len < 0              ? 0
                                                   : (size_t)len < room ? (size_t)len
                                                                        : room));
}
