/*
 * Subject: which descriptors are one open file: duplicates share an offset, in one process and across
 * fork; the same file opened twice does not; flags of descriptors are their own.
 */
#include "state.h"

static int same(pid_t a, int fd_a, pid_t b, int fd_b)
{
	/* KCMP_FILE */
	return syscall(SYS_kcmp, a, b, 0, fd_a, fd_b) == 0;
}

int main(int argc, char **argv)
{
	char bytes[16];

	state_begin(argc, argv);
	int first = MUST(open(state_path("file"), O_RDWR | O_CREAT | O_EXCL, 0600));

	EQUAL(write(first, "0123456789abcdefghijklmnopqrstuvwxyz", 36), 36);
	lseek(first, 0, SEEK_SET);
	int copy = MUST(fcntl(first, F_DUPFD_CLOEXEC, 50));
	int second = MUST(open(state_path("file"), O_RDONLY));

	lseek(second, 20, SEEK_SET);
	pid_t self = getpid(), child = state_fork();

	if (child == 0) {
		int mine = MUST(open(state_path("file"), O_RDONLY));

		close(copy);
		state_mark("child");
		state_await("moved");
		EQUAL(lseek(first, 0, SEEK_CUR), 5);
		EQUAL(lseek(second, 0, SEEK_CUR), 23);
		EQUAL(lseek(mine, 0, SEEK_CUR), 0);
		lseek(first, 30, SEEK_SET);
		state_mark("answered");
		state_await("done");
		_exit(0);
	}
	state_await("child");
	state_ready();
	state_wait_go();
	EQUAL(fcntl(first, F_GETFD), 0);
	EQUAL(fcntl(copy, F_GETFD), FD_CLOEXEC);
	CHECK(same(self, first, self, copy), "the duplicate is another file");
	CHECK(!same(self, first, self, second), "two opens became one");
	CHECK(same(self, first, child, first), "not shared across fork");
	CHECK(same(self, second, child, second), "not shared across fork");
	EQUAL(read(copy, bytes, 5), 5);
	CHECK(memcmp(bytes, "01234", 5) == 0, "read %.5s", bytes);
	EQUAL(lseek(first, 0, SEEK_CUR), 5);
	EQUAL(read(second, bytes, 3), 3);
	CHECK(memcmp(bytes, "klm", 3) == 0, "read %.3s", bytes);
	state_mark("moved");
	state_await("answered");
	EQUAL(lseek(copy, 0, SEEK_CUR), 30);
	EQUAL(lseek(second, 0, SEEK_CUR), 23);
	/* O_APPEND belongs to the open file and is seen through the duplicate. */
	MUST(fcntl(copy, F_SETFL, O_APPEND));
	CHECK(fcntl(first, F_GETFL) & O_APPEND, "status flags are not shared");
	CHECK(!(fcntl(second, F_GETFL) & O_APPEND), "status flags are shared too far");
	state_mark("done");
	state_join(child);
	state_pass();
}
