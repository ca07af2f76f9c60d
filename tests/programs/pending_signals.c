/*
 * Subject: signals that are pending, for the process and for single threads, with the sender they name;
 * and none that was not.
 */
#include "state.h"

#define THREADS 3

static pid_t tids[THREADS];
static const int directed[THREADS] = {SIGUSR1, SIGWINCH, SIGALRM};

static void take(int signal, pid_t sender, int code)
{
	sigset_t set;
	siginfo_t information;
	struct timespec none = {0, 0};

	sigemptyset(&set);
	sigaddset(&set, signal);
	/* The system call: the library turns SI_TKILL into SI_USER. */
	EQUAL(syscall(SYS_rt_sigtimedwait, &set, &information, &none, 8), signal);
	EQUAL(information.si_code, code);
	EQUAL(information.si_pid, sender);
	EQUAL(syscall(SYS_rt_sigtimedwait, &set, &information, &none, 8), -1);
}

static void *body(void *argument)
{
	int i = (int)(long)argument;
	sigset_t pending;

	__atomic_store_n(&tids[i], state_tid(), __ATOMIC_SEQ_CST);
	while (!state_going)
		state_pause();
	MUST(sigpending(&pending));
	for (int signal = 1; signal < SIGRTMIN; signal++) {
		int expected = signal == SIGTERM || signal == SIGUSR2 || signal == SIGCHLD || signal == directed[i];

		if (signal != 32 && signal != 33)
			CHECK(!!sigismember(&pending, signal) == expected, "thread %d, signal %d", i, signal);
	}
	take(directed[i], getpid(), SI_TKILL);
	state_markf("taken-%d", i);
	state_await("all");
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];
	sigset_t all;

	state_begin(argc, argv);
	sigfillset(&all);
	MUST(sigprocmask(SIG_SETMASK, &all, NULL));
	for (long i = 0; i < THREADS; i++)
		threads[i] = state_thread(body, (void *)i);
	for (int i = 0; i < THREADS; i++) {
		UNTIL(__atomic_load_n(&tids[i], __ATOMIC_SEQ_CST) != 0);
		MUST(syscall(SYS_tgkill, getpid(), tids[i], directed[i]));
	}
	pid_t sender = state_fork();

	if (sender == 0) {
		kill(getppid(), SIGTERM);
		kill(getppid(), SIGTERM);
		_exit(0);
	}
	state_join(sender);
	MUST(kill(getpid(), SIGUSR2));
	state_ready();
	state_wait_go();
	for (int i = 0; i < THREADS; i++)
		state_awaitf("taken-%d", i);
	take(SIGTERM, sender, SI_USER);
	take(SIGUSR2, getpid(), SI_USER);
	state_mark("all");
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	state_pass();
}
