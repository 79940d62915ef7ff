/* Watches what a process does to the files below one directory, and how much it says over TCP, for
 * the power-cut explorer.
 *
 * Loaded with LD_PRELOAD. Every change, every sync and every word said is done and written to a
 * trace in one critical section, so that the trace's order is the order in which things happened:
 * an answer that was heard can be placed among the writes by the bytes that it took. Syncs are
 * noted and not carried out: what a power cut would leave is computed from the trace.
 *
 * WATCH_DIR   the directory
 * WATCH_TRACE the trace; records are: op u8, inode u64, offset u64, length u64, then the bytes
 * WATCH_SLOW  microseconds; before one of four writes below a folder `leaves` so long at most, so that the
 *             writes of several threads overtake each other
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/fs.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { ADOPT = 1, CREATE, WRITE, RESIZE, SYNC, SYNC_FOLDER, RENAME, UNLINK, MKDIR, RMDIR, SENT };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *watch_dir;
static int trace_fd = -1;
static unsigned slow_us;

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

static ssize_t raw_write(int fd, const void *bytes, size_t length) {
    REAL(ssize_t, write, int, const void *, size_t);
    return real(fd, bytes, length);
}

static int raw_open(const char *path, int flags, mode_t mode) {
    REAL(int, open, const char *, int, ...);
    return real(path, flags, mode);
}

__attribute__((constructor)) static void begin(void) {
    watch_dir = getenv("WATCH_DIR");
    const char *trace = getenv("WATCH_TRACE"), *slow = getenv("WATCH_SLOW");
    if (slow) slow_us = (unsigned)atoi(slow);
    if (watch_dir && trace) trace_fd = raw_open(trace, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void put(const void *bytes, size_t length) {
    const char *at = bytes;
    while (length > 0) {
        ssize_t done = raw_write(trace_fd, at, length);
        if (done <= 0) abort();
        at += done;
        length -= (size_t)done;
    }
}

static void note(uint8_t op, uint64_t inode, uint64_t offset, const void *bytes, uint64_t length) {
    char head[25];
    head[0] = (char)op;
    memcpy(head + 1, &inode, 8);
    memcpy(head + 9, &offset, 8);
    memcpy(head + 17, &length, 8);
    put(head, sizeof head);
    put(bytes, length);
}

static int is_watched_path(const char *path) {
    size_t length = watch_dir ? strlen(watch_dir) : 0;
    return trace_fd >= 0 && length > 0 && strncmp(path, watch_dir, length) == 0
        && (path[length] == '/' || path[length] == 0);
}

/* The inode of a watched descriptor; 0 = not watched. */
static uint64_t watched(int fd, char *path, size_t room) {
    char link[64];
    struct stat about;
    if (trace_fd < 0 || fd == trace_fd) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, room - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    if (!is_watched_path(path) || fstat(fd, &about) != 0) return 0;
    return S_ISREG(about.st_mode) || S_ISDIR(about.st_mode) ? about.st_ino : 0;
}

#define BEGIN(fd) \
    char path[4096]; \
    int saved; \
    uint64_t inode = watched(fd, path, sizeof path); \
    if (inode) pthread_mutex_lock(&lock)
#define END \
    saved = errno; \
    if (inode) pthread_mutex_unlock(&lock); \
    errno = saved

/* ------------------------------------------------------------------ opening */

static int do_open(const char *path, int flags, mode_t mode) {
    struct stat about;
    if (!is_watched_path(path) || (flags & O_ACCMODE) == O_RDONLY) return raw_open(path, flags, mode);
    pthread_mutex_lock(&lock);
    int was_there = stat(path, &about) == 0;
    int fd = raw_open(path, flags, mode);
    int saved = errno;
    if (fd >= 0 && fstat(fd, &about) == 0) {
        note(was_there ? ADOPT : CREATE, about.st_ino, 0, path, strlen(path));
        if (flags & O_TRUNC) note(RESIZE, about.st_ino, 0, "", 0);
    }
    pthread_mutex_unlock(&lock);
    errno = saved;
    return fd;
}

#define MODE(last) \
    mode_t mode = 0; \
    if (flags & (O_CREAT | O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, last); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }

int open(const char *path, int flags, ...) { MODE(flags) return do_open(path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return do_open(path, flags, mode); }
int creat(const char *path, mode_t mode) { return do_open(path, O_WRONLY | O_CREAT | O_TRUNC, mode); }

static int do_openat(int dir, const char *path, int flags, mode_t mode) {
    REAL(int, openat, int, const char *, int, ...);
    if (dir == AT_FDCWD || path[0] == '/') return do_open(path, flags, mode);
    return real(dir, path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...) { MODE(flags) return do_openat(dir, path, flags, mode); }
int openat64(int dir, const char *path, int flags, ...) { MODE(flags) return do_openat(dir, path, flags, mode); }

/* ------------------------------------------------------------------ writing */

ssize_t write(int fd, const void *bytes, size_t length) {
    BEGIN(fd);
    off_t at = inode ? lseek(fd, 0, SEEK_CUR) : 0;
    if (inode && (fcntl(fd, F_GETFL) & O_APPEND)) at = lseek(fd, 0, SEEK_END);
    ssize_t done = raw_write(fd, bytes, length);
    if (inode && done > 0) note(WRITE, inode, (uint64_t)at, bytes, (uint64_t)done);
    END;
    return done;
}

static void linger(int fd) {
    static __thread unsigned seed;
    char path[4096];
    if (!slow_us || !watched(fd, path, sizeof path) || !strstr(path, "/leaves/")) return;
    if (!seed) seed = (unsigned)(uintptr_t)&seed ^ (unsigned)getpid();
    if (rand_r(&seed) % 4 == 0) usleep((unsigned)rand_r(&seed) % slow_us);
}

static ssize_t do_pwrite(int fd, const void *bytes, size_t length, off_t at) {
    REAL(ssize_t, pwrite64, int, const void *, size_t, off_t);
    linger(fd);
    BEGIN(fd);
    ssize_t done = real(fd, bytes, length, at);
    if (inode && done > 0) note(WRITE, inode, (uint64_t)at, bytes, (uint64_t)done);
    END;
    return done;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) { return do_pwrite(fd, bytes, length, at); }
ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t at) { return do_pwrite(fd, bytes, length, at); }

/* What is not followed must not happen unseen. */
static uint64_t peer_port(int fd);

static void refuse(int fd, const char *what) {
    char path[4096] = "a socket";
    if (watched(fd, path, sizeof path) || peer_port(fd)) {
        fprintf(stderr, "the shim does not follow %s on %s\n", what, path);
        abort();
    }
}

ssize_t writev(int fd, const struct iovec *parts, int number) {
    REAL(ssize_t, writev, int, const struct iovec *, int);
    refuse(fd, "writev");
    return real(fd, parts, number);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int number, off_t at) {
    REAL(ssize_t, pwritev64, int, const struct iovec *, int, off_t);
    refuse(fd, "pwritev");
    return real(fd, parts, number, at);
}

/* Copies inside the kernel are not seen: whoever asks for one must read and write instead. */

ssize_t copy_file_range(int from, off64_t *at, int to, off64_t *place, size_t length, unsigned flags) {
    REAL(ssize_t, copy_file_range, int, off64_t *, int, off64_t *, size_t, unsigned);
    char path[4096];
    if (!watched(to, path, sizeof path)) return real(from, at, to, place, length, flags);
    errno = EXDEV;
    return -1;
}

static ssize_t do_sendfile(int to, int from, off64_t *at, size_t length) {
    REAL(ssize_t, sendfile64, int, int, off64_t *, size_t);
    char path[4096];
    if (!watched(to, path, sizeof path)) return real(to, from, at, length);
    errno = EINVAL;
    return -1;
}

ssize_t sendfile(int to, int from, off_t *at, size_t length) { return do_sendfile(to, from, at, length); }
ssize_t sendfile64(int to, int from, off64_t *at, size_t length) { return do_sendfile(to, from, at, length); }

int ioctl(int fd, unsigned long request, ...) {
    REAL(int, ioctl, int, unsigned long, void *);
    char path[4096];
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    if (request != FICLONE || !watched(fd, path, sizeof path)) return real(fd, request, argument);
    errno = EOPNOTSUPP;
    return -1;
}

static int do_truncate(int fd, off_t size) {
    REAL(int, ftruncate64, int, off_t);
    BEGIN(fd);
    int done = real(fd, size);
    if (inode && done == 0) note(RESIZE, inode, (uint64_t)size, "", 0);
    END;
    return done;
}

int ftruncate(int fd, off_t size) { return do_truncate(fd, size); }
int ftruncate64(int fd, off_t size) { return do_truncate(fd, size); }

static int do_allocate(int fd, int mode, off_t at, off_t length) {
    REAL(int, fallocate64, int, int, off_t, off_t);
    struct stat about;
    BEGIN(fd);
    int done = real(fd, mode, at, length);
    if (inode && done == 0 && fstat(fd, &about) == 0)
        note(RESIZE, inode, (uint64_t)about.st_size, "", 0);
    END;
    return done;
}

int fallocate(int fd, int mode, off_t at, off_t length) { return do_allocate(fd, mode, at, length); }
int fallocate64(int fd, int mode, off_t at, off_t length) { return do_allocate(fd, mode, at, length); }

/* ------------------------------------------------------------------ talking */

/* The other side's port of a TCP connection, 0 if it is none. */
static uint64_t peer_port(int fd) {
    struct sockaddr_in peer;
    socklen_t length = sizeof peer;
    if (trace_fd < 0 || getpeername(fd, (struct sockaddr *)&peer, &length) != 0) return 0;
    return peer.sin_family == AF_INET ? ntohs(peer.sin_port) : 0;
}

ssize_t send(int fd, const void *bytes, size_t length, int flags) {
    REAL(ssize_t, send, int, const void *, size_t, int);
    uint64_t port = peer_port(fd);
    if (!port) return real(fd, bytes, length, flags);
    pthread_mutex_lock(&lock);
    ssize_t done = real(fd, bytes, length, flags);
    int saved = errno;
    if (done > 0) note(SENT, port, (uint64_t)done, "", 0);
    pthread_mutex_unlock(&lock);
    errno = saved;
    return done;
}

/* ------------------------------------------------------------------ syncing */

static int do_sync(int fd, int (*real)(int)) {
    struct stat about;
    BEGIN(fd);
    int done = 0;
    if (inode && fstat(fd, &about) == 0)
        note(S_ISDIR(about.st_mode) ? SYNC_FOLDER : SYNC, inode, 0, path, strlen(path));
    else
        done = real(fd);
    END;
    return done;
}

int fsync(int fd) {
    REAL(int, fsync, int);
    return do_sync(fd, real);
}

int fdatasync(int fd) {
    REAL(int, fdatasync, int);
    return do_sync(fd, real);
}

/* ------------------------------------------------------------------ names */

#define NAMED(op, call, first, text, length) \
    int is_ours = is_watched_path(first); \
    if (is_ours) pthread_mutex_lock(&lock); \
    int done = call; \
    int saved = errno; \
    if (is_ours && done == 0) note(op, 0, 0, text, length); \
    if (is_ours) pthread_mutex_unlock(&lock); \
    errno = saved; \
    return done

int rename(const char *from, const char *to) {
    REAL(int, rename, const char *, const char *);
    char both[8192];
    int length = snprintf(both, sizeof both, "%s%c%s", from, 0, to);
    NAMED(RENAME, real(from, to), from, both, (uint64_t)length);
}

int unlink(const char *path) {
    REAL(int, unlink, const char *);
    NAMED(UNLINK, real(path), path, path, strlen(path));
}

/* Whole folders are removed from within. */
int unlinkat(int dir, const char *path, int flags) {
    REAL(int, unlinkat, int, const char *, int);
    char link[64], whole[8192];
    ssize_t length = 0;
    if (dir != AT_FDCWD && path[0] != '/') {
        snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
        length = readlink(link, whole, 4096);
        if (length <= 0) return real(dir, path, flags);
        whole[length++] = '/';
    }
    snprintf(whole + length, sizeof whole - (size_t)length, "%s", path);
    NAMED(flags & AT_REMOVEDIR ? RMDIR : UNLINK, real(dir, path, flags), whole, whole, strlen(whole));
}

int mkdir(const char *path, mode_t mode) {
    REAL(int, mkdir, const char *, mode_t);
    NAMED(MKDIR, real(path, mode), path, path, strlen(path));
}

int rmdir(const char *path) {
    REAL(int, rmdir, const char *);
    NAMED(RMDIR, real(path), path, path, strlen(path));
}
