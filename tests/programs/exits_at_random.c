/*
 * Subject: children and threads that end at random moments, so that some do in the middle of a freeze;
 * each exit status is seen once.
 * Suite: abuse
 */
#include "state.h"

#define AT_ONCE 12

static void *brief(void *argument)
{
	usleep((useconds_t)(long)argument);
	return NULL;
}

int main(int argc, char **argv)
{
	pid_t children[AT_ONCE] = {0};
	int codes[AT_ONCE], status, running = 0;
	uint64_t seed = 5;

	state_begin(argc, argv);
	for (long total = 0;; ) {
		int stop = state_exists("go");

		if (stop && !running)
			break;
		for (int i = 0; i < AT_ONCE && !stop; i++) {
			if (children[i])
				continue;
			codes[i] = (int)(total++ % 200);
			long time = (long)(state_random(&seed) % 30000);

			children[i] = MUST(fork());
			if (children[i] == 0) {
				pthread_t thread = state_thread(brief, (void *)(time / 2));

				usleep((useconds_t)time);
				pthread_join(thread, NULL);
				_exit(codes[i]);
			}
			running++;
		}
		pid_t pid = waitpid(-1, &status, 0);
		int i = 0;

		while (i < AT_ONCE && children[i] != pid)
			i++;
		CHECK(pid > 0 && i < AT_ONCE, "a child %d that is not ours", pid);
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == codes[i], "child %d: 0x%x", pid, status);
		children[i] = 0;
		running--;
		if (total > 50 && !state_exists("ready"))
			state_ready();
	}
	state_pass();
}
