/*
 * Subject: the action of every signal: default, ignored, handlers with each flag and with masks, as the
 * kernel keeps them (restorer included); a child of another process has others.
 */
#include "state.h"

struct kernel_action {
	unsigned long handler, flags, restorer, mask;
};

static struct kernel_action before[65];

static void one(int signal)
{
	(void)signal;
}

static void three(int signal, siginfo_t *information, void *context)
{
	(void)signal;
	(void)information;
	(void)context;
}

static void choose(int variant)
{
	static const int flags[] = {0, SA_RESTART, SA_NODEFER, SA_RESETHAND, SA_ONSTACK, SA_NOCLDSTOP, SA_RESTART | SA_ONSTACK | SA_NODEFER};
	uint64_t seed = 4242 + (uint64_t)variant;

	for (int signal = 1; signal <= 64; signal++) {
		struct sigaction action;

		if (signal == SIGKILL || signal == SIGSTOP || signal == 32 || signal == 33)
			continue;
		memset(&action, 0, sizeof(action));
		uint64_t random = state_random(&seed);

		action.sa_flags = flags[random % 7];
		switch (random / 7 % 4) {
		case 0: action.sa_handler = SIG_DFL; break;
		case 1: action.sa_handler = SIG_IGN; break;
		case 2: action.sa_handler = one; break;
		default:
			action.sa_sigaction = three;
			action.sa_flags |= SA_SIGINFO;
		}
		if (signal == SIGCHLD) {
			action.sa_handler = SIG_DFL;
			action.sa_flags = variant ? 0 : SA_NOCLDWAIT;
		}
		uint64_t mask = state_random(&seed);

		memcpy(&action.sa_mask, &mask, 8);
		MUST(sigaction(signal, &action, NULL));
	}
}

static void look(struct kernel_action *actions)
{
	for (int signal = 1; signal <= 64; signal++)
		MUST(syscall(SYS_rt_sigaction, signal, NULL, &actions[signal], 8));
}

static void compare(void)
{
	struct kernel_action after[65];

	look(after);
	for (int signal = 1; signal <= 64; signal++) {
		CHECK(after[signal].handler == before[signal].handler, "handler of signal %d", signal);
		CHECK(after[signal].flags == before[signal].flags, "flags of signal %d: %lx, were %lx", signal,
		      after[signal].flags, before[signal].flags);
		CHECK(after[signal].restorer == before[signal].restorer, "restorer of signal %d", signal);
		CHECK(after[signal].mask == before[signal].mask, "mask of signal %d", signal);
	}
}

int main(int argc, char **argv)
{
	state_begin(argc, argv);
	pid_t child = state_fork();

	choose(child == 0);
	look(before);
	if (child == 0) {
		state_mark("child");
		state_wait_go();
		compare();
		state_mark("child-passed");
		_exit(0);
	}
	state_await("child");
	state_ready();
	state_wait_go();
	compare();
	state_await("child-passed");
	/* SA_NOCLDWAIT: the child leaves nothing to wait for. */
	EQUAL(waitpid(child, NULL, 0), -1);
	EQUAL(errno, ECHILD);
	state_pass();
}
