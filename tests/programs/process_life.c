/*
 * Subject: processes that keep coming and going, with exec, while the checkpoint is taken: every child is
 * seen to end once, with its status, and no foreign child and no extra SIGCHLD appears.
 */
#include "state.h"

static volatile long chld;

static void on_child(int signal)
{
	(void)signal;
	chld++;
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_child, .sa_flags = SA_RESTART};

	state_begin(argc, argv);
	MUST(sigaction(SIGCHLD, &action, NULL));
	for (int round = 0; !state_exists("go") || round < 20; round++) {
		int status, code = round % 250;
		long before = chld;
		pid_t pid = state_fork();

		state_child_count = 0;
		if (pid == 0) {
			if (round & 1) {
				char text[16];

				snprintf(text, sizeof(text), "exit %d", code);
				execl("/bin/sh", "sh", "-c", text, NULL);
			}
			_exit(code);
		}
		pid_t got = waitpid(-1, &status, 0);

		CHECK(got == pid, "waitpid gave %d instead of %d", got, pid);
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == code, "round %d: status 0x%x", round, status);
		UNTIL(chld > before);
		CHECK(chld == before + 1, "%ld SIGCHLD for one child", chld - before);
		CHECK(waitpid(-1, &status, WNOHANG) == -1 && errno == ECHILD, "a child that is not ours");
		if (round == 10)
			state_ready();
	}
	state_pass();
}
