/*
 * Subject: the streams that a program is started with: whatever they are (null device, file, pipe), they
 * can be used as before; the stdio buffers keep what was not flushed; the order of lines holds.
 * Streams: captured
 */
#include "state.h"

int main(int argc, char **argv)
{
	struct stat before[3], after;

	state_begin(argc, argv);
	setvbuf(stdout, NULL, _IOFBF, 4096);
	printf("one\n");
	fflush(stdout);
	printf("two\n");
	for (int fd = 0; fd < 3; fd++)
		MUST(fstat(fd, &before[fd]));
	state_ready();
	state_wait_go();
	for (int fd = 0; fd < 3; fd++) {
		MUST(fstat(fd, &after));
		EQUAL(after.st_mode & S_IFMT, before[fd].st_mode & S_IFMT);
	}
	printf("three\n");
	CHECK(fflush(stdout) == 0, "stdout: %s", strerror(errno));
	state_pass();
}
