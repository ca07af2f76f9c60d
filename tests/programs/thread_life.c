/*
 * Subject: threads that keep coming and going while the checkpoint is taken: each runs once, and the
 * library's record of them stays whole.
 */
#include "state.h"

#define AT_ONCE 8

static long born, died;

static void *body(void *argument)
{
	uint64_t seed = (uint64_t)(long)argument;
	unsigned char local[256];

	state_fill(local, sizeof(local), seed);
	sched_yield();
	CHECK_FILL(local, sizeof(local), seed);
	__atomic_add_fetch(&died, 1, __ATOMIC_SEQ_CST);
	return argument;
}

int main(int argc, char **argv)
{
	pthread_t threads[AT_ONCE];
	void *result;

	state_begin(argc, argv);
	for (long round = 0; !state_exists("go") || round < 50; round++) {
		for (long i = 0; i < AT_ONCE; i++, born++)
			threads[i] = state_thread(body, (void *)(round * AT_ONCE + i));
		for (long i = 0; i < AT_ONCE; i++) {
			EQUAL(pthread_join(threads[i], &result), 0);
			EQUAL((long)result, round * AT_ONCE + i);
		}
		EQUAL(died, born);
		if (round == 20)
			state_ready();
	}
	state_pass();
}
