/*
 * Subject: POSIX message queues: attributes, permissions, messages with their priorities in order, one that nobody has open, one that is
 * removed and open, non-blocking ends, a full one with a sender that waits and an empty one with a receiver that waits.
 */
#include "state.h"
#include <mqueue.h>

#define SIZE 120

static char text[SIZE];

static mqd_t make(const char *name, int flags, long capacity)
{
	struct mq_attr attributes = {.mq_maxmsg = capacity, .mq_msgsize = SIZE};

	return MUST(mq_open(name, O_CREAT | O_EXCL | flags, 0620, &attributes));
}

/* Message `i` has a length and bytes of its own. */
static size_t message(int i)
{
	size_t length = (size_t)(i * 37 % SIZE);

	memset(text, 'a' + i, length);
	return length;
}

static void give(mqd_t queue, int i, unsigned int priority)
{
	MUST(mq_send(queue, text, message(i), priority));
}

static void take(mqd_t queue, int i, unsigned int priority)
{
	char got[SIZE];
	unsigned int found = 0;
	ssize_t n = MUST(mq_receive(queue, got, SIZE, &found));

	EQUAL(n, (ssize_t)message(i));
	EQUAL(found, priority);
	CHECK(memcmp(got, text, n) == 0, "other bytes in message %d", i);
}

static long count(mqd_t queue)
{
	struct mq_attr attributes;

	MUST(mq_getattr(queue, &attributes));
	EQUAL(attributes.mq_msgsize, SIZE);
	return attributes.mq_curmsgs;
}

int main(int argc, char **argv)
{
	mqd_t queue, end, closed, removed, again, full, empty, watched;
	struct mq_attr attributes;
	struct sigevent notice = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	struct stat st;
	pid_t sender, receiver;

	state_begin(argc, argv);
	queue = make("/queue", O_RDWR, 8);
	MUST(fchmod(queue, 0640));
	for (int i = 1; i <= 6; i++)
		give(queue, i, i % 3 == 0 ? 0 : i % 3 == 1 ? 32767 : 5);
	end = MUST(mq_open("/queue", O_RDONLY | O_NONBLOCK));
	closed = make("/closed", O_WRONLY, 3);
	give(closed, 7, 1);
	give(closed, 8, 2);
	MUST(mq_close(closed));
	removed = make("/removed", O_RDWR, 2);
	give(removed, 9, 3);
	MUST(mq_unlink("/removed"));
	again = make("/removed", O_RDWR, 2);
	give(again, 10, 4);
	full = make("/full", O_RDWR, 2);
	give(full, 11, 1);
	give(full, 12, 1);
	empty = make("/empty", O_RDWR, 2);
	sender = state_fork();
	if (sender == 0) {
		give(full, 13, 9);
		state_mark("sent");
		_exit(0);
	}
	receiver = state_fork();
	if (receiver == 0) {
		take(empty, 14, 6);
		state_mark("received");
		_exit(0);
	}
	watched = make("/watched", O_RDWR, 2);
	state_until_asleep(sender);
	state_until_asleep(receiver);

	state_ready();
	state_wait_go();

	MUST(mq_getattr(queue, &attributes));
	EQUAL(attributes.mq_maxmsg, 8);
	EQUAL(attributes.mq_curmsgs, 6);
	EQUAL(attributes.mq_flags, 0);
	MUST(mq_getattr(end, &attributes));
	EQUAL(attributes.mq_flags, O_NONBLOCK);
	MUST(fstat(queue, &st));
	EQUAL(st.st_mode & 07777, 0640);
	take(end, 1, 32767);
	take(queue, 4, 32767);
	take(end, 2, 5);
	take(end, 5, 5);
	take(end, 3, 0);
	take(end, 6, 0);
	EQUAL(mq_receive(end, text, SIZE, NULL), -1);
	EQUAL(errno, EAGAIN);
	EQUAL(mq_send(end, text, 1, 0), -1);
	EQUAL(errno, EBADF);
	closed = MUST(mq_open("/closed", O_RDONLY));
	EQUAL(count(closed), 2);
	take(closed, 8, 2);
	take(closed, 7, 1);
	take(removed, 9, 3);
	EQUAL(count(removed), 0);
	EQUAL(count(again), 1);
	MUST(mq_close(again));
	again = MUST(mq_open("/removed", O_RDWR));
	take(again, 10, 4);
	/* The one that waits comes in, ahead of what is there. */
	take(full, 11, 1);
	state_await("sent");
	state_join(sender);
	take(full, 13, 9);
	take(full, 12, 1);
	EQUAL(count(full), 0);
	give(empty, 14, 6);
	state_await("received");
	state_join(receiver);
	EQUAL(count(empty), 0);
	/* No notification is left over. */
	MUST(mq_notify(watched, &notice));
	MUST(mq_notify(watched, NULL));
	MUST(mq_unlink("/queue"));
	MUST(mq_unlink("/closed"));
	MUST(mq_unlink("/removed"));
	MUST(mq_unlink("/full"));
	MUST(mq_unlink("/empty"));
	MUST(mq_unlink("/watched"));
	state_pass();
}
