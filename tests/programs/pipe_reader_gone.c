/*
 * Subject: a pipe whose readers are gone: a write is told EPIPE and SIGPIPE comes.
 */
#include "state.h"

int main(int argc, char **argv)
{
	sigset_t set;
	int ends[2], with_bytes[2];

	state_begin(argc, argv);
	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	MUST(sigprocmask(SIG_BLOCK, &set, NULL));
	MUST(pipe(ends));
	MUST(pipe(with_bytes));
	EQUAL(write(with_bytes[1], "unread", 6), 6);
	close(ends[0]);
	close(with_bytes[0]);
	state_ready();
	state_wait_go();
	struct timespec none = {0, 0};

	EQUAL(sigtimedwait(&set, NULL, &none), -1);
	EQUAL(write(ends[1], "x", 1), -1);
	EQUAL(errno, EPIPE);
	EQUAL(sigtimedwait(&set, NULL, &none), SIGPIPE);
	EQUAL(write(with_bytes[1], "x", 1), -1);
	EQUAL(errno, EPIPE);
	state_pass();
}
