/*
 * Subject: how long the program really stood still: a thread per process spins on CLOCK_MONOTONIC and keeps
 * its largest gap, less the time for which it was ready to run but the processor was taken (schedstat).
 * `gap-N`: "gap-ns standstill-ns" of process N between `ready` and `go`.
 * Suite: abuse
 */
#include "state.h"

#define PROCESSES 3

/* Time spent runnable but not running, ns; second field of schedstat. */
static int64_t waited(void)
{
	char text[128] = "";
	long long ran, delay = 0;

	/* Opened each time: an open file of procfs is not this program's subject. */
	state_read("/proc/thread-self/schedstat", text, sizeof(text));
	sscanf(text, "%lld %lld", &ran, &delay);
	return delay;
}

static void watch(int number)
{
	int64_t last = state_now(), largest = 0, standstill = 0, delay = waited(), check = last;

	state_markf("watching-%d", number);
	for (;;) {
		int64_t now = state_now(), gap = now - last;

		if (gap > 100000) {
			int64_t delay_now = waited(), still = gap - (delay_now - delay);

			delay = delay_now;
			if (gap > largest)
				largest = gap;
			if (still > standstill)
				standstill = still;
			now = state_now();
		}
		if (now - check > 20000000) {
			if (state_exists("go"))
				break;
			check = now;
			delay = waited();
			now = state_now();
		}
		last = now;
	}
	char name[32], text[96];

	snprintf(name, sizeof(name), "gap-%d", number);
	snprintf(text, sizeof(text), "%lld %lld\n", (long long)largest, (long long)standstill);
	state_put(name, text, 0);
}

int main(int argc, char **argv)
{
	pid_t children[PROCESSES];

	state_begin(argc, argv);
	for (int i = 0; i < PROCESSES; i++) {
		children[i] = state_fork();
		if (children[i] == 0) {
			watch(i);
			_exit(0);
		}
	}
	for (int i = 0; i < PROCESSES; i++)
		state_awaitf("watching-%d", i);
	state_ready();
	state_wait_go();
	for (int i = 0; i < PROCESSES; i++)
		state_join(children[i]);
	state_pass();
}
