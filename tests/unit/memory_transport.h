/* SPDX-License-Identifier: MIT
 *
 * A driver over memory: feeds a connection from a string and keeps what it sends, both cut whole,
 * into single bytes or at random. The clock stands still unless the test moves it. Owns its
 * buffers, its cg_http and the connection.
 */
#ifndef CG_TESTS_UNIT_MEMORY_TRANSPORT_H
#define CG_TESTS_UNIT_MEMORY_TRANSPORT_H

#include "server/http/conn.h"
#include "tests/unit/fake_app.h"

enum mt_cut { MT_WHOLE, MT_BYTES, MT_RANDOM };

/* What the server adds to a head while the clock stands still. */
#define MT_SERVER "Server: cgunicorn\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
#define MT_KEEP MT_SERVER "Connection: keep-alive\r\n"
#define MT_CLOSE MT_SERVER "Connection: close\r\n"

/* An error page as the client gets it: status, its reason, the length of the page, the text. */
#define MT_PAGE(status, reason, len, text)                                                         \
    "HTTP/1.1 " status " " reason "\r\n" MT_CLOSE "Content-Length: " len                           \
    "\r\nContent-Type: text/html\r\n\r\n<html>\n  <head>\n    <title>" reason                      \
    "</title>\n  </head>\n  <body>\n    <h1><p>" reason "</p></h1>\n    " text                     \
    "\n  </body>\n</html>\n"

struct memory_transport {
    enum mt_cut reads, writes;
    unsigned seed;
    size_t sends_max;     /* the transport fails after so many bytes; SIZE_MAX at first */
    bool client_gone;     /* what cg_exchange_client_gone() hears */
    bool client_finished; /* the same, when a FIN counts */

    struct cg_buf sent;    /* everything the client got */
    struct cg_buf reports; /* "WARNING text\n" */
    struct cg_buf lines;   /* access lines, each with a newline */
    bool shut, closed;

    struct cg_slice input; /* not fed yet */
    struct fake_app app;
    struct cg_settings settings;
    struct cg_endpoint peer, local;
    struct cg_http http;
    struct cg_conn *conn;
};

/* Opens a connection to an application with this script: 192.0.2.1:4711 is the client. Settings may
 * be changed before; NULL: keep-alive 5, all timeouts 10 s, Gunicorn's limits. */
void mt_open(struct memory_transport *t, const struct fake_script *script,
             const struct cg_settings *settings);
/* With an access log from here on. */
void mt_log_access(struct memory_transport *t, const char *format);
void mt_close(struct memory_transport *t);

struct cg_settings mt_default_settings(void);

/* Feeds all of it and does what the connection wants until it wants more, or is closed. */
void mt_feed(struct memory_transport *t, struct cg_slice bytes);
/* Does what the connection wants until it wants to read, is closed, or, steps of it done, stops. */
void mt_step(struct memory_transport *t, int steps);
void mt_eof(struct memory_transport *t);

/* One connection's talk, tried with reads and writes cut in every way: the input, then EOF if
 * has_eof, and what must have been sent at the end. */
struct mt_talk {
    const struct fake_script *script;
    const struct cg_settings *settings; /* NULL: the default */
    struct cg_slice input;
    struct cg_slice want;
    bool has_eof;
    bool closed, shut;   /* at the end */
    int exchanges_n;     /* that the application saw */
    const char *reports; /* all of them; NULL: none */
};
void mt_try(const char *file, int line, const struct mt_talk *talk);
#define MT_TRY(...) mt_try(__FILE__, __LINE__, &(struct mt_talk){__VA_ARGS__})

#endif
