/* Kills the process that loaded it (LD_PRELOAD) before, in the middle of, or after the n-th call that changes something
   that lasts: writing, syncing, making, renaming, removing or cutting a file below a folder, or a message to a database.
   Python, SQLite, libpq and Arrow all make these calls through the C library. Linux and glibc only; see failpoints.py.

   FAILPOINT_FOLDER  the folder; all else is left alone            FAILPOINT_ROLE    "crawler" or "worker"
   FAILPOINT_FLAG    made by the one process that is killed, with  FAILPOINT_AT      n, from 0; each process counts its own
                     the name of the call in it                    FAILPOINT_MOMENT  "before", "half", "after"
   FAILPOINT_CALL    instead of n: the first call whose name and   FAILPOINT_WHO     "group": the whole process group dies at
                     path have this in them                                          once; else only the process itself
   FAILPOINT_LOG     a line for each call; may be missing          FAILPOINT_PORT    of the database; may be missing
*/
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { NOTHING, HALF, AFTER };

static const char *folder, *flag, *moment, *lines, *wanted;
static int wants_worker, is_crawler, is_fork_server, all_die, port;
static long at, seen;
static pid_t origin, counted;

__attribute__((constructor)) static void begin(void) {
    char command[4096] = {0};
    int file = syscall(SYS_openat, AT_FDCWD, "/proc/self/cmdline", O_RDONLY);
    ssize_t size = syscall(SYS_read, file, command, sizeof command - 1);
    syscall(SYS_close, file);
    for (ssize_t i = 0; i < size; i++)
        if (!command[i]) command[i] = ' ';
    is_crawler = strstr(command, "campaign_crawler") != NULL;
    is_fork_server = strstr(command, "multiprocessing.forkserver") != NULL;
    origin = counted = getpid();
    const char *role = getenv("FAILPOINT_ROLE"), *number = getenv("FAILPOINT_AT"), *tcp = getenv("FAILPOINT_PORT"), *who = getenv("FAILPOINT_WHO");
    wants_worker = role && !strcmp(role, "worker");
    at = number ? atol(number) : -1;
    port = tcp ? atoi(tcp) : 0;
    all_die = who && !strcmp(who, "group");
    wanted = getenv("FAILPOINT_CALL");
    flag = getenv("FAILPOINT_FLAG");
    moment = getenv("FAILPOINT_MOMENT");
    lines = getenv("FAILPOINT_LOG");
    folder = getenv("FAILPOINT_FOLDER");
}

/* Not by the functions below, which would count it. */
static int note(const char *file, int flags, const char *call, const char *path) {
    char line[PATH_MAX + 64];
    int size = snprintf(line, sizeof line, "%s %s\n", call, path);
    int handle = syscall(SYS_openat, AT_FDCWD, file, O_CREAT | O_WRONLY | O_APPEND | flags, 0644);
    if (handle < 0) return 0;
    syscall(SYS_write, handle, line, size);
    syscall(SYS_close, handle);
    return 1;
}

static void die(void) {
    syscall(SYS_kill, all_die ? 0 : getpid(), SIGKILL);
    for (;;) pause();
}

static int point(const char *call, const char *path) {
    pid_t me = getpid();
    if (wants_worker ? !(is_fork_server && me != origin) : !(is_crawler && me == origin)) return NOTHING;
    if (counted != me) { counted = me; seen = 0; }
    long number = __atomic_fetch_add(&seen, 1, __ATOMIC_SEQ_CST);
    int before = errno, what = NOTHING, here = number == at;
    if (lines) note(lines, 0, call, path);
    if (wanted) {
        char both[PATH_MAX + 64];
        snprintf(both, sizeof both, "%s %s", call, path);
        here = strstr(both, wanted) != NULL;
    }
    if (here && flag && note(flag, O_EXCL, call, path)) {
        if (!strcmp(moment, "before")) die();
        what = strcmp(moment, "half") ? AFTER : HALF;
    }
    errno = before;
    return what;
}

/* What of the folder the path names; NULL for all else, and for what no start relies on. */
static const char *inside(const char *path) {
    if (!folder || strncmp(path, folder, strlen(folder))) return NULL;
    const char *end = strrchr(path, '.');
    if (end && (!strcmp(end, ".cell") || !strcmp(end, ".trace") || !strcmp(end, ".sqlite-shm"))) return NULL;
    return path + strlen(folder);
}

static int on_file(const char *call, int file) {
    char link[64], path[PATH_MAX];
    if (!folder) return NOTHING;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    if (size < 0) return NOTHING;
    path[size] = 0;
    const char *name = inside(path);
    return name ? point(call, name) : NOTHING;
}

static int on_path(const char *call, const char *path) {
    const char *name = inside(path);
    return name ? point(call, name) : NOTHING;
}

static int on_socket(const char *call, int file) {
    struct sockaddr_in peer;
    socklen_t size = sizeof peer;
    if (!port || getpeername(file, (struct sockaddr *)&peer, &size) || peer.sin_family != AF_INET) return NOTHING;
    return ntohs(peer.sin_port) == port ? point(call, "database") : NOTHING;
}

#define REAL(result, name, ...) \
    static result (*real)(__VA_ARGS__); \
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, #name)
/* A call that does its deed or not: in the middle is before. */
#define WHOLE(result, name, counted_as, call, ...) \
    result name(__VA_ARGS__) { \
        REAL(result, name, __VA_ARGS__); \
        int what = counted_as; \
        if (what == HALF) die(); \
        result done = call; \
        if (what == AFTER) die(); \
        return done; \
    }
/* A call that may have written a part of it. */
#define PARTLY(name, counted_as, half, call, ...) \
    ssize_t name(__VA_ARGS__) { \
        REAL(ssize_t, name, __VA_ARGS__); \
        int what = counted_as; \
        if (what == HALF) { half; die(); } \
        ssize_t done = call; \
        if (what == AFTER) die(); \
        return done; \
    }

/* The first half of what the vector holds, in one piece. */
static size_t half_of(const struct iovec *parts, int n, char *copy, size_t room) {
    size_t size = 0;
    for (int i = 0; i < n; i++)
        for (size_t j = 0; j < parts[i].iov_len && size < room; j++) copy[size++] = ((char *)parts[i].iov_base)[j];
    return size / 2;
}
#define HALF_OF_PARTS(place) \
    char *copy = malloc(1 << 24); \
    size_t size = half_of(parts, n, copy, 1 << 24); \
    syscall(SYS_pwrite64, file, copy, size, place)

PARTLY(write, on_file("write", file), real(file, data, size / 2), real(file, data, size),
       int file, const void *data, size_t size)
PARTLY(pwrite, on_file("pwrite", file), real(file, data, size / 2, place), real(file, data, size, place),
       int file, const void *data, size_t size, off_t place)
PARTLY(pwrite64, on_file("pwrite", file), real(file, data, size / 2, place), real(file, data, size, place),
       int file, const void *data, size_t size, off64_t place)
PARTLY(writev, on_file("writev", file), HALF_OF_PARTS(lseek(file, 0, SEEK_END)), real(file, parts, n),
       int file, const struct iovec *parts, int n)
PARTLY(pwritev, on_file("pwritev", file), HALF_OF_PARTS(place), real(file, parts, n, place),
       int file, const struct iovec *parts, int n, off_t place)
PARTLY(pwritev64, on_file("pwritev", file), HALF_OF_PARTS(place), real(file, parts, n, place),
       int file, const struct iovec *parts, int n, off64_t place)
PARTLY(pwritev2, on_file("pwritev", file), HALF_OF_PARTS(place), real(file, parts, n, place, flags),
       int file, const struct iovec *parts, int n, off_t place, int flags)
PARTLY(pwritev64v2, on_file("pwritev", file), HALF_OF_PARTS(place), real(file, parts, n, place, flags),
       int file, const struct iovec *parts, int n, off64_t place, int flags)
PARTLY(send, on_socket("send", file), real(file, data, size / 2, flags), real(file, data, size, flags),
       int file, const void *data, size_t size, int flags)
WHOLE(ssize_t, recv, on_socket("recv", file), real(file, data, size, flags), int file, void *data, size_t size, int flags)
WHOLE(int, fsync, on_file("fsync", file), real(file), int file)
WHOLE(int, fdatasync, on_file("fdatasync", file), real(file), int file)
WHOLE(int, ftruncate, on_file("ftruncate", file), real(file, size), int file, off_t size)
WHOLE(int, ftruncate64, on_file("ftruncate", file), real(file, size), int file, off64_t size)
WHOLE(int, posix_fallocate, on_file("fallocate", file), real(file, from, size), int file, off_t from, off_t size)
WHOLE(int, posix_fallocate64, on_file("fallocate", file), real(file, from, size), int file, off64_t from, off64_t size)
WHOLE(int, truncate, on_path("truncate", path), real(path, size), const char *path, off_t size)
WHOLE(int, truncate64, on_path("truncate", path), real(path, size), const char *path, off64_t size)
WHOLE(int, rename, on_path("rename", new), real(old, new), const char *old, const char *new)
WHOLE(int, link, on_path("link", new), real(old, new), const char *old, const char *new)
WHOLE(int, unlink, on_path("unlink", path), real(path), const char *path)
WHOLE(int, mkdir, on_path("mkdir", path), real(path, mode), const char *path, mode_t mode)

#define OPENS(name, place, ...) \
    int name(__VA_ARGS__, int flags, ...) { \
        REAL(int, name, __VA_ARGS__, int, ...); \
        mode_t mode = 0; \
        if (flags & (O_CREAT | O_TMPFILE)) { \
            va_list more; \
            va_start(more, flags); \
            mode = va_arg(more, mode_t); \
            va_end(more); \
        } \
        int makes = (flags & O_CREAT) && syscall(SYS_faccessat, AT_FDCWD, path, F_OK), what = NOTHING; \
        if (makes) what = on_path("create", path); \
        if (what == HALF) die(); \
        int done = real(place, flags, mode); \
        if (what == AFTER) die(); \
        return done; \
    }
#define TWO folder_file, path
OPENS(open, path, const char *path)
OPENS(open64, path, const char *path)
OPENS(openat, TWO, int folder_file, const char *path)
OPENS(openat64, TWO, int folder_file, const char *path)
