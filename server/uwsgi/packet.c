/* SPDX-License-Identifier: MIT
 *
 * Framing of the uwsgi packet. No state.
 */
#include "server/uwsgi/packet.h"

static size_t read_u16(const char *at) {
    return (size_t)((unsigned char)at[0] | (unsigned char)at[1] << 8);
}

size_t cg_uwsgi_packet_len(struct cg_slice data) {
    return data.len < CG_UWSGI_HEAD_LEN ? 0 : CG_UWSGI_HEAD_LEN + read_u16(data.at + 1);
}

/* Cuts off a string behind its length. */
static bool cut_string(struct cg_slice *vars, struct cg_slice *ret_string) {
    if (vars->len < 2)
        return false;
    size_t len = read_u16(vars->at);
    if (len > vars->len - 2)
        return false;
    *ret_string = cg_slice_of(vars->at + 2, len);
    *vars = cg_slice_of(vars->at + 2 + len, vars->len - 2 - len);
    return true;
}

bool cg_uwsgi_next_var(struct cg_slice *vars, struct cg_slice *ret_name,
                       struct cg_slice *ret_value) {
    return cut_string(vars, ret_name) && ret_name->len > 0 && cut_string(vars, ret_value);
}
