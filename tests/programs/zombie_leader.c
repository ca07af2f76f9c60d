/*
 * Subject: a process whose main thread has ended (pthread_exit) while others go on.
 * Refused: yes
 */
#include "state.h"

static void *body(void *argument)
{
	char value[32];

	(void)argument;
	UNTIL(state_letter(getpid()) == 'Z');
	state_refusable(-1, "first thread");
	state_ready();
	state_wait_go();
	state_field("/proc/self/status", "State", value, sizeof(value));
	CHECK(value[0] == 'Z', "the main thread is %s", value);
	CHECK(state_tid() != getpid(), "the thread became the main thread");
	state_pass();
}

int main(int argc, char **argv)
{
	state_begin(argc, argv);
	state_thread(body, NULL);
	pthread_exit(NULL);
}
