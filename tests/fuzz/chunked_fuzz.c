/* SPDX-License-Identifier: MIT
 *
 * The chunked decoder against a model that sees the whole body at once and goes through it with a
 * cursor (RFC 9112 section 7.1). Verdict, data, trailers and the end of the body must be the
 * model's, in every cut.
 *
 * Input: a byte that chooses the cut, then the body.
 */
#include "server/base/num.h"
#include "server/http/chunked.h"
#include "server/http/field.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/incoming.h"
#include "tests/unit/test.h"

const struct fuzz_target fuzz_target = {.name = "chunked"};

struct model {
    struct cg_slice input;
    size_t at;
    size_t extension_bytes;
    struct cg_buf data, trailers;
};

static bool is_at(const struct model *m, char c) {
    return m->at < m->input.len && m->input.at[m->at] == c;
}

static bool is_at_end(const struct model *m) {
    return m->at == m->input.len;
}

/* The given byte, or this fault. */
static enum cg_fault expect(struct model *m, char c, enum cg_fault fault) {
    if (is_at_end(m))
        return CG_FAULT_INCOMPLETE;
    if (!is_at(m, c))
        return fault;
    m->at++;
    return CG_FAULT_NONE;
}

static enum cg_fault count_extension(struct model *m) {
    m->at++;
    m->extension_bytes++;
    return m->extension_bytes > CG_CHUNKED_EXTENSION_MAX ? CG_FAULT_CHUNK_EXTENSION : CG_FAULT_NONE;
}

static enum cg_fault read_digits(struct model *m, uint64_t *ret_size) {
    size_t begin = m->at;
    *ret_size = 0;
    while (!is_at_end(m) && cg_num_hex_digit((unsigned char)m->input.at[m->at]) >= 0) {
        if (m->at - begin == 16)
            return CG_FAULT_CHUNK_SIZE;
        *ret_size = *ret_size * 16 + (uint64_t)cg_num_hex_digit((unsigned char)m->input.at[m->at]);
        m->at++;
    }
    if (is_at_end(m))
        return CG_FAULT_INCOMPLETE;
    return m->at == begin ? CG_FAULT_CHUNK_SIZE : CG_FAULT_NONE;
}

/* Behind the digits: nothing, or blanks and ";" and text. */
static enum cg_fault skip_extension(struct model *m) {
    enum cg_fault fault = CG_FAULT_NONE;
    if (is_at(m, '\r')) {
        m->at++;
        return expect(m, '\n', CG_FAULT_CHUNK_SIZE);
    }
    while ((is_at(m, ' ') || is_at(m, '\t')) && !fault)
        fault = count_extension(m);
    if (!fault && is_at_end(m))
        return CG_FAULT_INCOMPLETE;
    if (!fault && !is_at(m, ';'))
        return CG_FAULT_CHUNK_SIZE;
    while (!fault && !is_at_end(m) && !is_at(m, '\r'))
        fault = fuzz_has_control(cg_slice_of(m->input.at + m->at, 1), true)
                    ? CG_FAULT_CHUNK_EXTENSION
                    : count_extension(m);
    if (fault)
        return fault;
    fault = expect(m, '\r', CG_FAULT_CHUNK_EXTENSION);
    return fault ? fault : expect(m, '\n', CG_FAULT_CHUNK_EXTENSION);
}

static enum cg_fault read_data(struct model *m, uint64_t size) {
    struct cg_slice rest = cg_slice_of(m->input.at + m->at, m->input.len - m->at);
    struct cg_slice data = fuzz_take(&rest, size < rest.len ? (size_t)size : rest.len);
    CG_CHECK_INT(cg_buf_append(&m->data, data), 0);
    m->at += data.len;
    if (data.len < size)
        return CG_FAULT_INCOMPLETE;
    enum cg_fault fault = expect(m, '\r', CG_FAULT_CHUNK_DATA);
    return fault ? fault : expect(m, '\n', CG_FAULT_CHUNK_DATA);
}

static bool is_trailer(struct cg_slice line) {
    static const char *const forbidden[] = {"content-length", "transfer-encoding", "host",
                                            "trailer",        "authorization",     "te"};
    const char *colon = memchr(line.at, ':', line.len);
    struct cg_slice name = cg_slice_of(line.at, colon ? (size_t)(colon - line.at) : 0);
    for (size_t i = 0; i < sizeof forbidden / sizeof forbidden[0]; i++)
        if (cg_slice_eq_ci(name, cg_slice_str(forbidden[i])))
            return false;
    return cg_field_is_token(name);
}

/* One line of the trailer section; *ret_empty when it was the last. */
static enum cg_fault read_trailer(struct model *m, bool *ret_empty) {
    size_t begin = m->at;
    while (!is_at_end(m) && !is_at(m, '\r')) {
        struct cg_slice byte = cg_slice_of(m->input.at + m->at, 1);
        if (fuzz_has_control(byte, true) ||
            m->trailers.len + (m->at - begin) + 3 > CG_CHUNKED_TRAILER_MAX)
            return CG_FAULT_TRAILER;
        m->at++;
    }
    struct cg_slice line = cg_slice_of(m->input.at + begin, m->at - begin);
    enum cg_fault fault = expect(m, '\r', CG_FAULT_TRAILER);
    if (!fault)
        fault = expect(m, '\n', CG_FAULT_TRAILER);
    *ret_empty = line.len == 0;
    if (fault || *ret_empty)
        return fault;
    if (!is_trailer(line))
        return CG_FAULT_TRAILER;
    CG_CHECK_INT(cg_buf_append(&m->trailers, line), 0);
    CG_CHECK_INT(cg_buf_append(&m->trailers, CG_SLICE("\r\n")), 0);
    return CG_FAULT_NONE;
}

static enum cg_fault decode_model(struct model *m) {
    enum cg_fault fault;
    uint64_t size;
    do {
        fault = read_digits(m, &size);
        if (!fault)
            fault = skip_extension(m);
        if (!fault && size > 0)
            fault = read_data(m, size);
    } while (!fault && size > 0);
    bool is_last = false;
    while (!fault && !is_last)
        fault = read_trailer(m, &is_last);
    return fault;
}

/* Feeds the decoder; *out gets the data, *ret_used what belonged to the body. */
static enum cg_fault decode(struct cg_chunked *c, struct cg_slice input, enum incoming_way way,
                            unsigned seed, struct cg_buf *out, size_t *ret_used) {
    size_t at = 0, fed = 0;
    while (!c->complete) {
        if (at == fed && fed == input.len)
            return CG_FAULT_INCOMPLETE;
        if (at == fed)
            fed += incoming_step(way, &seed, input.len - fed);
        size_t used;
        struct cg_slice run, given = cg_slice_of(input.at + at, fed - at);
        enum cg_fault fault = cg_chunked_decode(c, given.at, given.len, &used, &run);
        if (fault != CG_FAULT_NONE)
            return fault;
        CG_CHECK(used > 0 && used <= given.len && fuzz_lies_in(run, given));
        CG_CHECK_INT(cg_buf_append(out, run), 0);
        at += used;
    }
    *ret_used = at;
    return CG_FAULT_NONE;
}

static void compare(struct model *m, enum cg_fault fault, enum incoming_way way, unsigned seed) {
    struct cg_chunked c;
    struct cg_buf out = CG_BUF_INIT;
    size_t used = 0;
    cg_chunked_init(&c);
    enum cg_fault got = decode(&c, m->input, way, seed, &out, &used);
    if (got != fault)
        cg_test_fail(__FILE__, __LINE__, "%s, but the model says %s", incoming_fault_name(got),
                     incoming_fault_name(fault));
    cg_test_check_slice(__FILE__, __LINE__, cg_buf_slice(&out), cg_buf_slice(&m->data));
    if (fault == CG_FAULT_NONE) {
        CG_CHECK_INT(used, m->at);
        cg_test_check_slice(__FILE__, __LINE__, cg_buf_slice(&c.trailers),
                            cg_buf_slice(&m->trailers));
    }
    cg_chunked_done(&c);
    cg_buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct cg_slice input = cg_slice_of((const char *)data, size);
    unsigned seed = fuzz_take_byte(&input);
    struct model m = {.input = input};
    enum cg_fault fault = decode_model(&m);
    for (int way = INCOMING_WHOLE; way <= INCOMING_SPLITS; way++)
        compare(&m, fault, (enum incoming_way)way, seed);
    cg_buf_done(&m.data);
    cg_buf_done(&m.trailers);
    return 0;
}
