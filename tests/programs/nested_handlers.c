/*
 * Subject: three signal handlers in progress, each having interrupted the one before, with the masks
 * that each adds; they unwind in order.
 */
#include "state.h"

static volatile int depth, unwound;
static volatile double number = 1.5;

static uint64_t mask_now(void)
{
	uint64_t mask = 0;

	MUST(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, 8));
	return mask;
}

static uint64_t bit(int signal)
{
	return 1ULL << (signal - 1);
}

static void handler(int signal, siginfo_t *information, void *context)
{
	static const int next[] = {SIGUSR2, 40, 0};

	(void)context;
	uint64_t before = mask_now();
	double kept = number * (depth + 1);
	int mine = depth++;

	CHECK(before & bit(signal), "the signal is not blocked in its own handler");
	EQUAL(information->si_signo, signal);
	if (next[mine]) {
		union sigval value = {.sival_int = 4000 + mine};

		MUST(sigqueue(getpid(), next[mine], value));
	} else {
		state_ready();
		state_wait_go();
	}
	EQUAL(mask_now(), before);
	EQUAL(information->si_signo, signal);
	if (mine)
		EQUAL(information->si_value.sival_int, 4000 + mine - 1);
	CHECK(kept == 1.5 * (mine + 1), "a local of the handler differs");
	EQUAL(unwound, 2 - mine);
	unwound++;
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};

	state_begin(argc, argv);
	sigemptyset(&action.sa_mask);
	sigaddset(&action.sa_mask, SIGHUP);
	MUST(sigaction(SIGUSR1, &action, NULL));
	sigemptyset(&action.sa_mask);
	sigaddset(&action.sa_mask, SIGWINCH);
	MUST(sigaction(SIGUSR2, &action, NULL));
	sigemptyset(&action.sa_mask);
	MUST(sigaction(40, &action, NULL));
	uint64_t outside = mask_now();
	union sigval value = {.sival_int = 1};

	MUST(sigqueue(getpid(), SIGUSR1, value));
	EQUAL(unwound, 3);
	EQUAL(mask_now(), outside);
	state_pass();
}
