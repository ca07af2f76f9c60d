/*
 * Subject: a file mapped private with some pages written (copies) and some not; the file keeps its bytes,
 * pages beyond its end fault, and a page that was never written still follows the file.
 */
#include "state.h"
#include <setjmp.h>

#define SIZE (8 * PAGE)

static sigjmp_buf escape;

static void on_bus(int signal)
{
	siglongjmp(escape, signal);
}

static int faults(volatile unsigned char *address)
{
	struct sigaction action = {.sa_handler = on_bus}, before;
	volatile int signal;

	MUST(sigaction(SIGBUS, &action, &before));
	signal = sigsetjmp(escape, 1);
	if (!signal)
		(void)*address;
	MUST(sigaction(SIGBUS, &before, NULL));
	return signal;
}

int main(int argc, char **argv)
{
	unsigned char bytes[SIZE];

	state_begin(argc, argv);
	int fd = MUST(open(state_path("mapped"), O_RDWR | O_CREAT | O_EXCL, 0600));

	state_fill(bytes, SIZE, 5);
	EQUAL(write(fd, bytes, SIZE - 100), SIZE - 100);
	close(fd);
	fd = MUST(open(state_path("mapped"), O_RDONLY));
	unsigned char *map = MUST(mmap(NULL, SIZE + 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
	unsigned char *shifted = MUST(mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 3 * PAGE));

	close(fd);
	map[10] ^= 0xff;
	state_fill(map + 2 * PAGE, PAGE, 6);
	map[4 * PAGE] = map[4 * PAGE];		/* a copy with equal bytes */
	memset(map + SIZE - 100, 9, 100);	/* behind the end of the file, in its last page */
	memset(map + 6 * PAGE, 0, PAGE);	/* a copy that is all zero */
	state_fill(shifted + PAGE, PAGE, 8);
	EQUAL(faults(map + SIZE + 10), SIGBUS);
	state_ready();
	state_wait_go();
	struct state_map range;

	CHECK(state_map_of(shifted, &range), "not mapped");
	EQUAL(range.offset, 3 * PAGE);
	CHECK(strcmp(range.permissions, "rw-p") == 0, "%s", range.permissions);
	CHECK(strcmp(range.name, state_path("mapped")) == 0, "mapped from %s", range.name);
	bytes[10] ^= 0xff;
	CHECK(memcmp(map, bytes, 2 * PAGE) == 0, "pages 0-1");
	CHECK_FILL(map + 2 * PAGE, PAGE, 6);
	CHECK(memcmp(map + 3 * PAGE, bytes + 3 * PAGE, 3 * PAGE) == 0, "pages 3-5");
	CHECK_ZERO(map + 6 * PAGE, PAGE);
	CHECK(memcmp(map + 7 * PAGE, bytes + 7 * PAGE, PAGE - 100) == 0, "page 7");
	for (int i = 1; i <= 100; i++)
		EQUAL(map[SIZE - i], 9);
	CHECK(memcmp(shifted, bytes + 3 * PAGE, PAGE) == 0, "shifted");
	CHECK_FILL(shifted + PAGE, PAGE, 8);
	EQUAL(faults(map + SIZE + 10), SIGBUS);
	bytes[10] ^= 0xff;
	fd = MUST(open(state_path("mapped"), O_RDONLY));
	unsigned char again[SIZE];

	EQUAL(read(fd, again, SIZE), SIZE - 100);
	CHECK(memcmp(again, bytes, SIZE - 100) == 0, "the file changed");
	state_pass();
}
