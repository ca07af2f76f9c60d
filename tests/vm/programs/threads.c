// SPDX-License-Identifier: GPL-2.0
/* What STATE says of waits, timers, counters and traced threads; registers that are set; sockets that are kept. */
#include "kit.h"
#include <elf.h>
#include <linux/futex.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/user.h>
#include <time.h>

static uint8_t buffer[1 << 20];

static size_t take(int session, pid_t pid, uint32_t flags)
{
	struct ckpt_state call = { .size = sizeof(call), .flags = flags, .pid = pid, .buffer = (uintptr_t)buffer, .length = sizeof(buffer) };

	CHECK(!ioctl(session, CKPT_STATE, &call));
	return call.length;
}

static const void *record(size_t length, const void *after, uint32_t type)
{
	const uint8_t *at = after ? (const uint8_t *)after + ((const struct ckpt_record *)after)->size : buffer;

	for (; at < buffer + length; at += ((const struct ckpt_record *)at)->size)
		if (((const struct ckpt_record *)at)->type == type)
			return at;
	return NULL;
}

static const struct user_regs_struct *registers(size_t length)
{
	const struct ckpt_regset *set = NULL;

	while ((set = record(length, set, CKPT_RECORD_REGSET)))
		if (set->note == NT_PRSTATUS)
			return (const void *)(set + 1);
	test_failed(__FILE__, __LINE__, "there are no registers");
}

static void sleep_long(void *unused)
{
	struct timespec time = { 1000, 0 };

	(void)unused;
	ready();
	for (;;)
		nanosleep(&time, NULL);
}

static void await_futex(void *unused)
{
	static int word;
	struct timespec time = { 1000, 0 };

	(void)unused;
	ready();
	for (;;)
		syscall(SYS_futex, &word, FUTEX_WAIT, 0, &time, NULL, 0);
}

static void poll_forever(void *unused)
{
	(void)unused;
	ready();
	for (;;)
		poll(NULL, 0, -1);
}

static void poll_long(void *unused)
{
	(void)unused;
	ready();
	for (;;)
		poll(NULL, 0, 1000000);
}

/* It says that it is ready a moment before it waits. */
static const struct ckpt_thread *waiting(int session, pid_t pid, uint32_t *times)
{
	struct ckpt_freeze call;

	for (;;) {
		CHECK(!freeze(session, &call, 20000));
		const struct ckpt_thread *thread = record(take(session, pid, 0), NULL, CKPT_RECORD_THREAD);

		if (thread->restart != CKPT_RESTART_NONE)
			return thread;
		CHECK(!thaw(session));
		++*times;
		sched_yield();
	}
}

TEST(what_a_wait_has_left_is_told_again_and_again)
{
	static const struct {
		void (*body)(void *);
		uint32_t restart;
		bool ends;
	} waits[] = {
		{ sleep_long, CKPT_RESTART_SLEEP, true }, { await_futex, CKPT_RESTART_FUTEX, true },
		{ poll_long, CKPT_RESTART_POLL, true }, { poll_forever, CKPT_RESTART_POLL, false },
	};

	for (size_t i = 0; i < sizeof(waits) / sizeof(*waits); i++) {
		pid_t pid = victim(waits[i].body, NULL);
		int session = open_session();
		uint64_t expires = 0;
		uint32_t times = 0;

		CHECK(!attach(session, pid, 0));
		/* The second time it stands in restart_syscall(2), with the same end. */
		for (int again = 0; again < 3; again++) {
			const struct ckpt_thread *thread = waiting(session, pid, &times);
			struct timespec now;

			CHECK(thread->restart == waits[i].restart);
			if (waits[i].ends) {
				CHECK(thread->restart_clock == CLOCK_MONOTONIC);
				CHECK(!clock_gettime(CLOCK_MONOTONIC, &now));
				CHECK(thread->restart_expires > (now.tv_sec + 500) * 1000000000UL && thread->restart_expires <= (now.tv_sec + 1001) * 1000000000UL);
				CHECK(!again || thread->restart_expires == expires);
				expires = thread->restart_expires;
			} else {
				CHECK(thread->restart_expires == ~0UL);
			}
			CHECK(!thaw(session));
		}
		close(session);
	}
}

static void with_timers(void *unused)
{
	struct itimerval profile = { .it_value = { 1000, 0 }, .it_interval = { 3, 0 } };
	struct itimerspec soon = { .it_value = { 1000, 0 }, .it_interval = { 5, 0 } }, never = { .it_value = { 0, 0 } };
	struct sigevent silent = { .sigev_notify = SIGEV_NONE };
	timer_t timer;

	(void)unused;
	CHECK(!setitimer(ITIMER_PROF, &profile, NULL));
	CHECK(!timer_create(CLOCK_MONOTONIC, &silent, &timer) && !timer_settime(timer, 0, &soon, NULL));
	CHECK(!timer_create(CLOCK_PROCESS_CPUTIME_ID, &silent, &timer) && !timer_settime(timer, 0, &soon, NULL));
	CHECK(!timer_create(CLOCK_BOOTTIME, &silent, &timer) && !timer_settime(timer, 0, &never, NULL));
	idle(NULL);
}

TEST(timers_of_every_kind_are_told_with_what_is_left)
{
	pid_t pid = victim(with_timers, NULL);
	int session = frozen_session(pid), found = 0;
	size_t length = take(session, pid, 0);
	const struct ckpt_posix_timer *timer = NULL;
	const struct ckpt_timer *interval = NULL;

	while ((interval = record(length, interval, CKPT_RECORD_TIMER))) {
		CHECK(interval->which == (uint32_t)found++);
		CHECK(interval->which == ITIMER_PROF ? interval->value > 900 * 1000000000UL && interval->value <= 1001 * 1000000000UL && interval->interval == 3 * 1000000000UL
						     : !interval->value && !interval->interval);
	}
	CHECK(found == 3);
	while ((timer = record(length, timer, CKPT_RECORD_POSIX_TIMER))) {
		found++;
		if (timer->clock == CLOCK_BOOTTIME)
			CHECK(!timer->value);
		else
			CHECK(timer->value > 900 * 1000000000UL && timer->value <= 1001 * 1000000000UL && timer->interval == 5 * 1000000000UL);
	}
	CHECK(found == 6);
}

static void with_counters(void *unused)
{
	(void)unused;
	for (int i = 0; i < 4; i++) {
		CHECK(dup2(eventfd(i, 0), 100 + i) == 100 + i);
		CHECK(dup2(eventfd(i, EFD_SEMAPHORE), 110 + i) == 110 + i);
	}
	idle(NULL);
}

TEST(eventfds_are_told_from_semaphores_and_count_what_they_counted)
{
	pid_t pid = victim(with_counters, NULL);
	int session = frozen_session(pid), found = 0;
	struct ckpt_version version = { .size = sizeof(version) };
	struct ckpt_state refused = { .size = sizeof(refused), .flags = CKPT_STATE_SEMAPHORES, .pid = pid, .buffer = (uintptr_t)buffer, .length = sizeof(buffer) };
	const struct ckpt_file *file = NULL;

	CHECK(!ioctl(session, CKPT_VERSION, &version));
	if (!(version.features & CKPT_FEATURE_SEMAPHORES)) {
		FAILS(EOPNOTSUPP, ioctl(session, CKPT_STATE, &refused));
		return;
	}
	for (int again = 0; again < 2; again++) {
		size_t length = take(session, pid, CKPT_STATE_SEMAPHORES);

		while ((file = record(length, file, CKPT_RECORD_FILE))) {
			char path[64];

			if (file->fd < 100)
				continue;
			CHECK(!!(file->state & CKPT_FILE_SEMAPHORE) == (file->fd >= 110));
			snprintf(path, sizeof(path), "/proc/%d/fdinfo/%u", pid, file->fd);
			CHECK(read_number(path, "eventfd-count:") == file->fd % 10);
			found++;
		}
	}
	CHECK(found == 16);
}

/* Waits until somebody changes its r12. */
static void until_told(void *seen)
{
	ready();
	asm volatile("xor %%r12, %%r12\n\t"
		     "1: pause\n\t"
		     "test %%r12, %%r12\n\t"
		     "jz 1b" ::: "r12");
	*(volatile uint64_t *)seen = 1;
	idle(NULL);
}

TEST(a_thread_goes_on_with_the_registers_that_it_was_given)
{
	volatile uint64_t *seen = shared_memory(PAGE);
	pid_t pid = victim(until_told, (void *)seen);
	int session = open_session();
	struct ckpt_registers call = { .size = sizeof(call), .pid = pid, .tid = pid, .note = NT_PRSTATUS, .length = sizeof(struct user_regs_struct) };
	struct user_regs_struct set;
	struct ckpt_freeze frozen;

	CHECK(!attach(session, pid, 0));
	FAILS(EBUSY, ioctl(session, CKPT_REGISTERS, &(struct ckpt_registers){ .size = sizeof(call), .pid = pid, .tid = pid, .note = NT_PRSTATUS, .length = sizeof(set), .buffer = (uintptr_t)&set }));
	/* It clears the register after it has said that it is ready. */
	while (!*seen) {
		CHECK(!freeze(session, &frozen, 20000));
		set = *registers(take(session, pid, 0));
		set.r12 = 1;
		call.buffer = (uintptr_t)&set;
		CHECK(!ioctl(session, CKPT_REGISTERS, &call));
		CHECK(!thaw(session));
		sched_yield();
	}
	CHECK(!freeze(session, &frozen, 20000));
	set.cs = 0;
	FAILS(EIO, ioctl(session, CKPT_REGISTERS, &call));
	call.buffer = 8;
	FAILS(EFAULT, ioctl(session, CKPT_REGISTERS, &call));
	call.length = 8;
	FAILS(EINVAL, ioctl(session, CKPT_REGISTERS, &call));
	call.length = sizeof(set);
	call.tid = getpid();
	FAILS(ESRCH, ioctl(session, CKPT_REGISTERS, &call));
}

static int number(int fd, int option)
{
	int value = 0;
	socklen_t size = sizeof(value);

	CHECK(!getsockopt(fd, SOL_SOCKET, option, &value, &size));
	return value;
}

TEST(a_kept_socket_is_put_back_when_the_session_ends)
{
	int pair[2], zero = 0, large = 400000, before;
	struct ckpt_keep call = { .size = sizeof(call) };

	for (int kill = 0; kill < 2; kill++) {
		int session = open_session();

		CHECK(!socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
		before = number(pair[0], SO_RCVBUF);
		CHECK(number(pair[0], SO_PEEK_OFF) == -1);
		call.fd = pair[0];
		call.flags = 0;
		CHECK(!ioctl(session, CKPT_KEEP, &call));
		FAILS(EALREADY, ioctl(session, CKPT_KEEP, &call));
		CHECK(!setsockopt(pair[0], SOL_SOCKET, SO_PEEK_OFF, &zero, sizeof(zero)));
		CHECK(!setsockopt(pair[0], SOL_SOCKET, SO_RCVBUF, &large, sizeof(large)));
		CHECK(number(pair[0], SO_RCVBUF) != before);
		if (kill) {
			close(session);
		} else {
			call.flags = CKPT_KEEP_UNDO;
			CHECK(!ioctl(session, CKPT_KEEP, &call));
			FAILS(ENOENT, ioctl(session, CKPT_KEEP, &call));
			close(session);
		}
		CHECK(number(pair[0], SO_PEEK_OFF) == -1 && number(pair[0], SO_RCVBUF) == before);
	}
	call = (struct ckpt_keep){ .size = sizeof(call), .fd = open("/dev/null", O_RDONLY) };
	FAILS(ENOTSOCK, ioctl(open_session(), CKPT_KEEP, &call));
	call.fd = 999;
	FAILS(EBADF, ioctl(open_session(), CKPT_KEEP, &call));
}

static void vfork_parent(void *unused)
{
	(void)unused;
	ready();
	for (;;)
		if (!vfork()) {
			usleep(1000000000);
			_exit(0);
		}
}

TEST(a_wait_for_a_vfork_child_is_named_when_that_is_asked)
{
	pid_t pid = victim(vfork_parent, NULL);
	int session = open_session();
	struct ckpt_freeze call = { .size = sizeof(call), .flags = CKPT_FREEZE_NO_VFORK, .cgroup_freeze = group_freezer(), .timeout_ms = 20000 };
	char path[300];

	CHECK(!attach(session, pid, CKPT_ATTACH_FOLLOW));
	/* It says that it is ready a moment before. */
	while (!ioctl(session, CKPT_FREEZE, &call)) {
		CHECK(!thaw(session));
		call.threads = 0;
		sched_yield();
	}
	CHECK(errno == EAGAIN && call.late_pid == pid && call.late_tid == pid && call.late_syscall == SYS_vfork);
	snprintf(path, sizeof(path), "%s/cgroup.freeze", group);
	CHECK(read_number(path, "") == 0);
	CHECK(!freeze(session, &call, 20000));
}

static void ask_for_pid(void *unused)
{
	(void)unused;
	ready();
	for (;;)
		syscall(SYS_getppid);
}

TEST(a_thread_that_its_tracer_holds_before_a_call_is_told_from_one_behind_it)
{
	pid_t pid = victim(ask_for_pid, NULL);
	int session = open_session(), status;
	struct ckpt_freeze call;

	CHECK(!attach(session, pid, 0));
	CHECK(!ptrace(PTRACE_SEIZE, pid, NULL, PTRACE_O_TRACESYSGOOD));
	CHECK(!ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) && waitpid(pid, &status, 0) == pid);
	for (int stop = 0; stop < 6; stop++) {
		const struct ckpt_thread *thread;
		size_t length;
		bool entry;

		CHECK(!ptrace(PTRACE_SYSCALL, pid, NULL, NULL) && waitpid(pid, &status, 0) == pid && WSTOPSIG(status) == (SIGTRAP | 0x80));
		CHECK(!freeze(session, &call, 20000));
		length = take(session, pid, 0);
		thread = record(length, NULL, CKPT_RECORD_THREAD);
		entry = (long)registers(length)->rax == -ENOSYS;
		CHECK((thread->flags & CKPT_THREAD_TRACED) && !!(thread->flags & CKPT_THREAD_ENTRY) == entry);
		CHECK(!record(length, NULL, CKPT_RECORD_SIGNAL));
		CHECK(!thaw(session));
	}
	/* A signal that the tracer has not yet let pass is in no queue. */
	CHECK(!kill(pid, SIGUSR1));
	do
		CHECK(!ptrace(PTRACE_CONT, pid, NULL, NULL) && waitpid(pid, &status, 0) == pid);
	while (WSTOPSIG(status) != SIGUSR1);
	CHECK(!freeze(session, &call, 20000));
	const struct ckpt_signal *signal = record(take(session, pid, 0), NULL, CKPT_RECORD_SIGNAL);
	CHECK(signal && signal->shared == CKPT_SIGNAL_TRACER && ((const siginfo_t *)signal->siginfo)->si_signo == SIGUSR1);
}
