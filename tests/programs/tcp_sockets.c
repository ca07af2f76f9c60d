/*
 * Subject: TCP inside an application: listening, connections with bytes both ways, half closed, with the other end closed,
 * waiting to be accepted, bound, unconnected; options, addresses and ports.
 * Cases: v4 v6
 */
#include "loopback.h"
#include <netinet/tcp.h>
#include <poll.h>

#define BYTES 300000

static unsigned char data[BYTES], got[BYTES];

static int made(int options)
{
	return MUST(socket(family, SOCK_STREAM | options, 0));
}

static void set(int fd, int level, int name, int value)
{
	MUST(setsockopt(fd, level, name, &value, sizeof(value)));
}

static int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t size = sizeof(value);

	MUST(getsockopt(fd, level, name, &value, &size));
	return value;
}

static int port(int fd, int peer)
{
	struct sockaddr_storage name;
	socklen_t size = sizeof(name);

	MUST(peer ? getpeername(fd, (struct sockaddr *)&name, &size) : getsockname(fd, (struct sockaddr *)&name, &size));
	return ntohs(family == AF_INET ? ((struct sockaddr_in *)&name)->sin_port : ((struct sockaddr_in6 *)&name)->sin6_port);
}

static int bound(int options)
{
	return bind_loopback(made(options));
}

static int connected(void)
{
	int fd = made(0);

	if (connect(fd, (struct sockaddr *)&address, length) != 0)
		state_skip("no loopback here: %s", strerror(errno));
	return fd;
}

static void expect_pass(int from, int to)
{
	EQUAL(send(from, "after", 5, MSG_NOSIGNAL), 5);
	EQUAL(recv(to, got, 5, MSG_WAITALL), 5);
	CHECK(memcmp(got, "after", 5) == 0, "other bytes");
}

static void expect_nothing(int fd)
{
	EQUAL(recv(fd, got, 1, MSG_DONTWAIT), -1);
	EQUAL(errno, EAGAIN);
}

int main(int argc, char **argv)
{
	int clients[5], servers[5], ports[5], size = 1 << 20;
	struct linger linger = {1, 5};
	socklen_t linger_size = sizeof(linger);
	struct pollfd entry;

	state_begin(argc, argv);
	family = strcmp(state_case, "v6") == 0 ? AF_INET6 : AF_INET;
	state_fill(data, BYTES, 1);
	int idle = bound(0), idle_port = port(idle, 0), fresh = made(SOCK_NONBLOCK);
	int listener = bound(SOCK_NONBLOCK | SOCK_CLOEXEC);

	set(listener, SOL_SOCKET, SO_RCVBUF, size);
	MUST(listen(listener, 9));
	for (int i = 0; i < 5; i++) {
		clients[i] = connected();
		servers[i] = MUST(accept(listener, NULL, NULL));
		ports[i] = port(clients[i], 0);
	}
	set(clients[0], IPPROTO_TCP, TCP_NODELAY, 1);
	set(clients[0], SOL_SOCKET, SO_KEEPALIVE, 1);
	set(clients[0], IPPROTO_TCP, TCP_KEEPIDLE, 77);
	MUST(setsockopt(clients[0], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
	set(servers[0], SOL_SOCKET, SO_PRIORITY, 3);
	EQUAL(send(clients[0], data, BYTES, 0), BYTES);
	EQUAL(recv(servers[0], got, 1000, MSG_WAITALL), 1000);
	EQUAL(send(servers[0], "back", 4, 0), 4);
	/* 1: the client has said all; 2: the server has, and the client was closed with bytes unread by nobody. */
	EQUAL(send(clients[1], "last words", 10, 0), 10);
	MUST(shutdown(clients[1], SHUT_WR));
	EQUAL(send(servers[2], "good-bye", 8, 0), 8);
	MUST(close(servers[2]));
	/* 3: nothing; 4: both have said all. */
	EQUAL(send(clients[4], "4", 1, 0), 1);
	MUST(shutdown(servers[4], SHUT_WR));
	MUST(shutdown(clients[4], SHUT_WR));
	int waiting = connected(), waiting_port = port(waiting, 0), listening_port = port(listener, 0);
	pid_t child = state_fork();

	if (child == 0) {
		close(clients[3]);
		state_wait_go();
		EQUAL(read(servers[3], got, 4), 4);
		EQUAL(write(servers[3], got, 4), 4);
		_exit(0);
	}
	close(servers[3]);
	state_ready();
	state_wait_go();
	EQUAL(port(idle, 0), idle_port);
	EQUAL(port(listener, 0), listening_port);
	EQUAL(fcntl(listener, F_GETFL), O_RDWR | O_NONBLOCK);
	EQUAL(fcntl(listener, F_GETFD), FD_CLOEXEC);
	EQUAL(fcntl(fresh, F_GETFL), O_RDWR | O_NONBLOCK);
	EQUAL(option(listener, SOL_SOCKET, SO_ACCEPTCONN), 1);
	EQUAL(option(listener, SOL_SOCKET, SO_REUSEADDR), 0);
	EQUAL(option(listener, SOL_SOCKET, SO_RCVBUF), option(servers[0], SOL_SOCKET, SO_RCVBUF));
	for (int i = 0; i < 4; i++) {
		EQUAL(port(clients[i], 0), ports[i]);
		if (i != 2)
			EQUAL(port(clients[i], 1), listening_port);
	}
	EQUAL(port(servers[0], 1), ports[0]);
	EQUAL(option(clients[0], IPPROTO_TCP, TCP_NODELAY), 1);
	EQUAL(option(clients[1], IPPROTO_TCP, TCP_NODELAY), 0);
	EQUAL(option(clients[0], SOL_SOCKET, SO_KEEPALIVE), 1);
	EQUAL(option(clients[0], SOL_SOCKET, SO_REUSEADDR), 0);
	EQUAL(option(clients[0], IPPROTO_TCP, TCP_KEEPIDLE), 77);
	EQUAL(option(servers[0], SOL_SOCKET, SO_PRIORITY), 3);
	memset(&linger, 0, sizeof(linger));
	MUST(getsockopt(clients[0], SOL_SOCKET, SO_LINGER, &linger, &linger_size));
	EQUAL(linger.l_linger, 5);
	EQUAL(recv(servers[0], got, BYTES - 1000, MSG_WAITALL), BYTES - 1000);
	CHECK(memcmp(got, data + 1000, BYTES - 1000) == 0, "bytes to the server");
	expect_nothing(servers[0]);
	EQUAL(recv(clients[0], got, 100, 0), 4);
	CHECK(memcmp(got, "back", 4) == 0, "bytes to the client");
	expect_nothing(clients[0]);
	/* Much, both ways at once. */
	for (int i = 0; i < 20; i++) {
		EQUAL(send(clients[0], data, 50000, 0), 50000);
		EQUAL(send(servers[0], data, 50000, 0), 50000);
		EQUAL(recv(servers[0], got, 50000, MSG_WAITALL), 50000);
		CHECK(memcmp(got, data, 50000) == 0, "bytes of round %d", i);
		EQUAL(recv(clients[0], got, 50000, MSG_WAITALL), 50000);
	}
	EQUAL(recv(servers[1], got, 100, 0), 10);
	EQUAL(recv(servers[1], got, 100, 0), 0);
	EQUAL(send(clients[1], "x", 1, MSG_NOSIGNAL), -1);
	EQUAL(errno, EPIPE);
	expect_pass(servers[1], clients[1]);
	EQUAL(recv(clients[2], got, 100, 0), 8);
	CHECK(memcmp(got, "good-bye", 8) == 0, "bytes of a closed end");
	EQUAL(recv(clients[2], got, 100, 0), 0);
	EQUAL(write(clients[3], "ping", 4), 4);
	EQUAL(read(clients[3], got, 100), 4);
	EQUAL(recv(servers[4], got, 100, 0), 1);
	EQUAL(recv(servers[4], got, 100, 0), 0);
	EQUAL(recv(clients[4], got, 100, 0), 0);
	int accepted = MUST(accept(listener, NULL, NULL));

	EQUAL(port(accepted, 1), waiting_port);
	expect_pass(waiting, accepted);
	expect_pass(accepted, waiting);
	EQUAL(accept(listener, NULL, NULL), -1);
	EQUAL(errno, EAGAIN);
	int later = connected(), later_server = MUST(accept(listener, NULL, NULL));

	expect_pass(later, later_server);
	EQUAL(recv(fresh, got, 1, 0), -1);
	EQUAL(errno, ENOTCONN);
	entry = (struct pollfd){.fd = fresh, .events = POLLIN | POLLRDHUP};
	EQUAL(poll(&entry, 1, 0), 1);
	EQUAL(entry.revents, POLLHUP);
	MUST(listen(idle, 1));
	state_join(child);
	state_pass();
}
