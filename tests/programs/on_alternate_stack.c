/*
 * Subject: threads that execute on their alternate stack, one of them an unused but armed small one: the
 * handler returns to what it interrupted, and no byte of the stack around it changes.
 */
#include "state.h"

#define SIZE 32768

static int inside;
static volatile int returned;

static void handler(int signal, siginfo_t *information, void *context)
{
	unsigned char local[2048];
	stack_t now;

	(void)information;
	(void)context;
	state_fill(local, sizeof(local), (uint64_t)signal);
	MUST(sigaltstack(NULL, &now));
	EQUAL(now.ss_flags, SS_ONSTACK);
	__atomic_add_fetch(&inside, 1, __ATOMIC_SEQ_CST);
	while (!state_going)
		state_pause();
	CHECK_FILL(local, sizeof(local), (uint64_t)signal);
	MUST(sigaltstack(NULL, &now));
	EQUAL(now.ss_flags, SS_ONSTACK);
	EQUAL(now.ss_size, SIZE);
}

static void *body(void *argument)
{
	stack_t stack = {0}, now;
	unsigned char canary[512];
	uint64_t seed = (uint64_t)(long)argument;

	state_fill(canary, sizeof(canary), seed);
	stack.ss_size = SIZE;
	stack.ss_sp = MUST(mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	MUST(sigaltstack(&stack, NULL));
	MUST(syscall(SYS_tgkill, getpid(), state_tid(), SIGUSR2));
	MUST(sigaltstack(NULL, &now));
	EQUAL(now.ss_flags, 0);
	CHECK_FILL(canary, sizeof(canary), seed);
	__atomic_add_fetch(&returned, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[3];
	struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_ONSTACK | SA_SIGINFO};

	state_begin(argc, argv);
	MUST(sigaction(SIGUSR2, &action, NULL));
	for (long i = 0; i < 3; i++)
		threads[i] = state_thread(body, (void *)(i + 1));
	UNTIL(__atomic_load_n(&inside, __ATOMIC_SEQ_CST) == 3);
	state_ready();
	state_wait_go();
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	EQUAL(returned, 3);
	state_pass();
}
