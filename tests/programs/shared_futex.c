/*
 * Subject: futexes, mutexes and conditions in memory that two processes share: a waiter of one is woken by
 * the other.
 */
#include "state.h"

struct shared {
	pthread_mutex_t lock;
	pthread_cond_t condition;
	int turn;
	long count;
};

int main(int argc, char **argv)
{
	pthread_mutexattr_t mutex;
	pthread_condattr_t condition;

	state_begin(argc, argv);
	struct shared *shared = MUST(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));

	pthread_mutexattr_init(&mutex);
	pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&shared->lock, &mutex);
	pthread_condattr_init(&condition);
	pthread_condattr_setpshared(&condition, PTHREAD_PROCESS_SHARED);
	pthread_cond_init(&shared->condition, &condition);
	pid_t child = state_fork();
	int me = child == 0;

	/* The two take turns without end. */
	for (;;) {
		pthread_mutex_lock(&shared->lock);
		while (shared->turn != me)
			pthread_cond_wait(&shared->condition, &shared->lock);
		long count = ++shared->count;

		shared->turn = !me;
		if (!me && state_going && count > 400)
			shared->turn = 2 + me;
		int stop = shared->turn >= 2;

		if (stop)
			shared->turn = 1;
		pthread_cond_broadcast(&shared->condition);
		if (stop)
			shared->count = -count;
		int ended = shared->count < 0;

		pthread_mutex_unlock(&shared->lock);
		if (ended)
			break;
		if (!me && count > 200 && !state_exists("ready"))
			state_ready();
		if (!me && state_exists("go"))
			state_going = 1;
		if (!me)
			sched_yield();
		if (me && shared->count < 0)
			break;
	}
	if (me)
		_exit(0);
	state_join(child);
	state_pass();
}
