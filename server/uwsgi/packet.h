/* SPDX-License-Identifier: MIT
 *
 * The uwsgi packet: what nginx's uwsgi_pass sends in front of a request's body. Four bytes, then
 * variables, each a key and a value with their lengths:
 *
 *   modifier1  datasize (16 bits, little-endian)  modifier2
 *   key length (16 bits)  key  value length (16 bits)  value  ... datasize bytes of these
 *
 * Framing only: what the variables mean is request.h's. No state; nothing is copied.
 */
#ifndef CG_UWSGI_PACKET_H
#define CG_UWSGI_PACKET_H

#include "server/base/slice.h"

enum {
    CG_UWSGI_HEAD_LEN = 4,
    CG_UWSGI_VARS_BYTES_MAX = 65535, /* what 16 bits can say */
    CG_UWSGI_VARS_N_MAX = 1000,
};

/* The kinds of packet that are requests for an application of WSGI, by modifier1. */
enum {
    CG_UWSGI_WSGI = 0,
    CG_UWSGI_WSGI_MOUNTED = 30, /* PATH_INFO still begins with SCRIPT_NAME */
};

/* True when a packet that is served may begin with this byte. No request of HTTP does. */
static inline bool cg_uwsgi_begins(char first) {
    return first == CG_UWSGI_WSGI || first == CG_UWSGI_WSGI_MOUNTED;
}

/* The length of the packet that data begins with, 0 while too little of it is there to tell. */
size_t cg_uwsgi_packet_len(struct cg_slice data);

/* Cuts the next variable off the front. False when a length goes beyond the end or a key is
 * empty. */
bool cg_uwsgi_next_var(struct cg_slice *vars, struct cg_slice *ret_name,
                       struct cg_slice *ret_value);

#endif
