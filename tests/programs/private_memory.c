/*
 * Subject: private anonymous memory: patterns with holes, every protection (PROT_NONE with contents
 * included), zero pages, never-touched pages, pages that were written and zeroed again.
 */
#include "state.h"

static const int protections[] = {
	PROT_NONE, PROT_READ, PROT_WRITE, PROT_READ | PROT_WRITE, PROT_EXEC, PROT_READ | PROT_EXEC,
	PROT_READ | PROT_WRITE | PROT_EXEC,
};
#define KINDS 7
#define PAGES 12

static unsigned char *areas[KINDS];

static const char *letters(int protection)
{
	static char text[5];

	snprintf(text, sizeof(text), "%c%c%cp", protection & PROT_READ ? 'r' : '-', protection & PROT_WRITE ? 'w' : '-',
		 protection & PROT_EXEC ? 'x' : '-');
	return text;
}

int main(int argc, char **argv)
{
	struct state_map map;

	state_begin(argc, argv);
	for (int k = 0; k < KINDS; k++) {
		areas[k] = MUST(mmap(NULL, (PAGES + 4) * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
		MUST(munmap(areas[k], 2 * PAGE));
		areas[k] += 2 * PAGE;
		MUST(munmap(areas[k] + PAGES * PAGE, 2 * PAGE));
		/* Pages 0, 3 and 6.. hold bytes; 1 is read only; 2 untouched; 4 a hole; 5 written, then zeroed. */
		state_fill(areas[k], PAGE, 100 + k);
		*(volatile unsigned char *)(areas[k] + PAGE);
		state_fill(areas[k] + 3 * PAGE, PAGE, 200 + k);
		memset(areas[k] + 5 * PAGE, 7, PAGE);
		memset(areas[k] + 5 * PAGE, 0, PAGE);
		state_fill(areas[k] + 6 * PAGE, (PAGES - 6) * PAGE, 300 + k);
		MUST(munmap(areas[k] + 4 * PAGE, PAGE));
		MUST(mprotect(areas[k], 4 * PAGE, protections[k]));
		MUST(mprotect(areas[k] + 5 * PAGE, (PAGES - 5) * PAGE, protections[k]));
	}
	state_ready();
	state_wait_go();
	for (int k = 0; k < KINDS; k++) {
		for (int page = 0; page < PAGES; page++) {
			int there = state_map_of(areas[k] + page * PAGE, &map);

			if (page == 4) {
				CHECK(!there, "area %d: the hole is mapped as %s", k, map.permissions);
				continue;
			}
			CHECK(there, "area %d: page %d is not mapped", k, page);
			CHECK(strcmp(map.permissions, letters(protections[k])) == 0, "area %d page %d: %s", k, page, map.permissions);
		}
		CHECK(!state_map_of(areas[k] - PAGE, &map) || map.end != (unsigned long)areas[k] || map.name[0],
		      "area %d grew downwards", k);
		MUST(mprotect(areas[k], 4 * PAGE, PROT_READ | PROT_WRITE));
		MUST(mprotect(areas[k] + 5 * PAGE, (PAGES - 5) * PAGE, PROT_READ | PROT_WRITE));
		CHECK_FILL(areas[k], PAGE, 100 + k);
		CHECK_ZERO(areas[k] + PAGE, 2 * PAGE);
		CHECK_FILL(areas[k] + 3 * PAGE, PAGE, 200 + k);
		CHECK_ZERO(areas[k] + 5 * PAGE, PAGE);
		CHECK_FILL(areas[k] + 6 * PAGE, (PAGES - 6) * PAGE, 300 + k);
	}
	state_pass();
}
