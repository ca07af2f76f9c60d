// SPDX-License-Identifier: GPL-2.0
/* The barrier from outside. */
#include "kit.h"

static int cgroup_value(const char *name)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/%s", group, name);
	return read_number(path, "");
}

TEST(a_frozen_process_stands_until_it_is_thawed)
{
	volatile uint64_t *counter = shared_memory(PAGE);
	pid_t pid = victim(count_up, (void *)counter);
	int session = open_session();
	struct ckpt_freeze call;

	CHECK(!attach(session, pid, 0));
	await_progress(counter);
	CHECK(!freeze(session, &call, 20000));
	CHECK(call.threads == 1);

	uint64_t before = *counter;

	/* Long for a process that counts, and nothing to wait for: it must not happen. */
	usleep(50000);
	CHECK(*counter == before);
	FAILS(EALREADY, freeze(session, &call, 20000));
	CHECK(!thaw(session));
	await_progress(counter);
	FAILS(EALREADY, thaw(session));
}

static void *spin(void *counter)
{
	for (;;)
		++*(volatile uint64_t *)counter;
	return NULL;
}

static void many_threads(void *counter)
{
	pthread_t thread;

	for (int i = 0; i < 8; i++)
		CHECK(!pthread_create(&thread, NULL, i % 2 ? spin : wait_for_ever, counter));
	ready();
	spin(counter);
}

TEST(every_thread_of_every_process_is_counted)
{
	volatile uint64_t *counter = shared_memory(PAGE);
	int session = open_session();
	struct ckpt_freeze call;

	for (int i = 0; i < 3; i++)
		CHECK(!attach(session, victim(many_threads, (void *)counter), 0));
	CHECK(!freeze(session, &call, 20000));
	CHECK(call.threads == 27);
}

TEST(who_does_not_stand_at_the_deadline_is_named_and_all_run_on)
{
	volatile uint64_t *counter = shared_memory(PAGE), *other = (volatile uint64_t *)((char *)counter + 64);
	pid_t inside = victim(count_up, (void *)counter), outside = fork();
	int session = open_session();
	struct ckpt_freeze call;

	if (!outside) {
		/* In the group of the test itself. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			++*other;
	}
	CHECK(!attach(session, inside, 0));
	CHECK(!attach(session, outside, 0));
	await_progress(other);
	FAILS(ETIMEDOUT, freeze(session, &call, 100));
	CHECK(call.late_pid == outside && call.late_tid == outside);
	await_progress(counter);
	CHECK(cgroup_value("cgroup.freeze") == 0);

	struct ckpt_event event;
	struct ckpt_events events = { .size = sizeof(events), .count = 1, .target = (uintptr_t)&event };

	CHECK(!ioctl(session, CKPT_EVENTS, &events));
	CHECK(events.count == 1 && event.type == CKPT_EVENT_LATE && event.pid == outside);
	kill(outside, SIGKILL);
}

TEST(what_is_no_cgroup_freeze_is_refused)
{
	int session = open_session(), none = open("/dev/null", O_RDWR), plain = open("/etc/passwd", O_RDONLY);
	struct ckpt_freeze call = { .size = sizeof(call), .timeout_ms = 1000 };
	char path[300];

	CHECK(!attach(session, victim(idle, NULL), 0));
	call.cgroup_freeze = -1;
	FAILS(EBADF, ioctl(session, CKPT_FREEZE, &call));
	call.cgroup_freeze = 1000;
	FAILS(EBADF, ioctl(session, CKPT_FREEZE, &call));
	call.cgroup_freeze = none;
	FAILS(EINVAL, ioctl(session, CKPT_FREEZE, &call));
	call.cgroup_freeze = plain;
	FAILS(EINVAL, ioctl(session, CKPT_FREEZE, &call));
	call.cgroup_freeze = session;
	FAILS(EINVAL, ioctl(session, CKPT_FREEZE, &call));
	snprintf(path, sizeof(path), "%s/cgroup.procs", group);
	call.cgroup_freeze = open(path, O_RDWR);
	FAILS(EINVAL, ioctl(session, CKPT_FREEZE, &call));
	snprintf(path, sizeof(path), "%s/cgroup.freeze", group);
	call.cgroup_freeze = open(path, O_RDONLY);
	FAILS(EBADF, ioctl(session, CKPT_FREEZE, &call));
	call.cgroup_freeze = open(path, O_WRONLY);
	FAILS(EBADF, ioctl(session, CKPT_FREEZE, &call));
	call.cgroup_freeze = open(path, O_PATH);
	FAILS(EBADF, ioctl(session, CKPT_FREEZE, &call));
	call.cgroup_freeze = open(path, O_RDWR);
	call.timeout_ms = 0;
	FAILS(EINVAL, ioctl(session, CKPT_FREEZE, &call));
	call.timeout_ms = CKPT_FREEZE_TIMEOUT_MAX + 1;
	FAILS(EINVAL, ioctl(session, CKPT_FREEZE, &call));
	CHECK(cgroup_value("cgroup.freeze") == 0);

	int empty = open_session();

	call.timeout_ms = 1000;
	FAILS(ESRCH, ioctl(empty, CKPT_FREEZE, &call));
}

TEST(what_somebody_else_froze_stays_frozen)
{
	pid_t pid = victim(idle, NULL);
	int session = open_session();
	struct ckpt_freeze call;
	char path[300];

	CHECK(!attach(session, pid, 0));
	snprintf(path, sizeof(path), "%s/cgroup.freeze", group);
	write_file(path, "1");
	FAILS(EBUSY, freeze(session, &call, 1000));
	CHECK(!close(session));
	CHECK(cgroup_value("cgroup.freeze") == 1);
}

static void do_nothing(int signal)
{
	(void)signal;
}

TEST(a_signal_ends_the_wait_and_all_run_on)
{
	volatile uint64_t *counter = shared_memory(PAGE), *other = (volatile uint64_t *)((char *)counter + 64);
	pid_t caller = getpid(), inside = victim(count_up, (void *)counter), outside = fork();
	struct sigaction action = { .sa_handler = do_nothing };
	int session = open_session();
	struct ckpt_freeze call;

	if (!outside) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* The caller waits for this one, until it is interrupted by it, when the group is frozen. */
		while (cgroup_value("cgroup.freeze") != 1)
			sched_yield();
		kill(caller, SIGUSR1);
		for (;;)
			++*other;
	}
	CHECK(!sigaction(SIGUSR1, &action, NULL));
	CHECK(!attach(session, inside, 0));
	CHECK(!attach(session, outside, 0));
	FAILS(EINTR, freeze(session, &call, 60000));
	await_progress(counter);
	kill(outside, SIGKILL);
}

TEST(a_caller_inside_the_group_does_not_freeze_itself_for_good)
{
	pid_t pid = victim(idle, NULL);
	int session = open_session();
	struct ckpt_freeze call;
	char path[300];

	CHECK(!attach(session, pid, 0));
	snprintf(path, sizeof(path), "%s/cgroup.procs", group);
	write_file(path, "0");
	FAILS(EINTR, freeze(session, &call, 20000));
	write_file("/sys/fs/cgroup/cgroup.procs", "0");
	CHECK(cgroup_value("cgroup.freeze") == 0);
}

TEST(a_debugger_does_not_stop_it_from_being_frozen_and_read)
{
	volatile uint64_t *counter = shared_memory(PAGE);
	pid_t pid = victim(count_up, (void *)counter);
	static uint8_t buffer[1 << 18];
	struct ckpt_state state = { .size = sizeof(state), .pid = pid, .buffer = (uintptr_t)buffer, .length = sizeof(buffer) };

	CHECK(!ptrace(PTRACE_SEIZE, pid, NULL, NULL));
	int session = frozen_session(pid);

	CHECK(!ioctl(session, CKPT_STATE, &state));
	CHECK(!thaw(session));
	await_progress(counter);
	CHECK(read_number("/proc/self/status", "TracerPid:") == 0);
}

/* A hundred that count without a pause would leave little of two processors to anybody else. */
static void count_now_and_then(void *counter)
{
	ready();
	for (;;) {
		++*(volatile uint64_t *)counter;
		usleep(10000);
	}
}

static void freeze_and_wait(volatile uint64_t *counters, pid_t *pids, int count)
{
	int session = open_session();
	struct ckpt_freeze call;

	for (int i = 0; i < count; i++)
		CHECK(!attach(session, pids[i], 0));
	CHECK(!freeze(session, &call, 50000));
	counters[-8] = call.threads;
	for (;;)
		pause();
}

TEST(the_owner_is_killed_with_100_frozen_processes_and_all_run_on)
{
	/* A line of the cache each; the first one is for what the owner says. */
	volatile uint64_t *counters = (volatile uint64_t *)shared_memory(4 * PAGE) + 8;
	pid_t pids[100], owner;

	for (int i = 0; i < 100; i++)
		pids[i] = victim(i % 25 ? count_now_and_then : count_up, (void *)(counters + 8 * i));
	owner = fork();
	CHECK(owner >= 0);
	if (!owner) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		freeze_and_wait(counters, pids, 100);
	}
	while (!counters[-8])
		sched_yield();
	CHECK(counters[-8] == 100);
	CHECK(cgroup_value("cgroup.freeze") == 1);
	CHECK(!kill(owner, SIGKILL));
	CHECK(waitpid(owner, NULL, 0) == owner);
	CHECK(cgroup_value("cgroup.freeze") == 0);
	for (int i = 0; i < 100; i++)
		await_progress(counters + 8 * i);
}

TEST(the_owner_is_killed_while_it_waits_for_the_freeze)
{
	volatile uint64_t *counter = shared_memory(PAGE), *other = (volatile uint64_t *)((char *)counter + 64);
	pid_t inside = victim(count_up, (void *)counter), outside = fork(), owner;

	if (!outside) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			++*other;
	}
	owner = fork();
	if (!owner) {
		struct ckpt_freeze call;
		int session = open_session();

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		CHECK(!attach(session, inside, 0));
		CHECK(!attach(session, outside, 0));
		freeze(session, &call, 60000);
		_exit(1);
	}
	while (cgroup_value("cgroup.freeze") != 1)
		sched_yield();
	CHECK(!kill(owner, SIGKILL));
	CHECK(waitpid(owner, NULL, 0) == owner);
	await_progress(counter);
	kill(outside, SIGKILL);
}

TEST(frozen_processes_can_be_killed_and_what_is_left_is_told_so)
{
	pid_t pid = victim(idle, NULL), second = victim(idle, NULL);
	int session = open_session();
	struct ckpt_freeze call;
	static uint8_t buffer[1 << 18];
	struct ckpt_state state = { .size = sizeof(state), .pid = pid, .buffer = (uintptr_t)buffer, .length = sizeof(buffer) };

	CHECK(!attach(session, pid, 0));
	CHECK(!attach(session, second, 0));
	CHECK(!freeze(session, &call, 20000));
	CHECK(!choose(session, pid, CKPT_SELECT_READ, 0));
	CHECK(!kill(pid, SIGKILL));
	CHECK(waitpid(pid, NULL, 0) == pid);
	FAILS(ESRCH, ioctl(session, CKPT_STATE, &state));
	FAILS(ESRCH, read(session, buffer, sizeof(buffer)));
	state.pid = second;
	CHECK(!ioctl(session, CKPT_STATE, &state));
}
