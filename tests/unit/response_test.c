/* SPDX-License-Identifier: MIT
 *
 * The response's head: what an application may say, what the server adds, framing and keep-alive.
 */
#include "server/http/response.h"
#include "tests/unit/test.h"

#define DATE "Thu, 01 Jan 1970 00:00:00 GMT"

static struct cg_response response;
static struct cg_request request;

static void open_response(const char *status) {
    cg_response_init(&response);
    request = (struct cg_request){.version_major = 1, .version_minor = 1, .keep_alive = true};
    CG_CHECK_INT(cg_response_start(&response, cg_slice_str(status)), CG_RESPONSE_OK);
}

static enum cg_response_error add(const char *name, const char *value) {
    return cg_response_add_field(&response, cg_slice_str(name), cg_slice_str(value));
}

static struct cg_slice build(int64_t known_length) {
    CG_CHECK_INT(cg_response_build_head(&response, &request, known_length, true, CG_SLICE(DATE)),
                 0);
    return cg_buf_slice(&response.head);
}

static enum cg_response_error start(struct cg_slice status) {
    struct cg_response r;
    cg_response_init(&r);
    enum cg_response_error error = cg_response_start(&r, status);
    cg_response_done(&r);
    return error;
}

CG_TEST(head_has_gunicorns_order_of_fields) {
    open_response("200 OK");
    CG_CHECK_INT(add("X-One", "1"), CG_RESPONSE_OK);
    CG_CHECK_INT(add("content-TYPE", " text/plain\t"), CG_RESPONSE_OK);
    CG_CHECK_SLICE(build(5), "HTTP/1.1 200 OK\r\nServer: cgunicorn\r\nDate: " DATE
                             "\r\nConnection: keep-alive\r\nContent-Length: 5\r\n"
                             "X-One: 1\r\ncontent-TYPE: text/plain\r\n\r\n");
    CG_CHECK_INT(response.framing, CG_RESPONSE_LENGTH);
    cg_response_done(&response);
}

CG_TEST(status_is_three_digits_and_a_reason_without_controls) {
    static const char *const bad[] = {
        "",      "20",     "OK",      "2000 OK", "200OK",    "199 Early",      "100 Go",
        "099 x", "+20 OK", " 200 OK", "200\tOK", "200 O\rK", "200 OK\r\nX: y", "200 \x7f"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        CG_CHECK_INT(start(cg_slice_str(bad[i])), CG_RESPONSE_BAD_STATUS);
    CG_CHECK_INT(start(CG_SLICE("200 O\0K")), CG_RESPONSE_BAD_STATUS);
    CG_CHECK_INT(start(CG_SLICE("999 Any")), CG_RESPONSE_OK);
    CG_CHECK_INT(start(CG_SLICE("404 Nicht gefunden \xe4")), CG_RESPONSE_OK);
}

CG_TEST(a_status_without_reason_keeps_its_space) {
    open_response("204");
    CG_CHECK_SLICE(build(-1), "HTTP/1.1 204 \r\nServer: cgunicorn\r\nDate: " DATE
                              "\r\nConnection: keep-alive\r\n\r\n");
    cg_response_done(&response);
}

CG_TEST(names_are_tokens_and_values_have_no_controls) {
    open_response("200 OK");
    CG_CHECK_INT(add("", "x"), CG_RESPONSE_BAD_NAME);
    CG_CHECK_INT(add("X Y", "x"), CG_RESPONSE_BAD_NAME);
    CG_CHECK_INT(add("X:", "x"), CG_RESPONSE_BAD_NAME);
    CG_CHECK_INT(add("X\r\nY", "x"), CG_RESPONSE_BAD_NAME);
    CG_CHECK_INT(add("X", "a\r\nSet-Cookie: b"), CG_RESPONSE_BAD_VALUE);
    CG_CHECK_INT(add("X", "a\nb"), CG_RESPONSE_BAD_VALUE);
    CG_CHECK_INT(add("X", "a\x7f"), CG_RESPONSE_BAD_VALUE);
    CG_CHECK_INT(cg_response_add_field(&response, CG_SLICE("X"), CG_SLICE("a\0b")),
                 CG_RESPONSE_BAD_VALUE);
    CG_CHECK_INT(add("Connection", "a\r\nb"), CG_RESPONSE_BAD_VALUE);
    CG_CHECK_INT(add("X", "tab\there \xe4"), CG_RESPONSE_OK);
    CG_CHECK_INT(add("Empty", ""), CG_RESPONSE_OK);
    CG_CHECK_SLICE(cg_buf_slice(&response.fields), "X: tab\there \xe4\r\nEmpty: \r\n");
    cg_response_done(&response);
}

CG_TEST(content_length_is_digits_and_single) {
    static const char *const bad[] = {"",
                                      "+5",
                                      "-1",
                                      "5_0",
                                      "0x5",
                                      "5, 5",
                                      "five",
                                      "18446744073709551616",
                                      "9223372036854775808"};
    open_response("200 OK");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        CG_CHECK_INT(add("Content-Length", bad[i]), CG_RESPONSE_BAD_LENGTH);
    CG_CHECK_INT(add("Content-length", "5"), CG_RESPONSE_OK);
    CG_CHECK_INT(add("Content-Length", "5"), CG_RESPONSE_TWO_LENGTHS);
    CG_CHECK(response.has_length && response.length == 5);
    cg_response_done(&response);
}

CG_TEST(hop_by_hop_fields_are_refused) {
    static const char *const names[] = {"Keep-Alive",        "TE",
                                        "Trailer",           "Trailers",
                                        "TRANSFER-ENCODING", "Proxy-Authorization",
                                        "Proxy-Authenticate"};
    open_response("200 OK");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        CG_CHECK_INT(add(names[i], "x"), CG_RESPONSE_HOP_BY_HOP);
    CG_CHECK_INT(add("Connection", "X-Private"), CG_RESPONSE_HOP_BY_HOP);
    CG_CHECK_INT(add("Connection", "close, te"), CG_RESPONSE_HOP_BY_HOP);
    cg_response_done(&response);
}

CG_TEST(upgrade_without_connection_upgrade_is_refused) {
    open_response("200 OK");
    CG_CHECK_INT(add("Upgrade", "h2c"), CG_RESPONSE_OK);
    CG_CHECK_INT(cg_response_check_fields(&response), CG_RESPONSE_HOP_BY_HOP);
    CG_CHECK_INT(add("Connection", "upgrade"), CG_RESPONSE_OK);
    CG_CHECK_INT(cg_response_check_fields(&response), CG_RESPONSE_OK);
    cg_response_done(&response);
}

CG_TEST(connection_keep_alive_of_the_application_means_nothing) {
    open_response("200 OK");
    CG_CHECK_INT(add("Connection", "Keep-Alive,"), CG_RESPONSE_OK);
    request.keep_alive = false;
    CG_CHECK_SLICE(build(0), "HTTP/1.1 200 OK\r\nServer: cgunicorn\r\nDate: " DATE
                             "\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    cg_response_done(&response);
}

CG_TEST(upgrade_is_kept_with_connection_upgrade) {
    open_response("426 Upgrade Required");
    CG_CHECK_INT(add("Upgrade", "websocket"), CG_RESPONSE_OK);
    CG_CHECK_INT(add("Connection", "Upgrade"), CG_RESPONSE_OK);
    CG_CHECK_SLICE(build(0), "HTTP/1.1 426 Upgrade Required\r\nServer: cgunicorn\r\nDate: " DATE
                             "\r\nConnection: keep-alive, upgrade\r\nUpgrade: websocket\r\n"
                             "Content-Length: 0\r\n\r\n");
    cg_response_done(&response);
}

CG_TEST(connection_close_of_the_application_is_obeyed) {
    open_response("200 OK");
    CG_CHECK_INT(add("Connection", "keep-alive, Close"), CG_RESPONSE_OK);
    build(0);
    CG_CHECK(!response.keep_alive);
    CG_CHECK_SLICE(cg_response_field(&response, CG_SLICE("connection")), "close");
    cg_response_done(&response);
}

CG_TEST(the_applications_server_and_date_win) {
    open_response("200 OK");
    CG_CHECK_INT(add("Date", "today"), CG_RESPONSE_OK);
    CG_CHECK_INT(add("server", "mine"), CG_RESPONSE_OK);
    CG_CHECK_SLICE(build(0), "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n"
                             "Date: today\r\nserver: mine\r\n\r\n");
    cg_response_done(&response);
}

CG_TEST(an_unknown_length_is_chunked_on_1_1_and_ends_with_the_connection_on_1_0) {
    open_response("200 OK");
    build(-1);
    CG_CHECK_INT(response.framing, CG_RESPONSE_CHUNKED);
    CG_CHECK_SLICE(cg_response_field(&response, CG_SLICE("Transfer-Encoding")), "chunked");
    CG_CHECK(response.keep_alive);
    cg_response_done(&response);

    open_response("200 OK");
    request.version_minor = 0;
    struct cg_slice head = build(-1);
    CG_CHECK_INT(response.framing, CG_RESPONSE_CLOSE);
    CG_CHECK(!response.keep_alive);
    CG_CHECK_SLICE(cg_slice_of(head.at, 9), "HTTP/1.0 ");
    cg_response_done(&response);
}

CG_TEST(head_and_304_keep_the_length_and_204_drops_it) {
    open_response("304 Not Modified");
    add("Content-Length", "7");
    build(-1);
    CG_CHECK_INT(response.framing, CG_RESPONSE_NO_BODY);
    CG_CHECK_SLICE(cg_response_field(&response, CG_SLICE("content-length")), "7");
    cg_response_done(&response);

    open_response("200 OK");
    request.is_head = true;
    add("Content-Length", "7");
    build(3);
    CG_CHECK_INT(response.framing, CG_RESPONSE_NO_BODY);
    CG_CHECK_SLICE(cg_response_field(&response, CG_SLICE("content-length")), "7");
    cg_response_done(&response);

    open_response("204 No Content");
    add("Content-Length", "7");
    build(-1);
    CG_CHECK_INT(response.framing, CG_RESPONSE_NO_BODY);
    CG_CHECK(cg_response_field(&response, CG_SLICE("content-length")).at == NULL);
    cg_response_done(&response);
}

CG_TEST(a_second_start_forgets_the_first) {
    open_response("200 OK");
    add("Content-Length", "7");
    add("Connection", "close");
    add("Server", "mine");
    CG_CHECK_INT(cg_response_start(&response, CG_SLICE("500 Oops")), CG_RESPONSE_OK);
    CG_CHECK_SLICE(build(0), "HTTP/1.1 500 Oops\r\nServer: cgunicorn\r\nDate: " DATE
                             "\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n");
    cg_response_done(&response);
}

CG_TEST(fields_have_a_limit) {
    static char value[CG_RESPONSE_FIELDS_MAX + 1];
    open_response("200 OK");
    memset(value, 'x', sizeof(value));
    CG_CHECK_INT(cg_response_add_field(&response, CG_SLICE("X"), cg_slice_of(value, sizeof(value))),
                 CG_RESPONSE_TOO_LARGE);
    CG_CHECK_INT(cg_response_add_field(&response, CG_SLICE("X"),
                                       cg_slice_of(value, CG_RESPONSE_FIELDS_MAX - 5)),
                 CG_RESPONSE_OK);
    CG_CHECK_INT(add("X", ""), CG_RESPONSE_TOO_LARGE);
    cg_response_done(&response);
}

CG_TEST(fields_are_found_before_and_after_the_head_is_built) {
    open_response("200 OK");
    add("X-Long", "no");
    add("X", "yes");
    CG_CHECK_SLICE(cg_response_field(&response, CG_SLICE("x")), "yes");
    CG_CHECK(cg_response_field(&response, CG_SLICE("server")).at == NULL);
    build(0);
    CG_CHECK_SLICE(cg_response_field(&response, CG_SLICE("x")), "yes");
    CG_CHECK_SLICE(cg_response_field(&response, CG_SLICE("server")), "cgunicorn");
    CG_CHECK_SLICE(cg_response_field(&response, CG_SLICE("content-length")), "0");
    CG_CHECK(cg_response_field(&response, CG_SLICE("y")).at == NULL);
    cg_response_done(&response);
}

CG_TEST(keep_alive_needs_both_sides) {
    open_response("200 OK");
    request.keep_alive = false;
    build(0);
    CG_CHECK(!response.keep_alive);
    request.keep_alive = true;
    CG_CHECK_INT(cg_response_build_head(&response, &request, 0, false, CG_SLICE(DATE)), 0);
    CG_CHECK(!response.keep_alive);
    build(0);
    CG_CHECK(response.keep_alive);
    cg_response_done(&response);
}

CG_TEST(every_error_has_a_text) {
    for (int error = CG_RESPONSE_OK; error <= CG_RESPONSE_NO_MEMORY; error++)
        CG_CHECK(*cg_response_error_text(error));
}
