/*
 * Subject: System V message queues: identifier, key, mode, owners, capacity, messages with types, lengths and order, who sent and received last;
 * a process that waits for a message, and one that waits for room.
 */
#include "state.h"
#include <sys/ipc.h>
#include <sys/msg.h>

#define KEY 0x48460021
#define COUNT 40

struct message {
	long type;
	unsigned char bytes[8192];
};

static struct message message;

static void send_number(int queue, int number, size_t size)
{
	message.type = number % 7 + 1;
	state_fill(message.bytes, size, (uint64_t)number + 1);
	MUST(msgsnd(queue, &message, size, 0));
}

static void expect_number(int queue, long type, int number, size_t size)
{
	EQUAL(msgrcv(queue, &message, sizeof(message.bytes), type, IPC_NOWAIT), size);
	EQUAL(message.type, number % 7 + 1);
	CHECK_FILL(message.bytes, size, (uint64_t)number + 1);
}

int main(int argc, char **argv)
{
	struct msqid_ds status;

	state_begin(argc, argv);
	for (int i = 0; i < 3; i++)
		MUST(msgctl(MUST(msgget(IPC_PRIVATE, 0600)), IPC_RMID, NULL));
	int queue = MUST(msgget(KEY, IPC_CREAT | IPC_EXCL | 0640)), small = MUST(msgget(KEY + 1, IPC_CREAT | 0600)), empty = MUST(msgget(IPC_PRIVATE, 0600));

	for (int i = 0; i < COUNT; i++)
		send_number(queue, i, i == 20 ? 8192 : (size_t)i * 3);
	MUST(msgctl(queue, IPC_STAT, &status));
	status.msg_perm.uid = state_user(2000);
	status.msg_perm.gid = state_group(2001);
	MUST(msgctl(queue, IPC_SET, &status));
	/* It holds more than it may. */
	send_number(small, 1, 300);
	MUST(msgctl(small, IPC_STAT, &status));
	status.msg_qbytes = 200;
	MUST(msgctl(small, IPC_SET, &status));
	pid_t child = state_fork(), reader, writer;

	if (child == 0) {
		send_number(queue, COUNT, 10);
		expect_number(queue, 0, 0, 0);
		state_mark("child");
		state_await("done");
		_exit(0);
	}
	state_await("child");
	reader = state_fork();
	if (reader == 0) {
		EQUAL(msgrcv(empty, &message, 100, 5, 0), 4);
		CHECK(memcmp(message.bytes, "five", 4) == 0, "received %.4s", message.bytes);
		_exit(0);
	}
	writer = state_fork();
	if (writer == 0) {
		send_number(small, 2, 150);
		_exit(0);
	}
	state_until_asleep(reader);
	state_until_asleep(writer);
	state_ready();
	state_wait_go();

	MUST(msgctl(queue, IPC_STAT, &status));
	EQUAL(status.msg_perm.__key, KEY);
	EQUAL(status.msg_perm.mode, 0640);
	EQUAL(status.msg_perm.uid, state_user(2000));
	EQUAL(status.msg_perm.gid, state_group(2001));
	EQUAL(status.msg_perm.cuid, state_user(0));
	EQUAL(status.msg_qnum, COUNT);
	EQUAL(status.msg_lspid, child);
	EQUAL(status.msg_lrpid, child);
	EQUAL(msgget(KEY, 0), queue);
	/* One out of the middle, by its type, then the others in order. */
	expect_number(queue, 6, 5, 15);
	for (int i = 1; i <= COUNT; i++)
		if (i != 5)
			expect_number(queue, 0, i, i == COUNT ? 10 : i == 20 ? 8192 : (size_t)i * 3);
	EQUAL(msgrcv(queue, &message, sizeof(message.bytes), 0, IPC_NOWAIT), -1);
	EQUAL(errno, ENOMSG);
	message.type = 4;
	MUST(msgsnd(empty, &message, 4, 0));
	message.type = 5;
	memcpy(message.bytes, "five", 4);
	MUST(msgsnd(empty, &message, 4, 0));
	state_join(reader);
	MUST(msgctl(empty, IPC_STAT, &status));
	EQUAL(status.msg_qnum, 1);
	MUST(msgctl(small, IPC_STAT, &status));
	EQUAL(status.msg_qbytes, 200);
	EQUAL(status.msg_qnum, 1);
	expect_number(small, 0, 1, 300);
	state_join(writer);
	expect_number(small, 0, 2, 150);
	state_mark("done");
	state_join(child);
	MUST(msgctl(queue, IPC_RMID, NULL));
	state_pass();
}
