/*
 * Subject: the main stack still grows after the restore, and so does a MAP_GROWSDOWN mapping.
 */
#include "state.h"

__attribute__((noinline)) static int deep(int depth, uint64_t seed)
{
	volatile unsigned char frame[4096];

	for (size_t i = 0; i < sizeof(frame); i += 64)
		frame[i] = (unsigned char)(seed + i + depth);
	int result = depth ? deep(depth - 1, seed) : 0;

	for (size_t i = 0; i < sizeof(frame); i += 64)
		result += frame[i] != (unsigned char)(seed + i + depth);
	return result;
}

int main(int argc, char **argv)
{
	struct state_map before, after, down;

	state_begin(argc, argv);
	/* Room below: one mapping is asked for and given back, all but its top. */
	unsigned char *room = MUST(mmap(NULL, 1024 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));

	MUST(munmap(room, 1024 * PAGE));
	unsigned char *growing = MUST(mmap(room + 1000 * PAGE, 4 * PAGE, PROT_READ | PROT_WRITE,
					   MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED, -1, 0));

	state_fill(growing, 4 * PAGE, 21);
	CHECK(state_map_of(&before, &before), "no stack");
	CHECK(strcmp(before.name, "[stack]") == 0, "the stack is called %s", before.name);
	state_ready();
	state_wait_go();
	CHECK(state_has_flag(&before, "gd"), "the stack no longer grows down");
	EQUAL(deep(700, 3), 0);
	CHECK(state_map_of(&before, &after), "no stack");
	CHECK(strcmp(after.name, "[stack]") == 0, "the stack is called %s", after.name);
	EQUAL(after.end, before.end);
	CHECK(after.start < before.start, "the stack did not grow");
	CHECK(state_has_flag(growing, "gd"), "MAP_GROWSDOWN is lost");
	CHECK(state_map_of(growing, &down), "the growing mapping is not there");
	for (int i = 1; i <= 20; i++)
		*(volatile unsigned char *)(growing - i * PAGE) = (unsigned char)i;
	CHECK_FILL(growing, 4 * PAGE, 21);
	for (int i = 1; i <= 20; i++)
		EQUAL(growing[-(long)(i * PAGE)], i);
	state_pass();
}
