/* A disk that fails, as a library to preload: it stands between a process and the C library's calls that write.

   rose_fault(prefix, nth, mode) arms it in the calling process: from then on the calls that write to files below
   `prefix` are counted, and at the `nth` something happens, by `mode`. rose_trace(prefix, file) has all of them
   written to a file instead, with their data, for the tests of a power loss. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum { COUNT, FULL, BROKEN, ONCE, SHORT, KILL, TORN }; /* as in faults.py */

static char prefix[PATH_MAX];
static long nth;
static int mode, trace = -1;
static atomic_long calls;
static pthread_mutex_t tracing = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

void rose_fault(const char *where, long call, int what) {
    strncpy(prefix, where, sizeof prefix - 1);
    nth = call;
    mode = what;
    atomic_store(&calls, 0);
}

long rose_calls(void) { return atomic_load(&calls); }

static int watched(const char *path) { return prefix[0] && strncmp(path, prefix, strlen(prefix)) == 0; }

static int path_of(int fd, char *path) {
    char link[64];
    if (!prefix[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return watched(path);
}

/* What is to happen at this call: an errno, 0 for nothing; -1 for a short write. `writes`: whether it needs space. */
static int verdict(int writes) {
    long now = atomic_fetch_add(&calls, 1) + 1;
    if (trace >= 0 || mode == COUNT || now < nth) return 0;
    if (mode == FULL) return writes ? (now == nth ? -1 : ENOSPC) : 0;
    if (mode == BROKEN) return EIO;
    if (now != nth) return 0;
    if (mode == ONCE) return EIO;
    if (mode == SHORT) return writes ? -1 : 0;
    if (mode == KILL) kill(getpid(), SIGKILL);
    return -1; /* TORN */
}

/* --- the trace: lines of "op path offset length\n", each followed by its data ------------------------------------ */

void rose_trace(const char *where, const char *file) {
    trace = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    rose_fault(where, 0, COUNT);
}

static void record(const char *op, const char *path, long offset, const void *data, size_t length) {
    char head[2 * PATH_MAX];
    if (trace < 0) return;
    int size = snprintf(head, sizeof head, "%s\t%s\t%ld\t%zu\n", op, path, offset, length);
    pthread_mutex_lock(&tracing);
    ssize_t (*put)(int, const void *, size_t) = REAL(write);
    if (put(trace, head, size) != size || (length && put(trace, data, length) != (ssize_t)length)) _exit(99);
    pthread_mutex_unlock(&tracing);
}

void rose_mark(const char *text) { record("mark", text, 0, NULL, 0); }

/* --- the calls ---------------------------------------------------------------------------------------------------- */

#define FAIL(code) do { errno = (code); return -1; } while (0)

ssize_t write(int fd, const void *data, size_t size) {
    char path[PATH_MAX];
    if (!path_of(fd, path)) return REAL(write)(fd, data, size);
    int what = verdict(1);
    if (what > 0) FAIL(what);
    off_t offset = lseek(fd, 0, SEEK_CUR);
    ssize_t done = REAL(write)(fd, data, what < 0 ? size / 2 : size);
    if (what < 0 && mode == TORN) kill(getpid(), SIGKILL);
    if (done > 0) record("write", path, offset, data, done);
    if (what < 0 && done == 0) FAIL(ENOSPC);
    return done;
}

static ssize_t at(ssize_t (*put)(int, const void *, size_t, off_t), int fd, const void *data, size_t size, off_t where) {
    char path[PATH_MAX];
    if (!path_of(fd, path)) return put(fd, data, size, where);
    int what = verdict(1);
    if (what > 0) FAIL(what);
    ssize_t done = put(fd, data, what < 0 ? size / 2 : size, where);
    if (what < 0 && mode == TORN) kill(getpid(), SIGKILL);
    if (done > 0) record("write", path, where, data, done);
    if (what < 0 && done == 0) FAIL(ENOSPC);
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t where) { return at(REAL(pwrite), fd, data, size, where); }

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t where) {
    return at((ssize_t(*)(int, const void *, size_t, off_t))real("pwrite64"), fd, data, size, where);
}

#define ON_FD(name, op, writes)                                   \
    int name(int fd) {                                            \
        char path[PATH_MAX];                                      \
        if (path_of(fd, path)) {                                  \
            int what = verdict(writes);                           \
            if (what > 0) FAIL(what);                             \
            if (what < 0) kill(getpid(), SIGKILL);                \
            int done = REAL(name)(fd);                            \
            if (done == 0) record(op, path, 0, NULL, 0);          \
            return done;                                          \
        }                                                         \
        return REAL(name)(fd);                                    \
    }

ON_FD(fsync, "sync", 0)
ON_FD(fdatasync, "sync", 0)

static int cut(int (*to)(int, off_t), int fd, off_t size) {
    char path[PATH_MAX];
    if (path_of(fd, path)) {
        int what = verdict(0);
        if (what > 0) FAIL(what);
        if (what < 0) kill(getpid(), SIGKILL);
        int done = to(fd, size);
        if (done == 0) record("cut", path, size, NULL, 0);
        return done;
    }
    return to(fd, size);
}

int ftruncate(int fd, off_t size) { return cut(REAL(ftruncate), fd, size); }
int ftruncate64(int fd, off64_t size) { return cut((int (*)(int, off_t))real("ftruncate64"), fd, size); }

int rename(const char *from, const char *to) {
    if (!watched(to)) return REAL(rename)(from, to);
    int what = verdict(0);
    if (what > 0) FAIL(what);
    if (what < 0) kill(getpid(), SIGKILL);
    int done = REAL(rename)(from, to);
    if (done == 0) record("rename", from, 0, to, strlen(to));
    return done;
}

int unlink(const char *path) {
    if (!watched(path)) return REAL(unlink)(path);
    int what = verdict(0);
    if (what > 0) FAIL(what);
    if (what < 0) kill(getpid(), SIGKILL);
    int done = REAL(unlink)(path);
    if (done == 0) record("unlink", path, 0, NULL, 0);
    return done;
}

int mkdir(const char *path, mode_t rights) {
    if (!watched(path)) return REAL(mkdir)(path, rights);
    int what = verdict(1);
    if (what > 0) FAIL(what);
    if (what < 0) { if (mode == TORN) kill(getpid(), SIGKILL); FAIL(ENOSPC); }
    int done = REAL(mkdir)(path, rights);
    if (done == 0) record("mkdir", path, 0, NULL, 0);
    return done;
}

/* Making a file needs space, too. */
static int making(const char *path, int flags) {
    struct stat there;
    return (flags & O_CREAT) && watched(path) && stat(path, &there) != 0;
}

#define OPEN(name)                                                                  \
    int name(const char *path, int flags, ...) {                                    \
        va_list more;                                                               \
        va_start(more, flags);                                                      \
        mode_t rights = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(more, mode_t) : 0; \
        va_end(more);                                                               \
        int makes = making(path, flags);                                            \
        if (makes) {                                                                \
            int what = verdict(1);                                                  \
            if (what < 0 && mode == TORN) kill(getpid(), SIGKILL);                  \
            if (what) FAIL(what > 0 ? what : ENOSPC);                               \
        }                                                                           \
        int fd = REAL(name)(path, flags, rights);                                   \
        if (makes && fd >= 0) record("make", path, 0, NULL, 0);                     \
        if (fd >= 0 && (flags & O_TRUNC) && !makes && watched(path)) record("cut", path, 0, NULL, 0); \
        return fd;                                                                  \
    }

OPEN(open)
OPEN(open64)
