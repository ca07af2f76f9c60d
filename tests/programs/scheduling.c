/*
 * Subject: nice values, scheduling policy and affinity of each thread, I/O priority, timer slack.
 */
#include "state.h"

#define THREADS 3

static int prepared;

/* What it was started with; an ordinary user can only go up from there. */
static int lowest;

static int nice_of(int i)
{
	return lowest + 1 + 2 * i;
}

static void set(int i)
{
	struct sched_param zero = {0};

	MUST(setpriority(PRIO_PROCESS, (id_t)state_tid(), nice_of(i)));
	MUST(sched_setscheduler(0, i == 1 ? SCHED_BATCH : i == 2 ? SCHED_IDLE : SCHED_OTHER, &zero));
	if (sysconf(_SC_NPROCESSORS_ONLN) > 1) {
		cpu_set_t one;

		CPU_ZERO(&one);
		CPU_SET(i & 1, &one);
		MUST(sched_setaffinity(0, sizeof(one), &one));
	}
	/* IOPRIO_WHO_PROCESS; class best effort, level i + 1 */
	MUST(syscall(SYS_ioprio_set, 1, 0, (2 << 13) | (i + 1)));
	MUST(prctl(PR_SET_TIMERSLACK, 123000 + i));
}

static void check(int i)
{
	cpu_set_t set;

	errno = 0;
	EQUAL(getpriority(PRIO_PROCESS, (id_t)state_tid()), nice_of(i));
	EQUAL(sched_getscheduler(0), i == 1 ? SCHED_BATCH : i == 2 ? SCHED_IDLE : SCHED_OTHER);
	if (sysconf(_SC_NPROCESSORS_ONLN) > 1) {
		MUST(sched_getaffinity(0, sizeof(set), &set));
		EQUAL(CPU_COUNT(&set), 1);
		CHECK(CPU_ISSET(i & 1, &set), "thread %d may run on another CPU", i);
	}
	EQUAL(syscall(SYS_ioprio_get, 1, 0), (2 << 13) | (i + 1));
	EQUAL(prctl(PR_GET_TIMERSLACK), 123000 + i);
}

static void *body(void *argument)
{
	int i = (int)(long)argument;

	set(i);
	__atomic_add_fetch(&prepared, 1, __ATOMIC_SEQ_CST);
	while (!state_going)
		state_pause();
	check(i);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];

	state_begin(argc, argv);
	lowest = getpriority(PRIO_PROCESS, 0);
	for (long i = 1; i < THREADS; i++)
		threads[i] = state_thread(body, (void *)i);
	UNTIL(__atomic_load_n(&prepared, __ATOMIC_SEQ_CST) == THREADS - 1);
	set(0);
	state_ready();
	state_wait_go();
	check(0);
	for (int i = 1; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	state_pass();
}
