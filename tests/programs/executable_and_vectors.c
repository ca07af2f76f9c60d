/*
 * Subject: /proc/self/exe, the auxiliary vector, and the addresses of code, data, stack, arguments and
 * environment that /proc/self/stat shows. A statically linked position-independent program.
 * Build: -static-pie
 */
#include "state.h"
#include <sys/auxv.h>

static size_t stat_fields(unsigned long *fields)
{
	static char text[4096];
	size_t count = 0;

	state_read("/proc/self/stat", text, sizeof(text));
	/* From the closing parenthesis: field 3 on. */
	char *at = strrchr(text, ')') + 4;

	for (char *word = strtok(at, " \n"); word && count < 64; word = strtok(NULL, " \n"))
		fields[count++] = strtoul(word, NULL, 10);
	return count;
}

int main(int argc, char **argv)
{
	static char vector_before[4096], vector_after[4096], exe_before[PATH_MAX], exe_after[PATH_MAX];
	unsigned long before[64] = {0}, after[64] = {0};
	/* Numbers of proc(5), counted from field 4 of which this is index 0. */
	static const struct {
		const char *name;
		int field;
	} addresses[] = {
		{"startcode", 26}, {"endcode", 27}, {"startstack", 28}, {"start_data", 45}, {"end_data", 46},
		{"start_brk", 47}, {"arg_start", 48}, {"arg_end", 49}, {"env_start", 50}, {"env_end", 51},
	};

	state_begin(argc, argv);
	size_t length = state_read("/proc/self/auxv", vector_before, sizeof(vector_before));
	const unsigned char *random = (const unsigned char *)getauxval(AT_RANDOM);
	unsigned char kept[16];

	memcpy(kept, random, 16);
	MUST(readlink("/proc/self/exe", exe_before, sizeof(exe_before) - 1));
	stat_fields(before);
	state_ready();
	state_wait_go();
	MUST(readlink("/proc/self/exe", exe_after, sizeof(exe_after) - 1));
	CHECK(strcmp(exe_before, exe_after) == 0, "/proc/self/exe is %s, was %s", exe_after, exe_before);
	EQUAL(state_read("/proc/self/auxv", vector_after, sizeof(vector_after)), length);
	CHECK(memcmp(vector_before, vector_after, length) == 0, "the auxiliary vector differs");
	CHECK((const unsigned char *)getauxval(AT_RANDOM) == random && memcmp(kept, random, 16) == 0, "AT_RANDOM");
	stat_fields(after);
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++)
		CHECK(before[addresses[i].field - 4] == after[addresses[i].field - 4], "%s is %lx, was %lx", addresses[i].name,
		      after[addresses[i].field - 4], before[addresses[i].field - 4]);
	/* The executable can be started again by that link. */
	pid_t child = state_fork();

	if (child == 0) {
		execl("/proc/self/exe", "again", NULL);
		_exit(99);
	}
	int status;

	MUST(waitpid(child, &status, 0));
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 2, "exec of /proc/self/exe gave 0x%x", status);
	state_pass();
}
