/*
 * Subject: Unix sockets with names: listening at a path, a relative path and an abstract name; connections accepted, waiting to be
 * accepted and of a listener that is gone; datagrams with their senders' addresses; socket files with their permissions.
 */
#include "state.h"
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

static char got[4096];

static socklen_t fill(struct sockaddr_un *address, const char *name)
{
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	snprintf(address->sun_path, sizeof(address->sun_path), "%s", name);
	if (name[0] != '@')
		return sizeof(*address);
	address->sun_path[0] = 0;
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
}

static int bound(int type, const char *name)
{
	struct sockaddr_un address;
	socklen_t length = fill(&address, name);
	int fd = MUST(socket(AF_UNIX, type, 0));

	MUST(bind(fd, (struct sockaddr *)&address, length));
	return fd;
}

static int connected(int type, const char *name)
{
	struct sockaddr_un address;
	socklen_t length = fill(&address, name);
	int fd = MUST(socket(AF_UNIX, type, 0));

	MUST(connect(fd, (struct sockaddr *)&address, length));
	return fd;
}

static void expect_name(int fd, int peer, const char *name)
{
	struct sockaddr_un address = {0}, expected;
	socklen_t length = sizeof(address), wanted = name[0] ? fill(&expected, name) : 2;

	MUST(peer ? getpeername(fd, (struct sockaddr *)&address, &length) : getsockname(fd, (struct sockaddr *)&address, &length));
	if (name[0] && name[0] != '@')
		CHECK(strcmp(address.sun_path, name) == 0, "name is %s, expected %s", address.sun_path, name);
	else
		CHECK(length == wanted && (!name[0] || memcmp(address.sun_path, expected.sun_path, length - 2) == 0), "name of %u bytes", length);
}

static void expect_pass(int from, int to)
{
	EQUAL(send(from, "after", 5, MSG_NOSIGNAL), 5);
	EQUAL(recv(to, got, 100, 0), 5);
	CHECK(memcmp(got, "after", 5) == 0, "other bytes");
}

int main(int argc, char **argv)
{
	char abstract[64], sender[64], path[PATH_MAX], old[PATH_MAX], box[PATH_MAX];
	struct sockaddr_un address;
	socklen_t length;
	struct stat before, after;

	state_begin(argc, argv);
	MUST(chdir(state_dir));
	snprintf(abstract, sizeof(abstract), "@holdfast-state-%d-%ld", getpid(), (long)state_now());
	snprintf(sender, sizeof(sender), "@holdfast-sender-%d-%ld", getpid(), (long)state_now());
	snprintf(path, sizeof(path), "%s", state_path("s"));
	snprintf(old, sizeof(old), "%s", state_path("o"));
	snprintf(box, sizeof(box), "%s", state_path("box"));
	if (strlen(box) > 100)
		state_skip("the work directory's path is too long for a socket");

	int listener = bound(SOCK_STREAM, path);

	MUST(chmod(path, 0640));
	MUST(stat(path, &before));
	MUST(listen(listener, 7));
	int client = connected(SOCK_STREAM, path);
	int server = MUST(accept(listener, NULL, NULL));

	EQUAL(send(client, "to server", 9, 0), 9);
	EQUAL(send(server, "to client", 9, 0), 9);
	int waiting[2] = {connected(SOCK_STREAM, path), connected(SOCK_STREAM, path)};

	/* A relative name, packets, an abstract name. */
	int relative = bound(SOCK_SEQPACKET, "r");

	MUST(listen(relative, 1));
	int packets = connected(SOCK_SEQPACKET, "r");
	int packets_server = MUST(accept(relative, NULL, NULL));

	EQUAL(send(packets, "packet", 6, 0), 6);
	int hidden = bound(SOCK_STREAM, abstract);

	MUST(listen(hidden, 5));
	int hidden_client = connected(SOCK_STREAM, abstract);
	int hidden_server = MUST(accept(hidden, NULL, NULL));

	/* A connection whose listener is gone, and whose client has left. */
	int gone = bound(SOCK_STREAM, old);

	MUST(listen(gone, 5));
	int left = connected(SOCK_STREAM, old);
	int left_server = MUST(accept(gone, NULL, NULL));
	int kept = connected(SOCK_STREAM, old);
	int kept_server = MUST(accept(gone, NULL, NULL));

	EQUAL(send(left, "bye", 3, 0), 3);
	MUST(close(left));
	MUST(close(gone));
	MUST(unlink(old));

	/* Datagrams: from an abstract name, from nobody, from a sender that is gone. */
	int inbox = bound(SOCK_DGRAM, box);
	int named = bound(SOCK_DGRAM, sender);
	int nameless = connected(SOCK_DGRAM, box);
	char third[64];

	snprintf(third, sizeof(third), "%sx", sender);
	int brief = bound(SOCK_DGRAM, third);

	length = fill(&address, box);
	EQUAL(sendto(named, "named", 5, 0, (struct sockaddr *)&address, length), 5);
	EQUAL(send(nameless, "nameless", 8, 0), 8);
	EQUAL(sendto(brief, "brief", 5, 0, (struct sockaddr *)&address, length), 5);
	MUST(close(brief));
	int unbound = MUST(socket(AF_UNIX, SOCK_DGRAM, 0));

	state_ready();
	state_wait_go();
	MUST(stat(path, &after));
	EQUAL(after.st_mode, before.st_mode);
	expect_name(listener, 0, path);
	expect_name(client, 0, "");
	expect_name(client, 1, path);
	expect_name(server, 0, path);
	expect_name(relative, 0, "r");
	expect_name(hidden, 0, abstract);
	expect_name(hidden_client, 1, abstract);
	expect_name(kept, 1, old);
	EQUAL(recv(server, got, 100, 0), 9);
	CHECK(memcmp(got, "to server", 9) == 0, "bytes to the server");
	EQUAL(recv(client, got, 100, 0), 9);
	CHECK(memcmp(got, "to client", 9) == 0, "bytes to the client");
	expect_pass(client, server);
	expect_pass(server, client);
	MUST(fcntl(listener, F_SETFL, O_NONBLOCK));
	for (int i = 0; i < 2; i++) {
		int accepted = MUST(accept(listener, NULL, NULL));

		expect_pass(waiting[i], accepted);
		MUST(close(accepted));
	}
	EQUAL(accept(listener, NULL, NULL), -1);
	EQUAL(errno, EAGAIN);
	int later = connected(SOCK_STREAM, path);
	int later_server = MUST(accept(listener, NULL, NULL));

	expect_pass(later, later_server);
	EQUAL(recv(packets_server, got, 100, 0), 6);
	expect_pass(packets, packets_server);
	MUST(close(connected(SOCK_SEQPACKET, "r")));
	expect_pass(hidden_client, hidden_server);
	expect_pass(kept, kept_server);
	EQUAL(recv(left_server, got, 100, 0), 3);
	EQUAL(recv(left_server, got, 100, 0), 0);
	CHECK(!state_exists("o"), "the file of the closed listener is there again");
	length = sizeof(address);
	EQUAL(recvfrom(inbox, got, 100, 0, (struct sockaddr *)&address, &length), 5);
	CHECK(length == 2 + strlen(sender) && memcmp(address.sun_path + 1, sender + 1, strlen(sender) - 1) == 0, "sender of the first");
	length = sizeof(address);
	EQUAL(recvfrom(inbox, got, 100, 0, (struct sockaddr *)&address, &length), 8);
	CHECK(length == 0, "sender of the second: %u bytes", length);
	length = sizeof(address);
	EQUAL(recvfrom(inbox, got, 100, 0, (struct sockaddr *)&address, &length), 5);
	CHECK(length == 2 + strlen(third) && memcmp(address.sun_path + 1, third + 1, strlen(third) - 1) == 0, "sender of the third");
	EQUAL(recv(inbox, got, 100, MSG_DONTWAIT), -1);
	EQUAL(errno, EAGAIN);
	expect_pass(nameless, inbox);
	EQUAL(send(unbound, "x", 1, 0), -1);
	EQUAL(errno, ENOTCONN);
	state_pass();
}
