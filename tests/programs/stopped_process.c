/*
 * Subject: a process that job control has stopped stays stopped, and SIGCONT makes it go on: one whose parent has been told, one whose
 * parent has not, one with threads, in a system call, with a child that runs, stopped by SIGTSTP. Its parent is told nothing twice.
 * Cases: told untold threads call parent terminal
 */
#include "state.h"

#define IS(name) (strcmp(state_case, name) == 0)

static volatile sig_atomic_t told;
static volatile int turns;

static void count(int signal)
{
	(void)signal;
	told++;
}

static void *turn(void *unused)
{
	(void)unused;
	while (turns >= 0)
		turns += turns < 1000;
	return NULL;
}

static void child_body(int out)
{
	pthread_t threads[3];
	pid_t grandchild = 0;

	if (IS("threads"))
		for (int i = 0; i < 3; i++)
			EQUAL(pthread_create(&threads[i], NULL, turn, NULL), 0);
	if (IS("parent")) {
		grandchild = state_fork();
		if (grandchild == 0) {
			state_mark("grandchild");
			state_wait_go();
			state_mark("grandchild_went");
			_exit(0);
		}
		state_await("grandchild");
	}
	/* In an orphaned process group SIGTSTP does nothing. */
	if (IS("terminal"))
		MUST(setpgid(0, 0));
	state_mark("running");
	if (IS("call")) {
		char byte;

		/* The parent stops it in here. */
		EQUAL(read(out, &byte, 1), 1);
		EQUAL(byte, 'x');
	} else {
		raise(IS("terminal") ? SIGTSTP : SIGSTOP);
	}
	state_mark("continued");
	if (grandchild)
		EQUAL(waitpid(grandchild, NULL, 0), grandchild);
	_exit(5);
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = count, .sa_flags = SA_RESTART};
	int status, ends[2];

	state_begin(argc, argv);
	MUST(pipe(ends));
	sigaction(SIGCHLD, &action, NULL);
	pid_t child = state_fork();

	if (child == 0) {
		close(ends[1]);
		child_body(ends[0]);
	}
	state_await("running");
	if (IS("call")) {
		/* It sleeps in read(2). */
		while (state_letter(child) != 'S')
			usleep(1000);
		MUST(kill(child, SIGSTOP));
	}
	while (state_letter(child) != 'T')
		usleep(1000);
	if (!IS("untold")) {
		EQUAL(waitpid(child, &status, WUNTRACED), child);
		CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == (IS("terminal") ? SIGTSTP : SIGSTOP), "status 0x%x", status);
	}
	EQUAL(told, 1);
	state_ready();
	state_wait_go();
	EQUAL(state_letter(child), 'T');
	if (IS("parent"))
		state_await("grandchild_went");
	CHECK(!state_exists("continued"), "the stopped process has run");
	EQUAL(told, 1);
	if (IS("untold")) {
		EQUAL(waitpid(child, &status, WUNTRACED | WNOHANG), child);
		CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP, "status 0x%x", status);
	}
	EQUAL(waitpid(child, &status, WUNTRACED | WNOHANG), 0);
	MUST(kill(child, SIGCONT));
	EQUAL(waitpid(child, &status, WCONTINUED), child);
	if (WIFCONTINUED(status)) {
		if (IS("call"))
			EQUAL(write(ends[1], "x", 1), 1);
		EQUAL(waitpid(child, &status, 0), child);
	}
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 5, "status 0x%x", status);
	CHECK(state_exists("continued"), "it did not go on");
	state_pass();
}
