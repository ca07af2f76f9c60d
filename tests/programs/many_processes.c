/*
 * Subject: forty processes, each with memory of its own, some of it shared copy-on-write with the parent.
 */
#include "state.h"

#define COUNT 40
#define SIZE (256 * 1024)

static unsigned char common[SIZE], own[SIZE];

int main(int argc, char **argv)
{
	pid_t children[COUNT];

	state_begin(argc, argv);
	state_fill(common, SIZE, 99);
	for (int i = 0; i < COUNT; i++) {
		children[i] = state_fork();
		if (children[i] == 0) {
			state_fill(own, SIZE, 1000 + i);
			state_markf("child-%d", i);
			state_wait_go();
			CHECK_FILL(common, SIZE, 99);
			CHECK_FILL(own, SIZE, 1000 + i);
			_exit(0);
		}
	}
	for (int i = 0; i < COUNT; i++)
		state_awaitf("child-%d", i);
	state_ready();
	state_wait_go();
	for (int i = 0; i < COUNT; i++)
		state_join(children[i]);
	CHECK_FILL(common, SIZE, 99);
	CHECK_ZERO(own, SIZE);
	state_pass();
}
