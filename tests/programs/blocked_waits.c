/*
 * Subject: threads blocked without a limit: waitpid for a live child, a futex, a mutex, a condition, a
 * semaphore; each goes on when its event comes, and not before.
 */
#include "state.h"
#include <linux/futex.h>
#include <semaphore.h>

#define KINDS 5

static pid_t tids[KINDS], child;
static uint32_t word;
static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER, lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static volatile int signalled;
static sem_t semaphore;

static void *body(void *argument)
{
	int i = (int)(long)argument, status;

	__atomic_store_n(&tids[i], state_tid(), __ATOMIC_SEQ_CST);
	switch (i) {
	case 0:
		EQUAL(waitpid(child, &status, 0), child);
		EQUAL(WEXITSTATUS(status), 21);
		break;
	case 1:
		EQUAL(syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0), 0);
		EQUAL(word, 1);
		break;
	case 2:
		EQUAL(pthread_mutex_lock(&held), 0);
		pthread_mutex_unlock(&held);
		break;
	case 3:
		pthread_mutex_lock(&lock);
		while (!signalled)
			EQUAL(pthread_cond_wait(&condition, &lock), 0);
		pthread_mutex_unlock(&lock);
		break;
	default:
		/* Strict: no handler ran, so not EINTR. */
		CHECK(sem_wait(&semaphore) == 0, "sem_wait: %s", strerror(errno));
	}
	CHECK(state_exists("go"), "thread %d went on too early", i);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[KINDS];

	state_begin(argc, argv);
	sem_init(&semaphore, 0, 0);
	pthread_mutex_lock(&held);
	child = state_fork();
	if (child == 0) {
		state_await("end");
		_exit(21);
	}
	for (long i = 0; i < KINDS; i++)
		threads[i] = state_thread(body, (void *)i);
	for (int i = 0; i < KINDS; i++) {
		UNTIL(__atomic_load_n(&tids[i], __ATOMIC_SEQ_CST) != 0);
		state_until_asleep(tids[i]);
	}
	state_ready();
	state_wait_go();
	for (int i = 0; i < KINDS; i++)
		state_until_asleep(tids[i]);
	state_mark("end");
	__atomic_store_n(&word, 1, __ATOMIC_SEQ_CST);
	EQUAL(syscall(SYS_futex, &word, FUTEX_WAKE, 10, NULL, NULL, 0), 1);
	pthread_mutex_unlock(&held);
	pthread_mutex_lock(&lock);
	signalled = 1;
	pthread_cond_signal(&condition);
	pthread_mutex_unlock(&lock);
	sem_post(&semaphore);
	for (int i = 0; i < KINDS; i++)
		pthread_join(threads[i], NULL);
	state_pass();
}
