/*
 * Subject: restartable sequences: counters per CPU, incremented by four threads inside critical sections
 * that are long on purpose. A thread that is stopped inside one and goes on instead of aborting loses an
 * increment of another thread, and the sums differ.
 */
#include "state.h"
#include <sys/resource.h>
#include <sys/rseq.h>

#define THREADS 4
#define CPUS 256

static struct {
	uint64_t value;
	char padding[120];
} counters[CPUS] __attribute__((aligned(128)));
static int prepared;

/* 1 when the increment was committed, 0 when the sequence was aborted. */
static int increment(volatile struct rseq *rs)
{
	uint32_t cpu = rs->cpu_id_start;
	uint64_t *counter = &counters[cpu].value;

	__asm__ goto volatile(
		".pushsection __rseq_cs, \"aw\"\n	.balign 32\n"
		"3:	.long 0, 0\n	.quad 1f, 2f - 1f, 4f\n	.popsection\n"
		"	leaq 3b(%%rip), %%rax\n	movq %%rax, %[cs]\n"
		"1:	cmpl %[cpu], %[cpu_id]\n	jne 4f\n"
		"	movq (%[counter]), %%rax\n	movl $300, %%ecx\n"
		"5:	decl %%ecx\n	jnz 5b\n"
		"	incq %%rax\n	movq %%rax, (%[counter])\n"
		"2:\n"
		".pushsection __rseq_failure, \"ax\"\n"
		"	.byte 0x0f, 0xb9, 0x3d\n	.long 0x53053053\n"
		"4:	jmp %l[aborted]\n	.popsection\n"
		:
		: [cs] "m"(rs->rseq_cs), [cpu] "r"(cpu), [cpu_id] "m"(rs->cpu_id), [counter] "r"(counter)
		: "memory", "cc", "rax", "rcx"
		: aborted);
	return 1;
aborted:
	return 0;
}

static void *body(void *argument)
{
	volatile struct rseq *rs = (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
	long done = 0;

	(void)argument;
	__atomic_add_fetch(&prepared, 1, __ATOMIC_SEQ_CST);
	while (!state_going)
		done += increment(rs);
	CHECK((int32_t)rs->cpu_id >= 0, "the kernel no longer knows the area: cpu_id %d", (int32_t)rs->cpu_id);
	return (void *)done;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];
	uint64_t sum = 0, committed = 0;

	state_begin(argc, argv);
	/* Whoever takes the checkpoints comes first: so there are more of them, and more preemptions in the middle. */
	MUST(setpriority(PRIO_PROCESS, 0, 19));
	if (__rseq_size == 0)
		state_skip("the C library has not registered rseq");
	for (long i = 0; i < THREADS; i++)
		threads[i] = state_thread(body, NULL);
	UNTIL(__atomic_load_n(&prepared, __ATOMIC_SEQ_CST) == THREADS);
	state_ready();
	state_wait_go();
	for (int i = 0; i < THREADS; i++) {
		void *done;

		pthread_join(threads[i], &done);
		committed += (uint64_t)(long)done;
	}
	for (int i = 0; i < CPUS; i++)
		sum += counters[i].value;
	CHECK(committed > 0, "nothing was counted");
	EQUAL(sum, committed);
	state_pass();
}
