/*
 * Subject: a process made with CLONE_FILES and CLONE_FS: one descriptor table, one working directory, two
 * address spaces.
 * Refused: yes
 */
#include "state.h"

int main(int argc, char **argv)
{
	int status;

	state_begin(argc, argv);
	pid_t child = (pid_t)MUST(syscall(SYS_clone, CLONE_FILES | CLONE_FS | SIGCHLD, 0, 0, 0, 0));

	if (child == 0) {
		state_mark("child");
		state_await("opened");
		EQUAL(fcntl(33, F_GETFD), 0);
		MUST(close(33));
		char where[64];

		CHECK(getcwd(where, sizeof(where)) && strcmp(where, "/usr") == 0, "in %s", where);
		umask(0123);
		state_mark("closed");
		_exit(0);
	}
	state_await("child");
	state_refusable_of(child, -1, "descriptor");
	state_ready();
	state_wait_go();
	int fd = MUST(open("/dev/null", O_RDWR));

	MUST(dup2(fd, 33));
	close(fd);
	MUST(chdir("/usr"));
	state_mark("opened");
	state_await("closed");
	EQUAL(fcntl(33, F_GETFD), -1);
	EQUAL(umask(0), 0123);
	MUST(waitpid(child, &status, 0));
	EQUAL(status, 0);
	state_pass();
}
