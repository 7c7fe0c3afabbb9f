/* SPDX-License-Identifier: MIT
 *
 * Paths as text. Resolves no links and touches no file but the working folder; owns no state.
 */
#include "server/base/path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *cg_path_absolute(const char *path) {
    if (path[0] == '/')
        return strdup(path);
    char *folder = getcwd(NULL, 0);
    char *joined = NULL;
    if (folder && asprintf(&joined, "%s/%s", folder, path) < 0)
        joined = NULL;
    free(folder);
    return joined;
}
