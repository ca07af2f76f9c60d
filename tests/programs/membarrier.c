/*
 * Subject: membarrier registrations (private expedited, with core serialisation, global expedited): the
 * commands fail in a process that is not registered, so they must still work after the restore.
 */
#include "state.h"
#include <linux/membarrier.h>

static int membarrier(int command)
{
	return (int)syscall(SYS_membarrier, command, 0, 0);
}

static void *body(void *argument)
{
	(void)argument;
	while (!state_going)
		state_pause();
	MUST(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED));
	return NULL;
}

int main(int argc, char **argv)
{
	state_begin(argc, argv);
	int can = MUST(membarrier(MEMBARRIER_CMD_QUERY));

	if (!(can & MEMBARRIER_CMD_PRIVATE_EXPEDITED))
		state_skip("this kernel has no private expedited membarrier");
	pthread_t thread = state_thread(body, NULL);

	EQUAL(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED), -1);
	EQUAL(errno, EPERM);
	MUST(membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED));
	if (can & MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE)
		MUST(membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE));
	int before = membarrier(512 /* MEMBARRIER_CMD_GET_REGISTRATIONS */);

	state_ready();
	state_wait_go();
	EQUAL(membarrier(512), before);
	MUST(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED));
	if (can & MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE)
		MUST(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE));
	pthread_join(thread, NULL);
	state_pass();
}
