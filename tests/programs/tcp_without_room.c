/*
 * Subject: TCP connections whose receiver has no room: bytes that wait at the sender, in both directions, behind a sender that has said
 * that it is done, with a process that waits to send more; buffers keep their sizes.
 * Cases: four six
 */
#include "loopback.h"

#define MOST (24 << 20)
#define WAITING 1000000

static unsigned char *data, *got;

static void connection(int ends[2], int buffer)
{
	int listener = MUST(socket(family, SOCK_STREAM, 0));

	bind_loopback(listener);
	MUST(listen(listener, 5));
	ends[0] = MUST(socket(family, SOCK_STREAM, 0));
	if (buffer > 0)
		MUST(setsockopt(ends[0], SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer)));
	MUST(connect(ends[0], (struct sockaddr *)&address, length));
	ends[1] = MUST(accept(listener, NULL, NULL));
	MUST(close(listener));
}

/* Sends until nothing more goes in; how much went. */
static size_t fill(int fd)
{
	size_t done = 0;
	int refused = 0;

	while (refused < 20) {
		ssize_t n = send(fd, data + done, MOST - done, MSG_DONTWAIT);

		if (n > 0) {
			done += (size_t)n;
			refused = 0;
		} else {
			EQUAL(errno, EAGAIN);
			refused++;
			usleep(10000);
		}
		CHECK(done < MOST, "there is no end to it");
	}
	return done;
}

static int option(int fd, int name)
{
	int value = -1;
	socklen_t size = sizeof(value);

	MUST(getsockopt(fd, SOL_SOCKET, name, &value, &size));
	return value;
}

/* Receives what was sent, and no more. */
static void take(int fd, size_t from, size_t count)
{
	for (size_t done = 0; done < count;) {
		ssize_t n = MUST(recv(fd, got, count - done, 0));

		CHECK(n > 0 && memcmp(got, data + from + done, (size_t)n) == 0, "other bytes at %zu of %zu", from + done, count);
		done += (size_t)n;
	}
}

int main(int argc, char **argv)
{
	int one[2], two[2], three[2], size, size_three;
	size_t there, back, small, more;
	pid_t sender;

	state_begin(argc, argv);
	family = strcmp(state_case, "six") == 0 ? AF_INET6 : AF_INET;
	data = mmap(NULL, MOST, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	got = mmap(NULL, MOST, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(data != MAP_FAILED && got != MAP_FAILED, "no memory");
	state_fill(data, MOST, 5);
	connection(one, 0);
	there = fill(one[0]);
	back = fill(one[1]);
	/* A small buffer of its own choice; the end of the stream is behind what waits. */
	connection(two, 20000);
	small = fill(two[1]);
	MUST(shutdown(two[1], SHUT_WR));
	connection(three, 30000);
	MUST(setsockopt(three[1], SOL_SOCKET, SO_SNDBUF, (int[]){50000}, sizeof(int)));
	more = fill(three[1]);
	size = option(two[0], SO_RCVBUF);
	size_three = option(three[0], SO_RCVBUF);
	sender = state_fork();
	if (sender == 0) {
		/* A stop may make a send short. */
		for (size_t done = 0; done < WAITING;)
			done += (size_t)MUST(send(three[1], data + more + done, WAITING - done, 0));
		state_mark("sent");
		_exit(0);
	}
	state_until_asleep(sender);
	CHECK(more > 30000 && small > 20000 && there > 1000 && back > 1000, "nothing waits");

	state_ready();
	state_wait_go();

	EQUAL(option(two[0], SO_RCVBUF), size);
	EQUAL(option(three[0], SO_RCVBUF), size_three);
	take(one[1], 0, there);
	EQUAL(recv(one[1], got, 1, MSG_DONTWAIT), -1);
	EQUAL(errno, EAGAIN);
	take(two[0], 0, small);
	EQUAL(recv(two[0], got, 1, 0), 0);
	EQUAL(send(two[0], "last", 4, 0), 4);
	EQUAL(recv(two[1], got, 4, 0), 4);
	take(three[0], 0, more + WAITING);
	state_await("sent");
	state_join(sender);
	take(one[0], 0, back);
	EQUAL(send(one[0], "after", 5, 0), 5);
	EQUAL(recv(one[1], got, 5, MSG_WAITALL), 5);
	state_pass();
}
