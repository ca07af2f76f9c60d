/*
 * Subject: descriptors on their way in Unix sockets (SCM_RIGHTS): of streams, where they belong to certain bytes, of datagrams
 * and packets; of files that are held too and of others that nobody holds; after the sender has closed or shut down; a socket in its own queue.
 */
#include "state.h"
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

static char bytes[300];

/* Sends bytes with descriptors. */
static void give(int to, const char *text, int count, const int *fds)
{
	char room[CMSG_SPACE(sizeof(int) * 8)] = "";
	struct iovec part = {(void *)text, strlen(text)};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	struct cmsghdr *control;

	if (count > 0) {
		message.msg_control = room;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
		control = CMSG_FIRSTHDR(&message);
		control->cmsg_level = SOL_SOCKET;
		control->cmsg_type = SCM_RIGHTS;
		control->cmsg_len = CMSG_LEN(sizeof(int) * count);
		memcpy(CMSG_DATA(control), fds, sizeof(int) * count);
	}
	EQUAL(sendmsg(to, &message, MSG_NOSIGNAL), (long)strlen(text));
}

/* The same of a descriptor that is closed here. */
static void give_away(int to, const char *text, int fd)
{
	give(to, text, 1, &fd);
	MUST(close(fd));
}

/* Receives at most `size` bytes, which must be these, with so many descriptors. */
static void take(int from, const char *text, size_t size, int count, int *fds)
{
	char room[CMSG_SPACE(sizeof(int) * 8)] = "";
	struct iovec part = {bytes, size};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room)};
	struct cmsghdr *control;
	ssize_t n = MUST(recvmsg(from, &message, MSG_DONTWAIT));
	int found = 0;

	CHECK(n == (ssize_t)strlen(text) && memcmp(bytes, text, n) == 0, "%zd bytes, not '%s'", n, text);
	for (control = CMSG_FIRSTHDR(&message); control != NULL; control = CMSG_NXTHDR(&message, control)) {
		EQUAL(control->cmsg_type, SCM_RIGHTS);
		found = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		CHECK(found == count, "%d descriptors with '%s', not %d", found, text, count);
		memcpy(fds, CMSG_DATA(control), sizeof(int) * found);
	}
	CHECK(found == count, "%d descriptors with '%s', not %d", found, text, count);
}

static int file(const char *name, const char *text, int at)
{
	int fd = MUST(open(state_path(name), O_RDWR | O_CREAT | O_TRUNC, 0600));

	EQUAL(write(fd, text, strlen(text)), (long)strlen(text));
	EQUAL(lseek(fd, at, SEEK_SET), at);
	return fd;
}

static void holds(int fd, const char *text)
{
	ssize_t n = MUST(read(fd, bytes, sizeof(bytes)));

	CHECK(n == (ssize_t)strlen(text) && memcmp(bytes, text, n) == 0, "%zd bytes, not '%s'", n, text);
}

static int waits(int fd)
{
	struct pollfd entry = {.fd = fd, .events = POLLIN};

	return poll(&entry, 1, 0) == 0;
}

/* What counts to 7: an eventfd, where the kernel shows whether it is a semaphore (from 6.5 on), else a file that says so. */
static int counter(void)
{
	char path[64], info[512] = "";
	uint64_t count = 7;
	int fd = MUST(eventfd(7, 0)), file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	file = MUST(open(path, O_RDONLY | O_CLOEXEC));
	MUST(read(file, info, sizeof(info) - 1));
	MUST(close(file));
	if (strstr(info, "eventfd-semaphore"))
		return fd;
	MUST(close(fd));
	fd = MUST(memfd_create("counter", 0));
	EQUAL(pwrite(fd, &count, sizeof(count), 0), 8);
	return fd;
}

int main(int argc, char **argv)
{
	int stream[2], datagrams[2], packets[2], ended[2], shut[2], self[2], tube[2], inner[2], kept, fd, fds[8], on = 1;
	uint64_t count;

	state_begin(argc, argv);
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, stream));
	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, datagrams));
	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, packets));
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ended));
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, shut));
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, self));
	MUST(setsockopt(datagrams[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)));

	/* A stream: bytes before, a held file and the only writing end of a pipe, a counter, bytes behind. */
	kept = file("kept", "0123456789", 4);
	MUST(pipe(tube));
	EQUAL(write(tube[1], "inside", 6), 6);
	give(stream[0], "before", 0, NULL);
	fds[0] = kept;
	fds[1] = tube[1];
	fds[2] = kept;
	give(stream[0], "with three", 3, fds);
	MUST(close(tube[1]));
	fd = counter();
	give_away(stream[0], "counter", fd);
	give(stream[0], "behind", 0, NULL);

	/* Datagrams: a deleted file, and one that has a name. */
	fd = file("deleted", "contents of a deleted file", 12);
	MUST(unlink(state_path("deleted")));
	give(datagrams[0], "first", 0, NULL);
	give_away(datagrams[0], "deleted", fd);
	give_away(datagrams[0], "named", file("named", "named contents", 6));

	/* Packets: one end of a pair of sockets, with bytes in it. */
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, inner));
	EQUAL(write(inner[0], "to the one on its way", 21), 21);
	EQUAL(write(inner[1], "from it", 7), 7);
	give_away(packets[1], "socket", inner[1]);
	give(packets[1], "last", 0, NULL);

	/* The sender is gone; or has said that it is done. */
	give_away(ended[1], "left", MUST(memfd_create("left", 0)));
	MUST(close(ended[1]));
	give(shut[1], "shut", 1, &shut[1]);
	MUST(shutdown(shut[1], SHUT_WR));

	/* A socket in its own queue. */
	give(self[0], "me", 1, &self[1]);

	state_ready();
	state_wait_go();

	take(stream[1], "be", 2, 0, NULL);
	take(stream[1], "fore", 4, 0, NULL);
	take(stream[1], "with", 4, 3, fds);
	take(stream[1], " three", 6, 0, NULL);
	EQUAL(lseek(fds[0], 0, SEEK_CUR), 4);
	EQUAL(lseek(kept, 6, SEEK_SET), 6);
	EQUAL(lseek(fds[0], 0, SEEK_CUR), 6);
	EQUAL(lseek(fds[2], 0, SEEK_CUR), 6);
	holds(tube[0], "inside");
	CHECK(waits(tube[0]), "the pipe has ended");
	EQUAL(write(fds[1], "more", 4), 4);
	holds(tube[0], "more");
	MUST(close(fds[1]));
	EQUAL(read(tube[0], bytes, 1), 0);
	take(stream[1], "counter", 7, 1, fds);
	EQUAL(read(fds[0], &count, 8), 8);
	EQUAL(count, 7);
	take(stream[1], "behind", 100, 0, NULL);
	CHECK(waits(stream[1]), "more than was sent");

	MUST(setsockopt(datagrams[1], SOL_SOCKET, SO_PASSCRED, (int[]){0}, sizeof(int)));
	take(datagrams[1], "first", 100, 0, NULL);
	take(datagrams[1], "deleted", 100, 1, fds);
	holds(fds[0], "a deleted file");
	take(datagrams[1], "named", 100, 1, fds);
	holds(fds[0], "contents");
	EQUAL(pwrite(fds[0], "N", 1, 0), 1);
	CHECK(waits(datagrams[1]), "more than was sent");

	take(packets[0], "socket", 100, 1, fds);
	holds(fds[0], "to the one on its way");
	EQUAL(write(fds[0], "answer", 6), 6);
	holds(inner[0], "from itanswer");
	MUST(close(fds[0]));
	EQUAL(read(inner[0], bytes, 1), 0);
	take(packets[0], "last", 100, 0, NULL);

	take(ended[0], "left", 100, 1, fds);
	EQUAL(write(fds[0], "x", 1), 1);
	EQUAL(read(ended[0], bytes, 1), 0);
	take(shut[0], "shut", 100, 1, fds);
	EQUAL(read(shut[0], bytes, 1), 0);
	EQUAL(write(shut[0], "back", 4), 4);
	holds(fds[0], "back");

	take(self[1], "me", 100, 1, fds);
	EQUAL(write(self[0], "ping", 4), 4);
	holds(fds[0], "ping");
	state_pass();
}
