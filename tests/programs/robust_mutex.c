/*
 * Subject: the list of robust futexes: a process that holds a robust mutex is killed after the restore,
 * and the next one to lock it is told so.
 */
#include "state.h"

struct shared {
	pthread_mutex_t held, held_by_thread;
};

static void *body(void *argument)
{
	struct shared *shared = argument;

	CHECK(pthread_mutex_lock(&shared->held_by_thread) == 0, "lock");
	state_mark("thread");
	state_wait_go();
	/* Ends while it holds the lock. */
	return NULL;
}

int main(int argc, char **argv)
{
	state_begin(argc, argv);
	struct shared *shared = MUST(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	pthread_mutexattr_t attributes;

	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&shared->held, &attributes);
	pthread_mutex_init(&shared->held_by_thread, &attributes);
	pid_t owner = state_fork();

	if (owner == 0) {
		CHECK(pthread_mutex_lock(&shared->held) == 0, "lock");
		state_mark("owner");
		for (;;)
			state_await("never");
	}
	pthread_t thread = state_thread(body, shared);

	state_await("owner");
	state_await("thread");
	EQUAL(pthread_mutex_trylock(&shared->held), EBUSY);
	state_ready();
	state_wait_go();
	EQUAL(pthread_mutex_trylock(&shared->held), EBUSY);
	MUST(kill(owner, SIGKILL));
	MUST(waitpid(owner, NULL, 0));
	EQUAL(pthread_mutex_lock(&shared->held), EOWNERDEAD);
	EQUAL(pthread_mutex_consistent(&shared->held), 0);
	EQUAL(pthread_mutex_unlock(&shared->held), 0);
	pthread_join(thread, NULL);
	EQUAL(pthread_mutex_lock(&shared->held_by_thread), EOWNERDEAD);
	state_pass();
}
