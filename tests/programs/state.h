/*
 * The protocol between a state program and whoever drives it.
 *
 * argv[1] is a work directory. The program builds its state, creates `ready` there, waits until
 * somebody creates `go`, checks what it built, writes `result` and exits with 0 or 1. Files appear
 * whole (written beside, then renamed), and no descriptor stays open for them, so that the protocol
 * itself adds nothing to what a checkpoint has to capture.
 *
 * First line of `result`: "PASS", "FAIL: reason" or "SKIP: reason" (before `ready`: this kernel or
 * processor lacks the subject). The first process to write it wins; a later PASS does not hide a FAIL.
 *
 * Waits are polls of a path, never a descriptor, pipe or shared page: a program about, say, zombies
 * must not fail because something else is broken. Every wait has a bound, measured with
 * CLOCK_MONOTONIC, which a restored application continues.
 */
#ifndef HOLDFAST_STATE_H
#define HOLDFAST_STATE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STATE_UNUSED __attribute__((unused))
#define PAGE 4096UL

static char state_dir[PATH_MAX];
/* How long any wait may last, seconds: STATE_BOUND, else ten minutes. */
static int state_bound = 600;
static const char *state_case = "";
static pid_t state_children[256];
static int state_child_count;
/* Set by state_wait_go in the process that calls it; spinning threads watch it. */
static volatile int state_going;

STATE_UNUSED static const char *state_path(const char *name)
{
	static __thread char path[PATH_MAX + 64];

	snprintf(path, sizeof(path), "%s/%s", state_dir, name);
	return path;
}

STATE_UNUSED static int64_t state_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* Another user, where this process may give something to one: not where its user namespace has no other. */
STATE_UNUSED static uid_t state_user(uid_t other)
{
	return geteuid() == 0 ? other : geteuid();
}

/* The same of groups. */
STATE_UNUSED static gid_t state_group(gid_t other)
{
	return geteuid() == 0 ? other : getegid();
}

STATE_UNUSED static pid_t state_tid(void)
{
	return (pid_t)syscall(SYS_gettid);
}

STATE_UNUSED static int state_exists(const char *name)
{
	struct stat st;

	return stat(state_path(name), &st) == 0;
}

/* Makes the file `name` appear with `text` in it, whole; with `first`, only when it is not there yet. */
STATE_UNUSED static void state_put(const char *name, const char *text, int first)
{
	char temporary[PATH_MAX + 128], final[PATH_MAX + 128];
	size_t length = strlen(text), done = 0;
	int fd;

	snprintf(temporary, sizeof(temporary), "%s/.%s.%d", state_dir, name, state_tid());
	snprintf(final, sizeof(final), "%s/%s", state_dir, name);
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0)
		return;
	while (done < length) {
		ssize_t n = write(fd, text + done, length - done);

		if (n <= 0)
			break;
		done += (size_t)n;
	}
	close(fd);
	if (first) {
		link(temporary, final);
		unlink(temporary);
	} else {
		rename(temporary, final);
	}
}

STATE_UNUSED __attribute__((noreturn, format(printf, 1, 2))) static void state_fail(const char *format, ...)
{
	char text[1024];
	va_list arguments;
	int n = snprintf(text, sizeof(text), "FAIL: ");

	va_start(arguments, format);
	vsnprintf(text + n, sizeof(text) - (size_t)n - 1, format, arguments);
	va_end(arguments);
	strcat(text, "\n");
	state_put("result", text, 1);
	state_put("abandon", "", 0);
	for (int i = 0; i < state_child_count; i++)
		if (state_children[i] > 0) {
			kill(state_children[i], SIGKILL);
		}
	_exit(1);
}

/* Fails the test, with file and line, unless `condition` holds. */
#define CHECK(condition, ...)                                                                   \
	do {                                                                                    \
		if (!(condition)) {                                                             \
			char why_[512];                                                         \
			snprintf(why_, sizeof(why_), __VA_ARGS__);                              \
			state_fail("%s:%d: %s: %s", __FILE__, __LINE__, #condition, why_);      \
		}                                                                               \
	} while (0)

/* A system call or library call that must not fail while the state is built or checked. */
#define MUST(call)                                                                              \
	({                                                                                      \
		__auto_type result_ = (call);                                                   \
		if ((long)result_ == -1L)                                                       \
			state_fail("%s:%d: %s: %s", __FILE__, __LINE__, #call, strerror(errno)); \
		result_;                                                                        \
	})

#define EQUAL(actual, expected)                                                                 \
	do {                                                                                    \
		long long a_ = (long long)(actual), e_ = (long long)(expected);                 \
		if (a_ != e_)                                                                   \
			state_fail("%s:%d: %s is %lld (0x%llx), expected %lld (0x%llx)",        \
				   __FILE__, __LINE__, #actual, a_, a_, e_, e_);                \
	} while (0)

STATE_UNUSED __attribute__((noreturn, format(printf, 1, 2))) static void state_skip(const char *format, ...)
{
	char text[512];
	va_list arguments;
	int n = snprintf(text, sizeof(text), "SKIP: ");

	va_start(arguments, format);
	vsnprintf(text + n, sizeof(text) - (size_t)n - 1, format, arguments);
	va_end(arguments);
	strcat(text, "\n");
	state_put("result", text, 1);
	_exit(0);
}

STATE_UNUSED static void state_begin(int argc, char **argv)
{
	if (argc < 2 || !realpath(argv[1], state_dir)) {
		fprintf(stderr, "usage: %s WORK-DIRECTORY [CASE]\n", argv[0]);
		exit(2);
	}
	if (argc > 2)
		state_case = argv[2];
	if (getenv("STATE_BOUND"))
		state_bound = atoi(getenv("STATE_BOUND"));
	/* A program that is started anew instead of being restored would pass everything else. */
	if (state_exists("started"))
		state_fail("started a second time");
	state_put("started", "", 0);
}

STATE_UNUSED static void state_pause(void)
{
	struct timespec pause = {0, 5000000};

	nanosleep(&pause, NULL);
}

/* Waits until `name` exists in the work directory; gives up when another process has failed. */
STATE_UNUSED static void state_await(const char *name)
{
	int64_t limit = state_now() + state_bound * 1000000000LL;

	while (!state_exists(name)) {
		if (state_exists("abandon"))
			_exit(1);
		if (state_now() > limit)
			state_fail("waited %d s for %s", state_bound, name);
		state_pause();
	}
}

STATE_UNUSED static void state_mark(const char *name)
{
	state_put(name, "", 0);
}

STATE_UNUSED static void state_markf(const char *format, int number)
{
	char name[64];

	snprintf(name, sizeof(name), format, number);
	state_mark(name);
}

STATE_UNUSED static void state_awaitf(const char *format, int number)
{
	char name[64];

	snprintf(name, sizeof(name), format, number);
	state_await(name);
}

STATE_UNUSED static void state_ready(void)
{
	state_mark("ready");
}

STATE_UNUSED static void state_wait_go(void)
{
	state_await("go");
	state_going = 1;
}

/* Polls `condition` until it holds, within the bound. */
#define UNTIL(condition)                                                                        \
	do {                                                                                    \
		int64_t limit_ = state_now() + state_bound * 1000000000LL;              \
		while (!(condition)) {                                                          \
			if (state_exists("abandon"))                                            \
				_exit(1);                                                       \
			CHECK(state_now() < limit_, "never became true");                       \
			state_pause();                                                          \
		}                                                                               \
	} while (0)

STATE_UNUSED __attribute__((noreturn)) static void state_pass(void)
{
	state_put("result", "PASS\n", 1);
	_exit(state_exists("abandon") ? 1 : 0);
}

/* fork; the child is killed when this process fails. */
STATE_UNUSED static pid_t state_fork(void)
{
	pid_t pid = MUST(fork());

	if (pid == 0)
		state_child_count = 0;
	else if (state_child_count < (int)(sizeof(state_children) / sizeof(state_children[0])))
		state_children[state_child_count++] = pid;
	return pid;
}

/* Waits for a child that must end with exit status 0. */
STATE_UNUSED static void state_join(pid_t pid)
{
	int status;
	pid_t got;

	do {
		got = waitpid(pid, &status, 0);
	} while (got < 0 && errno == EINTR);
	CHECK(got == pid, "waitpid(%d) gave %d: %s", pid, got, strerror(errno));
	for (int i = 0; i < state_child_count; i++)
		if (state_children[i] == pid)
			state_children[i] = 0;
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0, "child %d ended with status 0x%x", pid, status);
}

STATE_UNUSED static pthread_t state_thread(void *(*body)(void *), void *argument)
{
	pthread_t thread;
	int error = pthread_create(&thread, NULL, body, argument);

	CHECK(error == 0, "pthread_create: %s", strerror(error));
	return thread;
}

STATE_UNUSED static uint64_t state_random(uint64_t *seed)
{
	/* xorshift64*: deterministic, the same in every process. */
	uint64_t x = *seed ? *seed : 0x9e3779b97f4a7c15ULL;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*seed = x;
	return x * 0x2545f4914f6cdd1dULL;
}

STATE_UNUSED static void state_fill(void *memory, size_t length, uint64_t seed)
{
	unsigned char *bytes = memory;

	for (size_t i = 0; i < length; i += 8) {
		uint64_t value = state_random(&seed);

		memcpy(bytes + i, &value, length - i < 8 ? length - i : 8);
	}
}

/* The offset of the first byte that differs from what state_fill wrote, or -1. */
STATE_UNUSED static long state_differs(const void *memory, size_t length, uint64_t seed)
{
	const unsigned char *bytes = memory;

	for (size_t i = 0; i < length; i += 8) {
		uint64_t value = state_random(&seed);
		size_t n = length - i < 8 ? length - i : 8;

		if (memcmp(bytes + i, &value, n) != 0)
			return (long)i;
	}
	return -1;
}

STATE_UNUSED static long state_nonzero(const void *memory, size_t length)
{
	const unsigned char *bytes = memory;

	for (size_t i = 0; i < length; i++)
		if (bytes[i])
			return (long)i;
	return -1;
}

#define CHECK_FILL(memory, length, seed)                                                        \
	do {                                                                                    \
		long at_ = state_differs((memory), (length), (seed));                           \
		CHECK(at_ < 0, "byte %ld of %zu differs", at_, (size_t)(length));               \
	} while (0)

#define CHECK_ZERO(memory, length)                                                              \
	do {                                                                                    \
		long at_ = state_nonzero((memory), (length));                                   \
		CHECK(at_ < 0, "byte %ld of %zu is not zero", at_, (size_t)(length));           \
	} while (0)

/* Reads a small file, such as one of procfs, into `text`; returns its length. */
STATE_UNUSED static size_t state_read(const char *path, char *text, size_t size)
{
	int fd = MUST(open(path, O_RDONLY | O_CLOEXEC));
	size_t done = 0;
	ssize_t n;

	while (done < size - 1 && (n = read(fd, text + done, size - 1 - done)) > 0)
		done += (size_t)n;
	text[done] = 0;
	close(fd);
	return done;
}

/* The value of `field` in a "Field: value" file of procfs, without leading blanks; empty if absent. */
STATE_UNUSED static const char *state_field(const char *path, const char *field, char *value, size_t size)
{
	FILE *file = fopen(path, "re");
	char line[1024];
	size_t n = strlen(field);

	value[0] = 0;
	CHECK(file != NULL, "%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), file))
		if (strncmp(line, field, n) == 0 && line[n] == ':') {
			char *start = line + n + 1;

			while (*start == ' ' || *start == '\t')
				start++;
			start[strcspn(start, "\n")] = 0;
			snprintf(value, size, "%s", start);
		}
	fclose(file);
	return value;
}

/* One range of /proc/self/smaps. */
struct state_map {
	unsigned long start, end, offset;
	char permissions[8];
	char name[512];
	char flags[256];
	long rss, locked;
};

/* The range that holds `address`; returns 0 when nothing is mapped there. */
STATE_UNUSED static int state_map_of(const void *address, struct state_map *map)
{
	FILE *file = fopen("/proc/self/smaps", "re");
	unsigned long wanted = (unsigned long)address;
	char line[1024];
	int inside = 0, found = 0;

	CHECK(file != NULL, "smaps: %s", strerror(errno));
	memset(map, 0, sizeof(*map));
	while (fgets(line, sizeof(line), file)) {
		unsigned long start, end, offset;
		char permissions[8];
		int name = 0;

		line[strcspn(line, "\n")] = 0;
		if (sscanf(line, "%lx-%lx %7s %lx %*s %*s %n", &start, &end, permissions, &offset, &name) >= 4) {
			if (found)
				break;
			inside = start <= wanted && wanted < end;
			if (inside) {
				found = 1;
				map->start = start;
				map->end = end;
				map->offset = offset;
				strcpy(map->permissions, permissions);
				snprintf(map->name, sizeof(map->name), "%s", name ? line + name : "");
			}
		} else if (inside && strncmp(line, "VmFlags:", 8) == 0) {
			snprintf(map->flags, sizeof(map->flags), "%s ", line + 8);
		} else if (inside && strncmp(line, "Rss:", 4) == 0) {
			map->rss = atol(line + 4);
		} else if (inside && strncmp(line, "Locked:", 7) == 0) {
			map->locked = atol(line + 7);
		}
	}
	fclose(file);
	return found;
}

/* Whether smaps shows the two-letter flag for the range that holds `address`. */
STATE_UNUSED static int state_has_flag(const void *address, const char *flag)
{
	struct state_map map;
	char wanted[8];

	CHECK(state_map_of(address, &map), "nothing is mapped at %p", address);
	snprintf(wanted, sizeof(wanted), " %s ", flag);
	return strstr(map.flags, wanted) != NULL;
}

/* The letter of State in /proc/TID/status. */
STATE_UNUSED static char state_letter(pid_t tid)
{
	char path[64], value[64];

	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	return state_field(path, "State", value, sizeof(value))[0];
}

/* Waits until the thread sleeps in the kernel, and has been seen so a few times. */
STATE_UNUSED static void state_until_asleep(pid_t tid)
{
	for (int seen = 0; seen < 3;) {
		UNTIL(state_letter(tid) == 'S');
		state_pause();
		seen = state_letter(tid) == 'S' ? seen + 1 : 0;
	}
}

/*
 * Seconds of a subject that is about time (STATE_SECONDS, default 2). Such a program announces itself
 * when half of it has passed: a wait that a restore started anew would then end half as late again.
 */
STATE_UNUSED static double state_seconds(void)
{
	const char *text = getenv("STATE_SECONDS");
	double seconds = text ? atof(text) : 2;

	return seconds > 0 ? seconds : 2;
}

/* Where a program's resource is that must be refused: pid, descriptor (-1: none) and kind. */
STATE_UNUSED static void state_refusable_of(pid_t pid, int fd, const char *kind)
{
	char text[128];

	snprintf(text, sizeof(text), "pid=%d\nfd=%d\nkind=%s\n", pid, fd, kind);
	state_put("resource", text, 0);
}

STATE_UNUSED static void state_refusable(int fd, const char *kind)
{
	state_refusable_of(getpid(), fd, kind);
}

#endif
