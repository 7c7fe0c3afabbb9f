/* SPDX-License-Identifier: MIT
 *
 * From a complete uwsgi packet to a struct cg_request, the same as HTTP's: header fields out of
 * HTTP_*, method, target and path out of the variables that say them, and whatever else nginx was
 * told to send (uwsgi_param) as variables for the environ. Whether the method is served, and who is
 * trusted, is for policy and trust in server/http.
 *
 * What uWSGI lets a packet do is not done here: variables UWSGI_* never load code, change the
 * process or reach the application.
 */
#ifndef CG_UWSGI_REQUEST_H
#define CG_UWSGI_REQUEST_H

#include "server/http/fault.h"
#include "server/http/request.h"

/* Fills r (which was reset) from the whole packet of len bytes. The names of fields are rewritten
 * in place, HTTP_X_ID to X-ID, so a packet can be read once. Sets scheme as far as it is said, and
 * is_uwsgi; version_major and version_minor, host, is_head and is_connect are policy's. */
enum cg_fault cg_uwsgi_read(struct cg_request *r, char *packet, size_t len);

#endif
