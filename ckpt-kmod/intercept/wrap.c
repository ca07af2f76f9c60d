// SPDX-License-Identifier: MIT
// Calls of the application that the checkpoint thread has to know of, or to be out of the way for.
#include "intercept.h"

#include <linux/seccomp.h>
#include <pty.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <threads.h>

#include "objects.h"

static long with_errno(long result)
{
	if (result < 0 && result > -4096) {
		errno = -result;
		return -1;
	}
	return result;
}

// A call that fails beside other threads, or that changes what only the caller has: the thread is made again by the caller, and has what it has.
static long aside(long number, const long *a)
{
	bool away = ckpt_step_aside();
	long result = sys(number, a[0], a[1], a[2], a[3], a[4], a[5]);

	if (away)
		ckpt_come_back();
	return result;
}

// From now on the process may not be allowed what the thread does: there is none any more, unless the call failed.
static long aside_for_good(long number, const long *a)
{
	bool away = ckpt_step_aside();
	long result = sys(number, a[0], a[1], a[2], a[3], a[4], a[5]);

	if (result >= 0)
		ckpt_stay_away();
	if (away)
		ckpt_come_back();
	return result;
}

static long call(long number, const long *a)
{
	switch (number) {
	case SYS_unshare:
	case SYS_setns:
	case SYS_capset:
	case SYS_setuid:
	case SYS_setgid:
	case SYS_setreuid:
	case SYS_setregid:
	case SYS_setresuid:
	case SYS_setresgid:
	case SYS_setgroups:
		return aside(number, a);
	case SYS_seccomp:
		return a[0] == SECCOMP_SET_MODE_FILTER || a[0] == SECCOMP_SET_MODE_STRICT ? aside_for_good(number, a) :
											     sys(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	case SYS_prctl:
		switch (a[0]) {
		case PR_SET_SECCOMP:
			return aside_for_good(number, a);
		case PR_CAPBSET_DROP:
		case PR_SET_SECUREBITS:
		case PR_SET_NO_NEW_PRIVS:
		case PR_CAP_AMBIENT:
			return aside(number, a);
		}
	}
	return sys(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

EXPORTED long syscall(long number, ...)
{
	long a[6];
	va_list list;

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(list, long);
	va_end(list);
	return with_errno(call(number, a));
}

EXPORTED int prctl(int option, ...)
{
	long a[6] = { option };
	va_list list;

	va_start(list, option);
	for (int i = 1; i < 5; i++)
		a[i] = va_arg(list, long);
	va_end(list);
	return with_errno(call(SYS_prctl, a));
}

EXPORTED int unshare(int flags)
{
	return with_errno(call(SYS_unshare, (long[6]){ flags }));
}

EXPORTED int setns(int fd, int type)
{
	return with_errno(call(SYS_setns, (long[6]){ fd, type }));
}

extern int capset(void *header, const void *data);

EXPORTED int capset(void *header, const void *data)
{
	return with_errno(call(SYS_capset, (long[6]){ (long)header, (long)data }));
}

// The C library's name for the same; what runs at a fork, others' handlers too, is its business. No thread is made before all have run.
extern pid_t __fork(void) __attribute__((weak));

EXPORTED pid_t fork(void)
{
	pid_t child = __fork ? __fork() : ((pid_t (*)(void))ckpt_next("fork"))();

	if (child == 0)
		ckpt_after_fork();
	return child;
}

EXPORTED int daemon(int nochdir, int noclose)
{
	int (*real)(int, int) = (int (*)(int, int))ckpt_next("daemon");
	int result = real(nochdir, noclose);

	ckpt_after_fork();
	return result;
}

EXPORTED int forkpty(int *master, char *name, const struct termios *settings, const struct winsize *size)
{
	int (*real)(int *, char *, const struct termios *, const struct winsize *) =
		(int (*)(int *, char *, const struct termios *, const struct winsize *))ckpt_next("forkpty");
	int child = real(master, name, settings, size);

	if (child == 0)
		ckpt_after_fork();
	return child;
}

// A process whose first thread has ended ends with its last one, which must not be ours.
static void leave_the_rest_alone(void)
{
	if (sys0(SYS_gettid) == sys0(SYS_getpid))
		ckpt_stay_away();
}

EXPORTED void pthread_exit(void *value)
{
	void (*real)(void *) = (void (*)(void *))ckpt_next("pthread_exit");

	leave_the_rest_alone();
	real(value);
	__builtin_unreachable();
}

EXPORTED void thrd_exit(int value)
{
	void (*real)(int) = (void (*)(int))ckpt_next("thrd_exit");

	leave_the_rest_alone();
	real(value);
	__builtin_unreachable();
}
