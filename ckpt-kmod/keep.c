// SPDX-License-Identifier: GPL-2.0
/*
 * What has to be changed of a socket to look into it as a whole, and is put
 * back with the session: the place of the next look (SO_PEEK_OFF), and the room
 * for what is still on its way to a receiver that has none.
 */
#include <linux/file.h>
#include <linux/net.h>
#include <linux/slab.h>
#include <net/net_namespace.h>
#include <net/sock.h>

#include "session.h"

struct ckpt_kept {
	struct list_head list;
	struct file *file;
	int peek_offset;
	int receive_buffer;
	u8 locks;
};

static void ckpt_put_back(struct ckpt_session *session, struct ckpt_kept *kept)
{
	struct socket *socket = sock_from_file(kept->file);
	const struct proto_ops *ops = READ_ONCE(socket->ops);
	struct sock *sk = socket->sk;

	/* Waits for nobody who waits himself; a signal that has killed the owner may be in its way. */
	if (ops->set_peek_off && ops->set_peek_off(sk, kept->peek_offset))
		WRITE_ONCE(sk->sk_peek_off, kept->peek_offset);
	lock_sock(sk);
	WRITE_ONCE(sk->sk_rcvbuf, kept->receive_buffer);
	sk->sk_userlocks = (sk->sk_userlocks & ~SOCK_BUF_LOCK_MASK) | kept->locks;
	release_sock(sk);
	list_del(&kept->list);
	session->kept_count--;
	fput(kept->file);
	kfree(kept);
}

static struct ckpt_kept *ckpt_find_kept(struct ckpt_session *session, const struct file *file)
{
	struct ckpt_kept *kept;

	list_for_each_entry(kept, &session->kept, list)
		if (kept->file == file)
			return kept;
	return NULL;
}

/* A session in the queue of a socket that it keeps would never end: whoever may look at nobody does not get that far. */
static bool ckpt_may_keep(struct ckpt_session *session, const struct sock *sk)
{
	struct user_namespace *users = sock_net(sk)->user_ns;

	return ns_capable(users, CAP_SYS_PTRACE) && file_ns_capable(session->file, users, CAP_SYS_PTRACE);
}

static long ckpt_keep_file(struct ckpt_session *session, struct file *file, const struct sock *sk)
{
	struct ckpt_kept *kept;

	if (ckpt_find_kept(session, file))
		return -EALREADY;
	if (session->kept_count == CKPT_KEEP_MAX)
		return -ENOSPC;
	kept = kmalloc(sizeof(*kept), GFP_KERNEL_ACCOUNT);
	if (!kept)
		return -ENOMEM;
	*kept = (struct ckpt_kept){
		.file = get_file(file),
		.peek_offset = READ_ONCE(sk->sk_peek_off),
		.receive_buffer = READ_ONCE(sk->sk_rcvbuf),
		.locks = sk->sk_userlocks & SOCK_BUF_LOCK_MASK,
	};
	list_add(&kept->list, &session->kept);
	session->kept_count++;
	return 0;
}

long ckpt_keep(struct ckpt_session *session, const struct ckpt_keep *call)
{
	struct ckpt_kept *kept;
	struct socket *socket;
	struct file *file;
	long ret = -ENOTSOCK;

	lockdep_assert_held(&session->lock);
	if (call->flags & ~CKPT_KEEP_UNDO || call->reserved)
		return -EINVAL;
	file = fget(call->fd);
	if (!file)
		return -EBADF;
	socket = sock_from_file(file);
	if (!socket || !socket->sk)
		goto out;
	ret = -EPERM;
	if (!ckpt_may_keep(session, socket->sk))
		goto out;
	if (call->flags & CKPT_KEEP_UNDO) {
		kept = ckpt_find_kept(session, file);
		ret = kept ? 0 : -ENOENT;
		if (kept)
			ckpt_put_back(session, kept);
	} else {
		ret = ckpt_keep_file(session, file, socket->sk);
	}
out:
	fput(file);
	return ret;
}

void ckpt_put_all_back(struct ckpt_session *session)
{
	struct ckpt_kept *kept, *next;

	lockdep_assert_held(&session->lock);
	list_for_each_entry_safe(kept, next, &session->kept, list)
		ckpt_put_back(session, kept);
}
