/*
 * Subject: the personality: no randomisation of addresses, the rest kept, also across a later exec.
 */
#include "state.h"
#include <sys/personality.h>

int main(int argc, char **argv)
{
	state_begin(argc, argv);
	MUST(personality(ADDR_NO_RANDOMIZE | MMAP_PAGE_ZERO | SHORT_INODE));
	state_ready();
	state_wait_go();
	EQUAL(personality(0xffffffff), ADDR_NO_RANDOMIZE | MMAP_PAGE_ZERO | SHORT_INODE);
	state_pass();
}
