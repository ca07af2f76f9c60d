/*
 * Subject: mlock, mlock on fault, mlockall for the future: VmFlags, VmLck and presence.
 */
#include "state.h"

int main(int argc, char **argv)
{
	char before[64], after[64];

	state_begin(argc, argv);
	unsigned char *locked = MUST(mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	unsigned char *on_fault = MUST(mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

	state_fill(locked, 8 * PAGE, 1);
	MUST(mlock(locked + 2 * PAGE, 3 * PAGE));
	state_fill(on_fault, PAGE, 2);
	MUST(syscall(SYS_mlock2, on_fault, 8 * PAGE, 1 /* MLOCK_ONFAULT */));
	state_field("/proc/self/status", "VmLck", before, sizeof(before));
	state_ready();
	state_wait_go();
	CHECK(!state_has_flag(locked, "lo"), "locked too much");
	CHECK(state_has_flag(locked + 2 * PAGE, "lo"), "the lock is lost");
	CHECK(!state_has_flag(locked + 5 * PAGE, "lo"), "locked too much");
	CHECK(state_has_flag(on_fault, "lo"), "the lock is lost");
	state_field("/proc/self/status", "VmLck", after, sizeof(after));
	CHECK(strcmp(before, after) == 0, "VmLck is %s, was %s", after, before);
	unsigned char present[8];

	MUST(mincore(locked, 8 * PAGE, present));
	for (int page = 2; page < 5; page++)
		CHECK(present[page] & 1, "locked page %d is not present", page);
	CHECK_FILL(locked, 8 * PAGE, 1);
	CHECK_FILL(on_fault, PAGE, 2);
	CHECK_ZERO(on_fault + PAGE, 7 * PAGE);
	state_pass();
}
