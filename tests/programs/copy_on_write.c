/*
 * Subject: memory that a parent and its children share copy-on-write: later writes of one stay its own.
 */
#include "state.h"

#define SIZE (512 * PAGE)

int main(int argc, char **argv)
{
	pid_t children[3];

	state_begin(argc, argv);
	unsigned char *memory = MUST(mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

	state_fill(memory, SIZE, 1);
	for (int i = 0; i < 3; i++) {
		children[i] = state_fork();
		if (children[i])
			continue;
		state_fill(memory + (i + 1) * 16 * PAGE, 16 * PAGE, 10 + i);
		state_markf("child-%d", i);
		state_wait_go();
		state_fill(memory + (i + 8) * 16 * PAGE, 16 * PAGE, 20 + i);
		state_markf("wrote-%d", i);
		for (int k = 0; k < 3; k++)
			state_awaitf("wrote-%d", k);
		unsigned char *expected = malloc(SIZE);

		state_fill(expected, SIZE, 1);
		state_fill(expected + (i + 1) * 16 * PAGE, 16 * PAGE, 10 + i);
		state_fill(expected + (i + 8) * 16 * PAGE, 16 * PAGE, 20 + i);
		for (size_t at = 0; at < SIZE; at += PAGE)
			CHECK(memcmp(memory + at, expected + at, PAGE) == 0, "child %d, page %zu", i, at / PAGE);
		_exit(0);
	}
	for (int i = 0; i < 3; i++)
		state_awaitf("child-%d", i);
	state_ready();
	state_wait_go();
	for (int i = 0; i < 3; i++)
		state_join(children[i]);
	CHECK_FILL(memory, SIZE, 1);
	state_pass();
}
