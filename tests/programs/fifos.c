/*
 * Subject: FIFOs: bytes in them, both ends in one process and in two, one open for reading and writing, a reader that never had a writer, a
 * reader whose writer has gone, a process that waits for the other end, flags.
 */
#include "state.h"
#include <poll.h>

static unsigned char data[100000], got[200000];

static int fifo(const char *name)
{
	return MUST(mkfifo(state_path(name), 0600));
}

static int hung_up(int fd)
{
	struct pollfd question = {.fd = fd, .events = POLLIN};

	return poll(&question, 1, 0) == 1 && (question.revents & POLLHUP);
}

int main(int argc, char **argv)
{
	int full[2], both, lonely, left, across;
	char byte;

	state_begin(argc, argv);
	state_fill(data, sizeof(data), 9);
	fifo("full");
	fifo("both");
	fifo("lonely");
	fifo("left");
	fifo("across");
	fifo("awaited");
	full[0] = MUST(open(state_path("full"), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
	full[1] = MUST(open(state_path("full"), O_WRONLY));
	MUST(fcntl(full[1], F_SETPIPE_SZ, 1 << 18));
	EQUAL(write(full[1], data, sizeof(data)), sizeof(data));
	both = MUST(open(state_path("both"), O_RDWR));
	EQUAL(write(both, "kept", 4), 4);
	lonely = MUST(open(state_path("lonely"), O_RDONLY | O_NONBLOCK));
	left = MUST(open(state_path("left"), O_RDONLY | O_NONBLOCK));
	int writer = MUST(open(state_path("left"), O_WRONLY));

	EQUAL(write(writer, "last", 4), 4);
	close(writer);
	pid_t child = state_fork();

	if (child == 0) {
		int out = MUST(open(state_path("across"), O_WRONLY));

		EQUAL(write(out, "early", 5), 5);
		state_mark("written");
		state_wait_go();
		EQUAL(write(out, "late", 4), 4);
		_exit(0);
	}
	across = MUST(open(state_path("across"), O_RDONLY));
	pid_t waiting = state_fork();

	if (waiting == 0) {
		/* Until somebody opens the other end. */
		state_mark("waiting");
		int in = MUST(open(state_path("awaited"), O_RDONLY));

		EQUAL(read(in, &byte, 1), 1);
		EQUAL(byte, 'w');
		_exit(0);
	}
	state_await("written");
	state_await("waiting");
	state_until_asleep(waiting);
	CHECK(!hung_up(lonely) && hung_up(left), "before");
	state_ready();
	state_wait_go();
	CHECK(!hung_up(lonely), "a reader that never had a writer hears of its end");
	EQUAL(fcntl(full[0], F_GETFL) & ~0100000, O_RDONLY | O_NONBLOCK);
	EQUAL(fcntl(full[0], F_GETFD), FD_CLOEXEC);
	EQUAL(fcntl(full[1], F_GETFL) & ~0100000, O_WRONLY);
	EQUAL(fcntl(full[0], F_GETPIPE_SZ), 1 << 18);
	EQUAL(read(full[0], got, sizeof(got)), sizeof(data));
	CHECK(memcmp(got, data, sizeof(data)) == 0, "the bytes differ");
	EQUAL(read(full[0], got, 1), -1);
	EQUAL(errno, EAGAIN);
	EQUAL(read(both, got, sizeof(got)), 4);
	CHECK(memcmp(got, "kept", 4) == 0, "the bytes differ");
	EQUAL(read(left, got, sizeof(got)), 4);
	EQUAL(read(left, got, sizeof(got)), 0);
	CHECK(hung_up(left), "the writer is there again");
	state_join(child);
	EQUAL(read(across, got, sizeof(got)), 9);
	CHECK(memcmp(got, "earlylate", 9) == 0, "the bytes differ");
	EQUAL(read(across, got, 1), 0);
	int to = MUST(open(state_path("lonely"), O_WRONLY));

	EQUAL(write(to, "x", 1), 1);
	EQUAL(read(lonely, got, 2), 1);
	close(to);
	CHECK(hung_up(lonely), "no hang-up");
	to = MUST(open(state_path("awaited"), O_WRONLY));
	EQUAL(write(to, "w", 1), 1);
	state_join(waiting);
	state_pass();
}
