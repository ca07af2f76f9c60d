/*
 * Subject: read-only mappings, private and shared, of a file opened read-only: contents, names, offsets.
 */
#include "state.h"

int main(int argc, char **argv)
{
	unsigned char bytes[5 * PAGE];
	struct state_map map;

	state_begin(argc, argv);
	int fd = MUST(open(state_path("mapped"), O_RDWR | O_CREAT | O_EXCL, 0600));

	state_fill(bytes, sizeof(bytes), 3);
	EQUAL(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
	close(fd);
	fd = MUST(open(state_path("mapped"), O_RDONLY));
	unsigned char *private = MUST(mmap(NULL, 3 * PAGE, PROT_READ, MAP_PRIVATE, fd, 2 * PAGE));
	unsigned char *shared = MUST(mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, fd, PAGE));

	close(fd);
	state_ready();
	state_wait_go();
	CHECK(memcmp(private, bytes + 2 * PAGE, 3 * PAGE) == 0, "private");
	CHECK(memcmp(shared, bytes + PAGE, 2 * PAGE) == 0, "shared");
	CHECK(state_map_of(private, &map) && strcmp(map.permissions, "r--p") == 0, "%s", map.permissions);
	EQUAL(map.offset, 2 * PAGE);
	CHECK(strcmp(map.name, state_path("mapped")) == 0, "mapped from %s", map.name);
	CHECK(state_map_of(shared, &map) && strcmp(map.permissions, "r--s") == 0, "%s", map.permissions);
	/* Opened read-only: a shared mapping must never become writable. */
	EQUAL(mprotect(shared, PAGE, PROT_READ | PROT_WRITE), -1);
	EQUAL(errno, EACCES);
	MUST(mprotect(private, PAGE, PROT_READ | PROT_WRITE));
	state_pass();
}
