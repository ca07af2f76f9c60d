/*
 * The init of an application's virtualisation space, and the stub that a restore starts from.
 *
 * Freestanding: no libc, no relocations, no initialised data, so that the flat binary runs at whatever address the
 * ELF file around it names. Everything it is told comes in one configuration block (struct config) that the
 * supervisor writes; everything it has comes as descriptors at fixed numbers (enum fixed_fd).
 *
 * Three processes run this code, one after the other:
 *   starter  started by the supervisor; makes the namespaces, clones the init with CLONE_PARENT, exits
 *   init     pid 1 of the space; mounts proc, clones the main process, then reaps and serves commands
 *   main     joins the application's cgroup, then becomes the program (RUN) or a stub that only pauses (BUILD)
 */
#include <asm/stat.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/poll.h>
#include <linux/sched.h>

#include "freestanding.h"
#include "loading.h"

/* Descriptors as the supervisor puts them. KernelBridge/Spaces/SpaceConfigBlock.cs has the same numbers. */
enum fixed_fd {
	FD_CONFIG = 3,
	FD_REPORT = 4,
	FD_LISTEN = 5,
	FD_EXIT = 6,
	FD_LIFELINE = 7,
	FD_INIT_PROCS = 8,
	FD_APP_PROCS = 9,
	FD_FREEZE = 10,
	FD_SIGNAL = 11,
	FD_TIMER = 12,
	FD_GO = 13,
	FD_INIT_GROUP = 14,
	FD_APP_GROUP = 15,
	FD_EXTRA = 20,
};

enum { MODE_RUN = 1, MODE_BUILD = 2, MODE_STUB = 3 };

enum {
	FLAG_DETACH = 1,      /* the init leaves the caller's session */
	FLAG_OWN_SESSION = 2, /* so does the main process, into one of its own */
	FLAG_CGROUP = 4,      /* the cgroup descriptors are there */
	FLAG_OWN_SHM = 8,     /* a /dev/shm of its own */
	FLAG_OWN_USER = 16,   /* the rights of the supervisor are those of its user namespace, and not the program's */
};

#define CONFIG_MAGIC 0x46534648u /* "HFSF" */
#define MAX_EXTRAS 64

struct config {
	u32 magic;
	u32 size;
	u32 mode;
	u32 flags;
	u32 namespaces;
	s32 want_pid;
	u32 argc;
	u32 envc;
	u32 extra_count;
	u32 hostname_at;
	u32 cwd_at;
	u32 path_at;
	u32 argv_at; /* argc strings, then envc strings, each ended by a zero byte */
	u32 offsets_at; /* the text for timens_offsets */
	u32 extras_at; /* extra_count numbers (s32): what FD_EXTRA + i becomes */
	u32 hostname_length;
	u32 open_files; /* soft RLIMIT_NOFILE of the program; 0 leaves it */
	u32 padding;
};

/* What goes to the supervisor while the space comes up. */
enum { REPORT_INIT = 1, REPORT_MAIN = 2, REPORT_ERROR = 3 };

/* Where it failed; KernelBridge/Spaces/SpaceReport.cs puts them into words. */
enum stage {
	STAGE_CONFIG = 1,
	STAGE_UNSHARE = 2,
	STAGE_TIME_OFFSETS = 3,
	STAGE_INIT_CGROUP = 4,
	STAGE_CLONE_INIT = 5,
	STAGE_SESSION = 6,
	STAGE_PROPAGATION = 7,
	STAGE_MOUNT_PROC = 8,
	STAGE_HOSTNAME = 9,
	STAGE_LOOPBACK = 10,
	STAGE_EVENTS = 11,
	STAGE_CLONE_MAIN = 12,
	STAGE_APP_CGROUP = 13,
	STAGE_CHDIR = 14,
	STAGE_EXTRAS = 15,
	STAGE_EXEC = 16,
	STAGE_MOUNT_SHM = 17,
	STAGE_RIGHTS = 18,
};

struct report {
	u32 kind;
	u32 stage;
	s64 value;
};

/* Commands to the running init. */
enum {
	OP_STATUS = 1,
	OP_ARM = 2,
	OP_DISARM = 3,
	OP_LEASE = 4,
	OP_RELEASE = 5,
	OP_HOLD = 6,
	OP_TAKE = 7,
	OP_DROP = 8,
	OP_THAW = 9,
	OP_KILL = 10,
	OP_FEED = 11,
	OP_LOAD = 12,
};

enum {
	STATUS_ALIVE = 1,
	STATUS_ARMED = 2,
	STATUS_LEASED = 4,
	STATUS_EXPIRED = 8,
	STATUS_CGROUP = 16,
	STATUS_PID_ATTACHED = 32, /* SCM_CREDENTIALS of this reply carries the main process's pid */
	STATUS_LOADING = 64, /* processes of it still lack pages */
};

struct command {
	u32 op;
	u32 reserved;
	u64 arg;
};

struct reply {
	u32 op;
	s32 error;
	u64 value;
	u64 flags;
	u64 remaining;
};

#define CONNECTIONS 16
#define FIXED_POLLED 5
#define HELD 256
#define LONGEST ((u64)1 << 62)

static struct {
	int fd; /* -1: free */
	u32 age;
	int armed;
	u64 deadline;
} connections[CONNECTIONS];

static struct {
	int fd; /* -1: free */
	u64 key;
} held[HELD];

static const struct config *config;
static s32 main_pid;
static u32 next_age;
static int leased, expired, committed;
static u64 lease_end;
static int report_fd;

static const char *at(u32 offset)
{
	return (const char *)config + offset;
}

static long length_of(const char *s)
{
	long n = 0;

	while (s[n])
		n++;
	return n;
}

static long send_report(u32 kind, u32 stage, s64 value)
{
	struct report r = { kind, stage, value };

	return sc3(__NR_write, report_fd, &r, sizeof r);
}

static __attribute__((noreturn)) void fail(enum stage stage, long error)
{
	send_report(REPORT_ERROR, stage, -error);
	/* As env(1) answers; nobody reads it, the report says more. */
	leave(stage == STAGE_EXEC && error == -ENOENT ? 127 : 126);
}

static long check(enum stage stage, long result)
{
	if (result < 0)
		fail(stage, result);
	return result;
}

/* rt_sigprocmask(SIG_SETMASK) with the kernel's 8-byte set. */
static void set_mask(u64 mask)
{
	sc4(__NR_rt_sigprocmask, 2, &mask, 0, 8);
}

/* Like fork, with a chosen pid where want > 0 (clone3, set_tid). */
/* Whether this process was born in its control group. */
static int born_in_group;

/*
 * Into the control group of a descriptor of its directory. Who joins one later, by cgroup.procs, waits for a grace period of the whole
 * machine (cgroup_threadgroup_rwsem), some ten milliseconds; but that works where this is not allowed or not known.
 */
static long fork_with(u64 flags, int exit_signal, s32 want, int group)
{
	struct clone_args args = { 0 };
	long result;

	args.exit_signal = (u64)exit_signal;
	if (want > 0) {
		args.set_tid = (u64)&want;
		args.set_tid_size = 1;
	}
	if (config->flags & FLAG_CGROUP) {
		args.flags = flags | CLONE_INTO_CGROUP;
		args.cgroup = (u64)group;
		born_in_group = 1;
		result = sc2(__NR_clone3, &args, sizeof args);
		if (result >= 0)
			return result;
		born_in_group = 0;
		args.cgroup = 0;
	}
	args.flags = flags;
	result = sc2(__NR_clone3, &args, sizeof args);
	/* A seccomp filter around the supervisor may hide clone3; without a chosen pid clone does the same. */
	if (result == -ENOSYS && want <= 0)
		result = sc5(__NR_clone, flags | (u64)exit_signal, 0, 0, 0, 0);
	return result;
}

/* ---------------------------------------------------------------- the main process */

/* FD_EXTRA + i becomes the number that the configuration asks for; every other descriptor above 2 goes. */
static void place_extras(void)
{
	const s32 *target = (const s32 *)at(config->extras_at);
	u32 n = config->extra_count, i;
	s32 copy[MAX_EXTRAS];
	s32 top = FD_EXTRA + MAX_EXTRAS, low = 3;

	for (i = 0; i < n; i++)
		if (target[i] >= top)
			top = target[i] + 1;
	/* Out of the way of every target first, the report too. */
	report_fd = (int)check(STAGE_EXTRAS, sc3(__NR_fcntl, FD_REPORT, F_DUPFD, top));
	for (i = 0; i < n; i++)
		copy[i] = (s32)check(STAGE_EXTRAS, sc3(__NR_fcntl, FD_EXTRA + i, F_DUPFD, top));
	for (i = 0; i < n; i++)
		check(STAGE_EXTRAS, sc3(__NR_dup3, copy[i], target[i], 0));
	for (;;) {
		s32 next = 0x7fffffff;

		for (i = 0; i < n; i++)
			if (target[i] >= low && target[i] < next)
				next = target[i];
		if (next == 0x7fffffff)
			break;
		if (next > low)
			sc3(__NR_close_range, low, next - 1, 0);
		low = next + 1;
	}
	sc3(__NR_close_range, low, ~0u, 0);
}

static __attribute__((noreturn)) void pause_for_ever(void)
{
	for (;;)
		sc0(__NR_pause);
}

static __attribute__((noreturn)) void become_program(void)
{
	u64 pointers = (u64)config->argc + config->envc + 4;
	const char **table, **argv, **envp;
	const char *string = at(config->argv_at);
	long result;
	u32 i;

	/* Read-write, private and anonymous. One slot ahead of argv is for a shell, see below. */
	result = check(STAGE_EXEC, sc6(__NR_mmap, 0, pointers * 8, 3, 0x22, -1, 0));
	table = (const char **)result;
	argv = table + 1;
	envp = argv + config->argc + 1;
	for (i = 0; i < config->argc; i++, string += length_of(string) + 1)
		argv[i] = string;
	for (i = 0; i < config->envc; i++, string += length_of(string) + 1)
		envp[i] = string;

	/* The ambient ones go with the inheritable ones, capabilities(7). */
	if (config->flags & FLAG_OWN_USER)
		check(STAGE_RIGHTS, set_capabilities(0, 0, 0));
	check(STAGE_CHDIR, sc1(__NR_chdir, at(config->cwd_at)));
	sc3(__NR_close_range, 3, ~0u, 4 /* CLOSE_RANGE_CLOEXEC: the report must last until then */);
	if (config->open_files) {
		u64 limit[2];

		/* RLIMIT_NOFILE; only the soft limit, and only downwards, so that no right is needed. */
		if (sc4(__NR_prlimit64, 0, 7, 0, limit) == 0 && limit[0] > config->open_files) {
			limit[0] = config->open_files;
			sc4(__NR_prlimit64, 0, 7, limit, 0);
		}
	}
	set_mask(0);
	result = sc3(__NR_execve, at(config->path_at), argv, envp);
	if (result == -ENOEXEC) {
		/* A script without "#!": run by the shell, as execvp(3) does. */
		table[0] = "sh";
		argv[0] = at(config->path_at);
		result = sc3(__NR_execve, "/bin/sh", table, envp);
	}
	fail(STAGE_EXEC, result);
}

static __attribute__((noreturn)) void main_process(void)
{
	if ((config->flags & FLAG_CGROUP) && !born_in_group)
		check(STAGE_APP_CGROUP, sc3(__NR_write, FD_APP_PROCS, "0", 1));
	if (config->flags & FLAG_OWN_SESSION)
		check(STAGE_SESSION, sc0(__NR_setsid));
	if (config->mode == MODE_RUN) {
		u8 byte;

		/* Nothing of the application runs before the supervisor knows how to find it. */
		if (sc3(__NR_read, FD_GO, &byte, 1) != 1)
			leave(125);
		become_program();
	}
	place_extras();
	pause_for_ever();
}

/* ---------------------------------------------------------------- the running init */

static u64 now(void)
{
	s64 time[2];

	/* CLOCK_BOOTTIME: a lease runs on while the machine is suspended. */
	sc2(__NR_clock_gettime, 7, time);
	return (u64)time[0] * 1000000000u + (u64)time[1];
}

static void freeze(int on)
{
	sc4(__NR_pwrite64, FD_FREEZE, on ? "1" : "0", 1, 0);
}

static void disarm_and_thaw(int i)
{
	if (!connections[i].armed)
		return;
	connections[i].armed = 0;
	if (!expired)
		freeze(0);
}

static void drop_connection(int i)
{
	sc1(__NR_close, connections[i].fd);
	connections[i].fd = -1;
	if (i == feeder)
		feeder_gone();
	disarm_and_thaw(i);
}

/* Lets everything happen whose time has come, then sets the timer for what comes next. */
static void run_deadlines(void)
{
	u64 time = now(), next = 0;
	u64 setting[4] = { 0 };
	int i;

	if (leased && time >= lease_end) {
		leased = 0;
		expired = 1;
		freeze(1);
	}
	for (i = 0; i < CONNECTIONS; i++)
		if (connections[i].armed && time >= connections[i].deadline)
			disarm_and_thaw(i);
	if (leased)
		next = lease_end;
	for (i = 0; i < CONNECTIONS; i++)
		if (connections[i].armed && (!next || connections[i].deadline < next))
			next = connections[i].deadline;
	setting[2] = next / 1000000000u;
	setting[3] = next % 1000000000u;
	sc4(__NR_timerfd_settime, FD_TIMER, 1 /* TFD_TIMER_ABSTIME */, setting, 0);
}

static void write_number(int fd, int value)
{
	char text[8];
	int n = sizeof text;

	text[--n] = '\n';
	do {
		text[--n] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	/* One write of a few bytes into an empty file: a reader sees nothing or all, the newline says which. */
	sc4(__NR_pwrite64, fd, text + n, sizeof text - n, 0);
	sc1(__NR_fdatasync, fd);
}

/* Memory that cannot be kept right must not be run on: the kernel ends the rest of the space with its init. */
static __attribute__((noreturn)) void give_up(void)
{
	write_number(FD_EXIT, 125);
	leave(125);
}

static int feeder_descriptor(void)
{
	return feeder < 0 ? -1 : connections[feeder].fd;
}

static void reap(void)
{
	for (;;) {
		int status = 0;
		/* WNOHANG | __WALL: threads' and clones' exit signals may be anything. */
		long pid = sc4(__NR_wait4, -1, &status, 1 | 0x40000000, 0);

		if (pid <= 0)
			return;
		if (pid == main_pid) {
			int code = status & 0x7f ? 128 + (status & 0x7f) : status >> 8 & 0xff;

			write_number(FD_EXIT, code);
			/* The kernel ends the rest of the space with its init. */
			leave(code);
		}
	}
}

struct message_header {
	void *name;
	u32 name_length;
	u32 padding;
	void *vector;
	u64 vector_length;
	void *control;
	u64 control_length;
	u32 flags;
};

struct control_header {
	u64 length;
	s32 level;
	s32 type;
};

struct credentials {
	s32 pid;
	u32 uid;
	u32 gid;
};

#define SOL_SOCKET 1
#define SCM_RIGHTS 1
#define SCM_CREDENTIALS 2
#define MSG_DONTWAIT 0x40
#define MSG_CTRUNC 0x08
#define MSG_TRUNC 0x20
#define MSG_NOSIGNAL 0x4000
#define MSG_CMSG_CLOEXEC 0x40000000

static long send_reply(int fd, struct reply *reply, s32 type, const void *data, u64 length)
{
	struct {
		struct control_header header;
		u8 data[16];
	} control = { 0 };
	u64 vector[2] = { (u64)reply, sizeof *reply };
	struct message_header message = { 0 };

	message.vector = vector;
	message.vector_length = 1;
	if (length) {
		control.header.length = sizeof control.header + length;
		control.header.level = SOL_SOCKET;
		control.header.type = type;
		memcpy(control.data, data, length);
		message.control = &control;
		message.control_length = sizeof control.header + ((length + 7) & ~7ull);
	}
	return sc3(__NR_sendmsg, fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static int find_held(u64 key)
{
	int i;

	for (i = 0; i < HELD; i++)
		if (held[i].fd >= 0 && held[i].key == key)
			return i;
	return -1;
}

static int hold(u64 key, s32 *fd)
{
	int i;

	if (find_held(key) >= 0)
		return EEXIST;
	for (i = 0; i < HELD && held[i].fd >= 0; i++)
		;
	if (i == HELD)
		return ENOSPC;
	held[i].fd = *fd;
	held[i].key = key;
	*fd = -1;
	return 0;
}

/* Answers one command; *fd is a descriptor that came with it or -1, and -1 again when it was taken. */
static void answer(int i, const struct command *command, s32 *fd)
{
	struct reply reply = { 0 };
	int grouped = (config->flags & FLAG_CGROUP) != 0;
	int timed = command->arg && command->arg < LONGEST;
	int passed = -1, j;
	s32 copy;

	reply.op = command->op;
	switch (command->op) {
	case OP_STATUS:
		break;
	case OP_ARM:
		if (!grouped)
			reply.error = EOPNOTSUPP;
		else if (!timed)
			reply.error = EINVAL;
		else if (expired)
			reply.error = ESTALE;
		else {
			connections[i].armed = 1;
			connections[i].deadline = now() + command->arg;
		}
		break;
	case OP_DISARM:
		connections[i].armed = 0;
		if (command->arg && grouped && !expired)
			freeze(0);
		break;
	case OP_LEASE:
	case OP_RELEASE:
		if (!grouped) {
			reply.error = EOPNOTSUPP;
			break;
		}
		if (command->op == OP_LEASE && !timed) {
			reply.error = EINVAL;
			break;
		}
		leased = command->op == OP_LEASE;
		lease_end = now() + command->arg;
		if (expired) {
			expired = 0;
			/* A freeze that someone else still watches over is theirs to end. */
			for (j = 0; j < CONNECTIONS && !connections[j].armed; j++)
				;
			if (j == CONNECTIONS)
				freeze(0);
		}
		break;
	case OP_HOLD:
		reply.error = *fd < 0 ? EBADF : hold(command->arg, fd);
		break;
	case OP_TAKE:
	case OP_DROP:
		j = find_held(command->arg);
		if (j < 0) {
			reply.error = ENOENT;
		} else if (command->op == OP_TAKE) {
			passed = held[j].fd;
		} else {
			sc1(__NR_close, held[j].fd);
			held[j].fd = -1;
		}
		break;
	case OP_THAW:
		if (!grouped)
			reply.error = EOPNOTSUPP;
		else if (expired)
			reply.error = ESTALE;
		else
			freeze(0);
		break;
	case OP_KILL:
		/* Everything in this pid namespace but the caller. */
		sc2(__NR_kill, -1, 9);
		break;
	case OP_FEED:
		if (*fd < 0) {
			reply.error = EBADF;
			break;
		}
		if (feeder >= 0 && feeder != i)
			drop_connection(feeder);
		else if (feeder == i)
			feeder_gone();
		reply.error = attach_feeder(i, *fd, command->arg);
		break;
	case OP_LOAD:
		reply.error = *fd < 0 ? EBADF : load_memory(fd, (u32)command->arg, (u32)(command->arg >> 32));
		break;
	default:
		reply.error = EINVAL;
	}

	reply.value = (u64)main_pid;
	reply.flags = STATUS_ALIVE | (connections[i].armed ? STATUS_ARMED : 0) | (leased ? STATUS_LEASED : 0) |
		      (expired ? STATUS_EXPIRED : 0) | (grouped ? STATUS_CGROUP : 0) |
		      (is_loading() ? STATUS_LOADING : 0);
	if (leased) {
		u64 time = now();

		reply.remaining = lease_end > time ? lease_end - time : 0;
	}
	if (passed >= 0) {
		copy = passed;
		if (send_reply(connections[i].fd, &reply, SCM_RIGHTS, &copy, sizeof copy) >= 0)
			return;
	} else if (command->op == OP_STATUS) {
		/* The kernel translates the pid into the receiver's namespace. */
		struct credentials c = { main_pid, (u32)sc0(__NR_getuid), (u32)sc0(__NR_getgid) };

		reply.flags |= STATUS_PID_ATTACHED;
		if (send_reply(connections[i].fd, &reply, SCM_CREDENTIALS, &c, sizeof c) >= 0)
			return;
		reply.flags &= ~(u64)STATUS_PID_ATTACHED;
	}
	/* A client that does not read its answers loses its connection, not our time. */
	if (send_reply(connections[i].fd, &reply, 0, 0, 0) < 0)
		drop_connection(i);
}

static void serve(int i)
{
	union {
		struct command command;
		struct feed feed;
	} received = { .feed = { 0 } };
	struct command command;
	u64 vector[2] = { (u64)&received, sizeof received };
	u64 control[16];
	struct message_header message = { 0 };
	struct control_header *header = (struct control_header *)control;
	s32 *fds = (s32 *)(header + 1);
	s32 fd = -1;
	u32 count = 0, j;
	long n;

	message.vector = vector;
	message.vector_length = 1;
	message.control = control;
	message.control_length = sizeof control;
	n = sc3(__NR_recvmsg, connections[i].fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n == -EAGAIN || n == -EINTR)
		return;
	if (n <= 0) {
		drop_connection(i);
		return;
	}
	command = received.command;
	/* SCM_RIGHTS is the only kind that can come: SO_PASSCRED and the like are off. */
	if (message.control_length >= sizeof *header && header->level == SOL_SOCKET && header->type == SCM_RIGHTS)
		count = (u32)((header->length - sizeof *header) / sizeof(s32));
	if (n != sizeof command || command.reserved || (message.flags & (MSG_TRUNC | MSG_CTRUNC)))
		command.op = 0;
	if (i == feeder && n == sizeof received.feed && count == 0) {
		serve_feed(&received.feed);
		return;
	}
	if (count == 1)
		fd = fds[0];
	answer(i, &command, &fd);
	if (count == 1 && fd >= 0)
		sc1(__NR_close, fd);
	for (j = 0; count > 1 && j < count; j++)
		sc1(__NR_close, fds[j]);
}

static void accept_connection(void)
{
	struct credentials peer = { 0 };
	u32 length = sizeof peer;
	/* SOCK_CLOEXEC | SOCK_NONBLOCK */
	long fd = sc4(__NR_accept4, FD_LISTEN, 0, 0, 02000000 | 04000);
	int i, slot = -1;

	if (fd < 0)
		return;
	/*
	 * SO_PEERCRED. A peer of this pid namespace has a pid here: it is the application, which must not rule its own
	 * lease. Outside the namespace only root and our own user are heard.
	 */
	if (sc5(__NR_getsockopt, fd, SOL_SOCKET, 17, &peer, &length) < 0 || peer.pid != 0 ||
	    (peer.uid != 0 && peer.uid != (u32)sc0(__NR_getuid))) {
		sc1(__NR_close, fd);
		return;
	}
	for (i = 0; i < CONNECTIONS; i++)
		if (connections[i].fd < 0)
			break;
	if (i == CONNECTIONS) {
		/* Clients that only sit there make room, the oldest first; one that watches over a freeze stays. */
		for (i = 0; i < CONNECTIONS; i++)
			if (!connections[i].armed && (slot < 0 || connections[i].age < connections[slot].age))
				slot = i;
		if (slot < 0) {
			sc1(__NR_close, fd);
			return;
		}
		i = slot;
		drop_connection(i);
	}
	connections[i].fd = (int)fd;
	connections[i].age = next_age++;
	connections[i].armed = 0;
}

/* The supervisor lives until the space is committed, or the space goes with it. */
static void read_lifeline(void)
{
	u8 byte;
	long n = sc3(__NR_read, FD_LIFELINE, &byte, 1);

	if (n == -EAGAIN || n == -EINTR)
		return;
	if (n != 1)
		leave(125);
	committed = 1;
	sc1(__NR_close, FD_LIFELINE);
}

static __attribute__((noreturn)) void run_init(void)
{
	struct pollfd polled[FIXED_POLLED + CONNECTIONS];
	/* A little while, in nanoseconds: what the kernel refuses now has to wait for a thread of the application. */
	s64 soon[2] = { 0, 100000 };
	u8 drain[128];
	int i, waits;
	long n;

	for (;;) {
		reap();
		run_deadlines();
		polled[0].fd = FD_SIGNAL;
		polled[1].fd = FD_TIMER;
		polled[2].fd = FD_LISTEN;
		polled[3].fd = committed ? -1 : FD_LIFELINE;
		polled[4].fd = is_loading() ? (int)memory_events : -1;
		for (i = 0; i < CONNECTIONS; i++)
			/* What the feeder says next waits for what it said last. */
			polled[FIXED_POLLED + i].fd = i == feeder && feed_is_pending ? -1 : connections[i].fd;
		for (i = 0; i < FIXED_POLLED + CONNECTIONS; i++) {
			polled[i].events = POLLIN;
			polled[i].revents = 0;
		}
		waits = loading_waits();
		n = sc5(__NR_ppoll, polled, FIXED_POLLED + CONNECTIONS, waits ? soon : 0, 0, 8);
		soon[1] = 100000;
		if (n < 0)
			continue;
		if (polled[4].revents)
			read_memories();
		if (waits)
			loading_retry();
		if (polled[0].revents)
			sc3(__NR_read, FD_SIGNAL, drain, sizeof drain);
		if (polled[1].revents)
			sc3(__NR_read, FD_TIMER, drain, 8);
		if (polled[3].revents)
			read_lifeline();
		for (i = 0; i < CONNECTIONS; i++)
			if (polled[FIXED_POLLED + i].revents && connections[i].fd == polled[FIXED_POLLED + i].fd)
				serve(i);
		if (polled[2].revents)
			accept_connection();
	}
}

/* ---------------------------------------------------------------- bringing the space up */

/* struct ifreq of netdevice(7), as far as the flags go. */
struct interface_flags {
	char name[16];
	__s16 flags;
	u8 rest[22];
};

static void raise_loopback(void)
{
	struct interface_flags lo = { { 'l', 'o' }, 1 /* IFF_UP */, { 0 } };
	/* AF_INET, SOCK_DGRAM | SOCK_CLOEXEC */
	long fd = check(STAGE_LOOPBACK, sc3(__NR_socket, 2, 2 | 02000000, 0));

	check(STAGE_LOOPBACK, sc3(__NR_ioctl, fd, 0x8914 /* SIOCSIFFLAGS */, &lo));
	sc1(__NR_close, fd);
}

/*
 * Pseudo-terminals of its own, so that the numbers of the application's are free wherever it is restored. The terminal that it
 * was started on is not among them: as /dev/console it still has a name that ttyname(3) finds. Without the right to mount, or
 * without /dev/pts, those of the host are used.
 */
static void own_terminals(void)
{
	char path[24] = "/dev/pts/";
	struct stat st;
	u32 number, n = 9, power = 1;
	int i;

	for (i = 0; i < 3; i++)
		/* UNIX98_PTY_SLAVE_MAJOR */
		if (sc2(__NR_fstat, i, &st) == 0 && (st.st_mode & 0170000) == 0020000 && (st.st_rdev >> 8 & 0xfff) == 136)
			break;
	if (i < 3) {
		number = (u32)(st.st_rdev & 0xff) | (u32)(st.st_rdev >> 12 & 0xfff00);
		while (number / power >= 10)
			power *= 10;
		for (; power; power /= 10)
			path[n++] = (char)('0' + number / power % 10);
		path[n] = 0;
		/* MS_BIND */
		sc5(__NR_mount, path, "/dev/console", 0, 4096, 0);
	}
	/* MS_NOSUID | MS_NOEXEC; 5 is the group tty everywhere, but not in every user namespace. */
	if (sc5(__NR_mount, "devpts", "/dev/pts", "devpts", 2 | 8, "newinstance,ptmxmode=0666,mode=0620,gid=5") == -EINVAL)
		sc5(__NR_mount, "devpts", "/dev/pts", "devpts", 2 | 8, "newinstance,ptmxmode=0666,mode=0620");
}

static void move_to(long fd, int number, int flags)
{
	check(STAGE_EVENTS, fd);
	if (fd == number)
		return;
	check(STAGE_EVENTS, sc3(__NR_dup3, fd, number, flags));
	sc1(__NR_close, fd);
}

/* pid 1 of the space. */
static __attribute__((noreturn)) void init_process(void)
{
	u64 child_signal = 1ull << (17 - 1);
	long result;
	int i;

	if ((config->flags & FLAG_CGROUP) && !born_in_group)
		check(STAGE_INIT_CGROUP, sc3(__NR_write, FD_INIT_PROCS, "0", 1));
	if (config->flags & FLAG_DETACH)
		check(STAGE_SESSION, sc0(__NR_setsid));
	/*
	 * Slave, not private: a file system that the host unmounts goes away here too and is not kept busy by us; what is
	 * mounted here never shows on the host. MS_REC | MS_SLAVE.
	 */
	check(STAGE_PROPAGATION, sc5(__NR_mount, 0, "/", 0, 0x4000 | 0x80000, 0));
	/* MS_NOSUID | MS_NODEV | MS_NOEXEC */
	check(STAGE_MOUNT_PROC, sc5(__NR_mount, "proc", "/proc", "proc", 2 | 4 | 8, 0));
	own_terminals();
	if (config->flags & FLAG_OWN_SHM) {
		/* MS_NOSUID | MS_NODEV; where the host has no such directory, there is nothing to separate. */
		result = sc5(__NR_mount, "shm", "/dev/shm", "tmpfs", 2 | 4, "mode=1777");
		if (result != -ENOENT)
			check(STAGE_MOUNT_SHM, result);
	}
	if ((config->namespaces & CLONE_NEWUTS) && config->hostname_length)
		check(STAGE_HOSTNAME, sc2(__NR_sethostname, at(config->hostname_at), config->hostname_length));
	if (config->namespaces & CLONE_NEWNET)
		raise_loopback();
	/* SFD_NONBLOCK | SFD_CLOEXEC and TFD_NONBLOCK | TFD_CLOEXEC are the same bits. */
	move_to(sc4(__NR_signalfd4, -1, &child_signal, 8, 02004000), FD_SIGNAL, 02000000);
	move_to(sc2(__NR_timerfd_create, 7, 02004000), FD_TIMER, 02000000);
	for (i = 0; i < CONNECTIONS; i++)
		connections[i].fd = -1;
	for (i = 0; i < HELD; i++)
		held[i].fd = -1;
	loading_begin();

	result = check(STAGE_CLONE_MAIN, fork_with(0, 17 /* SIGCHLD */, config->want_pid, FD_APP_GROUP));
	if (result == 0)
		main_process();
	main_pid = (s32)result;
	/* PR_SET_NAME */
	sc2(__NR_prctl, 15, "holdfast-init");
	/* The application's streams are not ours to keep open; nor is its directory. */
	sc1(__NR_chdir, "/");
	result = sc3(__NR_open, "/dev/null", O_RDWR, 0);
	for (i = 0; i < 3; i++)
		if (result >= 0)
			sc3(__NR_dup3, result, i, 0);
		else
			sc1(__NR_close, i);
	sc3(__NR_close_range, FD_EXTRA, ~0u, 0);
	if (result > 2)
		sc1(__NR_close, result);
	sc1(__NR_close, FD_CONFIG);
	sc1(__NR_close, FD_GO);
	if (config->flags & FLAG_CGROUP) {
		sc1(__NR_close, FD_INIT_PROCS);
		sc1(__NR_close, FD_APP_PROCS);
		sc1(__NR_close, FD_INIT_GROUP);
		sc1(__NR_close, FD_APP_GROUP);
	}
	if (send_report(REPORT_MAIN, 0, main_pid) < 0)
		leave(125);
	sc1(__NR_close, FD_REPORT);
	run_init();
}

static void write_time_offsets(void)
{
	const char *text = at(config->offsets_at);
	long fd;

	if (!(config->namespaces & CLONE_NEWTIME) || !*text)
		return;
	fd = check(STAGE_TIME_OFFSETS, sc3(__NR_open, "/proc/self/timens_offsets", O_WRONLY, 0));
	check(STAGE_TIME_OFFSETS, sc3(__NR_write, fd, text, length_of(text)));
	sc1(__NR_close, fd);
}

static void read_config(void)
{
	u32 head[2] = { 0 };
	long result;

	if (sc4(__NR_pread64, FD_CONFIG, head, sizeof head, 0) != sizeof head || head[0] != CONFIG_MAGIC ||
	    head[1] < sizeof *config)
		fail(STAGE_CONFIG, -EPROTO);
	/* PROT_READ, MAP_PRIVATE */
	result = check(STAGE_CONFIG, sc6(__NR_mmap, 0, head[1], 1, 2, FD_CONFIG, 0));
	config = (const struct config *)result;
	if (config->extra_count > MAX_EXTRAS)
		fail(STAGE_CONFIG, -EPROTO);
}

static __attribute__((noreturn, used)) void starter(void)
{
	long result;

	/* Only init.c's own children change this again; signals never end or stop an init or a stub. */
	set_mask(~0ull);
	report_fd = FD_REPORT;
	read_config();
	/* What the supervisor itself had inherited open is nobody's here. */
	sc3(__NR_close_range, FD_EXTRA + config->extra_count, ~0u, 0);
	sc3(__NR_close_range, config->flags & FLAG_CGROUP ? FD_SIGNAL : FD_INIT_PROCS, FD_GO - 1, 0);
	sc3(__NR_close_range, config->flags & FLAG_CGROUP ? FD_APP_GROUP + 1 : FD_GO + 1, FD_EXTRA - 1, 0);

	if (config->mode == MODE_STUB) {
		result = check(STAGE_CLONE_MAIN, fork_with(CLONE_PARENT, 0, config->want_pid, FD_APP_GROUP));
		if (result == 0)
			main_process();
		send_report(REPORT_MAIN, 0, result);
		leave(0);
	}

	check(STAGE_UNSHARE, sc1(__NR_unshare, config->namespaces));
	write_time_offsets();
	/* CLONE_PARENT: the supervisor is the init's parent. The exit signal is then that of this process, SIGCHLD. */
	result = check(STAGE_CLONE_INIT, fork_with(CLONE_PARENT, 0, 0, FD_INIT_GROUP));
	if (result == 0)
		init_process();
	/* The pid in this process's namespace, which is the supervisor's. */
	send_report(REPORT_INIT, 0, result);
	leave(0);
}

ENTRY(starter);
