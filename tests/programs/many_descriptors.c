/*
 * Subject: seven hundred descriptors in two processes, of files, pipes and devices, with gaps.
 */
#include "state.h"

#define COUNT 700

static int number(int i)
{
	return 10 + i + i / 7;
}

static void check(void)
{
	char bytes[16], expected[16];

	for (int i = 0; i < COUNT; i++) {
		switch (i % 3) {
		case 0:
			EQUAL(lseek(number(i), 0, SEEK_CUR), i);
			break;
		case 1:
			EQUAL(fcntl(number(i), F_GETFD), FD_CLOEXEC);
			break;
		default:
			snprintf(expected, sizeof(expected), "%08d", i);
			EQUAL(pread(number(i), bytes, 8, 0), -1);
			EQUAL(errno, ESPIPE);
		}
	}
	for (int i = 7; i < COUNT; i += 7)
		EQUAL(fcntl(number(i) - 1, F_GETFD), -1);
}

int main(int argc, char **argv)
{
	char bytes[16], expected[16];
	struct rlimit limit = {2048, 4096};
	int pipes[2];

	state_begin(argc, argv);
	MUST(setrlimit(RLIMIT_NOFILE, &limit));
	int file = MUST(open(state_path("file"), O_RDWR | O_CREAT | O_EXCL, 0600));

	MUST(dup2(file, 1900));
	close(file);
	for (int i = 0; i < COUNT; i++) {
		int fd;

		switch (i % 3) {
		case 0:
			fd = MUST(open(state_path("file"), O_RDONLY));
			MUST(lseek(fd, i, SEEK_SET));
			MUST(dup2(fd, number(i)));
			if (fd != number(i))
				close(fd);
			break;
		case 1:
			fd = MUST(open("/dev/null", O_RDWR));
			MUST(dup3(fd, number(i) == fd ? 1999 : number(i), O_CLOEXEC));
			if (number(i) == fd) {
				MUST(fcntl(fd, F_SETFD, FD_CLOEXEC));
				close(1999);
			} else {
				close(fd);
			}
			break;
		default:
			/* Only the read end; its writer is at 1000 above. */
			MUST(pipe(pipes));
			snprintf(bytes, sizeof(bytes), "%08d", i);
			EQUAL(write(pipes[1], bytes, 8), 8);
			MUST(dup2(pipes[1], 1000 + i));
			MUST(dup2(pipes[0], number(i)));
			if (pipes[0] != number(i))
				close(pipes[0]);
			if (pipes[1] != number(i))
				close(pipes[1]);
		}
	}
	pid_t child = state_fork();

	if (child == 0) {
		state_mark("child");
		state_wait_go();
		check();
		_exit(0);
	}
	state_await("child");
	state_ready();
	state_wait_go();
	check();
	state_join(child);
	for (int i = 2; i < COUNT; i += 3) {
		EQUAL(write(1000 + i, "x", 1), 1);
		EQUAL(read(number(i), bytes, sizeof(bytes)), 9);
		snprintf(expected, sizeof(expected), "%08dx", i);
		CHECK(memcmp(bytes, expected, 9) == 0, "pipe %d holds %.9s", i, bytes);
	}
	state_pass();
}
