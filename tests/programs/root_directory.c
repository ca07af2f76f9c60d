/*
 * Subject: a process in a root directory of its own (chroot), its parent in the real one; a file opened
 * from outside of it stays open.
 * Build: -static
 */
#include "state.h"

int main(int argc, char **argv)
{
	char bytes[8] = "", target[PATH_MAX] = "";

	state_begin(argc, argv);
	if (geteuid() != 0)
		state_skip("needs root");
	MUST(mkdir(state_path("inner"), 0755));
	int outside = MUST(open("/etc/passwd", O_RDONLY));
	pid_t child = state_fork();

	if (child == 0) {
		MUST(chdir(state_path(".")));
		MUST(chroot("."));
		MUST(chdir("/inner"));
		state_dir[0] = 0;
		state_mark("child");
		state_wait_go();
		CHECK(access("/etc/passwd", F_OK) != 0, "the root is the real one");
		CHECK(state_exists("go"), "the work directory is not the root");
		char where[64];

		CHECK(getcwd(where, sizeof(where)) && strcmp(where, "/inner") == 0, "in %s", where);
		EQUAL(read(outside, bytes, 5), 5);
		/* A zombie has no root to look at. */
		state_await("looked");
		_exit(0);
	}
	state_await("child");
	snprintf(target, sizeof(target), "/proc/%d/root", child);
	state_ready();
	state_wait_go();
	char seen[PATH_MAX] = "";

	MUST(readlink(target, seen, sizeof(seen) - 1));
	CHECK(strcmp(seen, state_dir) == 0, "the child's root is %s", seen);
	MUST(readlink("/proc/self/root", seen, sizeof(seen) - 1));
	state_mark("looked");
	state_join(child);
	EQUAL(access("/etc/passwd", F_OK), 0);
	/* Shared with the child: it has read five bytes. */
	EQUAL(lseek(outside, 0, SEEK_CUR), 5);
	state_pass();
}
