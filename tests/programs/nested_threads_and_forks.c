/*
 * Subject: threads of several processes that fork, in one tree: 4 processes of 4 threads, each waiting in
 * a condition, all woken afterwards.
 */
#include "state.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int waiting, woken, open_gate;

static void *body(void *argument)
{
	(void)argument;
	pthread_mutex_lock(&lock);
	waiting++;
	while (!open_gate)
		pthread_cond_wait(&condition, &lock);
	woken++;
	pthread_mutex_unlock(&lock);
	return NULL;
}

static void live(int number)
{
	pthread_t threads[4];

	/* A thread of the process that forked this one may have held the lock just then. */
	lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	condition = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
	waiting = woken = open_gate = 0;
	for (int i = 0; i < 4; i++)
		threads[i] = state_thread(body, NULL);
	UNTIL(__atomic_load_n(&waiting, __ATOMIC_SEQ_CST) == 4);
	state_markf("living-%d", number);
	state_wait_go();
	pthread_mutex_lock(&lock);
	open_gate = 1;
	pthread_cond_broadcast(&condition);
	pthread_mutex_unlock(&lock);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	EQUAL(woken, 4);
}

/* Each process is forked by a thread of the one before. */
static void *descend(void *argument)
{
	long number = (long)argument;
	pid_t child = state_fork();

	if (child == 0) {
		pthread_t next = 0;

		if (number < 4)
			next = state_thread(descend, (void *)(number + 1));
		live((int)number);
		if (next)
			pthread_join(next, NULL);
		_exit(0);
	}
	state_join(child);
	return NULL;
}

int main(int argc, char **argv)
{
	state_begin(argc, argv);
	pthread_t first = state_thread(descend, (void *)1L);

	for (int i = 1; i <= 4; i++)
		state_awaitf("living-%d", i);
	state_ready();
	state_wait_go();
	pthread_join(first, NULL);
	state_pass();
}
