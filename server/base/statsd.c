/* SPDX-License-Identifier: MIT
 *
 * The sink of statsd.h. Owns, for the whole process: the socket, the prefix and the tags.
 */
#include "server/base/statsd.h"

#include "server/base/fd.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { METRIC_MAX = 1024, HOST_MAX = 256 };

static int sink_fd = -1;
static char *sink_prefix, *sink_tags; /* owned */

/* A non-blocking datagram socket that sends to addr. Its descriptor or -errno. */
static int connect_to(int family, const struct sockaddr *addr, socklen_t addr_len) {
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, addr, addr_len) == 0)
        return fd;
    int rc = -errno;
    close(fd);
    return rc;
}

static int connect_unix(const char *path) {
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(addr.sun_path))
        return -ENAMETOOLONG;
    memcpy(addr.sun_path, path, strlen(path));
    return connect_to(AF_UNIX, (struct sockaddr *)&addr, sizeof(addr));
}

/* Cuts "HOST:PORT", "[IPV6]:PORT" or "HOST" in place. */
static void split(char *text, char **ret_host, const char **ret_port) {
    *ret_host = text;
    *ret_port = "8125";
    char *colon = strrchr(text, ':'), *bracket = strrchr(text, ']');
    if (colon && (!bracket || colon > bracket)) {
        *colon = '\0';
        *ret_port = colon + 1;
    }
    if (text[0] == '[' && bracket) {
        *ret_host = text + 1;
        *bracket = '\0';
    }
}

static int connect_inet(const char *address) {
    char text[HOST_MAX], *host;
    const char *port;
    if (strlen(address) >= sizeof(text))
        return -ENAMETOOLONG;
    memcpy(text, address, strlen(address) + 1);
    split(text, &host, &port);
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}, *found;
    int rc = getaddrinfo(host, port, &hints, &found);
    if (rc != 0)
        return rc == EAI_SYSTEM ? -errno : -ENXIO;
    rc = -ENXIO;
    for (struct addrinfo *a = found; a && rc < 0; a = a->ai_next)
        rc = connect_to(a->ai_family, a->ai_addr, a->ai_addrlen);
    freeaddrinfo(found);
    return rc;
}

int cg_statsd_open(const char *address, const char *prefix, const char *tags) {
    static const char unix_scheme[] = "unix://";
    cg_fd_close(&sink_fd);
    free(sink_prefix);
    free(sink_tags);
    sink_prefix = sink_tags = NULL;
    if (!address || !address[0])
        return 0;
    bool dotted = !prefix[0] || prefix[strlen(prefix) - 1] == '.';
    if (asprintf(&sink_prefix, "%s%s", prefix, dotted ? "" : ".") < 0 ||
        asprintf(&sink_tags, "%s%s", tags[0] ? "|#" : "", tags) < 0)
        return -ENOMEM;
    bool is_unix = strncmp(address, unix_scheme, sizeof(unix_scheme) - 1) == 0;
    int fd = is_unix ? connect_unix(address + sizeof(unix_scheme) - 1) : connect_inet(address);
    if (fd < 0)
        return fd;
    sink_fd = fd;
    return 0;
}

bool cg_statsd_enabled(void) {
    return sink_fd >= 0;
}

void cg_statsd_send(const char *metric) {
    char text[METRIC_MAX];
    if (sink_fd < 0)
        return;
    int len = snprintf(text, sizeof(text), "%s%s%s", sink_prefix, metric, sink_tags);
    if (len > 0 && (size_t)len < sizeof(text))
        send(sink_fd, text, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void cg_statsd_count(const char *name, int64_t by) {
    char metric[METRIC_MAX];
    snprintf(metric, sizeof(metric), "%s:%lld|c|@1.0", name, (long long)by);
    cg_statsd_send(metric);
}

static void send_value(const char *name, uint64_t value, char type) {
    char metric[METRIC_MAX];
    snprintf(metric, sizeof(metric), "%s:%llu|%c", name, (unsigned long long)value, type);
    cg_statsd_send(metric);
}

void cg_statsd_gauge(const char *name, uint64_t value) {
    send_value(name, value, 'g');
}

void cg_statsd_histogram(const char *name, uint64_t value) {
    send_value(name, value, 'h');
}

void cg_statsd_time(const char *name, uint64_t us) {
    char metric[METRIC_MAX];
    snprintf(metric, sizeof(metric), "%s:%llu.%03llu|ms", name, (unsigned long long)(us / 1000),
             (unsigned long long)(us % 1000));
    cg_statsd_send(metric);
}
