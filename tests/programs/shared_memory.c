/*
 * Subject: shared anonymous memory between three processes, mapped at different addresses and with
 * different protections; one part is mapped by the children only; it is still shared afterwards.
 */
#include "state.h"

#define SIZE (64 * PAGE)

int main(int argc, char **argv)
{
	pid_t children[2];

	state_begin(argc, argv);
	unsigned char *common = MUST(mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	unsigned char *below = MUST(mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));

	state_fill(common, SIZE / 2, 1);
	for (int i = 0; i < 2; i++) {
		children[i] = state_fork();
		if (children[i])
			continue;
		unsigned char *mine = common;

		if (i == 1) {
			/* Another address, a part only, read only. */
			mine = MUST(mremap(common, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED,
					   MUST(mmap(NULL, SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))));
			MUST(munmap(mine, PAGE));
			MUST(mprotect(mine + PAGE, SIZE - PAGE, PROT_READ));
		}
		if (i == 0)
			state_fill(below + 8 * PAGE, PAGE, 2);
		state_markf("child-%d", i);
		state_wait_go();
		if (i == 0) {
			CHECK_FILL(mine, SIZE / 2, 1);
			state_fill(mine + SIZE / 2, PAGE, 3);
			state_mark("written");
		} else {
			struct state_map map;

			CHECK(!state_map_of(mine, &map) || map.end <= (unsigned long)mine + PAGE, "the cut-off page is there");
			state_await("written");
			CHECK_FILL(mine + SIZE / 2, PAGE, 3);
			CHECK(state_map_of(mine + PAGE, &map) && strcmp(map.permissions, "r--s") == 0, "%s", map.permissions);
			CHECK_FILL(below + 8 * PAGE, PAGE, 2);
			below[0] = 55;
		}
		state_markf("checked-%d", i);
		if (i == 0) {
			state_await("checked-1");
			EQUAL(below[0], 55);
			CHECK_ZERO(below + PAGE, 7 * PAGE);
		}
		_exit(0);
	}
	MUST(munmap(below, SIZE));
	state_await("child-0");
	state_await("child-1");
	state_ready();
	state_wait_go();
	state_join(children[0]);
	state_join(children[1]);
	CHECK_FILL(common, SIZE / 2, 1);
	CHECK_FILL(common + SIZE / 2, PAGE, 3);
	CHECK_ZERO(common + SIZE / 2 + PAGE, SIZE / 2 - PAGE);
	state_pass();
}
