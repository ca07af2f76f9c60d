// SPDX-License-Identifier: GPL-2.0
/* Who may attach to what, and whom a session follows. */
#include "kit.h"
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/fsuid.h>

static void become(uid_t user)
{
	CHECK(!setgroups(0, NULL));
	CHECK(!setresgid(user, user, user));
	CHECK(!setresuid(user, user, user));
	/* As after execve(2): what could be looked at by its user before can be again. */
	CHECK(!prctl(PR_SET_DUMPABLE, 1));
}

/* Runs body in a child; what it finds wrong is the test's failure. */
static void in_child(void (*body)(void *), void *argument)
{
	int status;
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (!pid) {
		body(argument);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	if (status)
		_exit(1);
}

struct given {
	int session;
	pid_t pid;
};

static void idle_as_somebody(void *unused)
{
	become(1000);
	idle(unused);
}

static void attach_as_somebody(void *argument)
{
	struct given *given = argument;

	become(1000);
	FAILS(EPERM, attach(given->session, given->pid, 0));
	FAILS(EACCES, open("/dev/ckpt", O_RDWR));
}

TEST(without_the_capability_nothing_is_attached_not_even_of_the_same_user)
{
	struct given mine = { open_session(), victim(idle_as_somebody, NULL) };
	struct given roots = { mine.session, victim(idle, NULL) };

	in_child(attach_as_somebody, &mine);
	in_child(attach_as_somebody, &roots);
	/* It was the right that was missing, nothing else. */
	CHECK(!attach(mine.session, mine.pid, 0));
	CHECK(!attach(roots.session, roots.pid, 0));
}

TEST(the_opener_must_have_had_the_right_too)
{
	pid_t pid = victim(idle, NULL);
	int session;

	CHECK(!chmod("/dev/ckpt", 0666));
	CHECK(!seteuid(1000));
	session = open("/dev/ckpt", O_RDWR | O_CLOEXEC);
	CHECK(!seteuid(0));
	CHECK(!chmod("/dev/ckpt", 0660));
	CHECK(session >= 0);
	FAILS(EPERM, attach(session, pid, 0));
}

static uint8_t much[1 << 20];

static void idle_with_much(void *unused)
{
	memset(much, 1, sizeof(much));
	idle(unused);
}

TEST(who_gives_the_right_up_after_attaching_sees_nothing_more)
{
	pid_t pid = victim(idle_with_much, NULL);
	int session = frozen_session(pid);
	static uint8_t buffer[1 << 18];
	struct ckpt_state state = { .size = sizeof(state), .pid = pid, .buffer = (uintptr_t)buffer, .length = sizeof(buffer) };

	CHECK(!ioctl(session, CKPT_STATE, &state));
	CHECK(!choose(session, pid, CKPT_SELECT_READ, 0));
	CHECK(read(session, buffer, 100) == 100);
	become(1000);
	FAILS(EPERM, ioctl(session, CKPT_STATE, &state));
	FAILS(EPERM, choose(session, pid, CKPT_SELECT_READ, 0));
	/* What is left of the batch that was made with the right may be taken, a new batch is not made. */
	ssize_t got, most = 0;

	while ((got = read(session, buffer, sizeof(buffer))) > 0)
		CHECK((most += got) <= 64 * 4128);
	CHECK(got == -1 && errno == EPERM);
}

static void in_a_user_namespace(void *argument)
{
	struct given *given = argument;

	CHECK(!unshare(CLONE_NEWUSER));
	FAILS(EPERM, attach(given->session, given->pid, 0));
}

TEST(root_of_a_user_namespace_reaches_nobody_outside_it)
{
	struct given given = { open_session(), victim(idle, NULL) };

	in_child(in_a_user_namespace, &given);
}

TEST(the_caller_itself_kernel_threads_and_pids_of_nobody_are_refused)
{
	int session = open_session();
	pid_t gone = fork();

	CHECK(gone >= 0);
	if (!gone)
		_exit(0);
	FAILS(EPERM, attach(session, getpid(), 0));
	FAILS(ESRCH, attach(session, 2, 0));
	FAILS(EINVAL, attach(session, 0, 0));
	FAILS(EINVAL, attach(session, -1, 0));
	FAILS(ESRCH, attach(session, 0x7fffffff, 0));
	/* A zombie has no memory, and then it has no pid. */
	siginfo_t info;

	CHECK(!waitid(P_PID, gone, &info, WEXITED | WNOWAIT));
	FAILS(ESRCH, attach(session, gone, 0));
	CHECK(waitpid(gone, NULL, 0) == gone);
	FAILS(ESRCH, attach(session, gone, 0));
}

static void *second_thread(void *tid)
{
	*(volatile pid_t *)tid = gettid();
	for (;;)
		pause();
	return NULL;
}

static void idle_with_a_thread(void *tid)
{
	pthread_t thread;

	CHECK(!pthread_create(&thread, NULL, second_thread, tid));
	while (!*(volatile pid_t *)tid)
		sched_yield();
	idle(NULL);
}

TEST(a_thread_is_no_process)
{
	pid_t *tid = shared_memory(PAGE);

	victim(idle_with_a_thread, tid);
	FAILS(ESRCH, attach(open_session(), *tid, 0));
}

TEST(a_process_is_in_one_session_only)
{
	pid_t pid = victim(idle, NULL);
	int first = open_session(), second = open_session();

	CHECK(!attach(first, pid, 0));
	FAILS(EEXIST, attach(first, pid, 0));
	FAILS(EBUSY, attach(second, pid, 0));
	CHECK(!close(first));
	CHECK(!attach(second, pid, 0));
}

/* Makes a chain of children, each of the one before, at the word of a pipe. */
static int word[2];

static void family(void *depth)
{
	char byte;
	int left = (int)(intptr_t)depth;

	ready();
	CHECK(read(word[0], &byte, 1) == 1);
	while (left--) {
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (pid)
			break;
	}
	idle(NULL);
}

static int list(int session, int32_t *pids, uint32_t *count)
{
	struct ckpt_list call = { .size = sizeof(call), .count = *count, .pids = (uintptr_t)pids };
	int ret = ioctl(session, CKPT_LIST, &call);

	*count = call.count;
	return ret;
}

static struct ckpt_event next_event(int session)
{
	struct ckpt_event event;
	struct ckpt_events call = { .size = sizeof(call), .count = 1, .target = (uintptr_t)&event };
	struct pollfd poller = { .fd = session, .events = POLLPRI };

	CHECK(poll(&poller, 1, -1) == 1);
	CHECK(poller.revents == POLLPRI);
	CHECK(!ioctl(session, CKPT_EVENTS, &call));
	CHECK(call.count == 1);
	CHECK(!call.lost);
	return event;
}

TEST(children_follow_and_their_births_and_ends_are_told)
{
	int session = open_session();
	int32_t pids[16];
	uint32_t count = 16;
	pid_t root;

	CHECK(!pipe(word));
	root = victim(family, (void *)3L);
	CHECK(!attach(session, root, CKPT_ATTACH_FOLLOW));
	CHECK(write(word[1], "", 1) == 1);

	pid_t parent = root;

	for (int i = 0; i < 3; i++) {
		struct ckpt_event event = next_event(session);

		CHECK(event.type == CKPT_EVENT_BORN);
		CHECK(event.other == parent);
		CHECK(event.time);
		parent = event.pid;
	}
	CHECK(!list(session, pids, &count));
	CHECK(count == 4);
	CHECK(pids[0] == root && pids[3] == parent);
	count = 2;
	FAILS(ENOSPC, list(session, pids, &count));
	CHECK(count == 4);

	CHECK(!kill(parent, SIGKILL));
	struct ckpt_event event = next_event(session);

	CHECK(event.type == CKPT_EVENT_EXITED);
	CHECK(event.pid == parent);
	count = 16;
	CHECK(!list(session, pids, &count));
	CHECK(count == 3);
}

TEST(without_follow_children_are_nobodys)
{
	int session = open_session();
	int32_t pids[16];
	uint32_t count = 16;
	pid_t root;

	CHECK(!pipe(word));
	root = victim(family, (void *)3L);
	CHECK(!attach(session, root, 0));
	CHECK(write(word[1], "", 1) == 1);
	/* The last of them says that it is ready: all are born. */
	char path[300];

	snprintf(path, sizeof(path), "%s/pids.current", group);
	write_file("/sys/fs/cgroup/cgroup.subtree_control", "+pids");
	while (read_number(path, "") != 4)
		sched_yield();
	CHECK(!list(session, pids, &count));
	CHECK(count == 1);
}

static void execute(void *unused)
{
	char byte;

	(void)unused;
	ready();
	CHECK(read(word[0], &byte, 1) == 1);
	execl("/bin/sleep", "sleep", "1000", NULL);
}

TEST(another_program_is_told)
{
	int session = open_session();
	pid_t pid;

	CHECK(!pipe(word));
	pid = victim(execute, NULL);
	CHECK(!attach(session, pid, 0));
	CHECK(write(word[1], "", 1) == 1);
	struct ckpt_event event = next_event(session);

	CHECK(event.type == CKPT_EVENT_EXEC && event.pid == pid);
}

static void forks(void *count)
{
	char byte;

	ready();
	CHECK(read(word[0], &byte, 1) == 1);
	for (long i = 0; i < (long)count; i++) {
		pid_t pid = fork();

		if (!pid)
			_exit(0);
		CHECK(waitpid(pid, NULL, 0) == pid);
	}
}

TEST(events_that_do_not_fit_are_counted)
{
	static struct ckpt_event events[1000];
	struct ckpt_events call = { .size = sizeof(call), .count = 1000, .target = (uintptr_t)events };
	int session = open_session();
	uint64_t told = 0, lost = 0;
	pid_t pid;

	CHECK(!pipe(word));
	pid = victim(forks, (void *)400L);
	CHECK(!attach(session, pid, CKPT_ATTACH_FOLLOW));
	CHECK(write(word[1], "", 1) == 1);
	CHECK(waitpid(pid, NULL, 0) == pid);
	CHECK(!ioctl(session, CKPT_EVENTS, &call));
	told += call.count;
	lost += call.lost;
	/* A birth and an end of each, and the end of their parent. */
	CHECK(told + lost == 801);
	CHECK(told == 512);
}
