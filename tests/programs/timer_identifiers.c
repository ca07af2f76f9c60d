/*
 * Subject: identifiers of POSIX timers that are far apart, since very many timers were made and deleted in between, as a program that has run
 * for long has them.
 */
#include "state.h"

static int make(int value)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = value };
	int id;

	MUST(syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &id));
	return id;
}

static void expect(int id, int value)
{
	struct itimerspec soon = { .it_value.tv_nsec = 1000000 };
	siginfo_t info;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	MUST(syscall(SYS_timer_settime, id, 0, &soon, NULL));
	CHECK(sigwaitinfo(&set, &info) == SIGUSR1 && info.si_code == SI_TIMER, "a signal of the timer");
	EQUAL(info.si_value.sival_int, value);
}

int main(int argc, char **argv)
{
	int ids[3], made = 0;
	sigset_t set;

	state_begin(argc, argv);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	MUST(sigprocmask(SIG_BLOCK, &set, NULL));
	for (int i = 0; i <= 25000; i++) {
		int id = make(i);

		if (i % 12000 == 1000)
			ids[made++] = id;
		else
			MUST(syscall(SYS_timer_delete, id));
	}
	EQUAL(made, 3);
	EQUAL(ids[2] - ids[0], 24000);
	state_ready();
	state_wait_go();
	for (int i = 0; i < 3; i++)
		expect(ids[i], i * 12000 + 1000);
	expect(make(5), 5);
	state_pass();
}
