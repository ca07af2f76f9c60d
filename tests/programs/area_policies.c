/*
 * Subject: NUMA policies of areas (mbind): of the middle of one, with flags, of shared memory, beside a policy of the process.
 */
#include "state.h"
#include <linux/mempolicy.h>

#define NODES 1024
#define PAGES 4

enum { BIND, PREFER, INTERLEAVE, LOCAL, NONE, MIDDLE, SHARED, COUNT };

static const unsigned long first_node[NODES / 64] = {1};
static unsigned char *areas[COUNT];
static const int modes[COUNT] = {
	MPOL_BIND, MPOL_PREFERRED, MPOL_INTERLEAVE | MPOL_F_STATIC_NODES, MPOL_LOCAL, MPOL_DEFAULT, MPOL_BIND | MPOL_F_RELATIVE_NODES, MPOL_BIND,
};

static void expect(const unsigned char *address, int mode)
{
	unsigned long found[NODES / 64] = {0};
	int now = -1;

	MUST(syscall(SYS_get_mempolicy, &now, found, NODES, address, MPOL_F_ADDR));
	EQUAL(now, mode);
	EQUAL(found[0], mode == MPOL_LOCAL || mode == MPOL_DEFAULT ? 0 : 1);
}

int main(int argc, char **argv)
{
	int mode = -1;

	state_begin(argc, argv);
	for (int i = 0; i < COUNT; i++) {
		/* Areas with something between them, so that policies alone keep none apart. */
		areas[i] = MUST(mmap(NULL, (PAGES + 2) * PAGE, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | (i == SHARED ? MAP_SHARED : MAP_PRIVATE), -1, 0));
		MUST(mprotect(areas[i], PAGE, PROT_NONE));
		areas[i] += PAGE;
		if (i == NONE)
			continue;
		if (syscall(SYS_mbind, areas[i] + (i == MIDDLE) * PAGE, (PAGES - 2 * (i == MIDDLE)) * PAGE, modes[i],
			    modes[i] == MPOL_LOCAL ? NULL : first_node, modes[i] == MPOL_LOCAL ? 0 : NODES, 0) != 0)
			state_skip("no NUMA policies: %s", strerror(errno));
		state_fill(areas[i] + PAGE, PAGE, 10 + i);
	}
	MUST(syscall(SYS_set_mempolicy, MPOL_INTERLEAVE, first_node, NODES));
	state_ready();
	state_wait_go();
	for (int i = 0; i < COUNT; i++) {
		expect(areas[i] + PAGE, modes[i]);
		expect(areas[i], i == MIDDLE ? MPOL_DEFAULT : modes[i]);
		expect(areas[i] + (PAGES - 1) * PAGE, i == MIDDLE ? MPOL_DEFAULT : modes[i]);
		expect(areas[i] + PAGES * PAGE, MPOL_DEFAULT);
		if (i != NONE)
			CHECK_FILL(areas[i] + PAGE, PAGE, 10 + i);
	}
	MUST(syscall(SYS_get_mempolicy, &mode, NULL, 0, NULL, 0));
	EQUAL(mode, MPOL_INTERLEAVE);
	state_pass();
}
