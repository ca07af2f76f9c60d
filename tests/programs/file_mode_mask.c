/*
 * Subject: the umask, another one in a child.
 */
#include "state.h"

static void check(const char *name, mode_t mask)
{
	struct stat st;

	close(MUST(open(state_path(name), O_CREAT | O_WRONLY, 0777)));
	MUST(stat(state_path(name), &st));
	EQUAL(st.st_mode & 0777, 0777 & ~mask);
	EQUAL(umask(0), mask);
}

int main(int argc, char **argv)
{
	state_begin(argc, argv);
	umask(0027);
	pid_t child = state_fork();

	if (child == 0) {
		umask(0135);
		state_mark("child");
		state_wait_go();
		check("file-of-child", 0135);
		_exit(0);
	}
	state_await("child");
	state_ready();
	state_wait_go();
	check("file-of-parent", 0027);
	state_join(child);
	state_pass();
}
