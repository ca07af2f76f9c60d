/*
 * Subject: pid namespaces inside that of the application: numbers in each of them, who is in which, inits, orphans, sessions and groups from outside, zombies.
 * Cases: levels family entered unused numbers terminal proc
 */
#include "state.h"
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <termios.h>

#define IS(name) (strcmp(state_case, name) == 0)
#define MEMBERS 64
#define LEVELS 8

/* What each process knows itself by; in memory that all share. */
static struct {
	int count, leave, ready;
	int inner;
	struct {
		pid_t outer;
		int seen;
		char identity[512];
	} members[MEMBERS];
} *table;

static int same[MEMBERS][MEMBERS];

static void enter(pid_t process)
{
	int fd = MUST(syscall(SYS_pidfd_open, process, 0));

	MUST(setns(fd, CLONE_NEWPID));
	close(fd);
}

/* A child that is the init of a namespace of its own. By fork(3), so that what the C library does there is done. */
static pid_t fork_inside(void)
{
	if (unshare(CLONE_NEWPID) < 0) {
		if (errno == EPERM)
			state_skip("pid namespaces take CAP_SYS_ADMIN");
		state_fail("unshare: %s", strerror(errno));
	}
	pid_t pid = MUST(fork());

	if (pid == 0)
		state_child_count = 0;
	else
		enter(getpid());
	return pid;
}

/* '=' when children will be in the namespace of their parent, '/' in another, '?' in one that nobody has been in. */
static char children(void)
{
	char own[64] = "", theirs[64] = "";

	MUST(readlink("/proc/self/ns/pid", own, sizeof(own) - 1));
	if (readlink("/proc/self/ns/pid_for_children", theirs, sizeof(theirs) - 1) < 0)
		return '?';
	return strcmp(own, theirs) == 0 ? '=' : '/';
}

static void identify(char *text, size_t size)
{
	char pids[128], groups[128], sessions[128];

	snprintf(text, size, "pid %d parent %d group %d session %d; %s; %s; %s; children %c", getpid(), getppid(), getpgrp(), getsid(0),
		 state_field("/proc/self/status", "NSpid", pids, sizeof(pids)), state_field("/proc/self/status", "NSpgid", groups, sizeof(groups)),
		 state_field("/proc/self/status", "NSsid", sessions, sizeof(sessions)), children());
}

static int enlist(void)
{
	int i = __atomic_fetch_add(&table->inner, 1, __ATOMIC_SEQ_CST);
	char pids[128];

	CHECK(i < MEMBERS, "too many members");
	identify(table->members[i].identity, sizeof(table->members[i].identity));
	table->members[i].outer = atoi(state_field("/proc/self/status", "NSpid", pids, sizeof(pids)));
	__atomic_fetch_add(&table->count, 1, __ATOMIC_SEQ_CST);
	return i;
}

static void verify(int i)
{
	char now[512];

	identify(now, sizeof(now));
	CHECK(strcmp(now, table->members[i].identity) == 0, "it is '%s', was '%s'", now, table->members[i].identity);
	__atomic_store_n(&table->members[i].seen, 1, __ATOMIC_SEQ_CST);
	UNTIL(__atomic_load_n(&table->leave, __ATOMIC_SEQ_CST));
}

/* Any process that is nothing but there. */
__attribute__((noreturn)) static void member(void)
{
	int i = enlist();

	state_wait_go();
	verify(i);
	_exit(0);
}

/* One that waits for all of its children, those that it adopted included. */
__attribute__((noreturn)) static void init(void)
{
	int i = enlist();

	state_wait_go();
	verify(i);
	while (wait(NULL) > 0 || errno == EINTR)
		;
	_exit(0);
}

static void await_members(int count)
{
	UNTIL(__atomic_load_n(&table->count, __ATOMIC_SEQ_CST) == count);
}

static void link_of(int i, char *text, size_t size)
{
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/ns/pid", table->members[i].outer);
	n = MUST(readlink(path, text, size - 1));
	text[n] = 0;
}

static int share(int i, int j)
{
	char a[64], b[64];

	link_of(i, a, sizeof(a));
	link_of(j, b, sizeof(b));
	return strcmp(a, b) == 0;
}

/* The first process: all are there, then all are as they were, and may go. */
static void ready(int count)
{
	await_members(count);
	for (int i = 0; i < count; i++)
		for (int j = 0; j < i; j++)
			same[i][j] = share(i, j);
	state_ready();
	state_wait_go();
	for (int i = 0; i < count; i++)
		UNTIL(__atomic_load_n(&table->members[i].seen, __ATOMIC_SEQ_CST));
	for (int i = 0; i < count; i++)
		for (int j = 0; j < i; j++)
			EQUAL(share(i, j), same[i][j]);
}

static void leave(void)
{
	__atomic_store_n(&table->leave, 1, __ATOMIC_SEQ_CST);
}

/* ------------------------------------------------------------------ levels */

__attribute__((noreturn)) static void level(void)
{
	for (int n = 1;; n++) {
		if (state_fork() == 0)
			member();
		if (n == LEVELS)
			init();
		if (n % 2) {
			/* As unshare(1) does: the parent's children are in the new namespace from now on. */
			MUST(unshare(CLONE_NEWPID));
			if (state_fork() != 0)
				init();
		} else if (fork_inside() != 0) {
			init();
		}
	}
}

static void levels(void)
{
	pid_t first = fork_inside();

	if (first == 0)
		level();
	ready(2 * LEVELS);
	leave();
	state_join(first);
}

/* ------------------------------------------------------------------ family */

static pid_t tids[2];

static void *thread(void *argument)
{
	int i = (int)(long)argument;

	__atomic_store_n(&tids[i], state_tid(), __ATOMIC_SEQ_CST);
	state_wait_go();
	EQUAL(state_tid(), tids[i]);
	EQUAL(syscall(SYS_tgkill, getpid(), tids[i], 0), 0);
	return NULL;
}

/* A member whose parent has ended, and which its init has adopted: a daemon in a session whose leader that was, or an orphan in its group. */
static void leave_orphan(int in_session)
{
	pid_t pid = state_fork();

	if (pid == 0) {
		MUST(in_session ? setsid() : (pid_t)setpgid(0, 0));
		if (state_fork() == 0) {
			UNTIL(getppid() == 1);
			member();
		}
		_exit(0);
	}
	state_join(pid);
}

__attribute__((noreturn)) static void family(void)
{
	pthread_t threads[2];
	int status;
	pid_t pid;

	EQUAL(getpid(), 1);
	EQUAL(getppid(), 0);
	for (long i = 0; i < 2; i++)
		threads[i] = state_thread(thread, (void *)i);
	/* In the group from outside; it cannot end its init by a signal that is not handled. */
	if (state_fork() == 0) {
		int i = enlist();

		state_wait_go();
		MUST(kill(1, SIGTERM));
		MUST(kill(1, SIGKILL));
		verify(i);
		_exit(0);
	}
	/* A group of its own, with a member. */
	if (state_fork() == 0) {
		MUST(setpgid(0, 0));
		if (state_fork() == 0)
			member();
		init();
	}
	/* A session of its own, with a member. */
	if (state_fork() == 0) {
		MUST(setsid());
		if (state_fork() == 0)
			member();
		init();
	}
	leave_orphan(1);
	leave_orphan(0);
	pid = state_fork();
	if (pid == 0)
		_exit(7);
	siginfo_t info;

	MUST(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
	int i = enlist();

	state_wait_go();
	EQUAL(waitpid(pid, &status, 0), pid);
	EQUAL(WEXITSTATUS(status), 7);
	for (int t = 0; t < 2; t++)
		pthread_join(threads[t], NULL);
	verify(i);
	while (wait(NULL) > 0 || errno == EINTR)
		;
	_exit(0);
}

static void families(void)
{
	int held[2], status;
	pid_t ended, killed, first, second;
	char byte;

	first = fork_inside();
	if (first == 0)
		family();
	MUST(pipe(held));
	second = fork_inside();
	if (second == 0) {
		/* One child from before its session, one from after; the pipe shows when both have ended. */
		close(held[0]);
		if (state_fork() == 0)
			member();
		MUST(setsid());
		if (state_fork() == 0)
			member();
		init();
	}
	close(held[1]);
	ended = fork_inside();
	if (ended == 0)
		_exit(3);
	killed = fork_inside();
	if (killed == 0)
		for (;;)
			pause();
	MUST(kill(killed, SIGKILL));
	siginfo_t info;

	MUST(waitid(P_PID, (id_t)ended, &info, WEXITED | WNOWAIT));
	MUST(waitid(P_PID, (id_t)killed, &info, WEXITED | WNOWAIT));
	ready(11);
	EQUAL(waitpid(ended, &status, 0), ended);
	EQUAL(status, 3 << 8);
	EQUAL(waitpid(killed, &status, 0), killed);
	EQUAL(status, SIGKILL);
	/* With its init a namespace ends. */
	MUST(kill(second, SIGKILL));
	EQUAL(read(held[0], &byte, 1), 0);
	EQUAL(waitpid(second, &status, 0), second);
	EQUAL(status, SIGKILL);
	leave();
	state_join(first);
}

/* ------------------------------------------------------------------ entered */

static void entered(void)
{
	pid_t first = fork_inside(), guest, late;

	if (first == 0) {
		if (fork_inside() == 0)
			init();
		int i = enlist();

		state_wait_go();
		verify(i);
		while (wait(NULL) > 0 || errno == EINTR)
			;
		/* Whoever is still there would end with it. */
		UNTIL(__atomic_load_n(&table->leave, __ATOMIC_SEQ_CST) == 2);
		_exit(0);
	}
	await_members(2);
	enter(first);
	guest = state_fork();
	if (guest == 0) {
		EQUAL(getppid(), 0);
		CHECK(getpid() > 1, "a guest is not an init");
		if (state_fork() == 0)
			member();
		init();
	}
	ready(4);
	/* Whoever is made now is in that namespace, too. */
	late = state_fork();
	if (late == 0) {
		CHECK(getpid() > 1 && getppid() == 0, "pid %d, parent %d", getpid(), getppid());
		_exit(0);
	}
	state_join(late);
	leave();
	state_join(guest);
	__atomic_store_n(&table->leave, 2, __ATOMIC_SEQ_CST);
	state_join(first);
}

static void unused(void)
{
	pid_t pid = fork_inside(), child;

	if (pid == 0) {
		MUST(unshare(CLONE_NEWPID));
		int i = enlist();

		state_wait_go();
		verify(i);
		child = state_fork();
		if (child == 0)
			_exit(getpid() == 1 && getppid() == 0 ? 0 : 1);
		state_join(child);
		/* Its init has ended: nobody can be made there any more. */
		EQUAL(fork(), -1);
		EQUAL(errno, ENOMEM);
		_exit(0);
	}
	ready(1);
	leave();
	state_join(pid);
}

/* ------------------------------------------------------------------ numbers */

static int pairs[2], owned[2], lock_file;

static void send_credentials(void)
{
	char byte = 'c';
	struct iovec vector = {&byte, 1};
	union {
		char room[CMSG_SPACE(sizeof(struct ucred))];
		struct cmsghdr header;
	} control = {.header = {CMSG_LEN(sizeof(struct ucred)), SOL_SOCKET, SCM_CREDENTIALS}};
	struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};

	*(struct ucred *)CMSG_DATA(&control.header) = (struct ucred){getpid(), getuid(), getgid()};
	EQUAL(sendmsg(pairs[1], &message, 0), 1);
}

static pid_t receive_credentials(void)
{
	char byte = 0;
	struct iovec vector = {&byte, 1};
	union {
		char room[CMSG_SPACE(sizeof(struct ucred))];
		struct cmsghdr header;
	} control;
	struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};

	EQUAL(recvmsg(pairs[0], &message, 0), 1);
	EQUAL(byte, 'c');
	CHECK(CMSG_FIRSTHDR(&message) && control.header.cmsg_type == SCM_CREDENTIALS, "no credentials came");
	return ((struct ucred *)CMSG_DATA(&control.header))->pid;
}

/* The number of the process of a pidfd, as /proc/self/fdinfo has it: in the namespace of that /proc. */
static int process_of(int fd)
{
	char path[64], value[64];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	return atoi(state_field(path, "Pid", value, sizeof(value)));
}

static void expect_signal(int signal, pid_t sender)
{
	struct timespec none = {0, 0};
	sigset_t set;
	siginfo_t info;

	sigemptyset(&set);
	sigaddset(&set, signal);
	EQUAL(sigtimedwait(&set, &info, &none), signal);
	EQUAL(info.si_pid, sender);
}

static void numbers(void)
{
	sigset_t blocked;
	pid_t first, inner_child = 0;
	int of_inner, one = 1;

	sigemptyset(&blocked);
	for (int signal = SIGRTMIN; signal < SIGRTMIN + 3; signal++)
		sigaddset(&blocked, signal);
	MUST(sigprocmask(SIG_BLOCK, &blocked, NULL));
	MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, pairs));
	MUST(setsockopt(pairs[0], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)));
	MUST(pipe(owned));
	lock_file = MUST(open(state_path("locked"), O_RDWR | O_CREAT, 0666));
	EQUAL(write(lock_file, "x", 1), 1);
	first = fork_inside();
	if (first == 0) {
		struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
		pid_t child = state_fork();

		if (child == 0) {
			/* From the same namespace: its number there. */
			MUST(kill(1, SIGRTMIN));
			send_credentials();
			member();
		}
		MUST(fcntl(lock_file, F_SETLK, &lock));
		MUST(fcntl(owned[0], F_SETOWN, child));
		int own = MUST(syscall(SYS_pidfd_open, child, 0));
		int was = process_of(own);

		await_members(1);
		int i = enlist();

		state_wait_go();
		EQUAL(process_of(own), was);
		EQUAL(syscall(SYS_pidfd_send_signal, own, 0, NULL, 0), 0);
		EQUAL(fcntl(owned[0], F_GETOWN), child);
		expect_signal(SIGRTMIN, child);
		/* From outside: no number. */
		expect_signal(SIGRTMIN + 1, 0);
		verify(i);
		while (wait(NULL) > 0 || errno == EINTR)
			;
		_exit(0);
	}
	await_members(2);
	for (int i = 0; i < 2; i++)
		if (table->members[i].outer != first)
			inner_child = table->members[i].outer;
	MUST(kill(first, SIGRTMIN + 1));
	of_inner = MUST(syscall(SYS_pidfd_open, inner_child, 0));
	MUST(fcntl(owned[1], F_SETOWN, inner_child));
	ready(2);
	EQUAL(process_of(of_inner), inner_child);
	EQUAL(fcntl(owned[1], F_GETOWN), inner_child);
	EQUAL(fcntl(owned[0], F_GETOWN), inner_child);
	/* Who sent it is the first process after a restore. */
	CHECK(receive_credentials() > 0, "the sender of a message is nobody");
	struct flock asked = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};

	MUST(fcntl(lock_file, F_GETLK, &asked));
	EQUAL(asked.l_type, F_WRLCK);
	EQUAL(asked.l_pid, first);
	leave();
	state_join(first);
}

/* ------------------------------------------------------------------ terminal */

static void terminal(void)
{
	int master = MUST(posix_openpt(O_RDWR | O_NOCTTY)), zero = 0;
	char name[64];
	pid_t first, foreground;

	MUST(ioctl(master, TIOCSPTLCK, &zero));
	MUST(ptsname_r(master, name, sizeof(name)));
	first = fork_inside();
	if (first == 0) {
		MUST(setsid());
		int slave = MUST(open(name, O_RDWR)), by_control = MUST(open("/dev/tty", O_RDWR));
		pid_t child = state_fork();

		if (child == 0) {
			MUST(setpgid(0, 0));
			int i = enlist();

			state_wait_go();
			EQUAL(tcgetpgrp(slave), getpid());
			EQUAL(tcgetsid(by_control), 1);
			verify(i);
			_exit(0);
		}
		UNTIL(getpgid(child) == child);
		MUST(tcsetpgrp(slave, child));
		int i = enlist();

		state_wait_go();
		EQUAL(tcgetpgrp(slave), child);
		EQUAL(tcgetpgrp(by_control), child);
		EQUAL(tcgetsid(slave), 1);
		verify(i);
		while (wait(NULL) > 0 || errno == EINTR)
			;
		_exit(0);
	}
	await_members(2);
	MUST(ioctl(master, TIOCGPGRP, &foreground));
	ready(2);
	pid_t now = 0, session = 0;

	MUST(ioctl(master, TIOCGPGRP, &now));
	EQUAL(now, foreground);
	MUST(ioctl(master, TIOCGSID, &session));
	EQUAL(session, first);
	leave();
	state_join(first);
}

/* ------------------------------------------------------------------ proc */

/* As unshare --mount-proc does. */
static void mount_proc(void)
{
	MUST(unshare(CLONE_NEWNS));
	MUST(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
	MUST(mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL));
}

/* The number that the /proc which is mounted now gives this process. */
static int self(void)
{
	char text[32] = "";

	return readlink("/proc/self", text, sizeof(text) - 1) > 0 ? atoi(text) : -1;
}

static void proc(void)
{
	char now[64] = "";
	pid_t first = fork_inside();

	if (first == 0) {
		int i = enlist();
		char parent[64];

		mount_proc();
		identify(table->members[i].identity, sizeof(table->members[i].identity));
		pid_t child = state_fork();

		if (child == 0) {
			MUST(chdir("/proc/1"));
			__atomic_fetch_add(&table->ready, 1, __ATOMIC_SEQ_CST);
			state_wait_go();
			EQUAL(self(), getpid());
			/* The directory is its parent's in the /proc of both. */
			EQUAL(atoi(state_field("status", "NSpid", parent, sizeof(parent))), 1);
			EQUAL(access("/proc/50", F_OK), -1);
			UNTIL(__atomic_load_n(&table->leave, __ATOMIC_SEQ_CST));
			_exit(0);
		}
		/* In a namespace inside, with a /proc on that one. */
		MUST(unshare(CLONE_NEWPID | CLONE_NEWNS));
		pid_t inside = state_fork();

		if (inside == 0) {
			int around = self();

			mount_proc();
			__atomic_fetch_add(&table->ready, 1, __ATOMIC_SEQ_CST);
			state_wait_go();
			EQUAL(self(), 1);
			EQUAL(access("/proc/50", F_OK), -1);
			MUST(umount2("/proc", 0));
			EQUAL(self(), around);
			UNTIL(__atomic_load_n(&table->leave, __ATOMIC_SEQ_CST));
			_exit(0);
		}
		identify(table->members[i].identity, sizeof(table->members[i].identity));
		UNTIL(__atomic_load_n(&table->ready, __ATOMIC_SEQ_CST) == 2);
		__atomic_fetch_add(&table->ready, 1, __ATOMIC_SEQ_CST);
		state_wait_go();
		EQUAL(self(), 1);
		verify(i);
		state_join(child);
		state_join(inside);
		_exit(0);
	}
	UNTIL(__atomic_load_n(&table->ready, __ATOMIC_SEQ_CST) == 3);
	EQUAL(self(), getpid());
	ready(1);
	EQUAL(self(), getpid());
	/* Its own mounts are those that they were: nothing was mounted here. */
	char theirs[64] = "", path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", first);
	MUST(readlink("/proc/self/ns/mnt", now, sizeof(now) - 1));
	MUST(readlink(path, theirs, sizeof(theirs) - 1));
	CHECK(strcmp(now, theirs) != 0, "all share one mount namespace");
	leave();
	state_join(first);
}

int main(int argc, char **argv)
{
	state_begin(argc, argv);
	table = MUST(mmap(NULL, (sizeof(*table) + PAGE - 1) & ~(PAGE - 1), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	if (IS("levels"))
		levels();
	else if (IS("family"))
		families();
	else if (IS("entered"))
		entered();
	else if (IS("unused"))
		unused();
	else if (IS("numbers"))
		numbers();
	else if (IS("terminal"))
		terminal();
	else if (IS("proc"))
		proc();
	else
		state_fail("no such case");
	state_pass();
}
