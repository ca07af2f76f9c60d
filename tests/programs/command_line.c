/*
 * Subject: /proc/self/cmdline and environ, also where the program has written over them, and the
 * environment as the library sees it.
 */
#include "state.h"

static size_t whole(const char *path, char *bytes)
{
	return state_read(path, bytes, 65536);
}

int main(int argc, char **argv)
{
	static char line_before[65536], environment_before[65536], line_after[65536], environment_after[65536];

	state_begin(argc, argv);
	setenv("HOLDFAST_STATE_ADDED", "later", 1);
	/* As daemons do to show their state in ps. */
	argv[0][0] = '%';
	size_t line = whole("/proc/self/cmdline", line_before), environment = whole("/proc/self/environ", environment_before);

	CHECK(line_before[0] == '%', "cmdline starts with %c", line_before[0]);
	state_ready();
	state_wait_go();
	EQUAL(whole("/proc/self/cmdline", line_after), line);
	CHECK(memcmp(line_before, line_after, line) == 0, "cmdline is %s", line_after);
	EQUAL(whole("/proc/self/environ", environment_after), environment);
	CHECK(memcmp(environment_before, environment_after, environment) == 0, "environ is %s", environment_after);
	CHECK(strcmp(getenv("HOLDFAST_STATE_ADDED"), "later") == 0, "the environment is lost");
	argv[0][0] = '#';
	whole("/proc/self/cmdline", line_after);
	CHECK(line_after[0] == '#', "cmdline no longer shows the memory of the program");
	state_pass();
}
