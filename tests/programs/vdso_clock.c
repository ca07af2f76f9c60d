/*
 * Subject: threads that read clocks through the vDSO without end: never an error, never backwards, always
 * near to what the system call says.
 */
#include "state.h"

static int prepared;

static void *body(void *argument)
{
	clockid_t clock = (long)argument & 1 ? CLOCK_REALTIME : CLOCK_MONOTONIC;
	int64_t last = 0;
	long count = 0;
	int told = 0;

	while (!state_going || count < 10000) {
		struct timespec now, system;
		struct timeval day;

		EQUAL(clock_gettime(clock, &now), 0);
		int64_t value = now.tv_sec * 1000000000LL + now.tv_nsec;

		if (clock == CLOCK_MONOTONIC)
			CHECK(value >= last, "the clock went back by %lld ns", (long long)(last - value));
		last = value;
		EQUAL(gettimeofday(&day, NULL), 0);
		CHECK(now.tv_nsec >= 0 && now.tv_nsec < 1000000000L, "nanoseconds %ld", now.tv_nsec);
		CHECK(time(NULL) > 1500000000, "time() is %ld", (long)time(NULL));
		if (count++ % 1000 == 0) {
			MUST(syscall(SYS_clock_gettime, clock, &system));
			int64_t direct = system.tv_sec * 1000000000LL + system.tv_nsec;

			MUST(clock_gettime(clock, &now));
			value = now.tv_sec * 1000000000LL + now.tv_nsec;
			CHECK(direct <= value || clock == CLOCK_REALTIME, "vDSO and system call disagree: %lld %lld",
			      (long long)value, (long long)direct);
			state_pause();
		}
		if (!told) {
			told = 1;
			__atomic_add_fetch(&prepared, 1, __ATOMIC_SEQ_CST);
		}
	}
	unsigned cpu = ~0u;

	EQUAL(getcpu(&cpu, NULL), 0);
	CHECK(cpu < 4096, "getcpu says %u", cpu);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[4];
	struct state_map map;

	state_begin(argc, argv);
	for (long i = 0; i < 4; i++)
		threads[i] = state_thread(body, (void *)i);
	UNTIL(__atomic_load_n(&prepared, __ATOMIC_SEQ_CST) == 4);
	state_ready();
	state_wait_go();
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	/* AT_SYSINFO_EHDR is 33 */
	unsigned long header = 0;
	unsigned long pair[2];
	int fd = MUST(open("/proc/self/auxv", O_RDONLY));

	while (read(fd, pair, sizeof(pair)) == sizeof(pair))
		if (pair[0] == 33)
			header = pair[1];
	CHECK(state_map_of((void *)header, &map) && strcmp(map.name, "[vdso]") == 0, "auxv names %lx, which is '%s'", header, map.name);
	state_pass();
}
