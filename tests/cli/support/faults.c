/*
 * faults.c - preloaded between the program under test and libc, to fail or
 * kill it at a chosen file operation and to simulate what a loss of power
 * leaves behind.
 *
 * Every call that changes a file or a name below one of the roots is a
 * "point", numbered from 1 in the order in which the calls run. All points of
 * the process are serialised by one mutex which is held across the real call,
 * so the numbering, the log and the disk always agree. Descriptors 0 to 2 and
 * anything that is neither a regular file nor a directory are never points.
 *
 *   FAULTS_ROOT     colon-separated absolute prefixes; unset disables all
 *   FAULTS_COUNTER  file whose first eight bytes hold the number of points
 *   FAULTS_LOG      one line per point: number, op, path, second path, result
 *   FAULTS_KIND     none kill powercut lostnames enospc eio short pause einval
 *   FAULTS_AT       number of the point at which it happens
 *   FAULTS_OP       for pause: the operation before which the process stops
 *                   itself with SIGSTOP, once, until somebody lets it go on;
 *                   for einval: the operation that fails so, once
 *   FAULTS_END      ... and how the path of that call ends
 *   FAULTS_STALL    ... so many seconds of sleep of that one thread instead
 *   FAULTS_STICKY   1: from there on the disk stays full (enospc)
 *   FAULTS_UNREADABLE  how the path of a file ends of which no byte can be read:
 *                   read and pread fail with an input/output error
 *   FAULTS_TRASH    folder on the roots' filesystem, for powercut, lostnames
 *
 * Operations in the log (several libc calls share a name):
 *   open       open with O_CREAT, O_TRUNC or O_TMPFILE
 *   write      write, pwrite, writev, pwritev
 *   copy       copy_file_range, sendfile, splice
 *   truncate   truncate, ftruncate        allocate   fallocate family
 *   fsync fdatasync syncfs rename link symlink unlink mkdir rmdir mknod
 *   chmod chown
 * The result is the value returned, the name of the errno, or "killed". Tabs,
 * newlines and backslashes in paths are escaped with a backslash.
 *
 * The model of durability, for powercut:
 *   - What was there when the process started is durable.
 *   - fsync or fdatasync of a file makes its content durable, not its name.
 *   - fsync of a directory makes the names in it durable, not the content of
 *     the files they lead to. A rename between two directories is durable as
 *     soon as either is synced.
 *   - Everything else is lost, as late as possible: nothing reaches the disk
 *     by itself. A directory whose own name is lost takes along all it holds,
 *     synced or not.
 * lostnames loses only the names and keeps the content.
 *
 * Not modelled: modes, owners, times and extended attributes (never undone),
 * stores through mmap, clone ioctls, io_uring, O_SYNC (such writes count as
 * not durable), and the FILE functions of libc. Child processes are not
 * followed: the library takes itself out of the environment and goes quiet
 * after fork. While a cut is pending, a removed file keeps a link in the
 * trash, so its link count is one higher than it would be.
 *
 * Needs Linux with /proc, a dynamically linked program and a 64-bit ABI.
 */
#undef _FORTIFY_SOURCE /* its inline open() would collide with ours */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

_Static_assert(sizeof(long) == 8, "64-bit ABI only");

/* Our own descriptors live above this number, so that the program sees the
 * same small numbers with and without the library. */
#define OWN_FDS 900
#define BLOCK 4096

/* ------------------------------------------------------------------------
 * The kernel, directly. The real calls do not go through dlsym: the kernel is
 * there before our constructor has run and while the loader holds its locks,
 * and libc's own syscall() is one of the functions replaced here. Functions
 * that are not replaced are used from libc as usual.
 */
static long sys6(long nr, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
    long ret;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return ret;
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = nr;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc 0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory");
    return x0;
#else
#error "add the system call sequence of this architecture"
#endif
}

#define SYS_PICK(_1, _2, _3, _4, _5, _6, n, ...) n
#define SYS_1(nr, a) sys6(nr, (long)(a), 0, 0, 0, 0, 0)
#define SYS_2(nr, a, b) sys6(nr, (long)(a), (long)(b), 0, 0, 0, 0)
#define SYS_3(nr, a, b, c) sys6(nr, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define SYS_4(nr, a, b, c, d) sys6(nr, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define SYS_5(nr, a, b, c, d, e) \
    sys6(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)
#define SYS_6(nr, a, b, c, d, e, f) \
    sys6(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
/* sys(nr, args...): minus errno on failure, as the kernel returns it. */
#define sys(nr, ...) \
    SYS_PICK(__VA_ARGS__, SYS_6, SYS_5, SYS_4, SYS_3, SYS_2, SYS_1, )(nr, __VA_ARGS__)

/* The convention of libc: -1 and errno. */
static long libc_result(long r)
{
    if (r < 0 && r > -4096) {
        errno = (int)-r;
        return -1;
    }
    return r;
}

/* ------------------------------------------------------------------------
 * State. All of it belongs to the mutex once the constructor has run.
 */
enum kind { NONE, KILL, POWERCUT, LOSTNAMES, ENOSPC_KIND, EIO_KIND, SHORT_KIND, PAUSE, EINVAL_KIND };

static bool ready;
static enum kind kind;
static uint64_t at;
static bool sticky;
static const char *pause_op, *pause_end;
static const char *unreadable;
static long stall;
static bool fired;       /* the one-off fault has happened */
static bool track_names; /* keep what it takes to undo name operations */
static bool track_data;  /* ... and to undo changes of content */
static char *roots;      /* each prefix ends with a NUL, the list with two */
static uint64_t own_counter;
static uint64_t *counter = &own_counter;
static int log_fd = -1;
static int trash_fd = -1;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int saved_errno;

/* Set while a thread is inside the library: a call made from a signal handler
 * that interrupts us must pass straight through rather than wait for the
 * mutex its own thread holds. The initial-exec model keeps the access free of
 * calls into the loader. */
static __thread int inside __attribute__((tls_model("initial-exec")));

/* A test tool that cannot keep its promise must not let the test pass. */
static void die(const char *what, const char *about)
{
    char line[PATH_MAX + 256];
    int n = snprintf(line, sizeof line, "faults: %s: %s: %s\n", what, about,
                     strerror(errno));
    if (n > (int)sizeof line - 1)
        n = sizeof line - 1;
    sys(SYS_write, 2, line, n);
    abort();
}

static void *need(void *memory)
{
    if (!memory)
        die("out of memory", "bookkeeping");
    return memory;
}

static void leave(void)
{
    errno = saved_errno;
    pthread_mutex_unlock(&mutex);
    inside = 0;
}

static bool enter(void)
{
    if (!ready || inside)
        return false;
    inside = 1;
    int e = errno;
    pthread_mutex_lock(&mutex);
    saved_errno = e;
    return true;
}

/* ------------------------------------------------------------------------
 * Descriptors and paths
 */
static int own_fd(long fd, const char *about)
{
    if (fd < 0) {
        errno = (int)-fd;
        die("cannot open", about);
    }
    int high = fcntl((int)fd, F_DUPFD_CLOEXEC, OWN_FDS);
    if (high < 0) {
        if (errno != EINVAL) /* EINVAL: the limit is below OWN_FDS */
            die("cannot duplicate", about);
        return (int)fd;
    }
    sys(SYS_close, fd);
    return high;
}

static char *proc_path(int fd, char buf[32])
{
    snprintf(buf, 32, "/proc/self/fd/%d", fd);
    return buf;
}

static bool fd_path(int fd, char out[PATH_MAX])
{
    char proc[32];
    ssize_t n = readlink(proc_path(fd, proc), out, PATH_MAX - 1);
    if (n < 0)
        n = 0;
    out[n] = 0;
    return n > 0;
}

/* Another handle on the inode behind `fd`. O_PATH matters: closing any other
 * kind of descriptor would drop the POSIX locks the program holds on the file,
 * and SQLite holds some. */
static int path_fd(int fd)
{
    char proc[32];
    return own_fd(sys(SYS_openat, AT_FDCWD, proc_path(fd, proc), O_PATH | O_CLOEXEC, 0),
                  proc);
}

static bool under_root(const char *path)
{
    for (const char *root = roots; *root; root += strlen(root) + 1) {
        size_t n = strlen(root);
        if (!strncmp(path, root, n) && (!path[n] || path[n] == '/' || !strcmp(root, "/")))
            return true;
    }
    return false;
}

/*
 * Path by descriptor. An entry is good while the descriptor still leads to the
 * same inode and no name has changed since: so it survives neither a rename
 * nor those closes that libc does inside itself (closedir, fclose) where we
 * cannot see them.
 */
static struct cached {
    dev_t dev;
    ino_t ino;
    uint64_t names; /* value of names_version when read; 0: empty */
    char *path;
} cache[65536];
static uint64_t names_version = 1;

static const char *cached_path(int fd, const struct stat *st)
{
    static char scratch[PATH_MAX];
    if ((size_t)fd >= sizeof cache / sizeof *cache) {
        fd_path(fd, scratch);
        return scratch;
    }
    struct cached *c = &cache[fd];
    if (c->names != names_version || c->dev != st->st_dev || c->ino != st->st_ino) {
        fd_path(fd, scratch);
        free(c->path);
        *c = (struct cached){st->st_dev, st->st_ino, names_version, need(strdup(scratch))};
    }
    return c->path;
}

/* Enter for a call on a descriptor, if it is a point; fills in `st`. */
static bool enter_fd(int fd, struct stat *st, const char **path)
{
    if (fd <= 2 || !ready || inside)
        return false;
    int e = errno;
    inside = 1;
    bool file = fstat(fd, st) == 0 && (S_ISREG(st->st_mode) || S_ISDIR(st->st_mode));
    inside = 0;
    errno = e;
    if (!file || !enter())
        return false;
    *path = cached_path(fd, st);
    if (under_root(*path))
        return true;
    leave();
    return false;
}

/* Where a path argument leads: the directory (an O_PATH descriptor, or -1 if
 * there is none), the name in it, and the absolute path. */
struct target {
    int dir;
    char name[NAME_MAX + 1];
    char path[2 * PATH_MAX];
    bool exists;
    struct stat st; /* of the name itself, if it exists */
};

static void release(struct target *t)
{
    if (t->dir >= 0)
        sys(SYS_close, t->dir);
    t->dir = -1;
}

static long open_dir(int dirfd, const char *path)
{
    return sys(SYS_openat, dirfd, path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
}

/* With `follow`, a symbolic link in the last place is followed, as open or
 * chmod would. A path that leads nowhere is still given a textual path, so
 * that a call bound to fail is counted all the same. */
static void resolve(int dirfd, const char *path, bool follow, struct target *t)
{
    char buf[PATH_MAX], link[PATH_MAX];
    int base = dirfd;

    *t = (struct target){.dir = -1};
    if (!path || strlen(path) >= sizeof buf)
        return;
    if (!*path) { /* AT_EMPTY_PATH */
        if (dirfd >= 0)
            fd_path(dirfd, t->path);
        return;
    }
    strcpy(buf, path);
    for (int links = 0; links < 40; links++) {
        size_t n = strlen(buf);
        while (n > 1 && buf[n - 1] == '/')
            buf[--n] = 0;
        char *slash = strrchr(buf, '/');
        char *name = slash ? slash + 1 : buf;
        long dir;
        if (!*name || !strcmp(name, ".") || !strcmp(name, "..")) {
            dir = open_dir(base, buf);
            if (dir >= 0) {
                fd_path((int)dir, t->path);
                sys(SYS_close, dir);
            }
            break;
        }
        if (strlen(name) > NAME_MAX)
            break;
        strcpy(t->name, name);
        if (!slash) {
            dir = open_dir(base, ".");
        } else if (slash == buf) {
            dir = open_dir(base, "/");
        } else {
            *slash = 0;
            dir = open_dir(base, buf);
            *slash = '/';
        }
        if (dir < 0) {
            size_t k = 0;
            if (*buf != '/') {
                if (base < 0) {
                    if (!getcwd(t->path, PATH_MAX))
                        break;
                } else {
                    fd_path(base, t->path);
                }
                k = strlen(t->path);
                t->path[k++] = '/';
            }
            strcpy(t->path + k, buf);
            break;
        }
        if (base != dirfd)
            sys(SYS_close, base);
        base = t->dir = (int)dir;
        fd_path(t->dir, t->path);
        size_t k = strlen(t->path);
        if (k > 1)
            t->path[k++] = '/';
        strcpy(t->path + k, name);
        t->exists = fstatat(t->dir, t->name, &t->st, AT_SYMLINK_NOFOLLOW) == 0;
        if (!follow || !t->exists || !S_ISLNK(t->st.st_mode))
            return;
        ssize_t got = readlinkat(t->dir, t->name, link, sizeof link - 1);
        if (got <= 0)
            return;
        link[got] = 0;
        strcpy(buf, link);
    }
    /* Left by break: no directory to work in. */
    if (base != dirfd)
        sys(SYS_close, base);
    t->dir = -1;
    t->exists = false;
}

/* ------------------------------------------------------------------------
 * Content that is not durable yet. For each file changed since its last sync:
 * its durable length, and the old bytes of every block that was touched below
 * that length, saved once, before the first change.
 */
struct block {
    struct block *next;
    off_t at;
    size_t len;
    char data[];
};

struct file {
    struct file *next;
    dev_t dev;
    ino_t ino;
    bool dirty;
    off_t durable;
    int handle; /* O_PATH: keeps the inode, and its number, from being reused */
    int reader;
    unsigned char *saved; /* bitmap of blocks */
    struct block *blocks;
};

static struct file *files[4096];

static struct file **file_slot(dev_t dev, ino_t ino)
{
    struct file **f = &files[(ino ^ dev) % (sizeof files / sizeof *files)];
    while (*f && ((*f)->ino != ino || (*f)->dev != dev))
        f = &(*f)->next;
    return f;
}

static void save_block(struct file *f, off_t number)
{
    size_t want = BLOCK;
    off_t from = number * BLOCK;
    if (f->durable - from < BLOCK)
        want = (size_t)(f->durable - from);
    struct block *b = need(malloc(sizeof *b + want));
    b->at = from;
    b->len = 0;
    while (b->len < want) {
        ssize_t n = pread(f->reader, b->data + b->len, want - b->len, from + (off_t)b->len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            die("cannot save the old content", "read");
        if (n == 0)
            break;
        b->len += (size_t)n;
    }
    b->next = f->blocks;
    f->blocks = b;
}

/* The bytes [from, to) of the file behind `fd`, any kind of descriptor, are
 * about to change, or its length is. */
static void before_change(int fd, const struct stat *st, off_t from, off_t to)
{
    if (!track_data || !S_ISREG(st->st_mode))
        return;
    struct file **slot = file_slot(st->st_dev, st->st_ino);
    struct file *f = *slot;
    if (!f) {
        f = need(calloc(1, sizeof *f));
        f->dev = st->st_dev;
        f->ino = st->st_ino;
        f->handle = path_fd(fd);
        f->reader = -1;
        *slot = f;
    }
    if (!f->dirty) {
        f->dirty = true;
        f->durable = st->st_size;
        f->saved = need(calloc(1, (size_t)(f->durable / BLOCK / 8 + 1)));
    }
    if (to > f->durable)
        to = f->durable;
    if (from < 0 || from >= to)
        return;
    if (f->reader < 0) {
        /* Not moved out of the way by own_fd: that closes the first number,
         * and with it go the POSIX locks, see path_fd. */
        char proc[32];
        long fd = sys(SYS_openat, AT_FDCWD, proc_path(f->handle, proc),
                      O_RDONLY | O_CLOEXEC, 0);
        if (fd < 0) {
            errno = (int)-fd;
            die("cannot save the old content", proc);
        }
        f->reader = (int)fd;
    }
    for (off_t b = from / BLOCK; b <= (to - 1) / BLOCK; b++) {
        if (!(f->saved[b / 8] & 1 << b % 8)) {
            save_block(f, b);
            f->saved[b / 8] |= (unsigned char)(1 << b % 8);
        }
    }
}

static void settle_file(struct file **slot)
{
    struct file *f = *slot;
    if (!f)
        return;
    while (f->blocks) {
        struct block *b = f->blocks;
        f->blocks = b->next;
        free(b);
    }
    free(f->saved);
    f->saved = NULL;
    f->dirty = false;
    /* Closing the reader would drop the program's POSIX locks on the file, so
     * a file that has one stays in the table for good. */
    if (f->reader < 0) {
        sys(SYS_close, f->handle);
        *slot = f->next;
        free(f);
    }
}

static void restore_file(struct file *f)
{
    char proc[32];
    struct stat st;
    proc_path(f->handle, proc);
    if (fstat(f->handle, &st))
        die("cannot restore content", proc);
    long fd = sys(SYS_openat, AT_FDCWD, proc, O_WRONLY | O_CLOEXEC, 0);
    if (fd == -EACCES) { /* made read-only after it was written */
        sys(SYS_fchmodat, AT_FDCWD, proc, st.st_mode | S_IWUSR);
        fd = sys(SYS_openat, AT_FDCWD, proc, O_WRONLY | O_CLOEXEC, 0);
        sys(SYS_fchmodat, AT_FDCWD, proc, st.st_mode & 07777);
    }
    if (fd < 0 || sys(SYS_ftruncate, fd, f->durable) < 0)
        die("cannot restore content", proc);
    for (struct block *b = f->blocks; b; b = b->next)
        if (sys(SYS_pwrite64, fd, b->data, b->len, b->at) != (long)b->len)
            die("cannot restore content", proc);
}

/* ------------------------------------------------------------------------
 * Names that are not durable yet: a journal of operations, undone from the
 * newest to the oldest. Directories are held by descriptor, so that undoing
 * works whatever they have been renamed to since.
 */
struct dir {
    struct dir *next;
    dev_t dev;
    ino_t ino;
    int fd;
    int refs;
};

enum op_kind { ADDED, REMOVED, MOVED, SWAPPED };

struct op {
    struct op *older, *newer;
    enum op_kind kind;
    struct dir *dir, *to; /* `to` only for MOVED and SWAPPED */
    char *name, *to_name;
    dev_t dev; /* the inode added or moved */
    ino_t ino;
    bool is_dir;
    /* What was removed or replaced: a link in the trash for a file, or for a
     * directory, which was empty, what it takes to make it again. */
    char kept[48];
    struct dir *gone;
    mode_t mode;
    uid_t uid;
    gid_t gid;
};

static struct dir *dirs[256];
static struct op *newest;

static struct dir *hold_dir(int fd)
{
    struct stat st;
    if (fstat(fd, &st))
        die("cannot look at a directory", "journal");
    struct dir **slot = &dirs[st.st_ino % (sizeof dirs / sizeof *dirs)];
    struct dir *d;
    for (d = *slot; d && (d->ino != st.st_ino || d->dev != st.st_dev); d = d->next)
        ;
    if (!d) {
        d = need(calloc(1, sizeof *d));
        *d = (struct dir){*slot, st.st_dev, st.st_ino, path_fd(fd), 0};
        *slot = d;
    }
    d->refs++;
    return d;
}

static void drop_dir(struct dir *d)
{
    if (!d || --d->refs)
        return;
    struct dir **slot = &dirs[d->ino % (sizeof dirs / sizeof *dirs)];
    while (*slot != d)
        slot = &(*slot)->next;
    *slot = d->next;
    sys(SYS_close, d->fd);
    free(d);
}

static void forget_op(struct op *op)
{
    if (*op->kept)
        sys(SYS_unlinkat, trash_fd, op->kept, 0);
    drop_dir(op->dir);
    drop_dir(op->to);
    drop_dir(op->gone);
    free(op->name);
    free(op->to_name);
    free(op);
}

static void append_op(struct op *op)
{
    op->older = newest;
    if (newest)
        newest->newer = op;
    newest = op;
}

static struct op *new_op(enum op_kind k, const struct target *where)
{
    struct op *op = need(calloc(1, sizeof *op));
    op->kind = k;
    op->dir = hold_dir(where->dir);
    op->name = need(strdup(where->name));
    return op;
}

/* Before a name is removed or replaced: keep what it leads to. */
static void keep(struct op *op, const struct target *victim)
{
    static unsigned serial;
    if (S_ISDIR(victim->st.st_mode)) {
        long fd = open_dir(victim->dir, victim->name);
        if (fd < 0)
            return; /* then the call will fail too */
        op->gone = hold_dir((int)fd);
        sys(SYS_close, fd);
        op->mode = victim->st.st_mode & 07777;
        op->uid = victim->st.st_uid;
        op->gid = victim->st.st_gid;
        return;
    }
    for (;;) {
        snprintf(op->kept, sizeof op->kept, "%d-%u", (int)getpid(), ++serial);
        long r = sys(SYS_linkat, victim->dir, victim->name, trash_fd, op->kept, 0);
        if (r == 0)
            return;
        if (r != -EEXIST) {
            errno = (int)-r;
            die("cannot keep a removed file in the trash", victim->path);
        }
    }
}

static void after_adding(const struct target *t)
{
    struct stat st;
    if (!track_names || t->dir < 0 ||
        fstatat(t->dir, t->name, &st, AT_SYMLINK_NOFOLLOW))
        return;
    struct op *op = new_op(ADDED, t);
    op->dev = st.st_dev;
    op->ino = st.st_ino;
    op->is_dir = S_ISDIR(st.st_mode);
    append_op(op);
}

/* The directory was synced: its operations can no longer be lost. */
static void settle_dir(dev_t dev, ino_t ino)
{
    for (struct op *op = newest, *older; op; op = older) {
        older = op->older;
        if (!((op->dir->ino == ino && op->dir->dev == dev) ||
              (op->to && op->to->ino == ino && op->to->dev == dev)))
            continue;
        if (op->older)
            op->older->newer = op->newer;
        if (op->newer)
            op->newer->older = op->older;
        else
            newest = op->older;
        if (op->gone) {
            /* Nothing can come back in a directory that is gone for good. */
            settle_dir(op->gone->dev, op->gone->ino);
            older = newest; /* the list has changed under us: start again */
        }
        forget_op(op);
    }
}

static void settle_all(void)
{
    while (newest) {
        struct op *op = newest;
        newest = op->older;
        forget_op(op);
    }
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        for (struct file **f = &files[i]; *f;) {
            struct file *before = *f;
            settle_file(f);
            if (*f == before)
                f = &before->next;
        }
}

static bool leads_to(struct dir *d, const char *name, dev_t dev, ino_t ino)
{
    struct stat st;
    return fstatat(d->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == ino &&
           st.st_dev == dev;
}

static void expect(long r, const char *name)
{
    /* EEXIST: the name was taken by a later operation which is durable. */
    if (r < 0 && r != -EEXIST) {
        errno = (int)-r;
        die("cannot undo a name operation", name);
    }
}

static void bring_back(struct op *op, struct dir *d, const char *name)
{
    if (*op->kept) {
        expect(sys(SYS_linkat, trash_fd, op->kept, d->fd, name, 0), name);
        sys(SYS_unlinkat, trash_fd, op->kept, 0);
    } else if (op->gone) {
        long r = sys(SYS_mkdirat, d->fd, name, 0700);
        expect(r, name);
        if (r < 0)
            return;
        expect(sys(SYS_fchownat, d->fd, name, op->uid, op->gid, 0), name);
        expect(sys(SYS_fchmodat, d->fd, name, op->mode), name);
        /* Older operations inside it are to be undone in the new one. */
        sys(SYS_close, op->gone->fd);
        op->gone->fd = own_fd(open_dir(d->fd, name), name);
    }
}

static void undo(struct op *op)
{
    char lost[48];
    static unsigned serial;
    switch (op->kind) {
    case ADDED:
        if (!leads_to(op->dir, op->name, op->dev, op->ino))
            break;
        if (!op->is_dir) {
            expect(sys(SYS_unlinkat, op->dir->fd, op->name, 0), op->name);
            break;
        }
        /* It may hold names that were synced: out of sight with all of it. */
        snprintf(lost, sizeof lost, "lost-%d-%u", (int)getpid(), ++serial);
        expect(sys(SYS_renameat2, op->dir->fd, op->name, trash_fd, lost, 0), op->name);
        break;
    case REMOVED:
        bring_back(op, op->dir, op->name);
        break;
    case MOVED:
        if (leads_to(op->to, op->to_name, op->dev, op->ino))
            expect(sys(SYS_renameat2, op->to->fd, op->to_name, op->dir->fd, op->name,
                       RENAME_NOREPLACE), op->name);
        bring_back(op, op->to, op->to_name);
        break;
    case SWAPPED:
        if (leads_to(op->to, op->to_name, op->dev, op->ino))
            expect(sys(SYS_renameat2, op->to->fd, op->to_name, op->dir->fd, op->name,
                       RENAME_EXCHANGE), op->name);
        break;
    }
}

/* ------------------------------------------------------------------------
 * Points
 */

/* What a call is, for the faults that only some calls can meet. */
enum {
    GROWS = 1,  /* needs space: fails while the disk is full */
    NOSPC = 2,  /* may also report ENOSPC, though not on every full disk */
    SPLITS = 4, /* a write of at least two bytes, which may be cut short */
};

enum { GO = 0, HALF = 1 }; /* or minus an errno */

struct point {
    const char *op, *path, *to;
    uint64_t number;
};

static char *escape(char *out, const char *in)
{
    for (; *in; in++) {
        char c = *in == '\t' ? 't' : *in == '\n' ? 'n' : *in == '\\' ? '\\' : 0;
        if (c)
            *out++ = '\\';
        *out++ = c ? c : *in;
    }
    return out;
}

static void log_point(const struct point *p, const char *result)
{
    static char line[8 * PATH_MAX + 256]; /* two paths, every byte escaped */
    if (log_fd < 0)
        return;
    char *end = line + sprintf(line, "%llu\t%s\t", (unsigned long long)p->number, p->op);
    end = escape(end, p->path);
    *end++ = '\t';
    if (p->to)
        end = escape(end, p->to);
    end += sprintf(end, "\t%s\n", result);
    sys(SYS_write, log_fd, line, end - line);
}

static void wait_for_the_end(int signal)
{
    (void)signal;
    for (;;)
        pause();
}

static void stop(const struct point *p)
{
    log_point(p, "killed");
    /* Another thread may have a file mapped that is about to shrink (the -shm
     * of SQLite): it must not change what the process dies of. */
    struct sigaction hold = {.sa_handler = wait_for_the_end};
    sigaction(SIGBUS, &hold, NULL);
    if (track_names)
        for (struct op *op = newest; op; op = op->older)
            undo(op);
    if (track_data)
        for (size_t i = 0; i < sizeof files / sizeof *files; i++)
            for (struct file *f = files[i]; f; f = f->next)
                if (f->dirty)
                    restore_file(f);
    /* The mutex is still held: no other thread can get a change in between. */
    sys(SYS_kill, getpid(), SIGKILL);
    wait_for_the_end(SIGKILL);
}

/* The first call that is named by its operation and the end of its path. */
static bool is_named(const struct point *p)
{
    size_t whole = strlen(p->path), end = strlen(pause_end);
    if (fired || strcmp(p->op, pause_op) || whole < end ||
        strcmp(p->path + whole - end, pause_end))
        return false;
    fired = true;
    return true;
}

/* The whole process stands still before this call. The signal goes to this
 * thread, which does not get past it. */
static void stand_still(void)
{
    if (stall) {
        /* The others must be able to make their calls meanwhile. */
        struct timespec left = {.tv_sec = stall};
        pthread_mutex_unlock(&mutex);
        while (nanosleep(&left, &left) < 0)
            ;
        pthread_mutex_lock(&mutex);
        return;
    }
    sys(SYS_tgkill, getpid(), gettid(), SIGSTOP);
}

/* Number the call and say what is to become of it. */
static int begin(struct point *p, unsigned traits)
{
    p->number = __atomic_add_fetch(counter, 1, __ATOMIC_SEQ_CST);
    if (kind == NONE || p->number < at)
        return GO;
    switch (kind) {
    case KILL:
    case POWERCUT:
    case LOSTNAMES:
        if (p->number == at)
            stop(p);
        return GO;
    case ENOSPC_KIND:
        if (sticky ? !(traits & GROWS) : fired || !(traits & (GROWS | NOSPC)))
            return GO;
        fired = true;
        return -ENOSPC;
    case EIO_KIND:
        return p->number == at ? -EIO : GO;
    case SHORT_KIND:
        if (fired || !(traits & SPLITS))
            return GO;
        fired = true;
        return HALF;
    case PAUSE:
        if (is_named(p))
            stand_still();
        return GO;
    case EINVAL_KIND:
        return is_named(p) ? -EINVAL : GO;
    default:
        return GO;
    }
}

static long finish(const struct point *p, long r)
{
    char text[32];
    const char *result = text;
    if (r < 0 && r > -4096) {
        result = strerrorname_np((int)-r);
        if (!result)
            result = strcpy(text, "error");
        saved_errno = (int)-r;
        log_point(p, result);
        leave();
        return -1;
    }
    snprintf(text, sizeof text, "%ld", r);
    log_point(p, result);
    leave();
    return r;
}

/* ------------------------------------------------------------------------
 * Opening
 */
struct opening {
    int dirfd;
    const char *path;
    int flags;
    mode_t mode;
    const struct open_how *how; /* for openat2, which has more to say */
    size_t size;
};

static long real_open(const struct opening *o)
{
    if (o->how)
        return sys(SYS_openat2, o->dirfd, o->path, o->how, o->size);
    return sys(SYS_openat, o->dirfd, o->path, o->flags, o->mode);
}

static int do_open(const struct opening *o)
{
    bool unnamed = (o->flags & O_TMPFILE) == O_TMPFILE;
    bool create = !unnamed && o->flags & O_CREAT;
    if (!(create || unnamed || o->flags & O_TRUNC) || o->flags & O_PATH || !enter())
        return (int)libc_result(real_open(o));

    struct target t;
    struct point p = {"open", t.path, NULL, 0};
    bool follow = !(o->flags & O_NOFOLLOW) && !(create && o->flags & O_EXCL);
    resolve(o->dirfd, o->path, follow, &t);
    /* A device or a FIFO is not a file; opening a FIFO may even block. */
    bool special = t.exists && !unnamed && !S_ISREG(t.st.st_mode);
    if (special || !under_root(t.path)) {
        release(&t);
        leave();
        return (int)libc_result(real_open(o));
    }
    long r = begin(&p, unnamed || (create && !t.exists) ? GROWS : 0);
    if (r == GO) {
        if (o->flags & O_TRUNC && t.exists && !unnamed && track_data) {
            long fd = sys(SYS_openat, t.dir, t.name, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
            if (fd >= 0) {
                before_change((int)fd, &t.st, 0, t.st.st_size);
                sys(SYS_close, fd);
            }
        }
        r = real_open(o);
        if (r >= 0 && create && !t.exists)
            after_adding(&t);
    }
    release(&t);
    return (int)finish(&p, r);
}

#define MODE_ARGUMENT(flags, mode)                                    \
    mode_t mode = 0;                                                  \
    if ((flags) & O_CREAT || ((flags) & O_TMPFILE) == O_TMPFILE) {    \
        va_list list;                                                 \
        va_start(list, flags);                                        \
        mode = va_arg(list, mode_t);                                  \
        va_end(list);                                                 \
    }

int open(const char *path, int flags, ...)
{
    MODE_ARGUMENT(flags, mode)
    return do_open(&(struct opening){AT_FDCWD, path, flags, mode, NULL, 0});
}

int open64(const char *path, int flags, ...)
{
    MODE_ARGUMENT(flags, mode)
    return do_open(&(struct opening){AT_FDCWD, path, flags, mode, NULL, 0});
}

int openat(int dirfd, const char *path, int flags, ...)
{
    MODE_ARGUMENT(flags, mode)
    return do_open(&(struct opening){dirfd, path, flags, mode, NULL, 0});
}

int openat64(int dirfd, const char *path, int flags, ...)
{
    MODE_ARGUMENT(flags, mode)
    return do_open(&(struct opening){dirfd, path, flags, mode, NULL, 0});
}

int creat(const char *path, mode_t mode)
{
    return open(path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int creat64(const char *path, mode_t mode)
{
    return open(path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int close(int fd)
{
    if (fd >= 0 && (size_t)fd < sizeof cache / sizeof *cache)
        __atomic_store_n(&cache[fd].names, 0, __ATOMIC_RELAXED);
    return (int)libc_result(sys(SYS_close, fd));
}

/* ------------------------------------------------------------------------
 * Content
 */

/* Where the next write to the descriptor goes. Linux appends even for pwrite
 * when O_APPEND is set. */
static off_t write_offset(int fd, const struct stat *st, const off_t *offset)
{
    if (fcntl(fd, F_GETFL) & O_APPEND)
        return st->st_size;
    return offset ? *offset : lseek(fd, 0, SEEK_CUR);
}

static off_t end_of(off_t from, size_t len)
{
    if (from < 0) /* the call will refuse it */
        return from;
    return len > (size_t)(LONG_MAX - from) ? LONG_MAX : from + (off_t)len;
}

/* As much of the vector as makes half of its bytes. */
static struct iovec *half_of(const struct iovec *iov, int *count, size_t total)
{
    struct iovec *half = need(malloc((size_t)*count * sizeof *half));
    size_t left = total / 2;
    int n = 0;
    for (; n < *count && left; n++) {
        half[n] = iov[n];
        if (half[n].iov_len > left)
            half[n].iov_len = left;
        left -= half[n].iov_len;
    }
    *count = n;
    return half;
}

static long real_write(int fd, const struct iovec *iov, int count, const off_t *offset)
{
    if (offset)
        return sys(SYS_pwritev, fd, iov, count, *offset, 0);
    return sys(SYS_writev, fd, iov, count);
}

/* Only for a descriptor that enter_fd has accepted. */
static ssize_t do_write(int fd, const struct stat *st, const char *path,
                        const struct iovec *iov, int count, const off_t *offset)
{
    struct point p = {"write", path, NULL, 0};
    size_t total = 0;
    for (int i = 0; i < count && count <= IOV_MAX; i++)
        total += iov[i].iov_len;
    long r = begin(&p, (total > 0 ? GROWS : 0) | (total > 1 ? SPLITS : 0));
    if (r >= 0) {
        if (track_data) {
            off_t from = write_offset(fd, st, offset);
            before_change(fd, st, from, end_of(from, total));
        }
        if (r == HALF) {
            struct iovec *half = half_of(iov, &count, total);
            r = real_write(fd, half, count, offset);
            free(half);
        } else {
            r = real_write(fd, iov, count, offset);
        }
    }
    return finish(&p, r);
}

/* Reads are no points: a disk that does not answer never does. */
static bool cannot_be_read(int fd)
{
    struct stat st;
    const char *path;
    if (!unreadable || !enter_fd(fd, &st, &path))
        return false;
    size_t whole = strlen(path), end = strlen(unreadable);
    bool found = whole >= end && !strcmp(path + whole - end, unreadable);
    leave();
    if (found)
        errno = EIO;
    return found;
}

ssize_t read(int fd, void *data, size_t len)
{
    if (cannot_be_read(fd))
        return -1;
    return libc_result(sys(SYS_read, fd, data, len));
}

ssize_t pread(int fd, void *data, size_t len, off_t offset)
{
    if (cannot_be_read(fd))
        return -1;
    return libc_result(sys(SYS_pread64, fd, data, len, offset));
}

ssize_t pread64(int fd, void *data, size_t len, off64_t offset)
{
    return pread(fd, data, len, offset);
}

ssize_t write(int fd, const void *data, size_t len)
{
    struct stat st;
    const char *path;
    if (!enter_fd(fd, &st, &path))
        return libc_result(sys(SYS_write, fd, data, len));
    return do_write(fd, &st, path, &(struct iovec){(void *)data, len}, 1, NULL);
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t offset)
{
    struct stat st;
    const char *path;
    if (!enter_fd(fd, &st, &path))
        return libc_result(sys(SYS_pwrite64, fd, data, len, offset));
    return do_write(fd, &st, path, &(struct iovec){(void *)data, len}, 1, &offset);
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t offset)
{
    return pwrite(fd, data, len, offset);
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
    struct stat st;
    const char *path;
    if (!enter_fd(fd, &st, &path))
        return libc_result(sys(SYS_writev, fd, iov, count));
    return do_write(fd, &st, path, iov, count, NULL);
}

ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
    struct stat st;
    const char *path;
    if (!enter_fd(fd, &st, &path))
        return libc_result(sys(SYS_pwritev, fd, iov, count, offset, 0));
    return do_write(fd, &st, path, iov, count, &offset);
}

ssize_t pwritev64(int fd, const struct iovec *iov, int count, off64_t offset)
{
    return pwritev(fd, iov, count, offset);
}

/* A pipe may stay empty until another thread has done something that is a
 * point itself: wait for it before taking the mutex, not with it. */
static void wait_for_input(int in)
{
    struct stat st;
    int e = errno;
    if (ready && !inside && fstat(in, &st) == 0 && !S_ISREG(st.st_mode) &&
        !(fcntl(in, F_GETFL) & O_NONBLOCK)) {
        struct pollfd wait = {.fd = in, .events = POLLIN};
        poll(&wait, 1, -1);
    }
    errno = e;
}

/* The calls that move bytes between descriptors inside the kernel. `len` is
 * one of the arguments, so that it can be halved. */
static ssize_t do_copy(int in, const off_t *in_offset, int out, const off_t *out_offset,
                       long nr, long arg[6], int len)
{
    struct stat st, source;
    const char *path;
    if (!enter_fd(out, &st, &path))
        return libc_result(sys(nr, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]));
    struct point p = {"copy", path, NULL, 0};
    /* Callers ask for far more than there is: half of that is no short copy. */
    size_t total = (size_t)arg[len];
    if (fstat(in, &source) == 0 && S_ISREG(source.st_mode)) {
        off_t from = in_offset ? *in_offset : lseek(in, 0, SEEK_CUR);
        off_t left = source.st_size > from ? source.st_size - from : 0;
        if (total > (size_t)left)
            total = (size_t)left;
    }
    long r = begin(&p, (total > 0 ? GROWS : 0) | (total > 1 ? SPLITS : 0));
    if (r >= 0) {
        if (r == HALF)
            arg[len] = (long)(total / 2);
        if (track_data) {
            off_t from = write_offset(out, &st, out_offset);
            before_change(out, &st, from, end_of(from, total));
        }
        r = sys(nr, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
    }
    return finish(&p, r);
}

ssize_t copy_file_range(int in, off64_t *in_offset, int out, off64_t *out_offset,
                        size_t len, unsigned flags)
{
    long arg[] = {in, (long)in_offset, out, (long)out_offset, (long)len, flags};
    return do_copy(in, in_offset, out, out_offset, SYS_copy_file_range, arg, 4);
}

ssize_t sendfile(int out, int in, off_t *offset, size_t len)
{
    long arg[] = {out, in, (long)offset, (long)len, 0, 0};
    return do_copy(in, offset, out, NULL, SYS_sendfile, arg, 3);
}

ssize_t sendfile64(int out, int in, off64_t *offset, size_t len)
{
    return sendfile(out, in, offset, len);
}

ssize_t splice(int in, off64_t *in_offset, int out, off64_t *out_offset, size_t len,
               unsigned flags)
{
    long arg[] = {in, (long)in_offset, out, (long)out_offset, (long)len, flags};
    if (!(flags & SPLICE_F_NONBLOCK))
        wait_for_input(in);
    return do_copy(in, in_offset, out, out_offset, SYS_splice, arg, 4);
}

int ftruncate(int fd, off_t length)
{
    struct stat st;
    const char *path;
    if (!enter_fd(fd, &st, &path))
        return (int)libc_result(sys(SYS_ftruncate, fd, length));
    struct point p = {"truncate", path, NULL, 0};
    long r = begin(&p, length > st.st_size ? GROWS : 0);
    if (r == GO) {
        before_change(fd, &st, length, st.st_size);
        r = sys(SYS_ftruncate, fd, length);
    }
    return (int)finish(&p, r);
}

int ftruncate64(int fd, off64_t length)
{
    return ftruncate(fd, length);
}

int truncate(const char *path, off_t length)
{
    if (!enter())
        return (int)libc_result(sys(SYS_truncate, path, length));
    struct target t;
    struct point p = {"truncate", t.path, NULL, 0};
    resolve(AT_FDCWD, path, true, &t);
    if (!under_root(t.path)) {
        release(&t);
        leave();
        return (int)libc_result(sys(SYS_truncate, path, length));
    }
    long r = begin(&p, t.exists && length > t.st.st_size ? GROWS : 0);
    if (r == GO) {
        if (t.exists && track_data) {
            long fd = sys(SYS_openat, t.dir, t.name, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
            if (fd >= 0) {
                before_change((int)fd, &t.st, length, t.st.st_size);
                sys(SYS_close, fd);
            }
        }
        r = sys(SYS_truncate, path, length);
    }
    release(&t);
    return (int)finish(&p, r);
}

int truncate64(const char *path, off64_t length)
{
    return truncate(path, length);
}

int fallocate(int fd, int mode, off_t offset, off_t len)
{
    struct stat st;
    const char *path;
    if (!enter_fd(fd, &st, &path))
        return (int)libc_result(sys(SYS_fallocate, fd, mode, offset, len));
    struct point p = {"allocate", path, NULL, 0};
    bool shifts = mode & (FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE);
    bool clears = mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE);
    bool frees = mode & (FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_PUNCH_HOLE);
    long r = begin(&p, frees ? 0 : GROWS);
    if (r == GO) {
        off_t to = shifts ? st.st_size : clears ? end_of(offset, (size_t)len) : offset;
        before_change(fd, &st, offset, to);
        r = sys(SYS_fallocate, fd, mode, offset, len);
    }
    return (int)finish(&p, r);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t len)
{
    return fallocate(fd, mode, offset, len);
}

/* Returns the error instead of setting errno. */
int posix_fallocate(int fd, off_t offset, off_t len)
{
    int before = errno;
    int e = fallocate(fd, 0, offset, len) ? errno : 0;
    errno = before;
    return e;
}

int posix_fallocate64(int fd, off64_t offset, off64_t len)
{
    return posix_fallocate(fd, offset, len);
}

static int do_sync(const char *op, int fd, long nr)
{
    struct stat st;
    const char *path;
    if (!enter_fd(fd, &st, &path))
        return (int)libc_result(sys(nr, fd));
    struct point p = {op, path, NULL, 0};
    long r = begin(&p, NOSPC);
    if (r == GO) {
        r = sys(nr, fd);
        if (r == 0 && nr == SYS_syncfs)
            settle_all();
        else if (r == 0 && S_ISDIR(st.st_mode))
            settle_dir(st.st_dev, st.st_ino);
        else if (r == 0)
            settle_file(file_slot(st.st_dev, st.st_ino));
    }
    return (int)finish(&p, r);
}

int fsync(int fd)
{
    return do_sync("fsync", fd, SYS_fsync);
}

int fdatasync(int fd)
{
    return do_sync("fdatasync", fd, SYS_fdatasync);
}

int syncfs(int fd)
{
    return do_sync("syncfs", fd, SYS_syncfs);
}

/* Says nothing about which files it is for, hence no point. */
void sync(void)
{
    bool entered = enter();
    sys(SYS_sync, 0);
    if (entered) {
        settle_all();
        leave();
    }
}

/* ------------------------------------------------------------------------
 * Names
 */

/* The calls that make one new name. */
static int do_add(const char *op, int dirfd, const char *path, long nr, long arg[6])
{
    if (!enter())
        return (int)libc_result(sys(nr, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]));
    struct target t;
    struct point p = {op, t.path, NULL, 0};
    resolve(dirfd, path, false, &t);
    if (!under_root(t.path)) {
        release(&t);
        leave();
        return (int)libc_result(sys(nr, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]));
    }
    long r = begin(&p, t.exists ? 0 : GROWS);
    if (r == GO) {
        r = sys(nr, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
        if (r == 0)
            after_adding(&t);
    }
    release(&t);
    return (int)finish(&p, r);
}

int mkdirat(int dirfd, const char *path, mode_t mode)
{
    long arg[6] = {dirfd, (long)path, mode};
    return do_add("mkdir", dirfd, path, SYS_mkdirat, arg);
}

int mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}

int symlinkat(const char *content, int dirfd, const char *path)
{
    long arg[6] = {(long)content, dirfd, (long)path};
    return do_add("symlink", dirfd, path, SYS_symlinkat, arg);
}

int symlink(const char *content, const char *path)
{
    return symlinkat(content, AT_FDCWD, path);
}

int mknodat(int dirfd, const char *path, mode_t mode, dev_t device)
{
    long arg[6] = {dirfd, (long)path, mode, (long)device};
    return do_add("mknod", dirfd, path, SYS_mknodat, arg);
}

int mknod(const char *path, mode_t mode, dev_t device)
{
    return mknodat(AT_FDCWD, path, mode, device);
}

int mkfifoat(int dirfd, const char *path, mode_t mode)
{
    return mknodat(dirfd, path, mode | S_IFIFO, 0);
}

int mkfifo(const char *path, mode_t mode)
{
    return mknodat(AT_FDCWD, path, mode | S_IFIFO, 0);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    if (!enter())
        return (int)libc_result(sys(SYS_linkat, from_dir, from, to_dir, to, flags));
    struct target source, t;
    struct point p = {"link", source.path, t.path, 0};
    resolve(from_dir, from, flags & AT_SYMLINK_FOLLOW, &source);
    resolve(to_dir, to, false, &t);
    release(&source);
    if (!under_root(source.path) && !under_root(t.path)) {
        release(&t);
        leave();
        return (int)libc_result(sys(SYS_linkat, from_dir, from, to_dir, to, flags));
    }
    long r = begin(&p, t.exists ? 0 : GROWS);
    if (r == GO) {
        r = sys(SYS_linkat, from_dir, from, to_dir, to, flags);
        if (r == 0) {
            names_version++;
            after_adding(&t);
        }
    }
    release(&t);
    return (int)finish(&p, r);
}

int link(const char *from, const char *to)
{
    return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlinkat(int dirfd, const char *path, int flags)
{
    if (!enter())
        return (int)libc_result(sys(SYS_unlinkat, dirfd, path, flags));
    struct target t;
    struct point p = {flags & AT_REMOVEDIR ? "rmdir" : "unlink", t.path, NULL, 0};
    resolve(dirfd, path, false, &t);
    if (!under_root(t.path)) {
        release(&t);
        leave();
        return (int)libc_result(sys(SYS_unlinkat, dirfd, path, flags));
    }
    long r = begin(&p, 0);
    if (r == GO) {
        struct op *op = NULL;
        /* Not for a call of the wrong kind, which will fail. */
        if (track_names && t.exists &&
            !!S_ISDIR(t.st.st_mode) == !!(flags & AT_REMOVEDIR)) {
            op = new_op(REMOVED, &t);
            keep(op, &t);
        }
        r = sys(SYS_unlinkat, dirfd, path, flags);
        if (r == 0) {
            names_version++;
            if (op)
                append_op(op);
        } else if (op) {
            forget_op(op);
        }
    }
    release(&t);
    return (int)finish(&p, r);
}

int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

int rmdir(const char *path)
{
    return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    if (!enter())
        return (int)libc_result(sys(SYS_renameat2, from_dir, from, to_dir, to, flags));
    struct target source, t;
    struct point p = {"rename", source.path, t.path, 0};
    resolve(from_dir, from, false, &source);
    resolve(to_dir, to, false, &t);
    if (!under_root(source.path) && !under_root(t.path)) {
        release(&source);
        release(&t);
        leave();
        return (int)libc_result(sys(SYS_renameat2, from_dir, from, to_dir, to, flags));
    }
    long r = begin(&p, NOSPC);
    if (r == GO) {
        struct op *op = NULL;
        /* Two names of one inode: the kernel leaves both as they are. */
        bool same = t.exists && t.st.st_ino == source.st.st_ino &&
                    t.st.st_dev == source.st.st_dev;
        if (track_names && source.exists && t.dir >= 0 && !same) {
            op = new_op(flags & RENAME_EXCHANGE ? SWAPPED : MOVED, &source);
            op->to = hold_dir(t.dir);
            op->to_name = need(strdup(t.name));
            op->dev = source.st.st_dev;
            op->ino = source.st.st_ino;
            if (t.exists && !(flags & (RENAME_EXCHANGE | RENAME_NOREPLACE)))
                keep(op, &t);
        }
        r = sys(SYS_renameat2, from_dir, from, to_dir, to, flags);
        if (r == 0) {
            names_version++;
            if (op)
                append_op(op);
        } else if (op) {
            forget_op(op);
        }
    }
    release(&source);
    release(&t);
    return (int)finish(&p, r);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return renameat2(from_dir, from, to_dir, to, 0);
}

int rename(const char *from, const char *to)
{
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

/* ------------------------------------------------------------------------
 * Modes and owners: points, but never undone.
 */
static int do_set_fd(const char *op, int fd, long nr, long a, long b)
{
    struct stat st;
    const char *path;
    if (!enter_fd(fd, &st, &path))
        return (int)libc_result(sys(nr, fd, a, b));
    struct point p = {op, path, NULL, 0};
    long r = begin(&p, 0);
    if (r == GO)
        r = sys(nr, fd, a, b);
    return (int)finish(&p, r);
}

static int do_set(const char *op, int dirfd, const char *path, bool follow, long nr,
                  long arg[6])
{
    if (!enter())
        return (int)libc_result(sys(nr, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]));
    struct target t;
    struct point p = {op, t.path, NULL, 0};
    resolve(dirfd, path, follow, &t);
    release(&t);
    if (!under_root(t.path)) {
        leave();
        return (int)libc_result(sys(nr, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]));
    }
    long r = begin(&p, 0);
    if (r == GO)
        r = sys(nr, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
    return (int)finish(&p, r);
}

int fchmod(int fd, mode_t mode)
{
    return do_set_fd("chmod", fd, SYS_fchmod, mode, 0);
}

int fchmodat(int dirfd, const char *path, mode_t mode, int flags)
{
    /* The system call has no flags: as in libc, not to follow a symbolic link
     * means to refuse one. */
    long arg[6] = {dirfd, (long)path, mode};
    struct stat st;
    if (flags & ~AT_SYMLINK_NOFOLLOW)
        return (int)libc_result(-EINVAL);
    if (flags && fstatat(dirfd, path, &st, flags) == 0 && S_ISLNK(st.st_mode))
        return (int)libc_result(-EOPNOTSUPP);
    return do_set("chmod", dirfd, path, true, SYS_fchmodat, arg);
}

int chmod(const char *path, mode_t mode)
{
    return fchmodat(AT_FDCWD, path, mode, 0);
}

int fchown(int fd, uid_t uid, gid_t gid)
{
    return do_set_fd("chown", fd, SYS_fchown, uid, gid);
}

int fchownat(int dirfd, const char *path, uid_t uid, gid_t gid, int flags)
{
    long arg[6] = {dirfd, (long)path, uid, gid, flags};
    return do_set("chown", dirfd, path, !(flags & AT_SYMLINK_NOFOLLOW), SYS_fchownat, arg);
}

int chown(const char *path, uid_t uid, gid_t gid)
{
    return fchownat(AT_FDCWD, path, uid, gid, 0);
}

int lchown(const char *path, uid_t uid, gid_t gid)
{
    return fchownat(AT_FDCWD, path, uid, gid, AT_SYMLINK_NOFOLLOW);
}

/* ------------------------------------------------------------------------
 * syscall(), for the calls that rustix makes through it. Six arguments are
 * always passed on; the kernel looks only at those it knows.
 */
long syscall(long nr, ...)
{
    long a[6];
    va_list list;
    va_start(list, nr);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);

    switch (nr) {
#ifdef SYS_open
    case SYS_open:
        return do_open(&(struct opening){AT_FDCWD, (const char *)a[0], (int)a[1],
                                         (mode_t)a[2], NULL, 0});
#endif
    case SYS_openat:
        return do_open(&(struct opening){(int)a[0], (const char *)a[1], (int)a[2],
                                         (mode_t)a[3], NULL, 0});
    case SYS_openat2: {
        const struct open_how *how = (const struct open_how *)a[2];
        if (!how || (size_t)a[3] < sizeof *how)
            break; /* the kernel has the right answer */
        return do_open(&(struct opening){(int)a[0], (const char *)a[1], (int)how->flags,
                                         (mode_t)how->mode, how, (size_t)a[3]});
    }
    case SYS_renameat2:
        return renameat2((int)a[0], (const char *)a[1], (int)a[2], (const char *)a[3],
                         (unsigned)a[4]);
    case SYS_fchmod:
        return fchmod((int)a[0], (mode_t)a[1]);
    case SYS_fchmodat:
        return fchmodat((int)a[0], (const char *)a[1], (mode_t)a[2], 0);
    case SYS_fchown:
        return fchown((int)a[0], (uid_t)a[1], (gid_t)a[2]);
    case SYS_copy_file_range:
        return copy_file_range((int)a[0], (off64_t *)a[1], (int)a[2], (off64_t *)a[3],
                               (size_t)a[4], (unsigned)a[5]);
    }
    return libc_result(sys(nr, a[0], a[1], a[2], a[3], a[4], a[5]));
}

/* ------------------------------------------------------------------------
 * Start
 */
static void before_fork(void)
{
    if (!inside)
        pthread_mutex_lock(&mutex);
}

static void after_fork_in_parent(void)
{
    if (!inside)
        pthread_mutex_unlock(&mutex);
}

static void after_fork_in_child(void)
{
    if (!inside)
        pthread_mutex_unlock(&mutex);
    ready = false;
}

static const char *setting(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static void read_kind(void)
{
    static const char *const names[] = {"none",   "kill", "powercut", "lostnames",
                                        "enospc", "eio",  "short", "pause", "einval"};
    const char *name = setting("FAULTS_KIND");
    if (!name)
        return;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(name, names[i])) {
            kind = (enum kind)i;
            return;
        }
    errno = EINVAL;
    die("no such kind", name);
}

__attribute__((constructor)) static void start(void)
{
    const char *list = setting("FAULTS_ROOT");
    if (!list)
        return;
    inside = 1;
    read_kind();
    if (setting("FAULTS_AT"))
        at = strtoull(getenv("FAULTS_AT"), NULL, 10);
    if (!at)
        kind = NONE;
    stall = setting("FAULTS_STALL") ? atol(getenv("FAULTS_STALL")) : 0;
    pause_op = setting("FAULTS_OP") ? strdup(getenv("FAULTS_OP")) : "";
    pause_end = setting("FAULTS_END") ? strdup(getenv("FAULTS_END")) : "";
    unreadable = setting("FAULTS_UNREADABLE") ? strdup(getenv("FAULTS_UNREADABLE")) : NULL;
    sticky = setting("FAULTS_STICKY") && !strcmp(getenv("FAULTS_STICKY"), "1");
    track_data = kind == POWERCUT;
    track_names = kind == POWERCUT || kind == LOSTNAMES;

    roots = need(calloc(1, strlen(list) + 2));
    char *out = roots;
    for (const char *p = list; *p;) {
        size_t n = strcspn(p, ":");
        size_t used = n;
        while (used > 1 && p[used - 1] == '/')
            used--;
        if (used) {
            memcpy(out, p, used);
            out += used + 1;
        }
        p += n + (p[n] == ':');
    }

    const char *file = setting("FAULTS_COUNTER");
    if (file) {
        long fd = sys(SYS_openat, AT_FDCWD, file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        void *map = MAP_FAILED;
        if (fd >= 0 && sys(SYS_ftruncate, fd, sizeof *counter) == 0)
            map = mmap(NULL, sizeof *counter, PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd, 0);
        if (map == MAP_FAILED)
            die("cannot map the counter", file);
        sys(SYS_close, fd);
        counter = map;
    }
    file = setting("FAULTS_LOG");
    if (file)
        log_fd = own_fd(sys(SYS_openat, AT_FDCWD, file,
                            O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600), file);
    if (track_names) {
        file = setting("FAULTS_TRASH");
        if (!file) {
            errno = EINVAL;
            die("needed for this kind", "FAULTS_TRASH");
        }
        trash_fd = own_fd(open_dir(AT_FDCWD, file), file);
        /* One descriptor is held for every file and directory with something
         * left to lose. */
        struct rlimit limit;
        if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
            limit.rlim_cur = limit.rlim_max;
            setrlimit(RLIMIT_NOFILE, &limit);
        }
    }
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
    unsetenv("LD_PRELOAD");
    inside = 0;
    ready = true;
}
