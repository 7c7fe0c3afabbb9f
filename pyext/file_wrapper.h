/* SPDX-License-Identifier: MIT
 *
 * wsgi.file_wrapper (PEP 3333, "Optional Platform-Specific File Handling").
 */
#ifndef CG_PYEXT_FILE_WRAPPER_H
#define CG_PYEXT_FILE_WRAPPER_H

#include "pyext/py.h"
#include "pyext/state.h"

#include <stdint.h>

/* Whether the wrapper's file can be sent by its descriptor: 1 with the range from its position to
 * its end, 0 when it has to be read in blocks, -1 with an exception. The descriptor stays the
 * file's. */
int cg_file_wrapper_range(const struct cg_state *state, PyObject *wrapper, int *ret_fd,
                          uint64_t *ret_offset, uint64_t *ret_len);

#endif
