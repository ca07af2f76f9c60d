/*
 * Subject: MXCSR (rounding, flush to zero, sticky exceptions), the x87 control word and values on the x87
 * stack, different in each thread.
 */
#include "state.h"

static int prepared;

static void *body(void *argument)
{
	int i = (int)(long)argument;
	uint32_t mxcsr = 0x1f80u | ((uint32_t)i << 13) | (i & 1 ? 0x8000u : 0) | (i & 2 ? 0x20u : 0), mxcsr_now = 0;
	uint16_t control = (uint16_t)(0x007f | (i << 10) | (i & 1 ? 0x0300 : 0x0200)), control_now = 0;
	double first = 3.25 + i, second = -0.125 * (i + 1), out_first = 0, out_second = 0;

	__atomic_add_fetch(&prepared, 1, __ATOMIC_SEQ_CST);
	__asm__ volatile(
		"ldmxcsr %[mxcsr]\n	fninit\n	fldcw %[control]\n	fldl %[first]\n	fldl %[second]\n"
		"1: pause\n	cmpl $0, %[going]\n	je 1b\n"
		"fstpl %[out_second]\n	fstpl %[out_first]\n	stmxcsr %[mxcsr_now]\n	fnstcw %[control_now]\n"
		: [out_first] "=m"(out_first), [out_second] "=m"(out_second), [mxcsr_now] "=m"(mxcsr_now),
		  [control_now] "=m"(control_now)
		: [mxcsr] "m"(mxcsr), [control] "m"(control), [first] "m"(first), [second] "m"(second),
		  [going] "m"(state_going)
		: "memory", "cc", "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)");
	EQUAL(mxcsr_now, mxcsr);
	EQUAL(control_now, control);
	CHECK(out_first == first && out_second == second, "x87 values %g %g", out_first, out_second);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[4];

	state_begin(argc, argv);
	for (long i = 0; i < 4; i++)
		threads[i] = state_thread(body, (void *)i);
	UNTIL(__atomic_load_n(&prepared, __ATOMIC_SEQ_CST) == 4);
	state_pause();
	state_ready();
	state_wait_go();
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	state_pass();
}
