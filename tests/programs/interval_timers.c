/*
 * Subject: the three interval timers: remaining time and interval, in two processes. The real timer's
 * remaining time is compared with the monotonic clock: the time of the outage does not count.
 */
#include "state.h"

static void check(long real_seconds, int64_t armed)
{
	struct itimerval real, virtual, profile;
	int64_t now = state_now();

	MUST(getitimer(ITIMER_REAL, &real));
	MUST(getitimer(ITIMER_VIRTUAL, &virtual));
	MUST(getitimer(ITIMER_PROF, &profile));
	EQUAL(real.it_interval.tv_sec, 7);
	EQUAL(real.it_interval.tv_usec, 250000);
	int64_t left = real.it_value.tv_sec * 1000000000LL + real.it_value.tv_usec * 1000LL;
	int64_t expected = real_seconds * 1000000000LL - (now - armed);

	/* Half a second for what lies between arming, capture, restore and asking. */
	CHECK(left > expected - 500000000LL && left < expected + 500000000LL, "the real timer has %lld ms left, expected %lld",
	      (long long)left / 1000000, (long long)expected / 1000000);
	EQUAL(virtual.it_interval.tv_sec, 11);
	CHECK(virtual.it_value.tv_sec >= 4990 && virtual.it_value.tv_sec <= 5000, "virtual: %ld s left", virtual.it_value.tv_sec);
	EQUAL(profile.it_interval.tv_usec, 1000);
	CHECK(profile.it_value.tv_sec >= 5990 && profile.it_value.tv_sec <= 6000, "profile: %ld s left", profile.it_value.tv_sec);
}

static int64_t arm(long real_seconds)
{
	struct itimerval real = {{7, 250000}, {real_seconds, 0}}, virtual = {{11, 0}, {5000, 0}}, profile = {{0, 1000}, {6000, 0}};
	int64_t armed = state_now();

	MUST(setitimer(ITIMER_REAL, &real, NULL));
	MUST(setitimer(ITIMER_VIRTUAL, &virtual, NULL));
	MUST(setitimer(ITIMER_PROF, &profile, NULL));
	return armed;
}

int main(int argc, char **argv)
{
	state_begin(argc, argv);
	pid_t child = state_fork();
	long seconds = child ? 4000 : 3000;
	int64_t armed = arm(seconds);

	if (child == 0) {
		state_mark("child");
		state_wait_go();
		check(seconds, armed);
		_exit(0);
	}
	state_await("child");
	state_ready();
	state_wait_go();
	check(seconds, armed);
	state_join(child);
	state_pass();
}
