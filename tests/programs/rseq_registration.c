/*
 * Subject: the rseq area of each thread is known to the kernel: it follows the thread from CPU to CPU,
 * and it cannot be registered twice.
 */
#include "state.h"
#include <sys/rseq.h>

static int prepared;

static void check(void)
{
	volatile struct rseq *rs = (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
	cpu_set_t all;

	/* Registered already: EBUSY for the same area and signature, EINVAL for another length. */
	EQUAL(syscall(SYS_rseq, rs, 32, 0, 0x53053053), -1);
	CHECK(errno == EBUSY, "rseq: %s", strerror(errno));
	MUST(sched_getaffinity(0, sizeof(all), &all));
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		cpu_set_t one;

		if (!CPU_ISSET(cpu, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		MUST(sched_setaffinity(0, sizeof(one), &one));
		EQUAL(rs->cpu_id, cpu);
		EQUAL(rs->cpu_id_start, cpu);
	}
	MUST(sched_setaffinity(0, sizeof(all), &all));
}

static void *body(void *argument)
{
	(void)argument;
	check();
	__atomic_add_fetch(&prepared, 1, __ATOMIC_SEQ_CST);
	while (!state_going)
		state_pause();
	check();
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[3];

	state_begin(argc, argv);
	if (__rseq_size == 0)
		state_skip("the C library has not registered rseq");
	for (int i = 0; i < 3; i++)
		threads[i] = state_thread(body, NULL);
	UNTIL(__atomic_load_n(&prepared, __ATOMIC_SEQ_CST) == 3);
	check();
	state_ready();
	state_wait_go();
	check();
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	state_pass();
}
