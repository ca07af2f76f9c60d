/*
 * Subject: signals about open files: owners (a process, a thread, a process group, one that is gone, none), their kind and user, the
 * signal, O_ASYNC; and that the signal comes, with descriptor and reason, when a file becomes ready.
 */
#include "state.h"
#include <sys/socket.h>

#ifndef F_GETOWNER_UIDS
#define F_GETOWNER_UIDS 17
#endif
#define SIGNAL (SIGRTMIN + 3)

enum { PROCESS, THREAD, GROUP, GONE, NOBODY, URGENT, USER, CASES };

static int pipes[CASES][2];
static pid_t tid;

/* A thread that only has a number. */
static void *idle(void *nothing)
{
	tid = state_tid();
	state_mark("thread");
	state_wait_go();
	state_await("asked");
	return nothing;
}

static void set(int which, int kind, pid_t owner, int signal, int async)
{
	struct f_owner_ex value = {.type = kind, .pid = owner};

	MUST(fcntl(pipes[which][0], F_SETOWN_EX, &value));
	if (signal)
		MUST(fcntl(pipes[which][0], F_SETSIG, signal));
	if (async)
		MUST(fcntl(pipes[which][0], F_SETFL, fcntl(pipes[which][0], F_GETFL) | O_ASYNC | O_NONBLOCK));
}

static void require(int which, int kind, pid_t owner, int signal, int async, uid_t user)
{
	struct f_owner_ex value = {.type = -1, .pid = -1};
	uid_t users[2] = {77, 77};
	int fd = pipes[which][0];

	MUST(fcntl(fd, F_GETOWN_EX, &value));
	CHECK((int)value.type == kind && value.pid == owner, "file %d: kind %d, owner %d instead of %d, %d", which, (int)value.type, value.pid, kind, owner);
	EQUAL(fcntl(fd, F_GETSIG), signal);
	EQUAL(fcntl(fd, F_GETFL) & (O_ASYNC | O_NONBLOCK), async ? O_ASYNC | O_NONBLOCK : 0);
	if (owner && fcntl(fd, F_GETOWNER_UIDS, users) == 0) {
		EQUAL(users[0], getuid());
		EQUAL(users[1], user ? user : geteuid());
	}
}

/* What arrives about a file when a byte comes into its pipe. */
static void require_signal(int which, int signal, int fd)
{
	struct timespec bound = {state_bound, 0};
	siginfo_t info = {0};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, signal);
	EQUAL(write(pipes[which][1], "x", 1), 1);
	EQUAL(sigtimedwait(&set, &info, &bound), signal);
	if (fd >= 0) {
		EQUAL(info.si_fd, fd);
		EQUAL(info.si_code, POLL_IN);
		CHECK(info.si_band & 1, "band 0x%lx", info.si_band);
	}
}

int main(int argc, char **argv)
{
	pthread_t thread;
	sigset_t all;
	pid_t gone, child, leader;
	int kinds = 0;

	state_begin(argc, argv);
	sigfillset(&all);
	MUST(sigprocmask(SIG_SETMASK, &all, NULL));
	for (int i = 0; i < CASES; i++)
		MUST(i == URGENT ? socketpair(AF_UNIX, SOCK_STREAM, 0, pipes[i]) : pipe(pipes[i]));
	thread = state_thread(idle, NULL);
	state_await("thread");

	/* One that is gone, of a kind that shows. */
	gone = state_fork();
	if (gone == 0) {
		state_await("owned");
		_exit(0);
	}
	set(GONE, F_OWNER_PID, gone, 0, 1);
	state_mark("owned");
	state_join(gone);

	/* A group of its own, whose leader has ended. */
	leader = state_fork();
	if (leader == 0) {
		MUST(setpgid(0, 0));
		child = MUST(fork());
		if (child == 0) {
			close(pipes[GROUP][1]);
			state_mark("member");
			state_wait_go();
			require(GROUP, F_OWNER_PGRP, getpgrp(), SIGNAL + 1, 1, 0);
			state_mark("listening");
			CHECK(getpgrp() != getpid(), "no member");
			struct timespec bound = {state_bound, 0};
			siginfo_t info = {0};
			sigset_t set;

			sigemptyset(&set);
			sigaddset(&set, SIGNAL + 1);
			EQUAL(sigtimedwait(&set, &info, &bound), SIGNAL + 1);
			EQUAL(info.si_fd, pipes[GROUP][0]);
			state_mark("heard");
			_exit(0);
		}
		state_await("member");
		_exit(0);
	}
	state_await("member");
	state_join(leader);
	set(GROUP, F_OWNER_PGRP, leader, SIGNAL + 1, 1);

	/* A child is told about the first file, which it has under another number too. */
	child = state_fork();
	if (child == 0) {
		state_mark("child");
		state_wait_go();
		require(PROCESS, F_OWNER_PID, getpid(), SIGNAL, 1, 0);
		require_signal(PROCESS, SIGNAL, pipes[PROCESS][0]);
		_exit(0);
	}
	state_await("child");
	set(PROCESS, F_OWNER_PID, child, SIGNAL, 1);
	set(THREAD, F_OWNER_TID, tid, SIGNAL + 2, 1);
	MUST(fcntl(pipes[NOBODY][0], F_SETSIG, SIGNAL));
	/* For urgent data only: an owner without O_ASYNC. */
	set(URGENT, F_OWNER_PID, getpid(), 0, 0);
	const uid_t self = geteuid(), user = state_user(65534);

	MUST(seteuid(user));
	set(USER, F_OWNER_PID, getpid(), 0, 1);
	MUST(seteuid(self));
	state_ready();
	state_wait_go();

	require(THREAD, F_OWNER_TID, tid, SIGNAL + 2, 1, 0);
	require(GONE, F_OWNER_PID, 0, 0, 1, 0);
	require(NOBODY, 0, 0, SIGNAL, 0, 0);
	require(URGENT, F_OWNER_PID, getpid(), 0, 0, 0);
	require(USER, F_OWNER_PID, getpid(), 0, 1, user);
	require_signal(USER, SIGIO, -1);
	state_await("listening");
	EQUAL(write(pipes[GROUP][1], "x", 1), 1);
	state_await("heard");
	/* To the thread alone, where it stays pending. */
	EQUAL(write(pipes[THREAD][1], "x", 1), 1);
	EQUAL(write(pipes[GONE][1], "x", 1), 1);
	UNTIL(({
		char path[64], value[64];

		snprintf(path, sizeof(path), "/proc/self/task/%d/status", tid);
		(strtoull(state_field(path, "SigPnd", value, sizeof(value)), NULL, 16) >> (SIGNAL + 1)) & 1;
	}));
	MUST(sigpending(&all));
	for (int i = 1; i < 65; i++)
		kinds += i != SIGCHLD && sigismember(&all, i) == 1;
	EQUAL(kinds, 0);
	state_mark("asked");
	pthread_join(thread, NULL);
	state_join(child);
	state_pass();
}
