/*
 * Subject: fs base and gs base of threads, as arch_prctl sets them and as a segment prefix uses them.
 */
#include "state.h"
#include <asm/prctl.h>

#define THREADS 3

static unsigned long area[THREADS][8];
static int prepared;

static void *body(void *argument)
{
	int i = (int)(long)argument;
	unsigned long fs_before = 0, fs = 0, gs = 0, value = 0;

	area[i][2] = 0xabcd0000UL + i;
	MUST(syscall(SYS_arch_prctl, ARCH_GET_FS, &fs_before));
	MUST(syscall(SYS_arch_prctl, ARCH_SET_GS, area[i]));
	__atomic_add_fetch(&prepared, 1, __ATOMIC_SEQ_CST);
	if (i == 0) {
		while (!state_going)
			;
	} else {
		while (!state_going)
			state_pause();
	}
	__asm__ volatile("movq %%gs:16, %0" : "=r"(value));
	EQUAL(value, 0xabcd0000UL + i);
	MUST(syscall(SYS_arch_prctl, ARCH_GET_GS, &gs));
	EQUAL(gs, (unsigned long)area[i]);
	MUST(syscall(SYS_arch_prctl, ARCH_GET_FS, &fs));
	EQUAL(fs, fs_before);
	EQUAL(fs, (unsigned long)pthread_self());
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];

	state_begin(argc, argv);
	for (long i = 0; i < THREADS; i++)
		threads[i] = state_thread(body, (void *)i);
	UNTIL(__atomic_load_n(&prepared, __ATOMIC_SEQ_CST) == THREADS);
	state_ready();
	state_wait_go();
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	state_pass();
}
