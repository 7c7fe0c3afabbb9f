/* SPDX-License-Identifier: MIT
 *
 * The main() of a fuzz target without a fuzzer, so that it is an ordinary test too:
 *
 *   <name>_replay              all seeds, then mutations of them, always the same ones
 *   <name>_replay FILE...      these inputs
 *   <name>_replay -w FOLDER    writes the seeds there, for libFuzzer to start from
 *
 * Seeds are the requests of tests/corpus, for a target that takes requests, and the files of
 * tests/fuzz/seeds/<name>, above all inputs that once crashed it. Inputs run in a child process; a
 * page that both share says which one killed it, and it is written to the present folder. Owns the
 * seeds and that page (file-level state).
 */
#include "server/base/buf.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/corpus.h"
#include "tests/unit/incoming.h"
#include "tests/unit/test.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    SEEDS_MAX = 2000,
    INPUT_MAX = 16 * 1024,
    MUTATIONS_N = 30 * 1000,
    MUTATED_MAX = 4096, /* bytes; longer seeds are for limits, which few mutations would meet */
    MUTATIONS_S = 20,   /* begun within this time, however slow the machine is */
    TIMEOUT_S = 250,
};

static struct cg_buf seeds[SEEDS_MAX];
static int seeds_n;

static struct progress {
    int inputs_n;
    size_t len;
    char input[INPUT_MAX];
} * progress;

static struct cg_buf *add_seed(void) {
    CG_CHECK(seeds_n < SEEDS_MAX);
    return &seeds[seeds_n++];
}

static void append(struct cg_buf *b, struct cg_slice s) {
    CG_CHECK_INT(cg_buf_append(b, s), 0);
}

static void add_request(void *ctx, const char *path) {
    struct corpus_case c;
    corpus_load(&c, path, &incoming_settings);
    struct cg_buf *seed = add_seed();
    append(seed, cg_slice_of(fuzz_target.prefix, fuzz_target.prefix_len));
    append(seed, cg_buf_slice(&c.bytes));
    corpus_case_done(&c);
}

static void read_file(const char *path, struct cg_buf *b) {
    FILE *f = fopen(path, "rb");
    if (!f)
        cg_test_fail(path, 1, "cannot be opened");
    size_t n;
    do {
        CG_CHECK_INT(cg_buf_reserve(b, INPUT_MAX), 0);
        n = fread(b->at + b->len, 1, INPUT_MAX, f);
        b->len += n;
    } while (n > 0);
    fclose(f);
}

static void add_file(void *ctx, const char *path) {
    read_file(path, add_seed());
}

static void gather_seeds(void) {
    char path[CORPUS_PATH_MAX];
    if (fuzz_target.prefix) {
        corpus_each(CG_CORPUS_DIR "/valid", add_request, NULL);
        corpus_each(CG_CORPUS_DIR "/invalid", add_request, NULL);
    }
    snprintf(path, sizeof path, "%s/%s", CG_SEEDS_DIR, fuzz_target.name);
    corpus_each(path, add_file, NULL);
    CG_CHECK(seeds_n > 0);
}

static void drop_seeds(void) {
    for (int i = 0; i < seeds_n; i++)
        cg_buf_done(&seeds[i]);
}

static void write_file(const char *path, struct cg_slice bytes) {
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(bytes.at, 1, bytes.len, f) != bytes.len || fclose(f) != 0)
        cg_test_fail(path, 1, "cannot be written");
}

static int write_seeds(const char *folder) {
    char path[CORPUS_PATH_MAX];
    for (int i = 0; i < seeds_n; i++) {
        snprintf(path, sizeof path, "%s/seed-%d", folder, i);
        write_file(path, cg_buf_slice(&seeds[i]));
    }
    return 0;
}

/* In a block of its own size, so that a sanitizer sees a look behind it. */
static void run(struct cg_slice input) {
    uint8_t *data = malloc(input.len ? input.len : 1);
    CG_CHECK(data);
    if (input.len > 0)
        memcpy(data, input.at, input.len);
    LLVMFuzzerTestOneInput(data, input.len);
    free(data);
}

static void run_noted(struct cg_slice input) {
    progress->inputs_n++;
    progress->len = input.len < INPUT_MAX ? input.len : INPUT_MAX;
    if (progress->len > 0)
        memcpy(progress->input, input.at, progress->len);
    run(input);
}

static size_t below(unsigned *random, size_t n) {
    return n ? (size_t)rand_r(random) % n : 0;
}

/* Replaces input[at..at + len) by bytes. */
static void splice(struct cg_buf *input, size_t at, size_t len, struct cg_slice bytes) {
    struct cg_buf out = CG_BUF_INIT;
    append(&out, cg_slice_of(input->at, at));
    append(&out, bytes);
    append(&out, cg_slice_of(input->at + at + len, input->len - at - len));
    cg_buf_done(input);
    *input = out;
}

static struct cg_slice some_part(unsigned *random, struct cg_slice s) {
    if (s.len == 0)
        return s;
    size_t at = below(random, s.len), len = below(random, s.len - at + 1);
    return cg_slice_of(s.at + at, len < 200 ? len : 200);
}

static void mutate(struct cg_buf *input, unsigned *random) {
    static const char bytes[] = "\r\n\t\0 :;,%/?#0123456789aAfF\x7f\x80\xff\"\\@[]*=";
    size_t at = below(random, input->len);
    struct cg_slice other = cg_buf_slice(&seeds[below(random, (size_t)seeds_n)]);
    if (input->len == 0) {
        append(input, other);
        return;
    }
    switch (below(random, 6)) {
    case 0:
        splice(input, at, 1, cg_slice_of(&bytes[below(random, sizeof bytes)], 1));
        break;
    case 1:
        splice(input, at, 0, cg_slice_of(&bytes[below(random, sizeof bytes)], 1));
        break;
    case 2:
        splice(input, at, below(random, input->len - at + 1) % 20, cg_slice_of(NULL, 0));
        break;
    case 3:
        splice(input, at, 0, some_part(random, cg_buf_slice(input)));
        break;
    case 4:
        splice(input, at, 0, some_part(random, other));
        break;
    default:
        input->at[at] = (char)(input->at[at] ^ (1 << below(random, 8)));
    }
}

static void run_mutation(unsigned random) {
    struct cg_buf input = CG_BUF_INIT;
    const struct cg_buf *seed = &seeds[below(&random, (size_t)seeds_n)];
    if (seed->len > MUTATED_MAX)
        return;
    append(&input, cg_buf_slice(seed));
    for (size_t n = 1 + below(&random, 5); n > 0; n--)
        mutate(&input, &random);
    run_noted(cg_buf_slice(&input));
    cg_buf_done(&input);
}

static void run_all(void) {
    struct timespec begun, now;
    clock_gettime(CLOCK_MONOTONIC, &begun);
    now = begun;
    for (int i = 0; i < seeds_n; i++)
        run_noted(cg_buf_slice(&seeds[i]));
    for (unsigned i = 1; i <= MUTATIONS_N && now.tv_sec - begun.tv_sec < MUTATIONS_S; i++) {
        run_mutation(i);
        clock_gettime(CLOCK_MONOTONIC, &now);
    }
}

static int run_in_child(void) {
    char path[64];
    int status = 0;
    progress =
        mmap(NULL, sizeof *progress, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CG_CHECK(progress != MAP_FAILED);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(TIMEOUT_S);
        run_all();
        drop_seeds();
        exit(0);
    }
    CG_CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
    printf("%s: %d inputs, %d of them seeds\n", fuzz_target.name, progress->inputs_n, seeds_n);
    if (status == 0)
        return 0;
    snprintf(path, sizeof path, "%s-crash", fuzz_target.name);
    write_file(path, cg_slice_of(progress->input, progress->len));
    fprintf(stderr, "input %d failed (status %#x); it is in %s\n", progress->inputs_n,
            (unsigned)status, path);
    return 1;
}

static int run_file(const char *path) {
    struct cg_buf input = CG_BUF_INIT;
    read_file(path, &input);
    run(cg_buf_slice(&input));
    cg_buf_done(&input);
    return 0;
}

int main(int argc, char **argv) {
    int rc = 0;
    if (argc > 1 && strcmp(argv[1], "-w") != 0) {
        for (int i = 1; i < argc; i++)
            rc |= run_file(argv[i]);
        return rc;
    }
    gather_seeds();
    rc = argc > 2 ? write_seeds(argv[2]) : run_in_child();
    drop_seeds();
    return rc;
}
