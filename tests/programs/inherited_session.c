/*
 * Subject: a child born in a session that its parent left afterwards: it must be restored as a member of
 * the older session although its parent leads a newer one.
 */
#include "state.h"

int main(int argc, char **argv)
{
	state_begin(argc, argv);
	pid_t session = getsid(0), group = getpgrp();
	pid_t leaver = state_fork();

	if (leaver == 0) {
		pid_t parent = getpid();
		pid_t stayer = state_fork();

		if (stayer == 0) {
			state_await("left");
			state_mark("stayer");
			state_wait_go();
			EQUAL(getsid(0), session);
			EQUAL(getpgrp(), group);
			EQUAL(getppid(), parent);
			_exit(0);
		}
		MUST(setsid());
		pid_t later = state_fork();

		if (later == 0) {
			state_mark("later");
			state_wait_go();
			EQUAL(getsid(0), parent);
			EQUAL(getpgrp(), parent);
			_exit(0);
		}
		state_mark("left");
		state_await("later");
		state_await("stayer");
		state_mark("leaver");
		state_wait_go();
		EQUAL(getsid(0), parent);
		EQUAL(getsid(stayer), session);
		state_join(stayer);
		state_join(later);
		_exit(0);
	}
	state_await("leaver");
	state_ready();
	state_wait_go();
	EQUAL(getsid(leaver), leaver);
	state_join(leaver);
	state_pass();
}
