/*
 * Subject: guard regions (MADV_GUARD_INSTALL) inside a mapping: they fault afterwards, their neighbours
 * do not, and removing one gives a usable zero page.
 */
#include "state.h"
#include <setjmp.h>

#define MADV_GUARD_INSTALL_ 102
#define MADV_GUARD_REMOVE_ 103
#define PAGES 16

static sigjmp_buf escape;

static void on_fault(int signal)
{
	siglongjmp(escape, signal);
}

static int faults(volatile unsigned char *address)
{
	int signal = sigsetjmp(escape, 1);

	if (!signal)
		(void)*address;
	return signal;
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_fault};

	state_begin(argc, argv);
	unsigned char *area = MUST(mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

	state_fill(area, PAGES * PAGE, 12);
	if (madvise(area + 3 * PAGE, 2 * PAGE, MADV_GUARD_INSTALL_) != 0)
		state_skip("this kernel has no guard regions: %s", strerror(errno));
	MUST(madvise(area + 9 * PAGE, PAGE, MADV_GUARD_INSTALL_));
	MUST(sigaction(SIGSEGV, &action, NULL));
	state_ready();
	state_wait_go();
	unsigned char *expected = malloc(PAGES * PAGE);

	state_fill(expected, PAGES * PAGE, 12);
	for (int page = 0; page < PAGES; page++) {
		int guard = page == 3 || page == 4 || page == 9;

		EQUAL(faults(area + page * PAGE + 5), guard ? SIGSEGV : 0);
		if (!guard)
			CHECK(memcmp(area + page * PAGE, expected + page * PAGE, PAGE) == 0, "page %d differs", page);
	}
	MUST(madvise(area + 9 * PAGE, PAGE, MADV_GUARD_REMOVE_));
	EQUAL(faults(area + 9 * PAGE), 0);
	CHECK_ZERO(area + 9 * PAGE, PAGE);
	state_pass();
}
