/* SPDX-License-Identifier: MIT
 *
 * Paths of files that are used again after the working folder may have changed.
 */
#ifndef CG_BASE_PATH_H
#define CG_BASE_PATH_H

/* The path as it is understood in any working folder: heap, or NULL with errno set. */
char *cg_path_absolute(const char *path);

#endif
