/*
 * Subject: signalfd: its mask, also after a change, a signal that was pending, a reader that is blocked.
 */
#include "state.h"
#include <sys/signalfd.h>

static void *receive(void *argument)
{
	struct signalfd_siginfo information;

	EQUAL(read(*(int *)argument, &information, sizeof(information)), sizeof(information));
	EQUAL(information.ssi_signo, SIGRTMIN + 3);
	EQUAL(information.ssi_int, 99);
	return NULL;
}

int main(int argc, char **argv)
{
	struct signalfd_siginfo information;
	sigset_t first, second, all;
	int changed, waiting;
	union sigval value = {.sival_int = 99};

	state_begin(argc, argv);
	sigemptyset(&first);
	sigaddset(&first, SIGUSR1);
	sigemptyset(&second);
	sigaddset(&second, SIGUSR2);
	sigaddset(&second, SIGHUP);
	sigemptyset(&all);
	sigaddset(&all, SIGUSR1);
	sigaddset(&all, SIGUSR2);
	sigaddset(&all, SIGHUP);
	sigaddset(&all, SIGRTMIN + 3);
	MUST(sigprocmask(SIG_BLOCK, &all, NULL));
	changed = MUST(signalfd(-1, &first, SFD_NONBLOCK | SFD_CLOEXEC));
	EQUAL(signalfd(changed, &second, 0), changed);
	sigemptyset(&first);
	sigaddset(&first, SIGRTMIN + 3);
	waiting = MUST(signalfd(-1, &first, 0));
	pthread_t thread = state_thread(receive, &waiting);

	MUST(kill(getpid(), SIGUSR1));
	MUST(kill(getpid(), SIGHUP));
	state_ready();
	state_wait_go();
	EQUAL(fcntl(changed, F_GETFD), FD_CLOEXEC);
	EQUAL(fcntl(changed, F_GETFL), O_RDWR | O_NONBLOCK);
	EQUAL(read(changed, &information, sizeof(information)), sizeof(information));
	EQUAL(information.ssi_signo, SIGHUP);
	EQUAL(information.ssi_pid, getpid());
	EQUAL(read(changed, &information, sizeof(information)), -1);
	EQUAL(errno, EAGAIN);
	MUST(kill(getpid(), SIGUSR2));
	EQUAL(read(changed, &information, sizeof(information)), sizeof(information));
	EQUAL(information.ssi_signo, SIGUSR2);
	MUST(sigqueue(getpid(), SIGRTMIN + 3, value));
	EQUAL(pthread_join(thread, NULL), 0);
	state_pass();
}
