// SPDX-License-Identifier: MIT
/*
 * One conversation with the supervisor. It is led by a second thread, which gives up the table of descriptors that it shares with the application: its
 * socket has no number that the application could close, take for its own, or find taken, and nothing of it is left when that thread has ended.
 * The C library does not know of it, so that nothing is allocated for it: it makes system calls and uses no thread-local variable, since those
 * that it has are the checkpoint thread's.
 */
#include "../uapi/ckpt.h"
#include "intercept.h"

#include <linux/close_range.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <poll.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>

enum {
	CONNECTING,
	WORKING, // the checkpoint thread does what was asked
	DONE,	 // it is done
	OVER,	 // nobody is asked any more
};

static char stack[16384] __attribute__((aligned(16)));
// Its thread id while it is there; the kernel sets both (CLONE_CHILD_CLEARTID).
static atomic_uint other;

static struct {
	atomic_uint turn;
	atomic_uint staged; // how often there was something to say
	atomic_bool gone;   // nobody waits for an answer
	uint64_t nonce;
	uint32_t time;
	uint32_t hold;
	bool refused;
	bool unflushed;
	char stage[CKPT_TEXT];
	char refusal[CKPT_TEXT];
} talk;

static bool send_message(int fd, uint32_t kind, uint32_t value, const char *text)
{
	struct ckpt_message message = { .kind = kind, .value = value };

	copy_text(message.text, text);
	return sys6(SYS_sendto, fd, &message, sizeof(message), MSG_NOSIGNAL, 0, 0) == sizeof(message);
}

// A message, and the descriptor that came with it, or -1.
static bool take_message(int fd, struct ckpt_message *message, int *barrier)
{
	struct iovec data = { message, sizeof(*message) };
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
	struct msghdr header = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	const struct cmsghdr *rights = (const struct cmsghdr *)control;

	*barrier = -1;
	if (sys3(SYS_recvmsg, fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != sizeof(*message))
		return false;
	if (header.msg_controllen >= CMSG_LEN(sizeof(int)) && rights->cmsg_level == SOL_SOCKET && rights->cmsg_type == SCM_RIGHTS)
		*barrier = *(const int *)(rights + 1);
	return true;
}

// One that is whole and of that kind, waited for at most so many ms.
static bool receive(int fd, uint32_t kind, int time, struct ckpt_message *message, int *barrier)
{
	struct pollfd poll = { .fd = fd, .events = POLLIN };
	int64_t end = now() + time * 1000000LL;

	for (;;) {
		int64_t left = (end - now()) / 1000000;
		long result = sys3(SYS_poll, &poll, 1, left > 0 ? left : 0);

		if (result == -EINTR && left > 0)
			continue;
		return result == 1 && take_message(fd, message, barrier) && message->kind == kind;
	}
}

// Where the supervisor has the kernel module, the processes wait for each other there. False: there is no supervisor any more.
static bool come_together(int barrier)
{
	struct ckpt_arrive call = { .size = sizeof(call) };
	long result;

	do
		result = sys3(SYS_ioctl, barrier, CKPT_ARRIVE, &call);
	while (result == -EINTR);
	return result != -ECANCELED;
}

static int reach(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	static const char digits[] = "0123456789abcdef", before[] = "holdfast-ckpt-";
	int length = 1, fd;

	for (const char *from = before; *from; from++)
		address.sun_path[length++] = *from;
	for (int shift = 60; shift >= 0; shift -= 4)
		address.sun_path[length++] = digits[(talk.nonce >> shift) & 15];
	// Its own table from here on, and an empty one: no pipe of the application stays open for longer because of it.
	if (sys3(SYS_close_range, 0, ~0U, CLOSE_RANGE_UNSHARE) < 0)
		return -1;
	fd = sys3(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 || sys3(SYS_connect, fd, &address, offsetof(struct sockaddr_un, sun_path) + length) < 0)
		return -1;
	return fd;
}

static bool hears_the_end(int fd)
{
	struct pollfd poll = { .fd = fd, .events = POLLIN };

	// The supervisor says nothing while it waits: whatever comes is the end.
	return sys3(SYS_poll, &poll, 1, 0) == 1;
}

static void lead(void)
{
	struct ckpt_message message;
	unsigned int staged = 0;
	int fd = reach(), barrier;

	if (fd < 0 || !send_message(fd, CKPT_SAY_HELLO, 0, NULL) || !receive(fd, CKPT_SAY_PREPARE, 10000, &message, &barrier))
		return;
	talk.time = message.value;
	atomic_store(&talk.turn, WORKING);
	wake_all(&talk.turn);
	while (atomic_load(&talk.turn) == WORKING) {
		unsigned int said = atomic_load(&talk.staged);

		if (hears_the_end(fd))
			return;
		if (said != staged) {
			send_message(fd, CKPT_SAY_STAGE, 0, talk.stage);
			staged = said;
		}
		wait_while(&talk.turn, WORKING, 20000000);
	}
	if (talk.refused) {
		send_message(fd, CKPT_SAY_REFUSED, 0, talk.refusal);
		return;
	}
	if (send_message(fd, CKPT_SAY_READY, talk.unflushed, NULL) && receive(fd, CKPT_SAY_HOLD, talk.time + 10000, &message, &barrier))
		talk.hold = barrier < 0 || come_together(barrier) ? message.second : 0;
}

// Its descriptors are closed by its end, which the supervisor sees.
static void lead_and_end(void)
{
	sys2(SYS_prctl, PR_SET_NAME, "holdfast-talk");
	lead();
	atomic_store(&talk.gone, true);
	atomic_store(&talk.turn, OVER);
	wake_all(&talk.turn);
}

// A thread as clone(2) makes it; what it begins with has to end by SYS_exit, not by a return.
static bool begin_other(void (*start)(void))
{
	register atomic_uint *set __asm__("r10") = &other;
	long result;

	__asm__ volatile("syscall\n"
			 "test %%rax, %%rax\n"
			 "jnz 1f\n"
			 "xor %%ebp, %%ebp\n"
			 "call *%[start]\n"
			 "mov %[exit], %%eax\n"
			 "xor %%edi, %%edi\n"
			 "syscall\n"
			 "hlt\n"
			 "1:"
			 : "=a"(result)
			 : "a"(SYS_clone),
			   "D"(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID),
			   "S"(stack + sizeof(stack)), "d"(&other), "r"(set), [start] "b"(start), [exit] "i"(SYS_exit)
			 : "rcx", "r11", "memory");
	return result > 0;
}

static void stage(const char *text)
{
	copy_text(talk.stage, text);
	atomic_fetch_add(&talk.staged, 1);
}

static bool called_off(void)
{
	return atomic_load(&talk.gone);
}

uint32_t ckpt_talk(uint64_t nonce, bool (*prepare)(struct ckpt_work *work), bool *asked)
{
	struct ckpt_work work = { .stage = stage, .called_off = called_off };
	unsigned int working = WORKING;
	unsigned int tid;

	*asked = false;
	talk.nonce = nonce;
	talk.hold = 0;
	talk.refused = false;
	talk.stage[0] = talk.refusal[0] = 0;
	atomic_store(&talk.gone, false);
	atomic_store(&talk.staged, 0);
	atomic_store(&talk.turn, CONNECTING);
	if (!begin_other(lead_and_end))
		return 0;
	while (atomic_load(&talk.turn) == CONNECTING)
		wait_while(&talk.turn, CONNECTING, -1);
	if (atomic_load(&talk.turn) == WORKING) {
		*asked = true;
		work.deadline = now() + talk.time * 1000000LL;
		talk.refused = !prepare(&work);
		talk.unflushed = work.unflushed;
		copy_text(talk.refusal, work.refusal);
		if (atomic_compare_exchange_strong(&talk.turn, &working, DONE))
			wake_all(&talk.turn);
	}
	while ((tid = atomic_load(&other)))
		sys4(SYS_futex, &other, FUTEX_WAIT, tid, NULL);
	return talk.refused ? 0 : talk.hold;
}
