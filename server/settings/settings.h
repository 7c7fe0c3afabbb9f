/* SPDX-License-Identifier: MIT
 *
 * The settings as C sees them: one immutable object per generation of workers. Built by the binding
 * (pyext/settings.c) from the validated table, passed on as const, freed by who built it.
 */
#ifndef CG_SETTINGS_H
#define CG_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#define CG_SETTING_TYPE_int int64_t
#define CG_SETTING_TYPE_bool bool
#define CG_SETTING_TYPE_str const char *
#define CG_SETTING_TYPE_list const char *const *

struct cg_settings {
#define CG_SETTING(type, name) CG_SETTING_TYPE_##type name;
#include "server/settings/settings.def"
#undef CG_SETTING
};

#endif
