/*
 * Subject: a process in vfork, which sleeps uninterruptibly until its child execs or ends. Case long: the
 * child waits for `go`, so that a checkpoint must give up at its deadline; case brief: 300 ms at a time.
 * Suite: abuse
 * Cases: long brief
 */
#include "state.h"

int main(int argc, char **argv)
{
	int status, brief;

	state_begin(argc, argv);
	brief = strcmp(state_case, "brief") == 0;
	do {
		pid_t child = vfork();

		if (child == 0) {
			/* Only calls that leave the parent's memory and stack alone. */
			struct timespec pause = {0, 300000000};

			if (brief) {
				state_ready();
				nanosleep(&pause, NULL);
			} else {
				state_ready();
				state_await("go");
			}
			execl("/bin/true", "true", NULL);
			_exit(9);
		}
		CHECK(child > 0, "vfork: %s", strerror(errno));
		EQUAL(waitpid(child, &status, 0), child);
		EQUAL(status, 0);
	} while (!state_exists("go"));
	state_pass();
}
