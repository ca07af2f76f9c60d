/*
 * Subject: a process that job control has stopped stays stopped, and SIGCONT makes it go on.
 * Refused: yes
 */
#include "state.h"

int main(int argc, char **argv)
{
	int status;

	state_begin(argc, argv);
	pid_t child = state_fork();

	if (child == 0) {
		state_mark("running");
		raise(SIGSTOP);
		state_mark("continued");
		_exit(5);
	}
	state_await("running");
	EQUAL(waitpid(child, &status, WUNTRACED), child);
	CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP, "status 0x%x", status);
	state_refusable_of(child, -1, "stopped");
	state_ready();
	state_wait_go();
	EQUAL(state_letter(child), 'T');
	CHECK(!state_exists("continued"), "the stopped process has run");
	MUST(kill(child, SIGCONT));
	EQUAL(waitpid(child, &status, 0), child);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 5, "status 0x%x", status);
	CHECK(state_exists("continued"), "it did not go on");
	state_pass();
}
