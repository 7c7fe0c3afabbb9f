/* SPDX-License-Identifier: MIT
 *
 * From a configuration of the Python settings table to struct cg_settings.
 */
#ifndef CG_PYEXT_SETTINGS_H
#define CG_PYEXT_SETTINGS_H

#include "pyext/py.h"

#include "server/settings/settings.h"

/* Copies every setting out of config.for_c(), and keeps a reference to config for the workers of
 * its generation. NULL with ValueError when a name is missing or has another type. */
struct cg_settings *cg_settings_new(PyObject *config);
void cg_settings_free(struct cg_settings *settings);

/* Takes over what the user's code has changed by config.set(); what was handed out before stays
 * valid until the settings are freed. For the process's only thread: others may be reading. 0 or -1
 * with an exception; then nothing has changed. */
int cg_settings_follow(const struct cg_settings *settings);

/* The Python object that they were made of; borrowed. */
PyObject *cg_settings_config(const struct cg_settings *settings);

/* ((name, type), ...) as settings.def has them. A new reference or NULL. */
PyObject *cg_settings_fields(void);

#endif
