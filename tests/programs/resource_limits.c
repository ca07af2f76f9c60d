/*
 * Subject: all resource limits, soft and hard, and that they still hold.
 */
#include "state.h"

int main(int argc, char **argv)
{
	struct rlimit before[RLIM_NLIMITS], after;

	state_begin(argc, argv);
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		static const rlim_t soft[] = {
			[RLIMIT_CPU] = 5000, [RLIMIT_FSIZE] = 1 << 20, [RLIMIT_DATA] = 1UL << 32, [RLIMIT_STACK] = 4 << 20,
			[RLIMIT_CORE] = 0, [RLIMIT_NOFILE] = 77, [RLIMIT_MEMLOCK] = 65536, [RLIMIT_SIGPENDING] = 500,
			[RLIMIT_MSGQUEUE] = 4096, [RLIMIT_RTTIME] = 99999, [RLIMIT_AS] = 1UL << 36, [RLIMIT_LOCKS] = 55,
			[RLIMIT_NICE] = 3, [RLIMIT_RTPRIO] = 2, [RLIMIT_RSS] = 1UL << 33, [RLIMIT_NPROC] = 4000,
		};
		struct rlimit limit;

		MUST(getrlimit(i, &limit));
		if (limit.rlim_max == RLIM_INFINITY || soft[i] <= limit.rlim_max)
			limit.rlim_cur = soft[i];
		if (i & 1 && limit.rlim_cur != RLIM_INFINITY && (limit.rlim_max == RLIM_INFINITY || limit.rlim_max > limit.rlim_cur + 10))
			limit.rlim_max = limit.rlim_cur + 10;
		MUST(setrlimit(i, &limit));
		MUST(getrlimit(i, &before[i]));
	}
	state_ready();
	state_wait_go();
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		MUST(getrlimit(i, &after));
		CHECK(after.rlim_cur == before[i].rlim_cur && after.rlim_max == before[i].rlim_max, "limit %d is %lx:%lx, was %lx:%lx", i,
		      after.rlim_cur, after.rlim_max, before[i].rlim_cur, before[i].rlim_max);
	}
	int null = MUST(open("/dev/null", O_RDWR));

	EQUAL(dup2(null, 77), -1);
	EQUAL(errno, EBADF);
	MUST(dup2(null, 76));
	state_pass();
}
