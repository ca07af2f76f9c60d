/*
 * Holds the sockets of an application that was ended with its snapshot, so that nobody at their other ends learns of it, and gives
 * them to a restore of that snapshot.
 *
 *   holdfast-keep PATH SECONDS
 *
 * Descriptor 3 listens at PATH; over descriptor 4 come the sockets, one a message, each with the number that the image gives it.
 * Both are SOCK_SEQPACKET. Whoever connects and is of the same user sends "take" and gets them all, a copy each; "done" ends this
 * program, and so do "drop" and the end of the time. A restore that dies in between leaves everything as it was.
 * unix(7), cmsg(3).
 */
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/poll.h>
#include <linux/socket.h>

#include "freestanding.h"

enum { LISTENER = 3, SOURCE = 4, MAXIMUM = 16384, SCM_RIGHTS = 1, SOL_SOCKET = 1, SO_PEERCRED = 17, NOSIGNAL = 0x4000, CLOEXEC_CMSG = 0x40000000 };

/* What is sent in either direction. */
struct word {
	u64 number;
	u64 what;
};

enum { SOCKET = 1, END = 2, TAKE = 3, DONE = 4, DROP = 5 };

struct vector {
	void *base;
	u64 length;
};

struct message {
	void *name;
	u32 name_length;
	struct vector *parts;
	u64 part_count;
	void *control;
	u64 control_length;
	u32 flags;
};

struct rights {
	u64 length;
	s32 level;
	s32 type;
	s32 descriptor;
	s32 padding;
};

static struct {
	u64 number;
	int descriptor;
} kept[MAXIMUM];
static u32 count;

static long receive(long from, struct word *word, int *descriptor)
{
	struct rights rights = { 0 };
	struct vector part = { word, sizeof *word };
	struct message message = { .parts = &part, .part_count = 1, .control = &rights, .control_length = sizeof rights };
	long n;

	*descriptor = -1;
	do
		n = sc3(__NR_recvmsg, from, &message, CLOEXEC_CMSG);
	while (n == -EINTR);
	if (n > 0 && message.control_length >= 20 && rights.level == SOL_SOCKET && rights.type == SCM_RIGHTS)
		*descriptor = rights.descriptor;
	return n == sizeof *word ? 1 : n == 0 ? 0 : -1;
}

static long send(long to, u64 what, u64 number, int descriptor)
{
	struct word word = { number, what };
	struct rights rights = { 20, SOL_SOCKET, SCM_RIGHTS, descriptor, 0 };
	struct vector part = { &word, sizeof word };
	struct message message = { .parts = &part, .part_count = 1 };
	long n;

	if (descriptor >= 0) {
		message.control = &rights;
		message.control_length = sizeof rights;
	}
	do
		n = sc3(__NR_sendmsg, to, &message, NOSIGNAL);
	while (n == -EINTR);
	return n == sizeof word;
}

static __attribute__((noreturn)) void end(const char *path)
{
	sc1(__NR_unlink, path);
	leave(0);
}

/* Returns when whoever asked is gone. */
static void serve(long client, const char *path)
{
	struct word word;
	int descriptor;
	u32 i;

	while (receive(client, &word, &descriptor) > 0) {
		if (descriptor >= 0)
			sc1(__NR_close, descriptor);
		if (word.what == DONE || word.what == DROP) {
			sc1(__NR_unlink, path);
			send(client, END, 0, -1);
			leave(0);
		}
		for (i = 0; word.what == TAKE && i < count; i++)
			if (!send(client, SOCKET, kept[i].number, kept[i].descriptor))
				return;
		send(client, END, count, -1);
	}
}

static int is_ours(long client)
{
	u32 credentials[3], length = sizeof credentials;

	return sc5(__NR_getsockopt, client, SOL_SOCKET, SO_PEERCRED, credentials, &length) == 0 &&
	       (credentials[1] == (u32)sc0(__NR_geteuid) || credentials[1] == 0);
}

static s64 now(void)
{
	s64 time[2];

	/* CLOCK_BOOTTIME */
	sc2(__NR_clock_gettime, 7, time);
	return time[0];
}

static __attribute__((noreturn)) void keep(const char *path, s64 seconds)
{
	s64 until = now() + seconds;
	struct word word;
	int descriptor;
	long i;

	/* Whoever waits for the end of what was our standard output does not wait for us. */
	for (i = 0; i < 3; i++)
		sc1(__NR_close, i);
	sc3(__NR_open, "/dev/null", O_RDWR, 0);
	sc2(__NR_dup2, 0, 1);
	sc2(__NR_dup2, 0, 2);
	sc3(__NR_close_range, SOURCE + 1, ~0u, 0);
	sc1(__NR_chdir, "/");
	sc0(__NR_setsid);
	/* PR_SET_NAME */
	sc5(__NR_prctl, 15, "holdfast-keep", 0, 0, 0);
	while (receive(SOURCE, &word, &descriptor) > 0 && word.what == SOCKET && descriptor >= 0 && count < MAXIMUM) {
		kept[count].number = word.number;
		kept[count++].descriptor = descriptor;
	}
	/* Also when it ended early: who sent them is gone, and the application with him or not. */
	if (word.what != END || !send(SOURCE, END, count, -1))
		end(path);
	/* From here on they are ours; without a word more, who sent them changed his mind. */
	if (receive(SOURCE, &word, &descriptor) <= 0 || word.what != DONE)
		end(path);
	sc1(__NR_close, SOURCE);
	for (;;) {
		struct pollfd poll = { LISTENER, POLLIN, 0 };
		s64 left = until - now();
		long client;

		if (left <= 0)
			end(path);
		sc3(__NR_poll, &poll, 1, left > 86400 ? 86400000 : left * 1000);
		if (!(poll.revents & POLLIN))
			continue;
		client = sc4(__NR_accept4, LISTENER, 0, 0, O_CLOEXEC);
		if (client < 0)
			continue;
		if (is_ours(client))
			serve(client, path);
		sc1(__NR_close, client);
	}
}

static __attribute__((noreturn, used)) void begin(long *stack)
{
	char **argv = (char **)(stack + 1);
	long child;

	if (stack[0] != 3)
		leave(125);
	/* Nobody's child: who started it waits for the first of the two only. SIGCHLD. */
	child = sc5(__NR_clone, 17, 0, 0, 0, 0);
	if (child == 0)
		keep(argv[1], (s64)parse(argv[2]));
	leave(child < 0 ? 125 : 0);
}

ENTRY(begin);
