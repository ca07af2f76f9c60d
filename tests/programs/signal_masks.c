/*
 * Subject: the blocked signals of each thread, all sixty-four of them.
 */
#include "state.h"

#define THREADS 5

static int prepared;

/* The mask of thread i as the kernel keeps it, one bit per signal. */
static uint64_t mask_of(int i)
{
	uint64_t seed = 900 + (uint64_t)i, mask = state_random(&seed);

	/* KILL and STOP cannot be blocked; glibc keeps 32 and 33 for itself but the kernel does not. */
	mask &= ~((1ULL << (SIGKILL - 1)) | (1ULL << (SIGSTOP - 1)));
	return i == 4 ? 0 : mask;
}

static uint64_t mask_now(void)
{
	uint64_t mask = 0;

	MUST(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, 8));
	return mask;
}

static void *body(void *argument)
{
	int i = (int)(long)argument;
	uint64_t mask = mask_of(i);

	MUST(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, 8));
	EQUAL(mask_now(), mask);
	__atomic_add_fetch(&prepared, 1, __ATOMIC_SEQ_CST);
	if (i & 1)
		while (!state_going)
			;
	else
		while (!state_going)
			state_pause();
	EQUAL(mask_now(), mask);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];
	uint64_t mask = mask_of(77);

	state_begin(argc, argv);
	for (long i = 0; i < THREADS; i++)
		threads[i] = state_thread(body, (void *)i);
	MUST(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, 8));
	UNTIL(__atomic_load_n(&prepared, __ATOMIC_SEQ_CST) == THREADS);
	state_ready();
	state_wait_go();
	EQUAL(mask_now(), mask);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	state_pass();
}
