/*
 * Subject: PR_SET_CHILD_SUBREAPER: an orphan came to the subreaper before, another one comes after.
 */
#include "state.h"

static void orphan(const char *mark, const char *leave, int code)
{
	pid_t middle = state_fork();

	if (middle == 0) {
		if (state_fork() == 0) {
			state_mark(mark);
			state_await(leave);
			_exit(code);
		}
		_exit(0);
	}
	state_join(middle);
	state_await(mark);
}

int main(int argc, char **argv)
{
	int flag = 0, status;

	state_begin(argc, argv);
	MUST(prctl(PR_SET_CHILD_SUBREAPER, 1));
	orphan("before", "go", 11);
	state_ready();
	state_wait_go();
	MUST(prctl(PR_GET_CHILD_SUBREAPER, &flag));
	EQUAL(flag, 1);
	MUST(waitpid(-1, &status, 0));
	EQUAL(WEXITSTATUS(status), 11);
	orphan("after", "go", 12);
	MUST(waitpid(-1, &status, 0));
	EQUAL(WEXITSTATUS(status), 12);
	state_pass();
}
