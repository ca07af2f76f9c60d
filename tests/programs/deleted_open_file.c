/*
 * Subject: a file that is deleted but open: contents, size with a hole at the end, offset, sharing with a
 * second descriptor; it can still grow, and it is not visible in its directory.
 */
#include "state.h"

#define SIZE 50000

int main(int argc, char **argv)
{
	static unsigned char bytes[SIZE], again[SIZE];
	struct stat st;

	state_begin(argc, argv);
	int fd = MUST(open(state_path("gone"), O_RDWR | O_CREAT | O_EXCL, 0640));
	int reader = MUST(open(state_path("gone"), O_RDONLY));

	state_fill(bytes, SIZE, 31);
	EQUAL(write(fd, bytes, SIZE), SIZE);
	MUST(ftruncate(fd, SIZE + 100000));
	lseek(fd, 1000, SEEK_SET);
	lseek(reader, 40000, SEEK_SET);
	MUST(unlink(state_path("gone")));
	/* Another file has taken its name: the two must not be confused. */
	int other = MUST(open(state_path("gone"), O_RDWR | O_CREAT | O_EXCL, 0600));

	EQUAL(write(other, "other", 5), 5);
	pid_t child = state_fork();

	if (child == 0) {
		state_mark("child");
		state_await("written");
		EQUAL(pread(reader, again, 8, SIZE + 100000), 8);
		CHECK(memcmp(again, "appended", 8) == 0, "the child sees another file");
		_exit(0);
	}
	state_await("child");
	state_ready();
	state_wait_go();
	MUST(fstat(fd, &st));
	EQUAL(st.st_size, SIZE + 100000);
	EQUAL(st.st_nlink, 0);
	EQUAL(st.st_mode & 07777, 0640);
	EQUAL(lseek(fd, 0, SEEK_CUR), 1000);
	EQUAL(lseek(reader, 0, SEEK_CUR), 40000);
	EQUAL(pread(fd, again, SIZE, 0), SIZE);
	CHECK(memcmp(again, bytes, SIZE) == 0, "contents");
	EQUAL(pread(reader, again, SIZE, SIZE + 60000), 40000);
	CHECK_ZERO(again, 40000);
	EQUAL(pwrite(fd, "appended", 8, SIZE + 100000), 8);
	state_mark("written");
	state_join(child);
	EQUAL(pread(other, again, SIZE, 0), 5);
	CHECK(memcmp(again, "other", 5) == 0, "the new file changed");
	MUST(stat(state_path("gone"), &st));
	EQUAL(st.st_size, 5);
	state_pass();
}
