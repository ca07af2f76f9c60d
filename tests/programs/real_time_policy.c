/*
 * Subject: a thread under SCHED_FIFO with a priority, one under SCHED_RR that resets on fork.
 */
#include "state.h"

static int prepared, refused;

static void *body(void *argument)
{
	int i = (int)(long)argument, policy = i ? SCHED_RR | SCHED_RESET_ON_FORK : SCHED_FIFO;
	struct sched_param parameters = {.sched_priority = 5 + i};

	if (sched_setscheduler(0, policy, &parameters) != 0)
		refused = errno;
	__atomic_add_fetch(&prepared, 1, __ATOMIC_SEQ_CST);
	while (!state_going)
		state_pause();
	EQUAL(sched_getscheduler(0), policy);
	MUST(sched_getparam(0, &parameters));
	EQUAL(parameters.sched_priority, 5 + i);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[2];

	state_begin(argc, argv);
	for (long i = 0; i < 2; i++)
		threads[i] = state_thread(body, (void *)i);
	UNTIL(__atomic_load_n(&prepared, __ATOMIC_SEQ_CST) == 2);
	if (refused)
		state_skip("no real-time policy here: %s", strerror(refused));
	state_ready();
	state_wait_go();
	EQUAL(sched_getscheduler(0), SCHED_OTHER);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	state_pass();
}
