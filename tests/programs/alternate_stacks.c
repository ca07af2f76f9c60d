/*
 * Subject: the alternate signal stack of each thread: address, size, flags; a handler runs on it afterwards.
 */
#include "state.h"

#define THREADS 4
#define SIZE 65536

static int prepared;
static __thread volatile uintptr_t seen;

static void handler(int signal)
{
	int here = signal;

	seen = (uintptr_t)&here;
}

static void *body(void *argument)
{
	int i = (int)(long)argument;
	stack_t stack = {0}, now;

	if (i) {
		stack.ss_sp = MUST(mmap(NULL, SIZE + PAGE * i, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
		stack.ss_size = SIZE + PAGE * i;
		/* SS_AUTODISARM */
		stack.ss_flags = i == 3 ? (int)(1U << 31) : 0;
		MUST(sigaltstack(&stack, NULL));
	}
	__atomic_add_fetch(&prepared, 1, __ATOMIC_SEQ_CST);
	while (!state_going)
		state_pause();
	MUST(sigaltstack(NULL, &now));
	if (!i) {
		EQUAL(now.ss_flags, SS_DISABLE);
		return NULL;
	}
	EQUAL(now.ss_sp, stack.ss_sp);
	EQUAL(now.ss_size, stack.ss_size);
	EQUAL(now.ss_flags, stack.ss_flags);
	MUST(syscall(SYS_tgkill, getpid(), state_tid(), SIGUSR1));
	CHECK(seen >= (uintptr_t)stack.ss_sp && seen < (uintptr_t)stack.ss_sp + stack.ss_size,
	      "the handler ran at %lx", (long)seen);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];
	struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};

	state_begin(argc, argv);
	MUST(sigaction(SIGUSR1, &action, NULL));
	for (long i = 0; i < THREADS; i++)
		threads[i] = state_thread(body, (void *)i);
	UNTIL(__atomic_load_n(&prepared, __ATOMIC_SEQ_CST) == THREADS);
	state_ready();
	state_wait_go();
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	state_pass();
}
