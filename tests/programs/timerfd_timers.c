/*
 * Subject: timerfd: clock, interval, remaining time, ticks not read yet, absolute times of the wall clock, cancellation,
 * timers that are not armed. What is left is compared with the monotonic clock: an outage does not count.
 */
#include "state.h"
#include <sys/timerfd.h>

#define SECOND 1000000000LL

static int64_t left_of(int fd, long interval)
{
	struct itimerspec value;

	MUST(timerfd_gettime(fd, &value));
	EQUAL(value.it_interval.tv_sec, interval);
	return value.it_value.tv_sec * SECOND + value.it_value.tv_nsec;
}

static void near(int64_t left, int64_t expected)
{
	CHECK(left > expected - SECOND / 2 && left < expected + SECOND / 2, "%lld ms left, expected %lld", (long long)left / 1000000, (long long)expected / 1000000);
}

int main(int argc, char **argv)
{
	struct itimerspec once = {{0, 0}, {4000, 0}}, every = {{7, 0}, {3000, 0}}, fast = {{0, 20000000}, {0, 20000000}}, soon = {{0, 0}, {0, 1000000}}, wall = {{5, 0}, {0, 0}},
			  absolute = {{0, 0}, {0, 0}}, never = {{0, 0}, {0, 0}};
	int monotonic, boot, ticking, expired, clock, until, idle;
	struct timespec now;
	uint64_t ticks;

	state_begin(argc, argv);
	monotonic = MUST(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
	boot = MUST(timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK));
	ticking = MUST(timerfd_create(CLOCK_MONOTONIC, 0));
	expired = MUST(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
	clock = MUST(timerfd_create(CLOCK_REALTIME, 0));
	until = MUST(timerfd_create(CLOCK_MONOTONIC, 0));
	idle = MUST(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
	int64_t armed = state_now();

	wall.it_value.tv_sec = time(NULL) + 100000;
	absolute.it_value.tv_sec = armed / SECOND + 2000;
	MUST(timerfd_settime(monotonic, 0, &once, NULL));
	MUST(timerfd_settime(boot, 0, &every, NULL));
	MUST(timerfd_settime(ticking, 0, &fast, NULL));
	MUST(timerfd_settime(expired, 0, &soon, NULL));
	MUST(timerfd_settime(clock, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &wall, NULL));
	MUST(timerfd_settime(until, TFD_TIMER_ABSTIME, &absolute, NULL));
	MUST(timerfd_settime(idle, 0, &never, NULL));
	usleep(100000);
	state_ready();
	state_wait_go();
	EQUAL(fcntl(monotonic, F_GETFD), FD_CLOEXEC);
	EQUAL(fcntl(boot, F_GETFL), O_RDWR | O_NONBLOCK);
	EQUAL(fcntl(monotonic, F_GETFL), O_RDWR);
	near(left_of(monotonic, 0), 4000 * SECOND - (state_now() - armed));
	near(left_of(boot, 7), 3000 * SECOND - (state_now() - armed));
	near(left_of(until, 0), absolute.it_value.tv_sec * SECOND - state_now());
	MUST(clock_gettime(CLOCK_REALTIME, &now));
	near(left_of(clock, 5), (wall.it_value.tv_sec - now.tv_sec) * SECOND - now.tv_nsec);
	EQUAL(left_of(idle, 0), 0);
	EQUAL(read(idle, &ticks, 8), -1);
	EQUAL(errno, EAGAIN);
	EQUAL(read(boot, &ticks, 8), -1);
	EQUAL(read(expired, &ticks, 8), 8);
	EQUAL(ticks, 1);
	EQUAL(read(expired, &ticks, 8), -1);
	/* All that were due since it was armed, and none twice. */
	EQUAL(read(ticking, &ticks, 8), 8);
	int64_t due = (state_now() - armed) / 20000000;

	CHECK((int64_t)ticks >= due - 4 && (int64_t)ticks <= due + 1, "%lld ticks of %lld", (long long)ticks, (long long)due);
	EQUAL(read(ticking, &ticks, 8), 8);
	CHECK(ticks >= 1 && ticks < 100, "%lld ticks more", (long long)ticks);
	state_pass();
}
