/*
 * Subject: pairs of Unix sockets: streams, datagrams and packets with what is in them, empty ones, half shut, with the other
 * end closed and bytes left, reset; options; every byte in order and every packet whole.
 */
#include "state.h"
#include <poll.h>
#include <sys/socket.h>

#define BYTES 150000

static unsigned char data[BYTES], got[BYTES + 1];

static void pair(int type, int ends[2])
{
	MUST(socketpair(AF_UNIX, type, 0, ends));
}

static int option(int fd, int name)
{
	int value = -1;
	socklen_t size = sizeof(value);

	MUST(getsockopt(fd, SOL_SOCKET, name, &value, &size));
	return value;
}

static void expect_blocks(int fd)
{
	EQUAL(recv(fd, got, 1, MSG_DONTWAIT), -1);
	EQUAL(errno, EAGAIN);
}

static void expect_pass(int from, int to)
{
	EQUAL(send(from, "after", 5, MSG_NOSIGNAL), 5);
	EQUAL(recv(to, got, 100, 0), 5);
	CHECK(memcmp(got, "after", 5) == 0, "other bytes");
}

int main(int argc, char **argv)
{
	int stream[2], empty[2], datagrams[2], packets[2], shut[2], ended[2], reset[2], closed[2], dumb[2], set[2], on = 1, size;
	struct timeval time = {3, 500000}, time_now;
	struct sockaddr_un {
		sa_family_t family;
		char path[108];
	} name;
	socklen_t length = sizeof(time_now);
	pid_t child;

	state_begin(argc, argv);
	state_fill(data, BYTES, 1);
	pair(SOCK_STREAM, stream);
	EQUAL(send(stream[0], data, BYTES, MSG_DONTWAIT), BYTES);
	EQUAL(recv(stream[1], got, 1000, 0), 1000);	/* the first is read in part */
	EQUAL(send(stream[1], "back", 4, 0), 4);
	pair(SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, empty);
	pair(SOCK_DGRAM, datagrams);
	EQUAL(send(datagrams[0], data, 70000, 0), 70000);
	EQUAL(send(datagrams[0], "", 0, 0), 0);
	EQUAL(send(datagrams[0], "three", 5, 0), 5);
	EQUAL(send(datagrams[1], "other way", 9, 0), 9);
	pair(SOCK_SEQPACKET, packets);
	for (int i = 1; i <= 20; i++)
		EQUAL(send(packets[1], data, i * 100, 0), i * 100);
	pair(SOCK_STREAM, shut);
	EQUAL(send(shut[0], "last words", 10, 0), 10);
	MUST(shutdown(shut[0], SHUT_WR));
	pair(SOCK_STREAM, ended);
	EQUAL(send(ended[1], "left behind", 11, 0), 11);
	MUST(close(ended[1]));
	pair(SOCK_STREAM, reset);
	EQUAL(send(reset[0], "never read", 10, 0), 10);
	MUST(close(reset[1]));
	pair(SOCK_SEQPACKET, closed);
	EQUAL(send(closed[1], "one", 3, 0), 3);
	EQUAL(send(closed[1], "two", 3, 0), 3);
	MUST(close(closed[1]));
	pair(SOCK_DGRAM, dumb);
	MUST(close(dumb[1]));
	pair(SOCK_STREAM, set);
	size = 50000;
	MUST(setsockopt(set[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)));
	MUST(setsockopt(set[0], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time)));
	MUST(setsockopt(set[0], SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)));
	child = state_fork();
	if (child == 0) {
		/* The other end of `set` is in another process. */
		close(set[0]);
		state_wait_go();
		EQUAL(read(set[1], got, 100), 4);
		EQUAL(write(set[1], got, 4), 4);
		_exit(0);
	}
	close(set[1]);
	state_ready();
	state_wait_go();
	for (int at = 1000, n; at < BYTES; at += n) {
		n = MUST(recv(stream[1], got, BYTES, MSG_DONTWAIT));
		CHECK(n > 0 && memcmp(got, data + at, n) == 0, "%d bytes at %d", n, at);
	}
	expect_blocks(stream[1]);
	EQUAL(recv(stream[0], got, 100, 0), 4);
	expect_blocks(stream[0]);
	EQUAL(fcntl(empty[0], F_GETFL), O_RDWR | O_NONBLOCK);
	EQUAL(fcntl(empty[1], F_GETFD), FD_CLOEXEC);
	EQUAL(fcntl(stream[0], F_GETFL), O_RDWR);
	expect_blocks(empty[0]);
	EQUAL(recv(datagrams[1], got, BYTES, 0), 70000);
	CHECK(memcmp(got, data, 70000) == 0, "first datagram");
	EQUAL(recv(datagrams[1], got, BYTES, 0), 0);
	EQUAL(recv(datagrams[1], got, BYTES, 0), 5);
	expect_blocks(datagrams[1]);
	EQUAL(recv(datagrams[0], got, BYTES, 0), 9);
	for (int i = 1; i <= 20; i++) {
		EQUAL(recv(packets[0], got, BYTES, 0), i * 100);
		CHECK(memcmp(got, data, i * 100) == 0, "packet %d", i);
	}
	expect_blocks(packets[0]);
	EQUAL(recv(shut[1], got, 100, 0), 10);
	EQUAL(recv(shut[1], got, 100, 0), 0);
	EQUAL(send(shut[0], "x", 1, MSG_NOSIGNAL), -1);
	EQUAL(errno, EPIPE);
	expect_pass(shut[1], shut[0]);
	EQUAL(recv(ended[0], got, 100, 0), 11);
	CHECK(memcmp(got, "left behind", 11) == 0, "bytes of a closed end");
	EQUAL(recv(ended[0], got, 100, 0), 0);
	EQUAL(send(ended[0], "x", 1, MSG_NOSIGNAL), -1);
	EQUAL(errno, EPIPE);
	EQUAL(recv(reset[0], got, 100, 0), -1);
	EQUAL(errno, ECONNRESET);
	EQUAL(recv(reset[0], got, 100, 0), 0);
	EQUAL(recv(closed[0], got, 100, 0), 3);
	EQUAL(recv(closed[0], got, 100, 0), 3);
	EQUAL(recv(closed[0], got, 100, MSG_DONTWAIT), 0);
	EQUAL(send(dumb[0], "x", 1, 0), -1);
	EQUAL(errno, ECONNREFUSED);
	EQUAL(option(set[0], SO_SNDBUF), 100000);
	EQUAL(option(set[0], SO_KEEPALIVE), 1);
	EQUAL(option(set[0], SO_PEEK_OFF), -1);
	EQUAL(option(datagrams[1], SO_PEEK_OFF), -1);
	EQUAL(option(stream[0], SO_SNDBUF), option(empty[0], SO_SNDBUF));
	MUST(getsockopt(set[0], SOL_SOCKET, SO_RCVTIMEO, &time_now, &length));
	EQUAL(time_now.tv_sec, time.tv_sec);
	EQUAL(time_now.tv_usec, time.tv_usec);
	EQUAL(write(set[0], "ping", 4), 4);
	EQUAL(read(set[0], got, 100), 4);
	length = sizeof(name);
	MUST(getsockname(stream[0], (struct sockaddr *)&name, &length));
	EQUAL(length, 2);
	expect_pass(stream[0], stream[1]);
	expect_pass(empty[1], empty[0]);
	expect_pass(datagrams[0], datagrams[1]);
	expect_pass(packets[1], packets[0]);
	state_join(child);
	state_pass();
}
