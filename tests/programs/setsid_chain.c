/*
 * Subject: a chain of six processes, each the child of the one before and each the leader of a session
 * that was made before its child was born.
 */
#include "state.h"

#define DEPTH 6

static void link_of_chain(int depth, pid_t parent)
{
	pid_t self = MUST(setsid()), child = 0;

	if (depth < DEPTH) {
		child = state_fork();
		if (child == 0) {
			link_of_chain(depth + 1, self);
			_exit(0);
		}
	}
	state_markf("link-%d", depth);
	state_wait_go();
	EQUAL(getpid(), self);
	EQUAL(getsid(0), self);
	EQUAL(getpgrp(), self);
	EQUAL(getppid(), parent);
	if (child) {
		EQUAL(getsid(child), child);
		state_join(child);
	}
}

int main(int argc, char **argv)
{
	state_begin(argc, argv);
	pid_t self = getpid();
	pid_t first = state_fork();

	if (first == 0) {
		link_of_chain(1, self);
		_exit(0);
	}
	for (int depth = 1; depth <= DEPTH; depth++)
		state_awaitf("link-%d", depth);
	state_ready();
	state_wait_go();
	state_join(first);
	state_pass();
}
