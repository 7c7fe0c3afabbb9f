/* SPDX-License-Identifier: MIT
 *
 * Rules of server/base/fd.h and clock.h.
 */
#include "server/base/clock.h"
#include "server/base/fd.h"
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

CG_TEST(flags_go_on_and_off) {
    int fds[2];
    CG_CHECK_INT(pipe(fds), 0);
    CG_CHECK_INT(cg_fd_set_nonblocking(fds[0], true), 0);
    CG_CHECK(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
    CG_CHECK_INT(cg_fd_set_nonblocking(fds[0], false), 0);
    CG_CHECK(!(fcntl(fds[0], F_GETFL) & O_NONBLOCK));
    CG_CHECK_INT(cg_fd_set_cloexec(fds[0], true), 0);
    CG_CHECK_INT(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
    CG_CHECK_INT(cg_fd_set_cloexec(fds[0], false), 0);
    CG_CHECK_INT(fcntl(fds[0], F_GETFD), 0);
    CG_CHECK_INT(cg_fd_set_nonblocking(-1, true), -EBADF);
}

CG_TEST(close_forgets_the_number) {
    int fd = dup(STDOUT_FILENO), none = -1, copy = fd;
    cg_fd_close(&fd);
    CG_CHECK_INT(fd, -1);
    CG_CHECK_INT(fcntl(copy, F_GETFD), -1);
    cg_fd_close(&none);
    CG_CHECK_INT(none, -1);
}

CG_TEST(replace_keeps_the_number) {
    int a[2], b[2];
    char c = 0;
    CG_CHECK(pipe(a) == 0 && pipe(b) == 0);
    CG_CHECK_INT(cg_fd_replace(a[1], b[1]), 0);
    CG_CHECK_INT(write(a[1], "x", 1), 1);
    CG_CHECK_INT(read(b[0], &c, 1), 1);
    CG_CHECK_INT(c, 'x');
    CG_CHECK_INT(fcntl(a[1], F_GETFD), FD_CLOEXEC);
    CG_CHECK_INT(cg_fd_replace(a[1], -1), -EBADF);
}

static void *read_slowly(void *arg) {
    char part[1000];
    size_t total = 0;
    ssize_t n;
    while ((n = read(*(int *)arg, part, sizeof(part))) > 0)
        total += (size_t)n;
    return (void *)total;
}

CG_TEST(write_all_writes_more_than_a_pipe_holds) {
    enum { LEN = 1 << 20 };
    int fds[2];
    CG_CHECK_INT(pipe(fds), 0);
    pthread_t reader;
    void *total;
    CG_CHECK_INT(pthread_create(&reader, NULL, read_slowly, &fds[0]), 0);
    char *data = calloc(1, LEN);
    CG_CHECK_INT(cg_fd_write_all(fds[1], data, LEN), 0);
    close(fds[1]);
    CG_CHECK_INT(pthread_join(reader, &total), 0);
    CG_CHECK_INT((size_t)total, LEN);
    free(data);
}

CG_TEST(write_all_tells_the_error) {
    CG_CHECK_INT(cg_fd_write_all(-1, "x", 1), -EBADF);
    CG_CHECK_INT(cg_fd_write_all(-1, "", 0), 0);
}

CG_TEST(wake_pipe_never_blocks) {
    int fds[2];
    char full[4096] = {0};
    CG_CHECK_INT(cg_fd_wake_pipe(fds), 0);
    for (int i = 0; i < 2; i++) {
        CG_CHECK(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
        CG_CHECK_INT(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
    }
    while (write(fds[1], full, sizeof(full)) > 0)
        ;
    CG_CHECK_INT(errno, EAGAIN);
    cg_fd_drain(fds[0]);
    CG_CHECK_INT(read(fds[0], full, 1), -1);
    CG_CHECK_INT(errno, EAGAIN);
    close(fds[1]);
    cg_fd_drain(fds[0]);
}

CG_TEST(temporary_file_has_no_name) {
    int fd = cg_fd_open_temp(NULL);
    struct stat st;
    char back[3];
    CG_CHECK(fd >= 0);
    CG_CHECK_INT(fstat(fd, &st), 0);
    CG_CHECK_INT(st.st_nlink, 0);
    CG_CHECK_INT(st.st_mode & 0777, 0600);
    CG_CHECK_INT(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CG_CHECK_INT(cg_fd_write_all(fd, "abc", 3), 0);
    CG_CHECK_INT(pread(fd, back, 3, 0), 3);
    CG_CHECK_SLICE(cg_slice_of(back, 3), "abc");
    close(fd);
}

CG_TEST(temporary_file_obeys_the_folder_asked_for) {
    char folder[] = "/tmp/cg-fd-XXXXXX", deep[5000];
    CG_CHECK(mkdtemp(folder));
    CG_CHECK_INT(setenv("TMPDIR", folder, 1), 0);
    int fd = cg_fd_open_temp(NULL);
    CG_CHECK(fd >= 0);
    close(fd);
    CG_CHECK_INT(rmdir(folder), 0);
    CG_CHECK_INT(cg_fd_open_temp(NULL), -ENOENT);
    CG_CHECK_INT(cg_fd_open_temp(folder), -ENOENT);
    memset(deep, 'x', sizeof(deep) - 1);
    deep[sizeof(deep) - 1] = '\0';
    CG_CHECK_INT(cg_fd_open_temp(deep), -ENAMETOOLONG);
}

CG_TEST(monotonic_clock_does_not_go_back) {
    uint64_t before = cg_clock_us();
    usleep(2000);
    CG_CHECK(cg_clock_us() >= before + 2000);
    CG_CHECK(cg_clock_ms() >= before / 1000 + 2);
    CG_CHECK(cg_clock_wall_s() > 1600000000);
}
