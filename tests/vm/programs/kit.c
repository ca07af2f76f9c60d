// SPDX-License-Identifier: GPL-2.0
/* Runs the tests that are named on the command line, or all: a line "pass NAME" or "fail NAME: WHY" for each. */
#include "kit.h"
#include <time.h>

#define TESTS_MAX 256
#define TEST_SECONDS 60

static struct {
	const char *name;
	void (*run)(void);
} tests[TESTS_MAX];
static int test_count;
static int why_pipe[2], ready_pipe[2];

char group[256];

void test_add(const char *name, void (*run)(void))
{
	tests[test_count].name = name;
	tests[test_count++].run = run;
}

void test_failed(const char *file, int line, const char *what)
{
	char text[512];
	int error = errno;
	int length = snprintf(text, sizeof(text), "%s:%d: %s (errno %d, %s)", strrchr(file, '/') ? strrchr(file, '/') + 1 : file,
			      line, what, error, strerror(error));

	if (write(why_pipe[1], text, length) < 0)
		_exit(2);
	_exit(1);
}

void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	CHECK(fd >= 0);
	CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

long read_number(const char *path, const char *word)
{
	char line[256];
	long number = -1;
	FILE *file = fopen(path, "re");

	CHECK(file != NULL);
	while (fgets(line, sizeof(line), file))
		if (!strncmp(line, word, strlen(word))) {
			number = strtol(line + strlen(word), NULL, 0);
			break;
		}
	fclose(file);
	return number;
}

int group_freezer(void)
{
	char path[300];
	int fd;

	snprintf(path, sizeof(path), "%s/cgroup.freeze", group);
	fd = open(path, O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0);
	return fd;
}

void ready(void)
{
	CHECK(write(ready_pipe[1], "", 1) == 1);
}

pid_t victim(void (*body)(void *), void *argument)
{
	char path[300], byte;
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (!pid) {
		snprintf(path, sizeof(path), "%s/cgroup.procs", group);
		write_file(path, "0");
		body(argument);
		_exit(0);
	}
	CHECK(read(ready_pipe[0], &byte, 1) == 1);
	return pid;
}

void count_up(void *counter)
{
	volatile uint64_t *value = counter;

	ready();
	for (;;)
		++*value;
}

void idle(void *unused)
{
	(void)unused;
	ready();
	for (;;)
		pause();
}

void *wait_for_ever(void *unused)
{
	for (;;)
		pause();
	return unused;
}

void *shared_memory(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	CHECK(memory != MAP_FAILED);
	return memory;
}

/* Ends by the test's time limit when there is none. */
void await_progress(volatile uint64_t *counter)
{
	uint64_t before = *counter;

	while (*counter == before)
		sched_yield();
}

int open_session(void)
{
	int session = open("/dev/ckpt", O_RDWR | O_CLOEXEC);

	CHECK(session >= 0);
	return session;
}

int attach(int session, pid_t pid, uint32_t flags)
{
	struct ckpt_attach call = { .size = sizeof(call), .flags = flags, .pid = pid };

	return ioctl(session, CKPT_ATTACH, &call);
}

int freeze(int session, struct ckpt_freeze *call, uint32_t timeout_ms)
{
	int ret, error;

	*call = (struct ckpt_freeze){ .size = sizeof(*call), .timeout_ms = timeout_ms, .cgroup_freeze = group_freezer() };
	ret = ioctl(session, CKPT_FREEZE, call);
	error = errno;
	close(call->cgroup_freeze);
	errno = error;
	return ret;
}

int thaw(int session)
{
	struct ckpt_thaw call = { .size = sizeof(call) };

	return ioctl(session, CKPT_THAW, &call);
}

int choose(int session, pid_t pid, uint32_t mode, uint32_t flags)
{
	struct ckpt_select call = { .size = sizeof(call), .pid = pid, .mode = mode, .flags = flags };

	return ioctl(session, CKPT_SELECT, &call);
}

int frozen_session(pid_t pid)
{
	int session = open_session();
	struct ckpt_freeze call;

	CHECK(!attach(session, pid, 0));
	CHECK(!freeze(session, &call, 20000));
	return session;
}

/* In as many calls as the room makes necessary. */
struct pages take_pages(int session, unsigned long call, pid_t pid, uint64_t start, uint64_t end, size_t room)
{
	struct ckpt_range range = { start, end };
	uint8_t *buffer = malloc(room);
	struct pages pages = { 0 };
	uint64_t next = 0;

	CHECK(buffer != NULL);
	do {
		struct ckpt_pages argument = {
			.size = sizeof(argument), .pid = pid, .count = 1, .ranges = (uintptr_t)&range,
			.buffer = (uintptr_t)buffer, .length = room, .next = next,
		};

		CHECK(!ioctl(session, call, &argument));
		CHECK(argument.length <= room);
		pages.data = realloc(pages.data, pages.length + argument.length + 1);
		CHECK(pages.data != NULL);
		memcpy(pages.data + pages.length, buffer, argument.length);
		pages.length += argument.length;
		CHECK(argument.next > next);
		next = argument.next;
	} while (next != ~0ULL);
	free(buffer);
	return pages;
}

const struct ckpt_page *next_page(const struct pages *pages, const struct ckpt_page *page)
{
	const uint8_t *at = page ? (const uint8_t *)page + page->size : pages->data;

	if (at == pages->data + pages->length)
		return NULL;
	page = (const struct ckpt_page *)at;
	CHECK(at + page->size <= pages->data + pages->length);
	CHECK(page->size == sizeof(*page) + (page->flags & (CKPT_PAGE_ZERO | CKPT_PAGE_UNREADABLE | CKPT_PAGE_END) ? 0 : PAGE));
	return page;
}

const void *contents_of(const struct ckpt_page *page)
{
	static const uint8_t zeros[PAGE];

	return page->flags & CKPT_PAGE_ZERO ? (const void *)zeros : page + 1;
}

/* Whatever a test has left in its group ends with it. */
static void remove_group(void)
{
	char path[300];
	int fd;

	snprintf(path, sizeof(path), "%s/cgroup.kill", group);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, "1", 1) != 1)
		perror(path);
	close(fd);
	while (rmdir(group) && errno == EBUSY)
		waitpid(-1, NULL, WNOHANG);
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static bool run_test(int index)
{
	double start = seconds();
	char why[600] = "";
	ssize_t length;
	int status;
	pid_t pid;

	snprintf(group, sizeof(group), "/sys/fs/cgroup/test-%d", index);
	if (mkdir(group, 0755)) {
		printf("fail %s: %s: %s\n", tests[index].name, group, strerror(errno));
		return false;
	}
	if (pipe2(why_pipe, O_CLOEXEC) || pipe2(ready_pipe, O_CLOEXEC))
		exit(2);
	pid = fork();
	if (!pid) {
		alarm(TEST_SECONDS);
		tests[index].run();
		_exit(0);
	}
	close(why_pipe[1]);
	close(ready_pipe[1]);
	while (waitpid(pid, &status, 0) != pid)
		;
	remove_group();
	length = read(why_pipe[0], why, sizeof(why) - 1);
	close(why_pipe[0]);
	close(ready_pipe[0]);
	if (length <= 0 && WIFSIGNALED(status))
		snprintf(why, sizeof(why), "ended by signal %d", WTERMSIG(status));
	if (!status && length <= 0)
		printf("pass %s (%.1f s)\n", tests[index].name, seconds() - start);
	else
		printf("fail %s: %s\n", tests[index].name, why);
	fflush(stdout);
	return !status && length <= 0;
}

int main(int argc, char **argv)
{
	bool all = true;

	/* Orphans of a test come here, so that its group can be emptied. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	for (int i = 0; i < test_count; i++) {
		bool wanted = argc < 2;

		for (int a = 1; a < argc; a++)
			wanted |= !strcmp(argv[a], tests[i].name);
		if (wanted)
			all &= run_test(i);
	}
	return !all;
}
