/*
 * Subject: signals that keep arriving, also while the program stands still: a child sends numbered
 * real-time signals through the whole of it, and none is lost, doubled or out of order.
 */
#include "state.h"

static volatile int expected, wrong;

static void handler(int signal, siginfo_t *information, void *context)
{
	(void)signal;
	(void)context;
	if (information->si_value.sival_int != expected)
		wrong = wrong ? wrong : information->si_value.sival_int + 1;
	expected++;
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART};
	int status, sent;

	state_begin(argc, argv);
	MUST(sigaction(SIGRTMIN, &action, NULL));
	pid_t child = state_fork();

	if (child == 0) {
		for (sent = 0; !state_exists("go"); sent++) {
			union sigval value = {.sival_int = sent};
			struct timespec gap = {0, 500000};

			while (sigqueue(getppid(), SIGRTMIN, value) != 0)
				CHECK(errno == EAGAIN, "sigqueue: %s", strerror(errno));
			nanosleep(&gap, NULL);
		}
		char text[32];

		snprintf(text, sizeof(text), "%d", sent);
		state_put("sent", text, 0);
		_exit(0);
	}
	UNTIL(expected > 20);
	state_ready();
	state_wait_go();
	while (waitpid(child, &status, 0) < 0)
		CHECK(errno == EINTR, "waitpid: %s", strerror(errno));
	EQUAL(status, 0);
	char text[32];

	state_read(state_path("sent"), text, sizeof(text));
	UNTIL(expected >= atoi(text));
	EQUAL(expected, atoi(text));
	CHECK(!wrong, "signal %d came out of order", wrong - 1);
	state_pass();
}
