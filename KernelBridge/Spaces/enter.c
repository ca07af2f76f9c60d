/*
 * Takes an ordinary user's supervisor into a user namespace, in which it has the rights that it needs over its applications: into a
 * new one, or into that of an application which runs. A process with several threads, as every managed one is, cannot do that itself.
 *
 *   holdfast-enter enter DESCRIPTOR PROGRAM ARGUMENTS...   becomes the program, with all capabilities of the namespace
 *   holdfast-enter try   REPORT                            says on a descriptor whether a space could be made in a new one
 *
 * DESCRIPTOR is that of the namespace to join, or "new". user_namespaces(7), capabilities(7).
 */
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/sched.h>

#include "freestanding.h"

/* Where it failed; KernelBridge/Spaces/UserNamespace.cs puts them into words. */
enum step {
	STEP_NONE = 0,
	STEP_USER_NAMESPACE = 1,
	STEP_MAPS = 2,
	STEP_NAMESPACES = 3,
	STEP_CLONE = 4,
	STEP_MOUNT_PROC = 5,
	STEP_MOUNT_SHM = 6,
};

struct result {
	u32 step;
	s32 error;
};

static char *append(char *to, u32 number)
{
	char digits[10];
	int n = 0;

	do
		digits[n++] = (char)('0' + number % 10);
	while (number /= 10);
	while (n)
		*to++ = digits[--n];
	*to++ = ' ';
	return to;
}

static long write_file(const char *path, const char *text, long length)
{
	long fd = sc3(__NR_open, path, O_WRONLY, 0);
	long result;

	if (fd < 0)
		return fd;
	result = sc3(__NR_write, fd, text, length);
	sc1(__NR_close, fd);
	return result < 0 ? result : 0;
}

/* Maps one id to itself: inside, the user is who he is outside. */
static long write_map(const char *path, u32 id)
{
	char text[32], *end = append(append(text, id), id);

	*end++ = '1';
	*end++ = '\n';
	return write_file(path, text, end - text);
}

/* A user namespace of one user and one group. */
static long make_namespace(u32 *step)
{
	u32 uid = (u32)sc0(__NR_geteuid), gid = (u32)sc0(__NR_getegid);
	long result;

	*step = STEP_USER_NAMESPACE;
	result = sc1(__NR_unshare, CLONE_NEWUSER);
	if (result < 0)
		return result;
	*step = STEP_MAPS;
	/* Without it an ordinary user may map no group. */
	result = write_file("/proc/self/setgroups", "deny", 4);
	if (result == 0)
		result = write_map("/proc/self/uid_map", uid);
	if (result == 0)
		result = write_map("/proc/self/gid_map", gid);
	return result;
}

/* The capabilities survive execve(2) of a user who is not root only as ambient ones, which must be inheritable. */
static long keep_capabilities(void)
{
	u32 header[2] = { 0x20080522, 0 };
	u32 sets[6] = { 0 };
	long result = sc2(__NR_capget, header, sets);
	u64 permitted;
	long i;

	if (result < 0)
		return result;
	permitted = sets[1] | (u64)sets[4] << 32;
	result = set_capabilities(permitted, permitted, permitted);
	for (i = 0; i < 64 && result == 0; i++)
		if (permitted >> i & 1)
			/* PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE */
			result = sc5(__NR_prctl, 47, 2, i, 0, 0);
	return result;
}

static __attribute__((noreturn)) void enter(char **argv, char **envp)
{
	static const char message[] = "holdfast: entering a user namespace failed\n";
	u32 step;
	int new = argv[2][0] == 'n';
	long result = new ? make_namespace(&step) : sc2(__NR_setns, parse(argv[2]), CLONE_NEWUSER);

	if (!new)
		sc1(__NR_close, parse(argv[2]));
	if (result == 0)
		result = keep_capabilities();
	if (result == 0)
		sc3(__NR_execve, argv[3], argv + 3, envp);
	/* It was tried before: this is a matter of a moment, and there is nobody else left to say it. */
	sc3(__NR_write, 2, message, sizeof message - 1);
	leave(125);
}

static __attribute__((noreturn)) void tell(int fd, u32 step, long error)
{
	struct result r = { error < 0 ? step : STEP_NONE, error < 0 ? (s32)-error : 0 };

	sc3(__NR_write, fd, &r, sizeof r);
	leave(0);
}

/* What a space does when it comes up, as far as a kernel or a container may forbid it. */
static __attribute__((noreturn)) void try(int fd)
{
	u32 step;
	long result = make_namespace(&step);

	if (result < 0)
		tell(fd, step, result);
	result = sc1(__NR_unshare, CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWTIME);
	if (result < 0)
		tell(fd, STEP_NAMESPACES, result);
	/* SIGCHLD; the child is pid 1 of the new namespace. */
	result = sc5(__NR_clone, 17, 0, 0, 0, 0);
	if (result < 0)
		tell(fd, STEP_CLONE, result);
	if (result > 0) {
		sc4(__NR_wait4, result, 0, 0, 0);
		leave(0);
	}
	/* MS_REC | MS_SLAVE, then MS_NOSUID | MS_NODEV | MS_NOEXEC. */
	result = sc5(__NR_mount, 0, "/", 0, 0x4000 | 0x80000, 0);
	if (result == 0)
		result = sc5(__NR_mount, "proc", "/proc", "proc", 2 | 4 | 8, 0);
	if (result < 0)
		tell(fd, STEP_MOUNT_PROC, result);
	result = sc5(__NR_mount, "shm", "/dev/shm", "tmpfs", 2 | 4, "mode=1777");
	tell(fd, STEP_MOUNT_SHM, result == -ENOENT ? 0 : result);
}

static __attribute__((noreturn, used)) void begin(long *stack)
{
	char **argv = (char **)(stack + 1), **envp = argv + stack[0] + 1;

	if (stack[0] == 3 && argv[1][0] == 't')
		try(parse(argv[2]));
	if (stack[0] >= 4)
		enter(argv, envp);
	leave(125);
}

ENTRY(begin);
