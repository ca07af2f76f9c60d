/*
 * Subject: mappings of a file that has been deleted: private with copies, and shared by two processes.
 */
#include "state.h"

#define SIZE (6 * PAGE)

int main(int argc, char **argv)
{
	unsigned char bytes[SIZE];

	state_begin(argc, argv);
	int fd = MUST(open(state_path("gone"), O_RDWR | O_CREAT | O_EXCL, 0600));

	state_fill(bytes, SIZE, 3);
	EQUAL(write(fd, bytes, SIZE), SIZE);
	unsigned char *private = MUST(mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
	unsigned char *shared = MUST(mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));

	close(fd);
	MUST(unlink(state_path("gone")));
	state_fill(private + PAGE, PAGE, 4);
	state_fill(shared + 4 * PAGE, PAGE, 5);
	pid_t child = state_fork();

	if (child == 0) {
		state_mark("child");
		state_wait_go();
		CHECK_FILL(shared + 4 * PAGE, PAGE, 5);
		state_fill(shared + 5 * PAGE, PAGE, 6);
		_exit(0);
	}
	state_await("child");
	state_ready();
	state_wait_go();
	state_join(child);
	CHECK(!state_exists("gone"), "the deleted file is visible again");
	CHECK(memcmp(private, bytes, PAGE) == 0, "private page 0");
	CHECK_FILL(private + PAGE, PAGE, 4);
	CHECK(memcmp(private + 2 * PAGE, bytes + 2 * PAGE, 2 * PAGE) == 0, "private pages 2-3");
	CHECK(memcmp(shared, bytes, 4 * PAGE) == 0, "shared pages 0-3");
	CHECK_FILL(shared + 4 * PAGE, PAGE, 5);
	CHECK_FILL(shared + 5 * PAGE, PAGE, 6);
	/* A private page that was never written follows the file still. */
	CHECK_FILL(private + 5 * PAGE, PAGE, 6);
	state_pass();
}
