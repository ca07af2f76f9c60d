/*
 * Subject: a process that never registered for membarrier is not registered afterwards either.
 */
#include "state.h"
#include <linux/membarrier.h>

int main(int argc, char **argv)
{
	state_begin(argc, argv);
	pthread_t thread = state_thread((void *(*)(void *))state_await, "go");

	state_ready();
	state_wait_go();
	EQUAL(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0), -1);
	EQUAL(errno, EPERM);
	pthread_join(thread, NULL);
	state_pass();
}
