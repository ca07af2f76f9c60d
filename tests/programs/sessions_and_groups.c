/*
 * Subject: sessions and process groups: a session of its own with two groups, a group whose leader has
 * gone, a process that moved to a sibling's group.
 */
#include "state.h"

/* Numbers that must be the same afterwards, as each process sees its own. */
static void live(const char *mark, pid_t session, pid_t group)
{
	EQUAL(getsid(0), session);
	EQUAL(getpgid(0), group);
	state_mark(mark);
	state_wait_go();
	EQUAL(getsid(0), session);
	EQUAL(getpgid(0), group);
	EQUAL(getpgrp(), group);
}

int main(int argc, char **argv)
{
	state_begin(argc, argv);
	pid_t session = getsid(0), group = getpgrp();
	pid_t leader = state_fork();

	if (leader == 0) {
		/* A session leader with one child in its group, two in a second group, one in a leaderless group. */
		pid_t self = MUST(setsid());
		pid_t same = state_fork();

		if (same == 0) {
			live("same", self, self);
			_exit(0);
		}
		pid_t second = state_fork();

		if (second == 0) {
			MUST(setpgid(0, 0));
			live("second", self, getpid());
			_exit(0);
		}
		state_await("second");
		pid_t joined = state_fork();

		if (joined == 0) {
			MUST(setpgid(0, second));
			live("joined", self, second);
			_exit(0);
		}
		pid_t gone = state_fork();

		if (gone == 0) {
			MUST(setpgid(0, 0));
			state_mark("gone");
			state_await("leave");
			_exit(0);
		}
		state_await("gone");
		pid_t leaderless = state_fork();

		if (leaderless == 0) {
			MUST(setpgid(0, gone));
			state_mark("follows");
			state_await("left");
			live("leaderless", self, gone);
			_exit(0);
		}
		state_await("follows");
		state_mark("leave");
		state_join(gone);
		state_mark("left");
		live("leader", self, self);
		EQUAL(getpgid(second), second);
		EQUAL(getpgid(joined), second);
		EQUAL(getpgid(leaderless), gone);
		/* The group still receives its signals: signal 0 to each. */
		MUST(kill(-second, 0));
		MUST(kill(-gone, 0));
		state_join(same);
		state_join(second);
		state_join(joined);
		state_join(leaderless);
		_exit(0);
	}
	state_await("same");
	state_await("joined");
	state_await("leaderless");
	state_await("leader");
	state_ready();
	state_wait_go();
	EQUAL(getsid(0), session);
	EQUAL(getpgrp(), group);
	EQUAL(getsid(leader), leader);
	EQUAL(getpgid(leader), leader);
	state_join(leader);
	state_pass();
}
