/*
 * Subject: queued real-time signals: every instance with its value, in order, for the process and for a
 * thread; also forged siginfo as rt_sigqueueinfo allows it, all of its bytes.
 */
#include "state.h"

#define EACH 25

static pid_t tid;

static void take(int signal, int value, int code)
{
	sigset_t set;
	siginfo_t information;
	struct timespec none = {0, 0};

	sigemptyset(&set);
	sigaddset(&set, signal);
	EQUAL(sigtimedwait(&set, &information, &none), signal);
	EQUAL(information.si_value.sival_int, value);
	EQUAL(information.si_code, code);
}

static void *body(void *argument)
{
	(void)argument;
	__atomic_store_n(&tid, state_tid(), __ATOMIC_SEQ_CST);
	while (!state_going)
		state_pause();
	for (int i = 0; i < EACH; i++)
		take(SIGRTMIN + 9, 7000 + i, -60);
	return NULL;
}

static void forge(siginfo_t *information, int signal, int value)
{
	memset(information, 0, sizeof(*information));
	state_fill((char *)information + 16, sizeof(*information) - 16, (uint64_t)value);
	information->si_signo = signal;
	information->si_errno = 5;
	information->si_code = -60;
	information->si_value.sival_int = value;
}

int main(int argc, char **argv)
{
	sigset_t all, pending;
	struct timespec none = {0, 0};
	siginfo_t information, expected;

	state_begin(argc, argv);
	sigfillset(&all);
	MUST(sigprocmask(SIG_SETMASK, &all, NULL));
	pthread_t thread = state_thread(body, NULL);

	UNTIL(__atomic_load_n(&tid, __ATOMIC_SEQ_CST) != 0);
	for (int i = 0; i < EACH; i++)
		for (int k = 0; k < 3; k++) {
			union sigval value = {.sival_int = 1000 * k + i};

			MUST(sigqueue(getpid(), SIGRTMIN + 5 - k, value));
		}
	for (int i = 0; i < EACH; i++) {
		forge(&information, SIGRTMIN + 9, 7000 + i);
		MUST(syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, SIGRTMIN + 9, &information));
	}
	forge(&information, SIGRTMAX, 31337);
	MUST(syscall(SYS_rt_sigqueueinfo, getpid(), SIGRTMAX, &information));
	state_ready();
	state_wait_go();
	for (int i = 0; i < EACH; i++)
		for (int k = 0; k < 3; k++)
			take(SIGRTMIN + 5 - k, 1000 * k + i, SI_QUEUE);
	sigemptyset(&all);
	sigaddset(&all, SIGRTMAX);
	/* The system call, for the library cleans codes up. */
	memset(&information, 0, sizeof(information));
	EQUAL(syscall(SYS_rt_sigtimedwait, &all, &information, &none, 8), SIGRTMAX);
	forge(&expected, SIGRTMAX, 31337);
	/* The kernel keeps the first 48 bytes of a forged siginfo that it does not know (SI_EXPANSION_SIZE must be zero or is lost). */
	CHECK(memcmp(&information, &expected, 16) == 0, "head of siginfo");
	CHECK(memcmp((char *)&information + 16, (char *)&expected + 16, 32) == 0, "body of siginfo");
	pthread_join(thread, NULL);
	MUST(sigpending(&pending));
	for (int signal = 1; signal <= SIGRTMAX; signal++)
		CHECK(signal == 32 || signal == 33 || !sigismember(&pending, signal), "signal %d is left over", signal);
	state_pass();
}
