/*
 * Subject: netlink sockets: one that has asked the kernel and asks it again, one in groups (the first 32 and others), one of uevents, one that sends to
 * another's port; their ports and options.
 */
#include "state.h"
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/random.h>
#include <sys/socket.h>

#ifndef RTNLGRP_BRVLAN
#define RTNLGRP_BRVLAN 33
#endif

static char buffer[65536];

/* Bound to a port that nobody else has: in a network namespace each is there once. */
static int bound(int protocol, unsigned int groups, uint32_t *port)
{
	struct sockaddr_nl name = { .nl_family = AF_NETLINK, .nl_groups = groups };
	int fd = MUST(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));

	EQUAL(getrandom(port, sizeof(*port), 0), sizeof(*port));
	*port |= 0x100000;
	name.nl_pid = *port;
	MUST(bind(fd, (struct sockaddr *)&name, sizeof(name)));
	return fd;
}

static void check_name(int fd, uint32_t port, unsigned int groups)
{
	struct sockaddr_nl name = { 0 };
	socklen_t size = sizeof(name);

	MUST(getsockname(fd, (struct sockaddr *)&name, &size));
	EQUAL(name.nl_pid, port);
	EQUAL(name.nl_groups, groups);
}

static int option(int fd, int number)
{
	int value = -1;
	socklen_t size = sizeof(value);

	MUST(getsockopt(fd, SOL_NETLINK, number, &value, &size));
	return value;
}

/* Asks for all links; the answers are for its port. */
static void ask(int fd, uint32_t port, uint32_t sequence)
{
	struct {
		struct nlmsghdr header;
		struct ifinfomsg link;
	} question = { { sizeof(question), RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, sequence, 0 }, { .ifi_family = AF_UNSPEC } };
	int links = 0, done = 0;

	EQUAL(send(fd, &question, sizeof(question), 0), sizeof(question));
	while (!done) {
		long length = MUST(recv(fd, buffer, sizeof(buffer), 0));

		for (struct nlmsghdr *at = (struct nlmsghdr *)buffer; NLMSG_OK(at, length); at = NLMSG_NEXT(at, length)) {
			EQUAL(at->nlmsg_pid, port);
			EQUAL(at->nlmsg_seq, sequence);
			done |= at->nlmsg_type == NLMSG_DONE;
			links += at->nlmsg_type == RTM_NEWLINK;
		}
	}
	CHECK(links >= 1, "%d links", links);
}

int main(int argc, char **argv)
{
	uint32_t asks_port, listens_port, events_port, receives_port, sends_port, groups[4] = { 0 };
	socklen_t size = sizeof(groups);
	int one = 1, group = RTNLGRP_BRVLAN;

	state_begin(argc, argv);
	int asks = bound(NETLINK_ROUTE, 0, &asks_port);
	/* Groups of which nothing is heard. */
	int listens = bound(NETLINK_ROUTE, 1U << (RTNLGRP_DECnet_RULE - 1), &listens_port);
	int events = bound(NETLINK_KOBJECT_UEVENT, 2, &events_port);
	int receives = bound(NETLINK_USERSOCK, 0, &receives_port);
	int sends = bound(NETLINK_USERSOCK, 0, &sends_port);
	int idle = MUST(socket(AF_NETLINK, SOCK_DGRAM, NETLINK_ROUTE));
	struct sockaddr_nl other = { .nl_family = AF_NETLINK, .nl_pid = receives_port }, name;

	MUST(setsockopt(listens, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)));
	MUST(setsockopt(asks, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one)));
	MUST(setsockopt(listens, SOL_NETLINK, NETLINK_NO_ENOBUFS, &one, sizeof(one)));
	MUST(connect(sends, (struct sockaddr *)&other, sizeof(other)));
	ask(asks, asks_port, 1);
	state_ready();
	state_wait_go();
	check_name(asks, asks_port, 0);
	check_name(listens, listens_port, 1U << (RTNLGRP_DECnet_RULE - 1));
	check_name(events, events_port, 2);
	check_name(receives, receives_port, 0);
	check_name(sends, sends_port, 0);
	check_name(idle, 0, 0);
	EQUAL(option(asks, NETLINK_EXT_ACK), 1);
	EQUAL(option(asks, NETLINK_NO_ENOBUFS), 0);
	EQUAL(option(listens, NETLINK_EXT_ACK), 0);
	EQUAL(option(listens, NETLINK_NO_ENOBUFS), 1);
	MUST(getsockopt(listens, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, groups, &size));
	EQUAL(groups[0], 1U << (RTNLGRP_DECnet_RULE - 1));
	EQUAL(groups[1], 1U << (RTNLGRP_BRVLAN - 33));
	ask(asks, asks_port, 2);
	EQUAL(send(sends, "hello", 5, 0), 5);
	size = sizeof(name);
	EQUAL(recvfrom(receives, buffer, sizeof(buffer), 0, (struct sockaddr *)&name, &size), 5);
	EQUAL(name.nl_pid, sends_port);
	CHECK(memcmp(buffer, "hello", 5) == 0, "the message");
	state_pass();
}
