/*
 * Subject: NUMA policies of threads: one for a process and a child, another one with flags for a thread, the default in a third.
 */
#include "state.h"
#include <linux/mempolicy.h>

#define NODES 1024

static const unsigned long first_node[NODES / 64] = {1};
static pthread_barrier_t barrier;

static void set(int mode)
{
	if (syscall(SYS_set_mempolicy, mode, first_node, NODES) != 0)
		state_skip("no NUMA policies: %s", strerror(errno));
}

static void expect(int mode, unsigned long nodes)
{
	unsigned long found[NODES / 64] = {0};
	int now = -1;

	MUST(syscall(SYS_get_mempolicy, &now, found, NODES, NULL, 0));
	EQUAL(now, mode);
	EQUAL(found[0], nodes);
}

static void *preferring(void *unused)
{
	(void)unused;
	set(MPOL_PREFERRED | MPOL_F_STATIC_NODES);
	pthread_barrier_wait(&barrier);
	state_wait_go();
	expect(MPOL_PREFERRED | MPOL_F_STATIC_NODES, 1);
	return NULL;
}

static void *usual(void *unused)
{
	(void)unused;
	MUST(syscall(SYS_set_mempolicy, MPOL_DEFAULT, NULL, 0));
	pthread_barrier_wait(&barrier);
	state_wait_go();
	expect(MPOL_DEFAULT, 0);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[2];
	pid_t child;

	state_begin(argc, argv);
	set(MPOL_INTERLEAVE);
	EQUAL(pthread_barrier_init(&barrier, NULL, 3), 0);
	EQUAL(pthread_create(&threads[0], NULL, preferring, NULL), 0);
	EQUAL(pthread_create(&threads[1], NULL, usual, NULL), 0);
	pthread_barrier_wait(&barrier);
	child = state_fork();
	if (child == 0) {
		state_wait_go();
		expect(MPOL_INTERLEAVE, 1);
		_exit(0);
	}
	state_ready();
	state_wait_go();
	expect(MPOL_INTERLEAVE, 1);
	EQUAL(pthread_join(threads[0], NULL), 0);
	EQUAL(pthread_join(threads[1], NULL), 0);
	state_join(child);
	state_pass();
}
