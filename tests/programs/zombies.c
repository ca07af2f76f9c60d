/*
 * Subject: children that have ended and were not waited for: exit codes 0, 7 and 255, deaths by SIGKILL,
 * SIGTERM and a real-time signal; order, status and the SIGCHLD that is still pending.
 */
#include "state.h"

static pid_t zombie(int code, int signal)
{
	pid_t pid = state_fork();

	if (pid == 0) {
		if (signal) {
			struct rlimit none = {0, 0};

			setrlimit(RLIMIT_CORE, &none);
			kill(getpid(), signal);
			state_pause();
		}
		_exit(code);
	}
	UNTIL(state_letter(pid) == 'Z');
	return pid;
}

static void reap(pid_t pid, int code, int signal)
{
	siginfo_t information;
	int status = 0;

	memset(&information, 0, sizeof(information));
	MUST(waitid(P_PID, (id_t)pid, &information, WEXITED | WNOWAIT | WNOHANG));
	EQUAL(information.si_pid, pid);
	EQUAL(information.si_code, signal ? CLD_KILLED : CLD_EXITED);
	EQUAL(information.si_status, signal ? signal : code);
	EQUAL(waitpid(pid, &status, WNOHANG), pid);
	if (signal) {
		CHECK(WIFSIGNALED(status), "status 0x%x", status);
		EQUAL(WTERMSIG(status), signal);
	} else {
		CHECK(WIFEXITED(status), "status 0x%x", status);
		EQUAL(WEXITSTATUS(status), code);
	}
}

int main(int argc, char **argv)
{
	sigset_t blocked, pending;

	state_begin(argc, argv);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGCHLD);
	MUST(sigprocmask(SIG_BLOCK, &blocked, NULL));
	pid_t zero = zombie(0, 0), seven = zombie(7, 0), most = zombie(255, 0);
	pid_t killed = zombie(0, SIGKILL), ended = zombie(0, SIGTERM), realtime = zombie(0, SIGRTMIN + 3);
	char path[64], before[64], after[64];

	/* A zombie below a live child: it is not the root's. */
	pid_t holder = state_fork();

	if (holder == 0) {
		MUST(setsid());
		pid_t inner = zombie(42, 0);

		state_mark("inner");
		state_wait_go();
		reap(inner, 42, 0);
		_exit(0);
	}
	state_await("inner");
	snprintf(path, sizeof(path), "/proc/%d/comm", seven);
	state_read(path, before, sizeof(before));
	state_ready();
	state_wait_go();
	state_read(path, after, sizeof(after));
	CHECK(strcmp(before, after) == 0, "the zombie's name is %s, was %s", after, before);
	MUST(sigpending(&pending));
	CHECK(sigismember(&pending, SIGCHLD), "SIGCHLD is no longer pending");
	state_join(holder);
	reap(realtime, 0, SIGRTMIN + 3);
	reap(zero, 0, 0);
	reap(seven, 7, 0);
	reap(most, 255, 0);
	reap(ended, 0, SIGTERM);
	reap(killed, 0, SIGKILL);
	EQUAL(waitpid(-1, NULL, 0), -1);
	EQUAL(errno, ECHILD);
	state_pass();
}
