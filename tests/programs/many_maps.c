/*
 * Subject: two thousand mappings with differing protections, each with a page of its own bytes.
 */
#include "state.h"

#define COUNT 2000

int main(int argc, char **argv)
{
	state_begin(argc, argv);
	unsigned char *base = MUST(mmap(NULL, (COUNT * 2 + 1) * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

	/* So that the last range cannot merge with whatever lies behind it. */
	MUST(mprotect(base + COUNT * 2 * PAGE, PAGE, PROT_NONE));
	for (long i = 0; i < COUNT; i++) {
		state_fill(base + i * 2 * PAGE, PAGE, i);
		MUST(mprotect(base + i * 2 * PAGE, PAGE, PROT_READ | (i & 1 ? PROT_EXEC : 0)));
	}
	state_ready();
	state_wait_go();
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512], permissions[8];
	unsigned long start, end;
	long seen = 0;

	while (fgets(line, sizeof(line), maps)) {
		CHECK(sscanf(line, "%lx-%lx %7s", &start, &end, permissions) == 3, "%s", line);
		if (start < (unsigned long)base || start >= (unsigned long)base + COUNT * 2 * PAGE)
			continue;
		long index = (start - (unsigned long)base) / PAGE;

		EQUAL(index, seen);
		EQUAL(end - start, PAGE);
		CHECK(strcmp(permissions, index & 1 ? "rw-p" : index & 2 ? "r-xp" : "r--p") == 0, "range %ld: %s", index, permissions);
		seen++;
	}
	EQUAL(seen, 2 * COUNT);
	for (long i = 0; i < COUNT; i++) {
		CHECK_FILL(base + i * 2 * PAGE, PAGE, i);
		CHECK_ZERO(base + i * 2 * PAGE + PAGE, PAGE);
	}
	state_pass();
}
