/*
 * Sixty-four threads that hold mutexes and wait in conditions: a token goes round, and who has it writes
 * the next line while it holds the locks of both neighbours. Line i of `out`: "i i*i+7*i+1".
 */
#include "../state.h"

#define THREADS 64

static struct place {
	pthread_mutex_t lock, own;
	pthread_cond_t condition;
	int token;
	long turns;
} places[THREADS];
static long next_line;
static int out;

static void *body(void *argument)
{
	int i = (int)(long)argument;
	struct place *here = &places[i], *after = &places[(i + 1) % THREADS];
	char line[64];
	int stop = 0;

	/* Held through everything. */
	pthread_mutex_lock(&here->own);
	while (!stop) {
		pthread_mutex_lock(&here->lock);
		while (!here->token)
			pthread_cond_wait(&here->condition, &here->lock);
		stop = here->token == 2;
		here->token = 0;
		here->turns++;
		if (!stop) {
			long n = next_line++;
			int length = snprintf(line, sizeof(line), "%ld %ld\n", n, n * n + 7 * n + 1);

			EQUAL(write(out, line, length), length);
			if (n == 200)
				state_ready();
			if (n > 200 && i == 0 && state_exists("go"))
				stop = 1;
			if (i % 8 == 0)
				state_pause();
		}
		pthread_mutex_lock(&after->lock);
		after->token = stop ? 2 : 1;
		pthread_cond_signal(&after->condition);
		pthread_mutex_unlock(&after->lock);
		pthread_mutex_unlock(&here->lock);
	}
	pthread_mutex_unlock(&here->own);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];

	state_begin(argc, argv);
	out = MUST(open(state_path("out"), O_WRONLY | O_CREAT | O_EXCL, 0644));
	for (int i = 0; i < THREADS; i++) {
		pthread_mutex_init(&places[i].lock, NULL);
		pthread_mutex_init(&places[i].own, NULL);
		pthread_cond_init(&places[i].condition, NULL);
	}
	places[0].token = 1;
	for (long i = 0; i < THREADS; i++)
		threads[i] = state_thread(body, (void *)i);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	EQUAL(write(out, "end\n", 4), 4);
	state_pass();
}
