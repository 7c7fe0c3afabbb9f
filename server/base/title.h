/* SPDX-License-Identifier: MIT
 *
 * The title of the process, as ps, top, pgrep -f and supervisors show it.
 */
#ifndef CG_BASE_TITLE_H
#define CG_BASE_TITLE_H

/* NULL: only the name of the command. Otherwise cut to the room there is. Does nothing where the
 * system has no way or does not tell. To be called while no other thread reads the environment;
 * what points into the original environment block, as getenv() returned it before the first call,
 * does not hold any more. */
void cg_title_set(const char *title);

#endif
