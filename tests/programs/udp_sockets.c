/*
 * Subject: UDP: bound, connected and unconnected, with datagrams waiting and their senders' addresses; options; an idle netlink socket.
 * Cases: v4 v6
 */
#include "loopback.h"
#include <linux/netlink.h>

static char got[70000];

static int bound(void)
{
	return bind_loopback(MUST(socket(family, SOCK_DGRAM, 0)));
}

static int port(const struct sockaddr_storage *name)
{
	return ntohs(family == AF_INET ? ((const struct sockaddr_in *)name)->sin_port : ((const struct sockaddr_in6 *)name)->sin6_port);
}

static int port_of(int fd, int peer)
{
	struct sockaddr_storage name;
	socklen_t size = sizeof(name);

	MUST(peer ? getpeername(fd, (struct sockaddr *)&name, &size) : getsockname(fd, (struct sockaddr *)&name, &size));
	return port(&name);
}

static void expect(int fd, const char *text, size_t size, int from)
{
	struct sockaddr_storage sender;
	socklen_t n = sizeof(sender);

	EQUAL(recvfrom(fd, got, sizeof(got), MSG_DONTWAIT, (struct sockaddr *)&sender, &n), size);
	CHECK(memcmp(got, text, strlen(text)) == 0, "datagram is %s, expected %s", got, text);
	EQUAL(port(&sender), from);
}

int main(int argc, char **argv)
{
	static char large[60000] = "large";
	int value = 0;
	socklen_t size = sizeof(value);
	int on = 1;

	state_begin(argc, argv);
	family = strcmp(state_case, "v6") == 0 ? AF_INET6 : AF_INET;
	int sender = bound(), sender_port = port(&address), receiver = bound(), receiver_port = port(&address), client, client_port, brief, brief_port;

	if (sendto(sender, "first", 5, 0, (struct sockaddr *)&address, length) != 5)
		state_skip("no loopback here: %s", strerror(errno));
	client = MUST(socket(family, SOCK_DGRAM | SOCK_NONBLOCK, 0));
	MUST(connect(client, (struct sockaddr *)&address, length));
	client_port = port_of(client, 0);
	EQUAL(send(client, large, sizeof(large), 0), sizeof(large));
	EQUAL(send(client, "", 0, 0), 0);
	brief = MUST(socket(family, SOCK_DGRAM, 0));
	MUST(connect(brief, (struct sockaddr *)&address, length));
	brief_port = port_of(brief, 0);
	EQUAL(send(brief, "brief", 5, 0), 5);
	MUST(close(brief));
	MUST(setsockopt(sender, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on)));
	int fresh = MUST(socket(family, SOCK_DGRAM, 0)), route = MUST(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));

	state_ready();
	state_wait_go();
	EQUAL(port_of(sender, 0), sender_port);
	EQUAL(port_of(receiver, 0), receiver_port);
	EQUAL(port_of(client, 0), client_port);
	EQUAL(port_of(client, 1), receiver_port);
	EQUAL(port_of(fresh, 0), 0);
	EQUAL(fcntl(client, F_GETFL), O_RDWR | O_NONBLOCK);
	expect(receiver, "first", 5, sender_port);
	expect(receiver, "large", sizeof(large), client_port);
	expect(receiver, "", 0, client_port);
	expect(receiver, "brief", 5, brief_port);
	EQUAL(recv(receiver, got, 1, MSG_DONTWAIT), -1);
	EQUAL(errno, EAGAIN);
	MUST(getsockopt(sender, SOL_SOCKET, SO_BROADCAST, &value, &size));
	EQUAL(value, 1);
	MUST(getsockopt(receiver, SOL_SOCKET, SO_PEEK_OFF, &value, &size));
	EQUAL(value, -1);
	EQUAL(send(client, "after", 5, 0), 5);
	expect(receiver, "after", 5, client_port);
	struct sockaddr_nl self = {.nl_family = AF_NETLINK};

	MUST(bind(route, (struct sockaddr *)&self, sizeof(self)));
	state_pass();
}
