/* SPDX-License-Identifier: MIT
 *
 * What tests/integration/test_properties.py calls through ctypes: functions of server/ in plain C
 * types. Texts that are returned are constants.
 */
#ifndef CG_TESTS_PROPS_PROPS_H
#define CG_TESTS_PROPS_PROPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CG_PROPS_API __attribute__((visibility("default")))

CG_PROPS_API int cg_props_parse_u64(const char *at, size_t len, uint64_t *ret_value);
CG_PROPS_API bool cg_props_is_token(const char *at, size_t len);
CG_PROPS_API bool cg_props_is_authority(const char *at, size_t len);

/* Decodes a chunked body that arrives `step` bytes at a time (0: whole). Returns "ok", "INCOMPLETE"
 * or a fault's name; out has room for len bytes. */
CG_PROPS_API const char *cg_props_decode_chunks(const char *at, size_t len, size_t step, char *out,
                                                size_t *ret_out_len, size_t *ret_used);

/* Reads one request in the same way. Returns "ok" or a fault's name, and with "ok" the value of the
 * field with this name; out has room for len bytes. */
CG_PROPS_API const char *cg_props_read_request(const char *at, size_t len, bool by_byte,
                                               const char *name, size_t name_len, char *out,
                                               size_t *ret_out_len);

/* An application's status and one field. True if both are taken; then out, with room for 64 KiB,
 * has the response's head. */
CG_PROPS_API bool cg_props_build_head(const char *status, size_t status_len, const char *name,
                                      size_t name_len, const char *value, size_t value_len,
                                      char *out, size_t *ret_out_len);

#endif
