// SPDX-License-Identifier: GPL-2.0
/*
 * BARRIER and ARRIVE: whoever was given a descriptor of a barrier, and is expected there, waits in it until all have come. It holds nothing of the
 * session, and a session that ends lets all go: neither keeps the other alive.
 */
#include <linux/anon_inodes.h>
#include <linux/capability.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/jiffies.h>
#include <linux/kref.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/pid.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

#include "session.h"

struct ckpt_party {
	struct pid *pid;	/* of a process; counted */
	bool arrived;
};

struct ckpt_gate {
	struct kref references;	/* of its open file, and of its session */
	wait_queue_head_t wait;
	u64 deadline;		/* ns of CLOCK_MONOTONIC */
	spinlock_t lock;	/* guards all that follows; taken before ckpt_members_lock */
	struct ckpt_session *session;	/* that hears of arrivals; NULL when it has let go */
	bool over;
	int result;
	u32 arrived;
	u32 count;
	struct ckpt_party parties[];
};

static void ckpt_gate_free(struct kref *references)
{
	struct ckpt_gate *gate = container_of(references, struct ckpt_gate, references);
	u32 i;

	for (i = 0; i < gate->count; i++)
		put_pid(gate->parties[i].pid);
	kvfree(gate);
}

static void ckpt_gate_open(struct ckpt_gate *gate, int result)
{
	lockdep_assert_held(&gate->lock);
	if (gate->over)
		return;
	gate->result = result;
	/* Those who wait look without the lock. */
	smp_store_release(&gate->over, true);
	wake_up_all(&gate->wait);
}

static struct ckpt_party *ckpt_party_of(struct ckpt_gate *gate, const struct pid *pid)
{
	u32 i;

	for (i = 0; i < gate->count; i++)
		if (gate->parties[i].pid == pid)
			return &gate->parties[i];
	return NULL;
}

static int ckpt_gate_enter(struct ckpt_gate *gate)
{
	struct ckpt_session *session;
	struct ckpt_party *party;
	int ret = 0;

	spin_lock(&gate->lock);
	party = ckpt_party_of(gate, task_tgid(current));
	session = gate->session;
	if (!party) {
		ret = -EPERM;
	} else if (!party->arrived && !gate->over) {
		party->arrived = true;
		gate->arrived++;
		if (session)
			ckpt_event(session, CKPT_EVENT_ARRIVED, pid_nr_ns(party->pid, session->pids), gate->arrived);
		if (gate->arrived == gate->count)
			ckpt_gate_open(gate, 0);
	}
	spin_unlock(&gate->lock);
	return ret;
}

/* Who is interrupted comes again, and is counted once. */
static long ckpt_arrive(struct ckpt_gate *gate, struct ckpt_arrive *call)
{
	u64 now = ktime_get_ns();
	long ret;

	if (call->flags)
		return -EINVAL;
	ret = ckpt_gate_enter(gate);
	if (ret)
		return ret;
	ret = wait_event_interruptible_timeout(gate->wait,
					       /* Pairs with ckpt_gate_open(). */
					       smp_load_acquire(&gate->over),
					       now < gate->deadline ? nsecs_to_jiffies(gate->deadline - now) + 1 : 0);
	if (ret < 0)
		return ret;
	spin_lock(&gate->lock);
	ckpt_gate_open(gate, -ETIMEDOUT);
	call->arrived = gate->arrived;
	call->count = gate->count;
	ret = gate->result;
	spin_unlock(&gate->lock);
	return ret;
}

static long ckpt_gate_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	void __user *user = (void __user *)argument;
	struct ckpt_arrive call;
	long ret;

	if (command != CKPT_ARRIVE)
		return -ENOTTY;
	if (copy_from_user(&call, user, sizeof(call)))
		return -EFAULT;
	if (call.size != sizeof(call))
		return -EINVAL;
	ret = ckpt_arrive(file->private_data, &call);
	return copy_to_user(user, &call, sizeof(call)) ? -EFAULT : ret;
}

static int ckpt_gate_release(struct inode *inode, struct file *file)
{
	struct ckpt_gate *gate = file->private_data;

	kref_put(&gate->references, ckpt_gate_free);
	return 0;
}

static const struct file_operations ckpt_gate_operations = {
	.owner = THIS_MODULE,
	.release = ckpt_gate_release,
	.unlocked_ioctl = ckpt_gate_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

void ckpt_leave_barrier(struct ckpt_session *session, int result)
{
	struct ckpt_gate *gate = session->gate;

	if (!gate)
		return;
	spin_lock(&gate->lock);
	gate->session = NULL;
	ckpt_gate_open(gate, result);
	spin_unlock(&gate->lock);
	session->gate = NULL;
	kref_put(&gate->references, ckpt_gate_free);
}

static int ckpt_expect(struct ckpt_session *session, struct ckpt_gate *gate, const s32 __user *pids, u32 count)
{
	struct pid *pid;
	s32 nr;

	for (; gate->count < count; gate->count++) {
		if (get_user(nr, pids + gate->count))
			return -EFAULT;
		if (nr <= 0)
			return -EINVAL;
		rcu_read_lock();
		pid = find_pid_ns(nr, session->pids);
		if (pid && !pid_task(pid, PIDTYPE_TGID))
			pid = NULL;
		get_pid(pid);
		rcu_read_unlock();
		if (!pid)
			return -ESRCH;
		if (ckpt_party_of(gate, pid)) {
			put_pid(pid);
			return -EINVAL;
		}
		gate->parties[gate->count].pid = pid;
		if (fatal_signal_pending(current))
			return -EINTR;
	}
	return 0;
}

static long ckpt_open_barrier(struct ckpt_session *session, struct ckpt_barrier *call)
{
	struct ckpt_gate *gate;
	int ret;

	if (!call->count || !call->timeout_ms || call->timeout_ms > CKPT_FREEZE_TIMEOUT_MAX)
		return -EINVAL;
	if (call->count > CKPT_BARRIER_MAX)
		return -E2BIG;
	gate = kvzalloc(struct_size(gate, parties, call->count), GFP_KERNEL_ACCOUNT);
	if (!gate)
		return -ENOMEM;
	kref_init(&gate->references);
	init_waitqueue_head(&gate->wait);
	spin_lock_init(&gate->lock);
	gate->deadline = ktime_get_ns() + call->timeout_ms * (u64)NSEC_PER_MSEC;
	gate->session = session;
	ret = ckpt_expect(session, gate, u64_to_user_ptr(call->pids), call->count);
	if (ret)
		goto fail;
	/* The session's, before anybody can come who ends it. */
	kref_get(&gate->references);
	ret = anon_inode_getfd("[ckpt-barrier]", &ckpt_gate_operations, gate, O_RDWR | O_CLOEXEC);
	if (ret < 0) {
		kref_put(&gate->references, ckpt_gate_free);
		goto fail;
	}
	ckpt_leave_barrier(session, -ECANCELED);
	session->gate = gate;
	call->fd = ret;
	return 0;

fail:
	kref_put(&gate->references, ckpt_gate_free);
	return ret;
}

long ckpt_barrier(struct ckpt_session *session, struct ckpt_barrier *call)
{
	struct user_namespace *users = session->pids->user_ns;

	if (call->flags & ~CKPT_BARRIER_OPEN || call->fd || call->reserved)
		return -EINVAL;
	if (!ns_capable(users, CAP_SYS_PTRACE) || !file_ns_capable(session->file, users, CAP_SYS_PTRACE))
		return -EPERM;
	if (!(call->flags & CKPT_BARRIER_OPEN))
		return ckpt_open_barrier(session, call);
	if (call->count || call->timeout_ms || call->pids)
		return -EINVAL;
	if (!session->gate)
		return -ENOENT;
	ckpt_leave_barrier(session, 0);
	return 0;
}
