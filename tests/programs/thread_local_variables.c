/*
 * Subject: thread-local variables, initialised and not, errno, and pthread keys, per thread.
 */
#include "state.h"

#define THREADS 8

static __thread int initialised = 77;
static __thread unsigned char block[5000];
static __thread char *pointer;
static pthread_key_t key;
static int prepared;

static void *body(void *argument)
{
	int i = (int)(long)argument;
	uintptr_t address = (uintptr_t)&initialised;

	EQUAL(initialised, 77);
	initialised = 1000 + i;
	state_fill(block, sizeof(block), 60 + i);
	pointer = (char *)block + i;
	pthread_setspecific(key, (void *)(long)(i + 500));
	__atomic_add_fetch(&prepared, 1, __ATOMIC_SEQ_CST);
	errno = 200 + i;
	while (!state_going)
		;
	EQUAL(errno, 200 + i);
	EQUAL(initialised, 1000 + i);
	EQUAL((uintptr_t)&initialised, address);
	CHECK_FILL(block, sizeof(block), 60 + i);
	CHECK(pointer == (char *)block + i, "pointer");
	EQUAL(pthread_getspecific(key), i + 500);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];

	state_begin(argc, argv);
	pthread_key_create(&key, NULL);
	for (long i = 0; i < THREADS; i++)
		threads[i] = state_thread(body, (void *)i);
	UNTIL(__atomic_load_n(&prepared, __ATOMIC_SEQ_CST) == THREADS);
	state_ready();
	state_wait_go();
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	EQUAL(initialised, 77);
	state_pass();
}
