// SPDX-License-Identifier: GPL-2.0
/* /dev/ckpt itself: opening, closing, and the way of a call: copy in, check, lock, act, copy out last. */
#include <linux/cred.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "compat.h"
#include "session.h"

static int ckpt_open(struct inode *inode, struct file *file)
{
	struct ckpt_session *session = kvzalloc(sizeof(*session), GFP_KERNEL_ACCOUNT);

	if (!session)
		return -ENOMEM;
	mutex_init(&session->lock);
	init_waitqueue_head(&session->wait);
	INIT_LIST_HEAD(&session->members);
	INIT_LIST_HEAD(&session->kept);
	get_random_bytes(session->secret, sizeof(session->secret));
	/* An odd factor tells all apart. */
	session->secret[1] |= 1;
	session->file = file;
	session->pids = get_pid_ns(task_active_pid_ns(current));
	file->private_data = session;
	return stream_open(inode, file);
}

/* The last descriptor is closed: nobody else has the session, but fork and exit may still meet its members. */
static int ckpt_release(struct inode *inode, struct file *file)
{
	struct ckpt_session *session = file->private_data;

	mutex_lock(&session->lock);
	/* Before anybody runs who would see it. */
	ckpt_put_all_back(session);
	ckpt_thaw(session);
	ckpt_deselect(session);
	ckpt_leave_barrier(session, -ECANCELED);
	mutex_unlock(&session->lock);
	ckpt_forget_members(session);
	put_pid_ns(session->pids);
	kvfree(session);
	return 0;
}

static long ckpt_version(struct ckpt_version *call)
{
	if (call->abi || call->features || call->page_size || call->reserved)
		return -EINVAL;
	call->abi = CKPT_ABI_VERSION;
	call->features = CKPT_FEATURE_FREEZE | CKPT_FEATURE_STATE | CKPT_FEATURE_PAGES | CKPT_FEATURE_PUT |
			 CKPT_FEATURE_EVENTS | CKPT_FEATURE_REGISTERS | CKPT_FEATURE_KEEP | CKPT_FEATURE_READ |
			 CKPT_FEATURE_BARRIER;
	call->features |= ckpt_ring_features();
	if (ckpt_has_semaphores())
		call->features |= CKPT_FEATURE_SEMAPHORES;
	if (IS_ENABLED(CONFIG_MEM_SOFT_DIRTY))
		call->features |= CKPT_FEATURE_DIRTY;
	call->page_size = PAGE_SIZE;
	return 0;
}

union ckpt_call {
	u32 size;
	struct ckpt_version version;
	struct ckpt_attach attach;
	struct ckpt_list list;
	struct ckpt_freeze freeze;
	struct ckpt_thaw thaw;
	struct ckpt_state state;
	struct ckpt_pages pages;
	struct ckpt_select select;
	struct ckpt_put put;
	struct ckpt_events events;
	struct ckpt_registers registers;
	struct ckpt_keep keep;
	struct ckpt_read read;
	struct ckpt_barrier barrier;
	struct ckpt_ring ring;
};

static long ckpt_act(struct ckpt_session *session, unsigned int command, union ckpt_call *call)
{
	lockdep_assert_held(&session->lock);
	switch (command) {
	case CKPT_VERSION:
		return ckpt_version(&call->version);
	case CKPT_ATTACH:
		return ckpt_attach(session, &call->attach);
	case CKPT_LIST:
		return ckpt_list(session, &call->list);
	case CKPT_FREEZE:
		return ckpt_freeze(session, &call->freeze);
	case CKPT_THAW:
		if (call->thaw.flags)
			return -EINVAL;
		return ckpt_thaw(session);
	case CKPT_STATE:
		return ckpt_state(session, &call->state);
	case CKPT_PAGES:
		return ckpt_pages(session, &call->pages, false);
	case CKPT_DIRTY:
		if (!IS_ENABLED(CONFIG_MEM_SOFT_DIRTY))
			return -EOPNOTSUPP;
		return ckpt_pages(session, &call->pages, true);
	case CKPT_SELECT:
		return ckpt_select(session, &call->select);
	case CKPT_PUT:
		return ckpt_put_pages(session, &call->put);
	case CKPT_EVENTS:
		return ckpt_take_events(session, &call->events);
	case CKPT_REGISTERS:
		return ckpt_set_registers(session, &call->registers);
	case CKPT_KEEP:
		return ckpt_keep(session, &call->keep);
	case CKPT_READ:
		return ckpt_read(session, &call->read);
	case CKPT_BARRIER:
		return ckpt_barrier(session, &call->barrier);
	case CKPT_RING:
		return ckpt_ring(session, &call->ring);
	default:
		return -ENOTTY;
	}
}

static long ckpt_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	struct ckpt_session *session = file->private_data;
	void __user *user = (void __user *)argument;
	size_t size = _IOC_SIZE(command);
	union ckpt_call call = {};
	long ret;

	if (_IOC_TYPE(command) != CKPT_MAGIC)
		return -ENOTTY;
	if (size < sizeof(u32) || size > sizeof(call))
		return -ENOTTY;
	if (copy_from_user(&call, user, size))
		return -EFAULT;
	if (call.size != size)
		return -EINVAL;
	if (mutex_lock_interruptible(&session->lock))
		return -ERESTARTSYS;
	ret = ckpt_act(session, command, &call);
	mutex_unlock(&session->lock);

	/* How far it came, who is late, how much room is needed: said with errors too. */
	if ((_IOC_DIR(command) & _IOC_READ) && ret != -ENOTTY && copy_to_user(user, &call, size))
		return -EFAULT;
	return ret;
}

static ssize_t ckpt_read_iter(struct kiocb *kiocb, struct iov_iter *to)
{
	struct ckpt_session *session = kiocb->ki_filp->private_data;
	ssize_t ret;

	if (mutex_lock_interruptible(&session->lock))
		return -ERESTARTSYS;
	ret = ckpt_stream_read(session, to);
	mutex_unlock(&session->lock);
	return ret;
}

static ssize_t ckpt_write_iter(struct kiocb *kiocb, struct iov_iter *from)
{
	struct ckpt_session *session = kiocb->ki_filp->private_data;
	ssize_t ret;

	if (mutex_lock_interruptible(&session->lock))
		return -ERESTARTSYS;
	ret = ckpt_stream_write(session, from);
	mutex_unlock(&session->lock);
	return ret;
}

/* Events are what is urgent; a stream never has to be waited for. */
static __poll_t ckpt_poll(struct file *file, poll_table *table)
{
	struct ckpt_session *session = file->private_data;

	poll_wait(file, &session->wait, table);
	return ckpt_has_events(session) ? EPOLLPRI : 0;
}

static const struct file_operations ckpt_operations = {
	.owner = THIS_MODULE,
	.open = ckpt_open,
	.release = ckpt_release,
	.unlocked_ioctl = ckpt_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.read_iter = ckpt_read_iter,
	.write_iter = ckpt_write_iter,
	.splice_read = ckpt_splice_read,
	.splice_write = iter_file_splice_write,
	.poll = ckpt_poll,
};

static struct miscdevice ckpt_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "ckpt",
	.mode = 0660,
	.fops = &ckpt_operations,
};

static int __init ckpt_init(void)
{
	int ret = ckpt_members_init();

	if (ret)
		return ret;
	ret = misc_register(&ckpt_device);
	if (ret)
		ckpt_members_exit();
	return ret;
}

static void __exit ckpt_exit(void)
{
	misc_deregister(&ckpt_device);
	ckpt_members_exit();
}

module_init(ckpt_init);
module_exit(ckpt_exit);
MODULE_DESCRIPTION("Checkpoints of applications through /dev/ckpt");
MODULE_LICENSE("GPL");
