/*
 * Subject: a process tree of three levels, 2 children with 3 grandchildren each: pids, parents, memory of each.
 */
#include "state.h"

static unsigned char block[64 * 1024];

static void live(int number, pid_t parent)
{
	pid_t self = getpid();

	state_fill(block, sizeof(block), (uint64_t)number);
	state_markf("level-%d", number);
	state_wait_go();
	EQUAL(getpid(), self);
	EQUAL(getppid(), parent);
	CHECK_FILL(block, sizeof(block), (uint64_t)number);
}

int main(int argc, char **argv)
{
	pid_t child[2];

	state_begin(argc, argv);
	pid_t root = getpid();

	for (int i = 0; i < 2; i++) {
		child[i] = state_fork();
		if (child[i] == 0) {
			pid_t middle = getpid(), grandchild[3];

			for (int j = 0; j < 3; j++) {
				grandchild[j] = state_fork();
				if (grandchild[j] == 0) {
					live(10 * (i + 1) + j, middle);
					_exit(0);
				}
			}
			live(i + 1, root);
			for (int j = 0; j < 3; j++)
				state_join(grandchild[j]);
			EQUAL(waitpid(-1, NULL, 0), -1);
			EQUAL(errno, ECHILD);
			_exit(0);
		}
	}
	for (int i = 0; i < 2; i++) {
		state_awaitf("level-%d", i + 1);
		for (int j = 0; j < 3; j++)
			state_awaitf("level-%d", 10 * (i + 1) + j);
	}
	state_ready();
	state_wait_go();
	EQUAL(getpid(), root);
	for (int i = 0; i < 2; i++)
		state_join(child[i]);
	EQUAL(waitpid(-1, NULL, 0), -1);
	EQUAL(errno, ECHILD);
	state_pass();
}
