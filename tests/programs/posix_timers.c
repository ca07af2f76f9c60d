/*
 * Subject: POSIX timers: identifiers with gaps, clocks (monotonic, wall, boot, processor time), notification by a signal, to a thread, by a new
 * thread, by nothing; time left, interval, armed or not; a signal that waits.
 */
#include "state.h"

#define TIMERS 12

static timer_t timers[TIMERS];
static volatile int in_thread, by_thread;
static pid_t other;

static void on_signal(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	if (info->si_code == SI_TIMER && info->si_value.sival_int == 77 && state_tid() == other)
		in_thread++;
}

static void notified(union sigval value)
{
	if (value.sival_int == 88)
		by_thread++;
}

static void *waits(void *argument)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 3);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	*(volatile pid_t *)argument = state_tid();
	for (;;)
		pause();
	return NULL;
}

static timer_t make(clockid_t clock, int notify, int signal, int value)
{
	struct sigevent event = {.sigev_notify = notify, .sigev_signo = signal, .sigev_value.sival_int = value};
	timer_t timer;

	if (notify == SIGEV_THREAD)
		event.sigev_notify_function = notified;
	if (notify == SIGEV_THREAD_ID)
		event._sigev_un._tid = other;
	MUST(timer_create(clock, &event, &timer));
	return timer;
}

static void arm(timer_t timer, long seconds, long nanoseconds, long every_seconds, long every_nanoseconds)
{
	struct itimerspec value = {{every_seconds, every_nanoseconds}, {seconds, nanoseconds}};

	MUST(timer_settime(timer, 0, &value, NULL));
}

/* When it goes off, by CLOCK_MONOTONIC. */
static int64_t due(timer_t timer, long interval)
{
	struct itimerspec value;

	MUST(timer_gettime(timer, &value));
	EQUAL(value.it_interval.tv_sec, interval);
	return state_now() + value.it_value.tv_sec * 1000000000LL + value.it_value.tv_nsec;
}

static void expect_due(timer_t timer, long interval, int64_t before)
{
	int64_t now = due(timer, interval);

	CHECK(now >= before - 5000000 && now <= before + 60000000000LL, "%lld ns later", (long long)(now - before));
}

/* What /proc/self/timers says, but for the notified pid of the first procfs that is read. */
static void describe(char *text, size_t size)
{
	state_read("/proc/self/timers", text, size);
}

int main(int argc, char **argv)
{
	static char before[16384], after[16384];
	struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
	struct timespec limit;
	struct itimerspec value;
	siginfo_t info;
	sigset_t set;
	int64_t once, often, wall, boot, quiet;

	state_begin(argc, argv);
	limit = (struct timespec){state_bound, 0};
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 3);
	sigaddset(&set, SIGRTMIN + 4);
	sigaddset(&set, SIGUSR1);
	MUST(pthread_sigmask(SIG_BLOCK, &set, NULL));
	MUST(sigaction(SIGRTMIN + 3, &action, NULL));
	state_thread(waits, (void *)&other);
	UNTIL(*(volatile pid_t *)&other != 0);
	for (int i = 0; i < TIMERS; i++) {
		/* Every other identifier stays free. */
		timer_t gap = make(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0);

		switch (i) {
		case 0: timers[i] = make(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR1, 1); arm(timers[i], 3000, 0, 0, 0); break;
		case 1: timers[i] = make(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN + 5, -2); arm(timers[i], 4000, 0, 500, 0); break;
		case 2: timers[i] = make(CLOCK_REALTIME, SIGEV_SIGNAL, SIGUSR1, 3); arm(timers[i], 5000, 0, 0, 0); break;
		case 3: timers[i] = make(CLOCK_BOOTTIME, SIGEV_SIGNAL, SIGUSR1, 4); arm(timers[i], 6000, 0, 0, 0); break;
		case 4: timers[i] = make(CLOCK_MONOTONIC, SIGEV_NONE, 0, 5); arm(timers[i], 7000, 0, 7, 0); break;
		case 5: timers[i] = make(CLOCK_PROCESS_CPUTIME_ID, SIGEV_SIGNAL, SIGUSR1, 6); arm(timers[i], 8000, 0, 0, 0); break;
		case 6: timers[i] = make(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR1, 7); break;
		case 7: timers[i] = make(CLOCK_MONOTONIC, SIGEV_THREAD_ID, SIGRTMIN + 3, 77); arm(timers[i], 0, 1000000, 0, 20000000); break;
		case 8: timers[i] = make(CLOCK_MONOTONIC, SIGEV_THREAD, 0, 88); arm(timers[i], 0, 1000000, 0, 20000000); break;
		case 9: timers[i] = make(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN + 4, 99); arm(timers[i], 0, 1000000, 0, 0); break;
		case 10: timers[i] = make(CLOCK_TAI, SIGEV_SIGNAL, SIGUSR1, 11); arm(timers[i], 9000, 0, 0, 0); break;
		case 11: timers[i] = make(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR1, 12); arm(timers[i], 0, 500000000, 0, 0); break;
		}
		MUST(timer_delete(gap));
	}
	UNTIL(in_thread > 0 && by_thread > 0);
	/* The signal of number 9 waits, that of number 11 may come at any moment. */
	UNTIL(sigpending(&set) == 0 && sigismember(&set, SIGRTMIN + 4));
	once = due(timers[0], 0);
	often = due(timers[1], 500);
	wall = due(timers[2], 0);
	boot = due(timers[3], 0);
	quiet = due(timers[4], 7);
	describe(before, sizeof(before));
	state_ready();
	state_wait_go();

	describe(after, sizeof(after));
	CHECK(strcmp(before, after) == 0, "before:\n%.200s\nafter:\n%.200s", before, after);
	expect_due(timers[0], 0, once);
	expect_due(timers[1], 500, often);
	expect_due(timers[2], 0, wall);
	expect_due(timers[3], 0, boot);
	expect_due(timers[4], 7, quiet);
	MUST(timer_gettime(timers[5], &value));
	CHECK(value.it_value.tv_sec > 7900 && value.it_value.tv_sec <= 8000, "%ld s of processor time left", value.it_value.tv_sec);
	MUST(timer_gettime(timers[6], &value));
	EQUAL(value.it_value.tv_sec + value.it_value.tv_nsec, 0);
	MUST(timer_gettime(timers[10], &value));
	CHECK(value.it_value.tv_sec > 8000, "%ld s left", value.it_value.tv_sec);
	int seen = in_thread, called = by_thread;

	UNTIL(in_thread > seen + 2 && by_thread > called + 2);
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 4);
	EQUAL(sigtimedwait(&set, &info, &limit), SIGRTMIN + 4);
	EQUAL(info.si_code, SI_TIMER);
	EQUAL(info.si_value.sival_int, 99);
	EQUAL(info.si_timerid, (int)(long)timers[9]);
	/* It went off once. */
	limit = (struct timespec){0, 0};
	EQUAL(sigtimedwait(&set, &info, &limit), -1);
	limit.tv_sec = state_bound;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	EQUAL(sigtimedwait(&set, &info, &limit), SIGUSR1);
	EQUAL(info.si_value.sival_int, 12);
	/* A new one gets an identifier of its own. */
	timer_t fresh = make(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0);

	for (int i = 0; i < TIMERS; i++) {
		CHECK(fresh != timers[i], "timer %d", i);
		MUST(timer_delete(timers[i]));
	}
	state_pass();
}
