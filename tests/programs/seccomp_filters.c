/*
 * Subject: seccomp filters: one, several whose order matters, inherited by threads and children, with the log flag, as long as a
 * filter may be, and a list of what is allowed that refuses all else. Threads can still be brought to a further filter at once
 * (SECCOMP_FILTER_FLAG_TSYNC), which needs all to have the same ones. Or each has some of its own, on top of those of all.
 * Cases: one several threads children logged long allowed arguments differ
 */
#include "state.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>

#define IS(name) (strcmp(state_case, name) == 0)
#define LOAD_NUMBER BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))
#define ON(call, answer) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (call), 0, 1), BPF_STMT(BPF_RET | BPF_K, (answer))
#define REST(answer) BPF_STMT(BPF_RET | BPF_K, (answer))
#define SET(flags, ...)                                                                        \
	do {                                                                                   \
		struct sock_filter all[] = {__VA_ARGS__};                                      \
		set(sizeof(all) / sizeof(all[0]), all, flags);                                 \
	} while (0)

static int asked[3];

static void set(size_t count, struct sock_filter *instructions, unsigned int flags)
{
	struct sock_fprog program = {(unsigned short)count, instructions};

	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program) != 0)
		state_fail("seccomp(2) with %zu instructions: %s", count, strerror(errno));
}

static int error_of(long call)
{
	errno = 0;
	return syscall(call, -1, -1, -1) == -1 ? errno : 0;
}

static void *thread(void *argument)
{
	int *answer = argument;

	state_wait_go();
	*answer = error_of(SYS_getpriority);
	return NULL;
}

/* Names nobody calls, then a jump over what is left, then the answer. */
static void set_long(void)
{
	static struct sock_filter all[BPF_MAXINSNS];
	int count = 0;

	all[count++] = (struct sock_filter)LOAD_NUMBER;
	all[count++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpriority, 1, 0);
	all[count++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JA, BPF_MAXINSNS - 4, 0, 0);
	while (count < BPF_MAXINSNS - 2)
		all[count++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, 1);
	/* The number and one for each instruction passed. */
	all[count++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 77);
	all[count++] = (struct sock_filter)REST(SECCOMP_RET_ALLOW);
	set(BPF_MAXINSNS, all, 0);
}

static int own_is_set, own_answers[3][2];
static pid_t own_threads[3];

/* On top of what all have: one more, two more, nothing. */
static void *thread_of_its_own(void *argument)
{
	int number = (int)(intptr_t)argument;

	own_threads[number] = gettid();
	if (number == 0)
		SET(0, LOAD_NUMBER, ON(SYS_sethostname, SECCOMP_RET_ERRNO | 80), REST(SECCOMP_RET_ALLOW));
	if (number == 1) {
		SET(0, LOAD_NUMBER, ON(SYS_sethostname, SECCOMP_RET_ERRNO | 81), REST(SECCOMP_RET_ALLOW));
		SET(SECCOMP_FILTER_FLAG_LOG, LOAD_NUMBER, ON(SYS_sethostname, SECCOMP_RET_ERRNO | 82), REST(SECCOMP_RET_ALLOW));
	}
	__atomic_fetch_add(&own_is_set, 1, __ATOMIC_SEQ_CST);
	state_wait_go();
	own_answers[number][0] = error_of(SYS_getpriority);
	own_answers[number][1] = error_of(SYS_sethostname);
	return NULL;
}

static void differ(void)
{
	static const int expected[2] = { 80, 82 };
	pthread_t threads[3];

	SET(0, LOAD_NUMBER, ON(SYS_getpriority, SECCOMP_RET_ERRNO | 77), REST(SECCOMP_RET_ALLOW));
	for (intptr_t i = 0; i < 3; i++)
		EQUAL(pthread_create(&threads[i], NULL, thread_of_its_own, (void *)i), 0);
	UNTIL(__atomic_load_n(&own_is_set, __ATOMIC_SEQ_CST) == 3);
	/* The first thread has one that none of the others has. */
	SET(0, LOAD_NUMBER, ON(SYS_setpriority, SECCOMP_RET_ERRNO | 83), REST(SECCOMP_RET_ALLOW));
	state_ready();
	state_wait_go();
	EQUAL(error_of(SYS_setpriority), 83);
	EQUAL(error_of(SYS_getpriority), 77);
	for (int i = 0; i < 3; i++) {
		EQUAL(pthread_join(threads[i], NULL), 0);
		EQUAL(own_answers[i][0], 77);
		CHECK(i == 2 ? own_answers[i][1] < 77 : own_answers[i][1] == expected[i], "thread %d: %d", i, own_answers[i][1]);
	}
	/* Who is joined may not be gone yet, and counts until then on older kernels. */
	for (int i = 0; i < 3; i++)
		UNTIL(tgkill(getpid(), own_threads[i], 0) < 0);
	/* What all have in common is one still: who has nothing beside it follows. */
	EQUAL(pthread_create(&threads[0], NULL, thread, &asked[2]), 0);
	SET(SECCOMP_FILTER_FLAG_TSYNC, LOAD_NUMBER, ON(SYS_sethostname, SECCOMP_RET_ERRNO | 78), REST(SECCOMP_RET_ALLOW));
	EQUAL(pthread_join(threads[0], NULL), 0);
	EQUAL(error_of(SYS_sethostname), 78);
}

int main(int argc, char **argv)
{
	pthread_t threads[2];
	pid_t child = 0;

	state_begin(argc, argv);
	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	if (IS("differ")) {
		differ();
		state_pass();
	}
	if (IS("threads"))
		for (int i = 0; i < 2; i++)
			EQUAL(pthread_create(&threads[i], NULL, thread, &asked[i]), 0);
	if (IS("several")) {
		/* Of equal actions the newest filter's data count: the order must stay. */
		SET(0, LOAD_NUMBER, ON(SYS_getpriority, SECCOMP_RET_ERRNO | 71), ON(SYS_sethostname, SECCOMP_RET_ERRNO | 72), REST(SECCOMP_RET_ALLOW));
		SET(0, LOAD_NUMBER, ON(SYS_getpriority, SECCOMP_RET_ERRNO | 77), REST(SECCOMP_RET_ALLOW));
	} else if (IS("logged")) {
		SET(SECCOMP_FILTER_FLAG_LOG, LOAD_NUMBER, ON(SYS_getpriority, SECCOMP_RET_ERRNO | 77), REST(SECCOMP_RET_ALLOW));
	} else if (IS("long")) {
		set_long();
	} else if (IS("allowed")) {
		/* Whatever this program, its threads and the C library need, and what a checkpoint calls. */
		SET(0, LOAD_NUMBER, ON(SYS_read, SECCOMP_RET_ALLOW), ON(SYS_write, SECCOMP_RET_ALLOW), ON(SYS_openat, SECCOMP_RET_ALLOW), ON(SYS_close, SECCOMP_RET_ALLOW),
		    ON(SYS_rename, SECCOMP_RET_ALLOW), ON(SYS_link, SECCOMP_RET_ALLOW), ON(SYS_unlink, SECCOMP_RET_ALLOW), ON(SYS_access, SECCOMP_RET_ALLOW), ON(SYS_faccessat, SECCOMP_RET_ALLOW), ON(SYS_stat, SECCOMP_RET_ALLOW),
		    ON(SYS_newfstatat, SECCOMP_RET_ALLOW), ON(SYS_fstat, SECCOMP_RET_ALLOW), ON(SYS_nanosleep, SECCOMP_RET_ALLOW), ON(SYS_clock_nanosleep, SECCOMP_RET_ALLOW), ON(SYS_restart_syscall, SECCOMP_RET_ALLOW),
		    ON(SYS_clock_gettime, SECCOMP_RET_ALLOW), ON(SYS_exit_group, SECCOMP_RET_ALLOW), ON(SYS_getpid, SECCOMP_RET_ALLOW), ON(SYS_kill, SECCOMP_RET_ALLOW), ON(SYS_wait4, SECCOMP_RET_ALLOW),
		    ON(SYS_mmap, SECCOMP_RET_ALLOW), ON(SYS_munmap, SECCOMP_RET_ALLOW), ON(SYS_rt_sigreturn, SECCOMP_RET_ALLOW), ON(SYS_rt_sigaction, SECCOMP_RET_ALLOW), ON(SYS_rt_sigtimedwait, SECCOMP_RET_ALLOW),
		    ON(SYS_sigaltstack, SECCOMP_RET_ALLOW), ON(SYS_prctl, SECCOMP_RET_ALLOW), ON(SYS_getitimer, SECCOMP_RET_ALLOW), ON(SYS_brk, SECCOMP_RET_ALLOW), ON(SYS_membarrier, SECCOMP_RET_ALLOW),
		    REST(SECCOMP_RET_ERRNO | 77));
	} else if (IS("arguments")) {
		/* Only getpriority(-1, 5), looked at through the scratch memory and the index register. */
		SET(0, LOAD_NUMBER, BPF_STMT(BPF_ST, 3), BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])), BPF_STMT(BPF_MISC | BPF_TAX, 0),
		    BPF_STMT(BPF_LD | BPF_MEM, 3), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpriority, 0, 3), BPF_STMT(BPF_MISC | BPF_TXA, 0),
		    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 5, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 77), REST(SECCOMP_RET_ALLOW));
	} else {
		SET(IS("threads") ? SECCOMP_FILTER_FLAG_TSYNC : 0, LOAD_NUMBER, ON(SYS_getpriority, SECCOMP_RET_ERRNO | 77), REST(SECCOMP_RET_ALLOW));
	}
	if (IS("children")) {
		child = state_fork();
		if (child == 0) {
			state_mark("child");
			state_wait_go();
			EQUAL(error_of(SYS_getpriority), 77);
			_exit(0);
		}
		state_await("child");
	}
	state_ready();
	state_wait_go();
	if (IS("arguments")) {
		EQUAL(syscall(SYS_getpriority, -1, 5), -1);
		EQUAL(errno, 77);
		EQUAL(error_of(SYS_getpriority), EINVAL);
	} else {
		EQUAL(error_of(SYS_getpriority), 77);
	}
	if (IS("several"))
		EQUAL(error_of(SYS_sethostname), 72);
	if (IS("allowed"))
		EQUAL(error_of(SYS_sethostname), 77);
	else
		EQUAL(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
	if (IS("threads")) {
		for (int i = 0; i < 2; i++) {
			EQUAL(pthread_join(threads[i], NULL), 0);
			EQUAL(asked[i], 77);
		}
		EQUAL(pthread_create(&threads[0], NULL, thread, &asked[2]), 0);
		SET(SECCOMP_FILTER_FLAG_TSYNC, LOAD_NUMBER, ON(SYS_sethostname, SECCOMP_RET_ERRNO | 78), REST(SECCOMP_RET_ALLOW));
		EQUAL(pthread_join(threads[0], NULL), 0);
		EQUAL(asked[2], 77);
		EQUAL(error_of(SYS_sethostname), 78);
	}
	if (child)
		state_join(child);
	state_pass();
}
