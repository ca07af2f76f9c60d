/*
 * Subject: the program break: its value, its contents, and that it grows and shrinks from there.
 * Build: -static
 */
#include "state.h"

int main(int argc, char **argv)
{
	struct state_map map;

	state_begin(argc, argv);
	unsigned char *start = sbrk(0);

	MUST(sbrk(300 * 1024));
	unsigned char *end = sbrk(0);

	state_fill(start, 300 * 1024, 17);
	state_ready();
	state_wait_go();
	CHECK(sbrk(0) == end, "the break is %p, was %p", sbrk(0), (void *)end);
	CHECK_FILL(start, 300 * 1024, 17);
	CHECK(state_map_of(start, &map) && strcmp(map.name, "[heap]") == 0, "the heap is called '%s'", map.name);
	CHECK(sbrk(100 * 1024) == end, "the break did not grow in place");
	CHECK_ZERO(end, 100 * 1024);
	memset(end, 1, 100 * 1024);
	MUST(brk(start + PAGE));
	CHECK(sbrk(0) == start + PAGE, "the break did not shrink");
	CHECK_FILL(start, PAGE, 17);
	/* malloc works on: it may have its memory there. */
	void *blocks[200];

	for (int i = 0; i < 200; i++)
		state_fill(blocks[i] = malloc(1000 + i), 1000 + i, i);
	for (int i = 0; i < 200; i++)
		CHECK_FILL(blocks[i], 1000 + i, i);
	state_pass();
}
