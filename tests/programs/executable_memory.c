/*
 * Subject: machine code that the program wrote itself, in private memory and through two views of one
 * shared object (a writable and an executable one), as just-in-time compilers do.
 */
#include "state.h"

static void emit(unsigned char *at, uint32_t value)
{
	/* mov $value, %eax; ret */
	at[0] = 0xb8;
	memcpy(at + 1, &value, 4);
	at[5] = 0xc3;
}

int main(int argc, char **argv)
{
	state_begin(argc, argv);
	unsigned char *private = MUST(mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	unsigned char *view = MUST(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	/* An old size of 0 duplicates a shared mapping: a second view of the same object. */
	unsigned char *code = MUST(mremap(view, 0, PAGE, MREMAP_MAYMOVE));

	MUST(mprotect(code, PAGE, PROT_READ | PROT_EXEC));
	for (uint32_t i = 0; i < 100; i++) {
		emit(private + 16 * i, 1000 + i);
		emit(view + 16 * i, 2000 + i);
	}
	state_ready();
	state_wait_go();
	for (uint32_t i = 0; i < 100; i++) {
		EQUAL(((int (*)(void))(private + 16 * i))(), 1000 + i);
		EQUAL(((int (*)(void))(code + 16 * i))(), 2000 + i);
	}
	emit(view, 4711);
	EQUAL(((int (*)(void))code)(), 4711);
	state_pass();
}
