/*
 * Subject: pidfd: of itself, a child, a zombie, the parent, one shared by two processes; waited for, watched by poll and epoll.
 */
#include "state.h"
#include <poll.h>
#include <sys/epoll.h>

static int open_pid(pid_t pid)
{
	return MUST((int)syscall(SYS_pidfd_open, pid, 0));
}

static int ended(int fd)
{
	struct pollfd question = {.fd = fd, .events = POLLIN};

	return poll(&question, 1, 0) == 1;
}

int main(int argc, char **argv)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = 5};
	siginfo_t information;
	int self, child, dead, set;

	state_begin(argc, argv);
	self = open_pid(getpid());
	pid_t zombie = MUST(fork());

	if (zombie == 0)
		_exit(3);
	UNTIL(state_letter(zombie) == 'Z');
	dead = open_pid(zombie);
	MUST(fcntl(dead, F_SETFD, FD_CLOEXEC));
	pid_t first = state_fork();

	if (first == 0) {
		int parent = open_pid(getppid());

		state_mark("first");
		state_wait_go();
		CHECK(!ended(parent) && !ended(self), "the parent is said to have ended");
		state_await("end");
		_exit(0);
	}
	child = open_pid(first);
	set = MUST(epoll_create1(0));
	MUST(epoll_ctl(set, EPOLL_CTL_ADD, child, &event));
	pid_t second = state_fork();

	if (second == 0) {
		/* It has all of them by inheritance. */
		state_mark("second");
		state_wait_go();
		CHECK(ended(dead) && !ended(self), "the wrong one ended");
		_exit(0);
	}
	state_await("first");
	state_await("second");
	state_ready();
	state_wait_go();
	CHECK(!ended(self) && !ended(child), "a living process is said to have ended");
	CHECK(ended(dead), "the zombie is said to live");
	EQUAL(fcntl(dead, F_GETFD), FD_CLOEXEC);
	EQUAL(fcntl(child, F_GETFD), FD_CLOEXEC);
	EQUAL(syscall(SYS_pidfd_send_signal, child, 0, NULL, 0), 0);
	state_join(second);
	EQUAL(epoll_wait(set, &event, 1, 0), 0);
	MUST(waitid((idtype_t)3 /* P_PIDFD */, (id_t)dead, &information, WEXITED));
	EQUAL(information.si_pid, zombie);
	EQUAL(information.si_status, 3);
	state_mark("end");
	EQUAL(epoll_wait(set, &event, 1, 10000), 1);
	EQUAL(event.data.u64, 5);
	MUST(waitid((idtype_t)3, (id_t)child, &information, WEXITED));
	EQUAL(information.si_pid, first);
	EQUAL(information.si_status, 0);
	state_pass();
}
