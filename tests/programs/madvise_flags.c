/*
 * Subject: what madvise set on a range, as VmFlags of smaps shows it, and as a fork shows it.
 */
#include "state.h"

static const struct {
	int advice;
	const char *flag;
} kinds[] = {
	{MADV_DONTFORK, "dc"}, {MADV_WIPEONFORK, "wf"}, {MADV_DONTDUMP, "dd"}, {MADV_HUGEPAGE, "hg"},
	{MADV_NOHUGEPAGE, "nh"}, {MADV_SEQUENTIAL, "sr"}, {MADV_RANDOM, "rr"}, {MADV_MERGEABLE, "mg"},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

int main(int argc, char **argv)
{
	unsigned char *areas[KINDS];
	int have[KINDS];

	state_begin(argc, argv);
	for (size_t k = 0; k < KINDS; k++) {
		/* A hole on either side, so that ranges do not merge. */
		areas[k] = MUST(mmap(NULL, 6 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
		MUST(munmap(areas[k], PAGE));
		MUST(munmap(areas[k] + 5 * PAGE, PAGE));
		areas[k] += PAGE;
		state_fill(areas[k], 4 * PAGE, k);
		have[k] = madvise(areas[k], 4 * PAGE, kinds[k].advice) == 0;
		EQUAL(state_has_flag(areas[k], kinds[k].flag), have[k]);
	}
	CHECK(have[0] && have[1] && have[2], "this kernel has no madvise to speak of");
	state_ready();
	state_wait_go();
	for (size_t k = 0; k < KINDS; k++) {
		CHECK_FILL(areas[k], 4 * PAGE, k);
		for (size_t other = 0; other < KINDS; other++)
			CHECK(state_has_flag(areas[k], kinds[other].flag) == (k == other && have[k]),
			      "area %zu (%s), flag %s", k, kinds[k].flag, kinds[other].flag);
	}
	pid_t child = state_fork();

	if (child == 0) {
		struct state_map map;

		CHECK(!state_map_of(areas[0], &map), "MADV_DONTFORK was lost");
		CHECK_ZERO(areas[1], 4 * PAGE);
		CHECK_FILL(areas[2], 4 * PAGE, 2);
		_exit(0);
	}
	state_join(child);
	state_pass();
}
