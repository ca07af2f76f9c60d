/*
 * Subject: eventfd: counter, semaphore, flags, a full counter, one shared by two processes, a blocked reader.
 */
#include "state.h"
#include <poll.h>
#include <sys/eventfd.h>

int main(int argc, char **argv)
{
	uint64_t value, full = 0xfffffffffffffffeULL;
	int plain, semaphore, empty, filled, shared, blocked;

	state_begin(argc, argv);
	plain = MUST(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
	semaphore = MUST(eventfd(3, EFD_SEMAPHORE | EFD_NONBLOCK));
	empty = MUST(eventfd(0, EFD_NONBLOCK));
	filled = MUST(eventfd(0, 0));
	shared = MUST(eventfd(0, EFD_NONBLOCK));
	blocked = MUST(eventfd(0, 0));
	value = 0x123456789abcULL;
	EQUAL(write(plain, &value, 8), 8);
	EQUAL(write(filled, &full, 8), 8);
	pid_t child = state_fork();

	if (child == 0) {
		state_mark("child");
		EQUAL(read(blocked, &value, 8), 8);
		EQUAL(value, 41);
		value = 7;
		EQUAL(write(shared, &value, 8), 8);
		_exit(0);
	}
	state_await("child");
	state_until_asleep(child);
	state_ready();
	state_wait_go();
	EQUAL(fcntl(plain, F_GETFD), FD_CLOEXEC);
	EQUAL(fcntl(semaphore, F_GETFD), 0);
	EQUAL(fcntl(plain, F_GETFL), O_RDWR | O_NONBLOCK);
	EQUAL(fcntl(filled, F_GETFL), O_RDWR);
	EQUAL(read(plain, &value, 8), 8);
	EQUAL(value, 0x123456789abcULL);
	EQUAL(read(plain, &value, 8), -1);
	EQUAL(errno, EAGAIN);
	for (int i = 0; i < 3; i++) {
		EQUAL(read(semaphore, &value, 8), 8);
		EQUAL(value, 1);
	}
	EQUAL(read(semaphore, &value, 8), -1);
	EQUAL(read(empty, &value, 8), -1);
	struct pollfd poll_full = {.fd = filled, .events = POLLIN | POLLOUT};

	EQUAL(poll(&poll_full, 1, 0), 1);
	EQUAL(poll_full.revents, POLLIN);
	EQUAL(read(filled, &value, 8), 8);
	EQUAL(value, full);
	value = 41;
	EQUAL(write(blocked, &value, 8), 8);
	state_join(child);
	EQUAL(read(shared, &value, 8), 8);
	EQUAL(value, 7);
	state_pass();
}
