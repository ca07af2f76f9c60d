/*
 * Subject: a file mapped shared, by two processes, one with an offset: what is written to the memory is
 * in the file, before and after.
 * Files: written
 */
#include "state.h"

#define SIZE (8 * PAGE)

int main(int argc, char **argv)
{
	unsigned char bytes[SIZE];

	state_begin(argc, argv);
	int fd = MUST(open(state_path("mapped"), O_RDWR | O_CREAT | O_EXCL, 0600));

	MUST(ftruncate(fd, SIZE));
	unsigned char *whole = MUST(mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	unsigned char *tail = MUST(mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, fd, 6 * PAGE));

	close(fd);
	state_fill(whole, SIZE, 5);
	pid_t child = state_fork();

	if (child == 0) {
		state_mark("child");
		state_await("changed");
		CHECK_FILL(tail, PAGE, 6);
		state_fill(whole + PAGE, PAGE, 7);
		_exit(0);
	}
	state_await("child");
	state_ready();
	state_wait_go();
	struct state_map map;

	CHECK(state_map_of(tail, &map), "not mapped");
	EQUAL(map.offset, 6 * PAGE);
	CHECK(strcmp(map.permissions, "r--s") == 0, "%s", map.permissions);
	CHECK(strcmp(map.name, state_path("mapped")) == 0, "mapped from %s", map.name);
	CHECK_FILL(whole, SIZE, 5);
	state_fill(whole + 6 * PAGE, PAGE, 6);
	state_mark("changed");
	state_join(child);
	CHECK_FILL(tail, PAGE, 6);
	CHECK_FILL(whole + PAGE, PAGE, 7);
	fd = MUST(open(state_path("mapped"), O_RDONLY));
	EQUAL(pread(fd, bytes, SIZE, 0), SIZE);
	CHECK(memcmp(bytes, whole, SIZE) == 0, "the file differs from the memory");
	state_pass();
}
