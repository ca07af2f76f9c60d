/*
 * Subject: processes that never stop forking: several chains in which each process makes the next one and
 * ends. Everything that is captured must be complete, or the checkpoint be refused in time.
 * Suite: abuse
 */
#include "state.h"

#define CHAINS 3

int main(int argc, char **argv)
{
	int status, ended = 0;

	state_begin(argc, argv);
	MUST(prctl(PR_SET_CHILD_SUBREAPER, 1));
	for (int chain = 0; chain < CHAINS; chain++) {
		if (MUST(fork()))
			continue;
		for (long hop = 0;; hop++) {
			if (hop == 50)
				state_markf("hopping-%d", chain);
			if (hop % 10 == 0 && (state_exists("go") || state_exists("abandon"))) {
				state_markf("ended-%d", chain);
				_exit(0);
			}
			pid_t next = fork();

			CHECK(next >= 0, "fork: %s", strerror(errno));
			if (next)
				_exit(0);
		}
	}
	for (int chain = 0; chain < CHAINS; chain++) {
		char name[32];

		snprintf(name, sizeof(name), "hopping-%d", chain);
		while (!state_exists(name)) {
			/* Nothing is stored when nobody has ended. */
			status = 0;
			CHECK(waitpid(-1, &status, WNOHANG) >= 0, "nobody is left");
			CHECK(status == 0, "a hop ended with 0x%x", status);
		}
	}
	state_ready();
	while (ended < CHAINS) {
		pid_t pid = waitpid(-1, &status, 0);

		if (pid < 0)
			break;
		CHECK(status == 0, "a hop ended with 0x%x", status);
	}
	EQUAL(errno, ECHILD);
	for (int chain = 0; chain < CHAINS; chain++) {
		char name[32];

		snprintf(name, sizeof(name), "ended-%d", chain);
		CHECK(state_exists(name), "chain %d broke", chain);
	}
	state_pass();
}
