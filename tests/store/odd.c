/* File systems that lack something, as a library to preload: ODD_LOCK and ODD_DIRSYNC are the errors (numbers) with
   which locks and syncs of directories below ODD_PATH fail. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int below(int fd) {
    char link[64], path[PATH_MAX];
    const char *odd = getenv("ODD_PATH");
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (!odd || length < 0) return 0;
    path[length] = 0;
    return strncmp(path, odd, strlen(odd)) == 0;
}

static int number(const char *name) {
    const char *text = getenv(name);
    return text ? atoi(text) : 0;
}

#define FCNTL(name)                                                                       \
    int name(int fd, int what, ...) {                                                     \
        va_list more;                                                                     \
        va_start(more, what);                                                             \
        void *argument = va_arg(more, void *);                                            \
        va_end(more);                                                                     \
        int (*next)(int, int, ...) = dlsym(RTLD_NEXT, #name);                             \
        if ((what == F_SETLK || what == F_SETLKW || what == F_GETLK) && number("ODD_LOCK") && below(fd)) { \
            errno = number("ODD_LOCK");                                                   \
            return -1;                                                                    \
        }                                                                                 \
        return next(fd, what, argument);                                                  \
    }

FCNTL(fcntl)
FCNTL(fcntl64)

int fsync(int fd) {
    struct stat what;
    int (*next)(int) = dlsym(RTLD_NEXT, "fsync");
    if (number("ODD_DIRSYNC") && fstat(fd, &what) == 0 && S_ISDIR(what.st_mode) && below(fd)) {
        errno = number("ODD_DIRSYNC");
        return -1;
    }
    return next(fd);
}
