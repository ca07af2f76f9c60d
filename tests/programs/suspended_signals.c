/*
 * Subject: threads in sigsuspend, pause and ppoll with a temporary mask: nothing wakes them but their
 * signal, and the mask from before comes back.
 */
#include "state.h"
#include <poll.h>

static pid_t tids[3];
static __thread volatile int handled;
static int woken;

static void handler(int signal)
{
	handled = signal;
}

static void *body(void *argument)
{
	int i = (int)(long)argument;
	sigset_t outside, inside, now;

	sigemptyset(&outside);
	sigaddset(&outside, SIGHUP);
	if (i != 1)
		sigaddset(&outside, SIGUSR1);
	MUST(pthread_sigmask(SIG_SETMASK, &outside, NULL));
	sigfillset(&inside);
	sigdelset(&inside, SIGUSR1);
	__atomic_store_n(&tids[i], state_tid(), __ATOMIC_SEQ_CST);
	if (i == 0)
		EQUAL(sigsuspend(&inside), -1);
	else if (i == 1)
		EQUAL(pause(), -1);
	else
		EQUAL(ppoll(NULL, 0, NULL, &inside), -1);
	EQUAL(errno, EINTR);
	CHECK(state_exists("go"), "woke before anybody sent the signal");
	EQUAL(handled, SIGUSR1);
	MUST(pthread_sigmask(SIG_BLOCK, NULL, &now));
	for (int signal = 1; signal < 32; signal++)
		CHECK(sigismember(&now, signal) == sigismember(&outside, signal), "thread %d: mask of %d", i, signal);
	__atomic_add_fetch(&woken, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[3];
	struct sigaction action = {.sa_handler = handler};

	state_begin(argc, argv);
	MUST(sigaction(SIGUSR1, &action, NULL));
	for (long i = 0; i < 3; i++)
		threads[i] = state_thread(body, (void *)i);
	for (int i = 0; i < 3; i++) {
		UNTIL(__atomic_load_n(&tids[i], __ATOMIC_SEQ_CST) != 0);
		state_until_asleep(tids[i]);
	}
	state_ready();
	state_wait_go();
	EQUAL(__atomic_load_n(&woken, __ATOMIC_SEQ_CST), 0);
	for (int i = 0; i < 3; i++) {
		state_until_asleep(tids[i]);
		MUST(syscall(SYS_tgkill, getpid(), tids[i], SIGUSR1));
		pthread_join(threads[i], NULL);
	}
	state_pass();
}
