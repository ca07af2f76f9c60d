/*
 * Subject: a stack of some hundred kilobytes, at the deepest moment of a recursion: nothing of it is free for injected calls, so that a checkpoint
 * has to let it grow.
 */
#include "state.h"

__attribute__((noinline)) static void deep(int depth)
{
	volatile unsigned char frame[8192];

	for (size_t i = 0; i < sizeof(frame); i++)
		frame[i] = (unsigned char)(i * 7 + depth);
	if (depth)
		deep(depth - 1);
	if (depth == 0) {
		state_ready();
		state_wait_go();
	}
	for (size_t i = 0; i < sizeof(frame); i++)
		CHECK(frame[i] == (unsigned char)(i * 7 + depth), "byte %zu at depth %d", i, depth);
}

int main(int argc, char **argv)
{
	state_begin(argc, argv);
	deep(100);
	state_pass();
}
