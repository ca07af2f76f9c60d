/*
 * Subject: a blocked reader sees the end of file as soon as the last writer ends: nobody else (such as a
 * copy made for a checkpoint) may hold the write end open. The writer ends right after a checkpoint that
 * leaves it running, or after a restore.
 */
#include "state.h"

int main(int argc, char **argv)
{
	int ends[2];
	char byte;

	state_begin(argc, argv);
	MUST(pipe(ends));
	pid_t reader = state_fork();

	if (reader == 0) {
		close(ends[1]);
		state_mark("reader");
		EQUAL(read(ends[0], &byte, 1), 0);
		CHECK(state_exists("go"), "end of file although the writer lives");
		_exit(0);
	}
	close(ends[0]);
	state_await("reader");
	state_until_asleep(reader);
	state_ready();
	state_wait_go();
	close(ends[1]);
	state_join(reader);
	state_pass();
}
