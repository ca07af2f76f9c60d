/*
 * Subject: the working directory, another one in a child, and relative paths from there.
 */
#include "state.h"

int main(int argc, char **argv)
{
	char where[PATH_MAX];

	state_begin(argc, argv);
	MUST(mkdir(state_path("a"), 0755));
	MUST(mkdir(state_path("a/b"), 0755));
	MUST(chdir(state_path("a")));
	pid_t child = state_fork();

	if (child == 0) {
		MUST(chdir("b"));
		state_mark("child");
		state_wait_go();
		CHECK(getcwd(where, sizeof(where)) && strcmp(where, state_path("a/b")) == 0, "in %s", where);
		_exit(0);
	}
	state_await("child");
	state_ready();
	state_wait_go();
	CHECK(getcwd(where, sizeof(where)) && strcmp(where, state_path("a")) == 0, "in %s", where);
	struct stat relative, absolute;

	MUST(stat("b", &relative));
	MUST(stat(state_path("a/b"), &absolute));
	EQUAL(relative.st_ino, absolute.st_ino);
	close(MUST(open("new", O_CREAT | O_WRONLY, 0600)));
	CHECK(state_exists("a/new"), "a relative file went elsewhere");
	state_join(child);
	state_pass();
}
