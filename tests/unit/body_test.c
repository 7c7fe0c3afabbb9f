/* SPDX-License-Identifier: MIT
 *
 * Bodies: framing off, then memory, file or a loan of the input buffer. */
#include "server/base/spare.h"
#include "tests/unit/incoming.h"
#include "tests/unit/test.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MEMORY = 1000 };

static struct cg_request with_length(uint64_t length) {
    return (struct cg_request){.framing = CG_FRAMING_LENGTH, .content_length = length};
}

static const struct cg_request chunked_request = {.framing = CG_FRAMING_CHUNKED};

/* Bytes that tell their place. */
static struct cg_buf pattern(size_t len) {
    struct cg_buf b = CG_BUF_INIT;
    CG_CHECK_INT(cg_buf_reserve(&b, len), 0);
    for (; b.len < len; b.len++)
        b.at[b.len] = (char)(b.len * 31 + (b.len >> 8));
    return b;
}

static enum cg_fault put(struct cg_body *b, struct cg_slice input, enum incoming_way way,
                         bool may_borrow, unsigned seed) {
    size_t at = 0, fed = 0;
    while (!b->complete) {
        if (at == fed && fed == input.len)
            return CG_FAULT_INCOMPLETE;
        if (at == fed)
            fed += incoming_step(way, &seed, input.len - fed);
        size_t used;
        enum cg_fault fault = cg_body_put(b, input.at + at, fed - at, may_borrow, &used);
        if (fault != CG_FAULT_NONE)
            return fault;
        at += used;
    }
    return CG_FAULT_NONE;
}

static void check_taken(struct cg_body *b, struct cg_slice want) {
    struct cg_buf out = CG_BUF_INIT;
    CG_CHECK_INT(b->size, want.len);
    incoming_take_body(b, &out);
    CG_CHECK(cg_slice_eq(cg_buf_slice(&out), want));
    cg_buf_done(&out);
}

CG_TEST(no_framing_means_no_body) {
    struct cg_body b;
    struct cg_request r = {.framing = CG_FRAMING_NONE};
    struct cg_slice window;
    size_t used = 1;
    cg_body_init(&b);
    CG_CHECK_INT(cg_body_begin(&b, &r, 0, MEMORY, NULL), CG_FAULT_NONE);
    CG_CHECK(b.complete);
    CG_CHECK_INT(cg_body_put(&b, "GET", 3, true, &used), CG_FAULT_NONE);
    CG_CHECK_INT(used, 0);
    CG_CHECK_INT(cg_body_window(&b, &window), 0);
    CG_CHECK_INT(window.len, 0);
    cg_body_done(&b);
}

CG_TEST(a_length_of_zero_is_complete_at_once) {
    struct cg_body b;
    struct cg_request r = with_length(0);
    cg_body_init(&b);
    CG_CHECK_INT(cg_body_begin(&b, &r, 0, MEMORY, NULL), CG_FAULT_NONE);
    CG_CHECK(b.complete);
    cg_body_done(&b);
}

CG_TEST(a_body_that_lies_whole_in_the_input_is_borrowed) {
    struct cg_body b;
    struct cg_request r = with_length(5);
    struct cg_slice window;
    const char *input = "helloGET /";
    size_t used;
    cg_body_init(&b);
    cg_body_begin(&b, &r, 0, 1, NULL);
    CG_CHECK_INT(cg_body_put(&b, input, 10, true, &used), CG_FAULT_NONE);
    CG_CHECK_INT(used, 5);
    CG_CHECK(b.complete && b.fd == -1 && b.memory.at == NULL);
    CG_CHECK_INT(cg_body_window(&b, &window), 0);
    CG_CHECK(window.at == input);
    cg_body_consume(&b, 2);
    CG_CHECK_INT(cg_body_window(&b, &window), 0);
    CG_CHECK_SLICE(window, "llo");
    cg_body_done(&b);
}

CG_TEST(a_body_in_parts_or_without_leave_is_copied) {
    for (int may_borrow = 0; may_borrow < 2; may_borrow++) {
        struct cg_body b;
        struct cg_request r = with_length(5);
        char input[] = "hello";
        cg_body_init(&b);
        cg_body_begin(&b, &r, 0, MEMORY, NULL);
        CG_CHECK_INT(put(&b, cg_slice_of(input, 5), may_borrow ? INCOMING_BYTES : INCOMING_WHOLE,
                         may_borrow, 0),
                     CG_FAULT_NONE);
        memset(input, 'x', 5);
        check_taken(&b, CG_SLICE("hello"));
        cg_body_done(&b);
    }
}

CG_TEST(a_body_stays_in_memory_up_to_its_bound_and_then_moves_to_a_file) {
    static const size_t sizes[] = {1, MEMORY - 1, MEMORY, MEMORY + 1, 70000, 200001};
    struct cg_body b;
    cg_body_init(&b);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct cg_buf data = pattern(sizes[i]);
        for (unsigned seed = 0; seed < 4; seed++) {
            struct cg_request r = with_length(sizes[i]);
            cg_body_reset(&b);
            cg_body_begin(&b, &r, 0, MEMORY, NULL);
            CG_CHECK_INT(put(&b, cg_buf_slice(&data),
                             seed < 2 ? (enum incoming_way)seed : INCOMING_SPLITS, false, seed),
                         CG_FAULT_NONE);
            CG_CHECK_INT(b.fd >= 0, sizes[i] > MEMORY);
            check_taken(&b, cg_buf_slice(&data));
        }
        cg_buf_done(&data);
    }
    cg_body_done(&b);
}

/* The body of `data` in chunks of many sizes. */
static struct cg_buf chunk(struct cg_slice data) {
    struct cg_buf out = CG_BUF_INIT;
    size_t n = 1;
    for (size_t at = 0; at < data.len; at += n) {
        n = n * 3 % 4099 + 1;
        if (n > data.len - at)
            n = data.len - at;
        cg_buf_appendf(&out, "%zx\r\n", n);
        cg_buf_append(&out, cg_slice_of(data.at + at, n));
        cg_buf_append(&out, CG_SLICE("\r\n"));
    }
    cg_buf_append(&out, CG_SLICE("0\r\n\r\n"));
    return out;
}

CG_TEST(a_chunked_body_is_stored_the_same_way) {
    static const size_t sizes[] = {0, 1, MEMORY, MEMORY + 1, 100003};
    struct cg_body b;
    cg_body_init(&b);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct cg_buf data = pattern(sizes[i]), framed = chunk(cg_buf_slice(&data));
        for (unsigned seed = 0; seed < 4; seed++) {
            cg_body_reset(&b);
            cg_body_begin(&b, &chunked_request, 0, MEMORY, NULL);
            CG_CHECK_INT(put(&b, cg_buf_slice(&framed),
                             seed < 2 ? (enum incoming_way)seed : INCOMING_SPLITS, true, seed),
                         CG_FAULT_NONE);
            CG_CHECK_INT(b.fd >= 0, sizes[i] > MEMORY);
            check_taken(&b, cg_buf_slice(&data));
        }
        cg_buf_done(&data);
        cg_buf_done(&framed);
    }
    cg_body_done(&b);
}

CG_TEST(an_announced_length_over_the_limit_is_refused_before_the_body) {
    struct cg_body b;
    struct cg_request exact = with_length(10), more = with_length(11);
    cg_body_init(&b);
    CG_CHECK_INT(cg_body_begin(&b, &exact, 10, MEMORY, NULL), CG_FAULT_NONE);
    cg_body_reset(&b);
    CG_CHECK_INT(cg_body_begin(&b, &more, 10, MEMORY, NULL), CG_FAULT_BODY_TOO_LARGE);
    cg_body_done(&b);
}

CG_TEST(a_chunk_over_the_limit_is_refused_at_its_first_byte) {
    struct cg_body b;
    cg_body_init(&b);
    for (int way = 0; way < 3; way++) {
        cg_body_begin(&b, &chunked_request, 10, MEMORY, NULL);
        CG_CHECK_INT(put(&b, CG_SLICE("5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n"),
                         (enum incoming_way)way, true, 1),
                     CG_FAULT_NONE);
        cg_body_reset(&b);
        cg_body_begin(&b, &chunked_request, 10, MEMORY, NULL);
        CG_CHECK_INT(put(&b, CG_SLICE("5\r\nhello\r\n6\r\nw"), (enum incoming_way)way, true, 1),
                     CG_FAULT_BODY_TOO_LARGE);
        cg_body_reset(&b);
        cg_body_begin(&b, &chunked_request, 10, MEMORY, NULL);
        CG_CHECK_INT(put(&b, CG_SLICE("ffffffffffffffff\r\nw"), (enum incoming_way)way, true, 1),
                     CG_FAULT_BODY_TOO_LARGE);
        cg_body_reset(&b);
    }
    cg_body_done(&b);
}

CG_TEST(a_body_in_memory_can_be_received_in_place) {
    struct cg_body b;
    struct cg_buf data = pattern(200000);
    struct cg_request r = with_length(data.len);
    size_t used, len, at = 100;
    char *space;
    cg_body_init(&b);
    cg_body_begin(&b, &r, 0, 200000, NULL);
    CG_CHECK_INT(cg_body_put(&b, data.at, 100, true, &used), CG_FAULT_NONE);
    while (!b.complete) {
        CG_CHECK_INT(cg_body_space(&b, &space, &len), 0);
        CG_CHECK(len > 0 && len <= data.len - at);
        size_t n = len > 999 ? 999 : len;
        memcpy(space, data.at + at, n);
        cg_body_filled(&b, n);
        at += n;
    }
    CG_CHECK_INT(cg_body_space(&b, &space, &len), 0);
    CG_CHECK_INT(len, 0);
    check_taken(&b, cg_buf_slice(&data));
    cg_buf_done(&data);
    cg_body_done(&b);
}

CG_TEST(memory_follows_what_has_come_and_not_what_was_announced) {
    struct cg_body b;
    struct cg_request r = with_length(UINT64_C(1) << 30);
    size_t len;
    char *space;
    cg_body_init(&b);
    cg_body_begin(&b, &r, 0, UINT64_C(1) << 31, NULL);
    CG_CHECK_INT(cg_body_space(&b, &space, &len), 0);
    CG_CHECK(len > 0 && b.memory.cap <= 64 * 1024);
    cg_body_done(&b);
}

CG_TEST(who_has_sent_a_part_gets_room_for_the_rest_and_no_more) {
    enum { TOTAL = 1000 * 1000 };
    struct cg_body b;
    struct cg_request r = with_length(TOTAL);
    size_t len;
    char *space;
    cg_body_init(&b);
    cg_body_begin(&b, &r, 0, TOTAL, NULL);
    CG_CHECK_INT(cg_body_space(&b, &space, &len), 0);
    cg_body_filled(&b, len);
    CG_CHECK_INT(cg_body_space(&b, &space, &len), 0);
    CG_CHECK_INT(len, b.expected);
    CG_CHECK_INT(b.memory.cap, TOTAL);
    cg_body_done(&b);
}

CG_TEST(a_large_body_takes_the_memory_of_one_before_it) {
    enum { TOTAL = 1000 * 1000 };
    struct cg_body b;
    struct cg_request r = with_length(TOTAL);
    struct cg_buf first = CG_BUF_INIT;
    size_t len, used;
    char *space;
    CG_CHECK_INT(cg_buf_reserve(&first, TOTAL), 0);
    const char *at = first.at;
    cg_spare_give(&first);
    cg_body_init(&b);
    cg_body_begin(&b, &r, 0, TOTAL, NULL);
    CG_CHECK_INT(cg_body_put(&b, "abc", 3, false, &used), CG_FAULT_NONE);
    CG_CHECK_INT(cg_body_space(&b, &space, &len), 0);
    CG_CHECK(b.memory.at == at && space == at + 3 && memcmp(at, "abc", 3) == 0);
    CG_CHECK_INT(len, TOTAL - 3);
    cg_body_reset(&b);
    CG_CHECK(cg_spare_take(TOTAL, &first) && first.at == at);
    cg_buf_done(&first);
    cg_body_done(&b);
}

CG_TEST(there_is_no_space_for_chunked_bodies_and_files) {
    struct cg_body b;
    struct cg_request large = with_length(MEMORY + 1);
    size_t len;
    char *space;
    cg_body_init(&b);
    cg_body_begin(&b, &chunked_request, 0, MEMORY, NULL);
    CG_CHECK_INT(cg_body_space(&b, &space, &len), 0);
    CG_CHECK_INT(len, 0);
    cg_body_reset(&b);
    cg_body_begin(&b, &large, 0, MEMORY, NULL);
    CG_CHECK_INT(cg_body_space(&b, &space, &len), 0);
    CG_CHECK_INT(len, 0);
    cg_body_done(&b);
}

CG_TEST(reset_frees_large_buffers_and_closes_the_file) {
    struct cg_body b;
    struct cg_buf data = pattern(100000);
    struct cg_request r = with_length(data.len), small = with_length(100);
    struct stat st;
    cg_body_init(&b);
    cg_body_begin(&b, &r, 0, MEMORY, NULL);
    CG_CHECK_INT(put(&b, cg_buf_slice(&data), INCOMING_WHOLE, false, 0), CG_FAULT_NONE);
    int fd = b.fd;
    cg_body_reset(&b);
    CG_CHECK(fstat(fd, &st) < 0 && errno == EBADF);
    cg_body_begin(&b, &r, 0, data.len, NULL);
    CG_CHECK_INT(put(&b, cg_buf_slice(&data), INCOMING_WHOLE, false, 0), CG_FAULT_NONE);
    CG_CHECK(b.memory.cap >= data.len);
    cg_body_reset(&b);
    CG_CHECK_INT(b.memory.cap, 0);
    cg_body_begin(&b, &small, 0, MEMORY, NULL);
    CG_CHECK_INT(put(&b, cg_slice_of(data.at, 100), INCOMING_BYTES, false, 0), CG_FAULT_NONE);
    cg_body_reset(&b);
    CG_CHECK(b.memory.cap > 0 && b.memory.len == 0);
    cg_buf_done(&data);
    cg_body_done(&b);
}

CG_TEST(a_folder_that_does_not_exist_is_a_storage_fault) {
    struct cg_body b;
    struct cg_buf data = pattern(MEMORY + 1);
    struct cg_request r = with_length(data.len);
    cg_body_init(&b);
    cg_body_begin(&b, &r, 0, MEMORY, "/nonexistent-folder");
    CG_CHECK_INT(put(&b, cg_buf_slice(&data), INCOMING_WHOLE, false, 0), CG_FAULT_BODY_STORAGE);
    cg_buf_done(&data);
    cg_body_done(&b);
}

CG_TEST(a_file_that_cannot_grow_is_a_storage_fault) {
    struct cg_body b;
    struct cg_buf data = pattern(100000);
    struct cg_request r = with_length(data.len);
    struct rlimit limit = {50000, 50000};
    signal(SIGXFSZ, SIG_IGN);
    CG_CHECK_INT(setrlimit(RLIMIT_FSIZE, &limit), 0);
    cg_body_init(&b);
    cg_body_begin(&b, &r, 0, MEMORY, NULL);
    CG_CHECK_INT(put(&b, cg_buf_slice(&data), INCOMING_SPLITS, false, 1), CG_FAULT_BODY_STORAGE);
    cg_buf_done(&data);
    cg_body_done(&b);
}
