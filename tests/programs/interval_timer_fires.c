/*
 * Subject: interval timers that fire all the time: the real one every 10 ms and the profiling one every
 * 10 ms of processor time; both keep firing after the restore, and as often as the clocks say.
 */
#include "state.h"

static volatile long real, profile;

static void handler(int signal)
{
	if (signal == SIGALRM)
		real++;
	else
		profile++;
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
	struct itimerval each = {{0, 10000}, {0, 10000}};

	state_begin(argc, argv);
	MUST(sigaction(SIGALRM, &action, NULL));
	MUST(sigaction(SIGPROF, &action, NULL));
	int64_t start = state_now();

	MUST(setitimer(ITIMER_REAL, &each, NULL));
	MUST(setitimer(ITIMER_PROF, &each, NULL));
	while (real < 5 || profile < 2)
		;
	state_ready();
	state_wait_go();
	long real_before = real, profile_before = profile;

	while (real < real_before + 5 || profile < profile_before + 2)
		CHECK(state_now() - start < state_bound * 1000000000LL, "real %ld, profile %ld", real, profile);
	/* Never more often than the monotonic clock allows. */
	CHECK(real <= (state_now() - start) / 10000000 + 1, "%ld alarms in %lld ms", real, (long long)(state_now() - start) / 1000000);
	state_pass();
}
