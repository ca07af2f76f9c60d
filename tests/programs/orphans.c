/*
 * Subject: processes whose parent has ended and that belong to init now, one of them in a session whose
 * leader has ended, with a child of its own.
 */
#include "state.h"

static void orphan(const char *mark, pid_t former, pid_t session)
{
	UNTIL(getppid() != former);
	pid_t init = getppid(), self = getpid(), group = getpgrp();

	EQUAL(getsid(0), session);
	state_mark(mark);
	state_wait_go();
	EQUAL(getpid(), self);
	EQUAL(getppid(), init);
	EQUAL(getsid(0), session);
	EQUAL(getpgrp(), group);
}

int main(int argc, char **argv)
{
	state_begin(argc, argv);
	pid_t session = getsid(0);
	pid_t first = state_fork();

	if (first == 0) {
		pid_t self = getpid();

		if (state_fork() == 0) {
			orphan("plain", self, session);
			state_mark("plain-done");
			_exit(0);
		}
		_exit(0);
	}
	state_join(first);
	pid_t second = state_fork();

	if (second == 0) {
		pid_t self = MUST(setsid());

		if (state_fork() == 0) {
			pid_t child = state_fork();

			if (child == 0) {
				pid_t parent = getppid();

				state_mark("below");
				state_wait_go();
				EQUAL(getppid(), parent);
				EQUAL(getsid(0), self);
				_exit(0);
			}
			orphan("leaderless", self, self);
			state_join(child);
			state_mark("leaderless-done");
			_exit(0);
		}
		_exit(0);
	}
	state_join(second);
	state_await("plain");
	state_await("below");
	state_await("leaderless");
	state_ready();
	state_wait_go();
	state_await("plain-done");
	state_await("leaderless-done");
	state_pass();
}
