/*
 * Subject: PR_SET_PDEATHSIG: the setting is kept, and the death of the parent after the restore delivers it.
 */
#include "state.h"

int main(int argc, char **argv)
{
	int status;

	state_begin(argc, argv);
	MUST(prctl(PR_SET_CHILD_SUBREAPER, 1));
	pid_t parent = state_fork();

	if (parent == 0) {
		if (state_fork() == 0) {
			sigset_t wait;
			int signal = 0, got;

			sigemptyset(&wait);
			sigaddset(&wait, SIGUSR2);
			MUST(sigprocmask(SIG_BLOCK, &wait, NULL));
			MUST(prctl(PR_SET_PDEATHSIG, SIGUSR2));
			state_mark("child");
			state_wait_go();
			MUST(prctl(PR_GET_PDEATHSIG, &signal));
			EQUAL(signal, SIGUSR2);
			state_mark("die");
			struct timespec bound = {state_bound, 0};

			got = sigtimedwait(&wait, NULL, &bound);
			EQUAL(got, SIGUSR2);
			_exit(33);
		}
		state_await("die");
		_exit(0);
	}
	state_await("child");
	state_ready();
	state_wait_go();
	state_join(parent);
	MUST(waitpid(-1, &status, 0));
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 33, "the child ended with 0x%x", status);
	state_pass();
}
