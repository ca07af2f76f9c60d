/*
 * Subject: threads that count: none is lost, none runs twice, each goes on with its own stack.
 * Cases: 1 8 64
 */
#include "state.h"

static long total;
static int alive;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *body(void *argument)
{
	unsigned char stack[8192];
	uint64_t seed = 5000 + (uint64_t)(long)argument;
	pthread_t self = pthread_self();
	pid_t tid = state_tid();
	long mine = 0;

	state_fill(stack, sizeof(stack), seed);
	__atomic_add_fetch(&alive, 1, __ATOMIC_SEQ_CST);
	while (!state_going) {
		pthread_mutex_lock(&lock);
		total++;
		pthread_mutex_unlock(&lock);
		mine++;
		state_pause();
	}
	CHECK_FILL(stack, sizeof(stack), seed);
	CHECK(pthread_equal(self, pthread_self()), "pthread_self differs");
	EQUAL(state_tid(), tid);
	return (void *)mine;
}

int main(int argc, char **argv)
{
	pthread_t threads[64];
	long sum = 0;

	state_begin(argc, argv);
	int count = atoi(state_case);

	if (count < 1 || count > 64)
		count = 8;
	for (long i = 0; i < count; i++)
		threads[i] = state_thread(body, (void *)i);
	UNTIL(__atomic_load_n(&alive, __ATOMIC_SEQ_CST) == count);
	state_ready();
	state_wait_go();
	for (int i = 0; i < count; i++) {
		void *mine;

		pthread_join(threads[i], &mine);
		sum += (long)mine;
	}
	EQUAL(sum, total);
	EQUAL(alive, count);
	state_pass();
}
