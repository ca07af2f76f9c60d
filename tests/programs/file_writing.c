/*
 * Subject: a process that writes numbered lines all the time, one file by offset and one by O_APPEND: no
 * line is lost or doubled. (Whoever restores puts the files back as they were at the checkpoint.)
 * Files: written
 */
#include "state.h"

static void check(const char *name, long lines)
{
	FILE *file = fopen(state_path(name), "r");
	long number, expected = 0;

	CHECK(file != NULL, "%s", name);
	while (fscanf(file, "%ld\n", &number) == 1) {
		CHECK(number == expected, "%s: line %ld is %ld", name, expected, number);
		expected++;
	}
	EQUAL(expected, lines);
	fclose(file);
}

int main(int argc, char **argv)
{
	long lines = 0;
	char line[32];

	state_begin(argc, argv);
	int by_offset = MUST(open(state_path("by-offset"), O_WRONLY | O_CREAT | O_EXCL, 0600));
	int appended = MUST(open(state_path("appended"), O_WRONLY | O_CREAT | O_EXCL | O_APPEND, 0600));

	do {
		int n = snprintf(line, sizeof(line), "%ld\n", lines);

		EQUAL(write(by_offset, line, n), n);
		EQUAL(write(appended, line, n), n);
		lines++;
		if (lines == 20)
			state_ready();
		state_pause();
	} while (!state_exists("go"));
	check("by-offset", lines);
	check("appended", lines);
	state_pass();
}
