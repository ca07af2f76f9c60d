/*
 * Subject: an application that checks itself all the time, for tests that kill whoever supervises it: five
 * processes with threads, pipes, shared memory, masks, handlers and sleeps. `beat-N` in the work directory
 * counts what process N has done: a link that points to nothing but says the number, so that a checkpoint at
 * any moment finds no file open that is gone by the next one.
 * Suite: abuse
 */
#include "state.h"

#define CHILDREN 4
/* More than is read while it stands: a checkpoint makes a copy of this process. */
#define MEMORY (3UL << 20)

struct shared {
	long turns[CHILDREN];
	pthread_mutex_t lock;
	long locked;
};

static struct shared *shared;
static __thread uint64_t mask_expected;

static void check_mask(void)
{
	uint64_t mask = 0;

	MUST(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, 8));
	CHECK(mask == mask_expected, "blocked signals are %lx, expected %lx", (long)mask, (long)mask_expected);
}

static void set_mask(int number)
{
	mask_expected = number & 1 ? 1ULL << (SIGUSR1 - 1 + number % 3) | 1ULL << 40 : 0;
	MUST(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask_expected, NULL, 8));
}

static void *worker(void *argument)
{
	long number = (long)argument;
	unsigned char stack[4096];
	long turns = 0;

	set_mask((int)number);
	state_fill(stack, sizeof(stack), number);
	while (!state_going) {
		check_mask();
		CHECK_FILL(stack, sizeof(stack), number);
		pthread_mutex_lock(&shared->lock);
		shared->locked++;
		pthread_mutex_unlock(&shared->lock);
		/* One of three is busy most of the time, but leaves the processors to whoever is being killed. */
		if (number % 3 || ++turns % 64 == 0)
			state_pause();
	}
	return NULL;
}

static void beat(int number, long count)
{
	char name[PATH_MAX + 32], beside[PATH_MAX + 32], text[32];

	snprintf(name, sizeof(name), "%s/beat-%d", state_dir, number);
	snprintf(beside, sizeof(beside), "%s/.beat-%d", state_dir, number);
	snprintf(text, sizeof(text), "%ld", count);
	/*
	 * One of an earlier life may be left beside; and whoever is restored to a moment between these calls finds the
	 * files as they became after it.
	 */
	for (;;) {
		unlink(beside);
		if (symlink(text, beside) == 0 && rename(beside, name) == 0)
			return;
		CHECK(errno == ENOENT || errno == EEXIST, "the beat cannot be written: %s", strerror(errno));
	}
}

int main(int argc, char **argv)
{
	int in[CHILDREN][2], out[CHILDREN][2];
	pid_t children[CHILDREN];
	long count = 0;

	state_begin(argc, argv);
	shared = MUST(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	pthread_mutexattr_t attributes;

	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&shared->lock, &attributes);
	for (int i = 0; i < CHILDREN; i++) {
		MUST(pipe2(in[i], O_CLOEXEC));
		MUST(pipe2(out[i], O_CLOEXEC));
		children[i] = state_fork();
		if (children[i]) {
			close(in[i][0]);
			close(out[i][1]);
			continue;
		}
		close(in[i][1]);
		close(out[i][0]);
		for (int k = 0; k < i; k++) {
			close(in[k][1]);
			close(out[k][0]);
		}
		pthread_t threads[3];

		for (long k = 0; k < 3; k++)
			threads[k] = state_thread(worker, (void *)(10L * i + k));
		set_mask(i);
		long number, turns = 0;

		/* Answers each number with its successor. */
		while (read(in[i][0], &number, sizeof(number)) == sizeof(number)) {
			EQUAL(number, 2 * turns);
			number++;
			EQUAL(write(out[i][1], &number, sizeof(number)), sizeof(number));
			shared->turns[i] = ++turns;
			check_mask();
			if (turns % 20 == 0)
				beat(i + 1, turns);
		}
		state_going = 1;
		for (int k = 0; k < 3; k++)
			pthread_join(threads[k], NULL);
		_exit(0);
	}
	unsigned char *memory = MUST(mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

	state_fill(memory, MEMORY, 1);
	while (!state_exists("go")) {
		for (int i = 0; i < CHILDREN; i++) {
			long number = 2 * count, answer = 0;

			EQUAL(write(in[i][1], &number, sizeof(number)), sizeof(number));
			EQUAL(read(out[i][0], &answer, sizeof(answer)), sizeof(answer));
			EQUAL(answer, number + 1);
		}
		count++;
		check_mask();
		CHECK(waitpid(-1, NULL, WNOHANG | __WCLONE) == -1 && errno == ECHILD, "there is a child that nobody made");
		if (count % 200 == 0)
			CHECK_FILL(memory, MEMORY, 1);
		if (count % 20 == 0)
			beat(0, count);
		if (count == 20)
			state_ready();
		struct timespec pause = {0, 1000000};

		/* A sleep may end with EINTR when the supervisor dies in the middle of an injected call; nothing else may. */
		if (nanosleep(&pause, NULL) != 0)
			EQUAL(errno, EINTR);
	}
	for (int i = 0; i < CHILDREN; i++) {
		close(in[i][1]);
		state_join(children[i]);
		EQUAL(shared->turns[i], count);
	}
	state_pass();
}
