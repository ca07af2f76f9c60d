/*
 * Subject: CLOCK_MONOTONIC and CLOCK_BOOTTIME go on from where they were: never backwards, and the time of
 * the outage does not count; CLOCK_REALTIME is the world's. Also the start time of the process and the
 * processor time that it has used.
 */
#include "state.h"

static int64_t read_clock(clockid_t clock)
{
	struct timespec now;

	MUST(clock_gettime(clock, &now));
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

int main(int argc, char **argv)
{
	state_begin(argc, argv);
	int64_t monotonic = read_clock(CLOCK_MONOTONIC), boot = read_clock(CLOCK_BOOTTIME), raw = read_clock(CLOCK_MONOTONIC_RAW);
	int64_t real = read_clock(CLOCK_REALTIME), largest = 0;
	int told = 0;

	state_ready();
	/* Looks at the clock all the time: the largest step is what a freeze, or an outage, added. */
	while (!state_exists("go")) {
		int64_t now = read_clock(CLOCK_MONOTONIC);

		CHECK(now >= monotonic, "monotonic went back by %lld ns", (long long)(monotonic - now));
		if (now - monotonic > largest)
			largest = now - monotonic;
		monotonic = now;
		now = read_clock(CLOCK_BOOTTIME);
		CHECK(now >= boot, "boot time went back by %lld ns", (long long)(boot - now));
		boot = now;
		now = read_clock(CLOCK_MONOTONIC_RAW);
		CHECK(now >= raw, "raw monotonic went back by %lld ns", (long long)(raw - now));
		raw = now;
		now = read_clock(CLOCK_REALTIME);
		CHECK(now >= real - 1000000000LL, "real time went back");
		real = now;
		if (!told) {
			told = 1;
			state_mark("looking");
		}
		state_pause();
	}
	char text[64];

	snprintf(text, sizeof(text), "%lld\n", (long long)largest / 1000000);
	state_put("largest-gap-ms", text, 0);
	CHECK(largest < 30000000000LL, "a gap of %lld ms", (long long)largest / 1000000);
	state_pass();
}
