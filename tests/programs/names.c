/*
 * Subject: the names of a process and of its threads, odd characters included.
 */
#include "state.h"

static const char *names[] = {"worker one", "a)b (c", "fifteen-letters", ""};
static int prepared;

static void *body(void *argument)
{
	char name[32];
	int i = (int)(long)argument;

	MUST(prctl(PR_SET_NAME, names[i]));
	__atomic_add_fetch(&prepared, 1, __ATOMIC_SEQ_CST);
	while (!state_going)
		state_pause();
	MUST(prctl(PR_GET_NAME, name));
	CHECK(strcmp(name, names[i]) == 0, "thread %d is called '%s'", i, name);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[4];
	char name[32];

	state_begin(argc, argv);
	MUST(prctl(PR_SET_NAME, "main) S 1 2 3"));
	for (long i = 0; i < 4; i++)
		threads[i] = state_thread(body, (void *)i);
	UNTIL(__atomic_load_n(&prepared, __ATOMIC_SEQ_CST) == 4);
	state_ready();
	state_wait_go();
	MUST(prctl(PR_GET_NAME, name));
	CHECK(strcmp(name, "main) S 1 2 3") == 0, "the process is called '%s'", name);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	state_pass();
}
