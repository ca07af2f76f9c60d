/*
 * Subject: a thread in sigwaitinfo without a limit is still in it afterwards and gets the value sent then.
 */
#include "state.h"

static pid_t tid;

static void *body(void *argument)
{
	sigset_t set;
	siginfo_t information;

	(void)argument;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 1);
	__atomic_store_n(&tid, state_tid(), __ATOMIC_SEQ_CST);
	int got = sigwaitinfo(&set, &information);

	CHECK(got == SIGRTMIN + 1, "sigwaitinfo gave %d: %s", got, strerror(errno));
	EQUAL(information.si_value.sival_int, 99);
	CHECK(state_exists("go"), "too early");
	return NULL;
}

int main(int argc, char **argv)
{
	sigset_t set;

	state_begin(argc, argv);
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 1);
	MUST(sigprocmask(SIG_BLOCK, &set, NULL));
	pthread_t thread = state_thread(body, NULL);

	UNTIL(__atomic_load_n(&tid, __ATOMIC_SEQ_CST) != 0);
	state_until_asleep(tid);
	state_ready();
	state_wait_go();
	union sigval value = {.sival_int = 99};

	MUST(sigqueue(getpid(), SIGRTMIN + 1, value));
	pthread_join(thread, NULL);
	state_pass();
}
