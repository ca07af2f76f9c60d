/*
 * Subject: futexes, mutexes and conditions in memory that two processes share: a waiter of one is woken by
 * the other.
 */
#include "state.h"

struct shared {
	pthread_mutex_t lock;
	pthread_cond_t condition;
	int turn, stop;
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

	long mine = 0;

	/* The two take turns without end. */
	for (;;) {
		pthread_mutex_lock(&shared->lock);
		while (shared->turn != me && !shared->stop)
			pthread_cond_wait(&shared->condition, &shared->lock);
		if (shared->stop) {
			pthread_mutex_unlock(&shared->lock);
			break;
		}
		shared->count++;
		mine++;
		shared->turn = !me;
		if (!me && state_going)
			shared->stop = 1;
		pthread_cond_broadcast(&shared->condition);
		pthread_mutex_unlock(&shared->lock);
		if (!me && mine == 200)
			state_ready();
		if (!me && mine >= 200 && state_exists("go"))
			state_going = 1;
	}
	if (me) {
		EQUAL(shared->count, 2 * mine + 1);
		_exit(0);
	}
	EQUAL(shared->count, 2 * mine - 1);
	state_join(child);
	state_pass();
}
