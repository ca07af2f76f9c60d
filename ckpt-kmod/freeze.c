// SPDX-License-Identifier: GPL-2.0
/*
 * The barrier from outside. The cgroup freezer stops; what is done here is to
 * see with one's own eyes that every thread stands, and to thaw when the
 * session ends, however its owner died.
 */
#include <linux/file.h>
#include <linux/jiffies.h>
#include <linux/magic.h>
#include <linux/mmap_lock.h>
#include <linux/rculist.h>
#include <linux/sched/jobctl.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task_stack.h>
#include <asm/syscall.h>

#include "session.h"

/*
 * A thread stands when the freezer has it (or a tracer, or the wait of vfork,
 * which the freezer counts alike) and it has left its CPU: only then are its
 * registers where they are read. One that was just thawed is still marked as
 * frozen when the group is frozen anew, but is about to run. What has ended
 * stands for good.
 */
static bool ckpt_thread_stands(struct task_struct *thread)
{
	if (READ_ONCE(thread->exit_state))
		return true;
	if (!thread->frozen || READ_ONCE(thread->__state) == TASK_RUNNING || READ_ONCE(thread->__state) == TASK_WAKING)
		return false;
	/* Pairs with the release of on_cpu after the switch away. */
	return !smp_load_acquire(&thread->on_cpu);
}

/* The wait of vfork(2) is the only one that is frozen without being interrupted. */
static struct task_struct *ckpt_vfork_parent(struct ckpt_session *session)
{
	struct task_struct *leader, *thread;
	struct ckpt_member *member;

	RCU_LOCKDEP_WARN(!rcu_read_lock_held(), "threads are walked under RCU");
	list_for_each_entry_rcu(member, &session->members, list) {
		leader = pid_task(member->pid, PIDTYPE_TGID);
		if (!leader)
			continue;
		for_each_thread(leader, thread)
			if (!READ_ONCE(thread->exit_state) && (READ_ONCE(thread->__state) & TASK_UNINTERRUPTIBLE))
				return thread;
	}
	return NULL;
}

static bool ckpt_process_stands(struct pid *pid, struct task_struct **late, u32 *threads)
{
	struct task_struct *leader, *thread;

	RCU_LOCKDEP_WARN(!rcu_read_lock_held(), "threads are walked under RCU");
	leader = pid_task(pid, PIDTYPE_TGID);
	if (!leader)
		return true;
	for_each_thread(leader, thread) {
		if (!ckpt_thread_stands(thread)) {
			*late = thread;
			return false;
		}
		++*threads;
	}
	return true;
}

/*
 * The registers of a thread are on its stack, which it loses when it ends, and
 * it does not end while its memory is locked: exit_mm() takes that lock. Where
 * somebody holds it, nothing is said. No area is changed under it, so the lock
 * itself is enough; newer kernels have no wrapper that tries.
 */
static int ckpt_syscall_of(struct task_struct *task)
{
	struct mm_struct *mm = get_task_mm(task);
	int number = -1;

	if (!mm)
		return number;
	if (down_write_trylock(&mm->mmap_lock)) {
		if (READ_ONCE(task->mm) == mm)
			number = syscall_get_nr(task, task_pt_regs(task));
		up_write(&mm->mmap_lock);
	}
	mmput(mm);
	return number;
}

/* Consumes the reference. */
static void ckpt_name_late(struct ckpt_session *session, struct ckpt_freeze *call, struct task_struct *late)
{
	call->late_pid = task_tgid_nr_ns(late, session->pids);
	call->late_tid = task_pid_nr_ns(late, session->pids);
	call->late_syscall = ckpt_syscall_of(late);
	put_task_struct(late);
}

/* A thread that does not stand, with a reference to it; NULL when all do. */
static struct task_struct *ckpt_first_late(struct ckpt_session *session, u32 *threads)
{
	struct task_struct *late = NULL;
	struct ckpt_member *member;

	*threads = 0;
	rcu_read_lock();
	list_for_each_entry_rcu(member, &session->members, list)
		if (!ckpt_process_stands(member->pid, &late, threads))
			break;
	if (late)
		get_task_struct(late);
	rcu_read_unlock();
	return late;
}

/* Whether a parent waits for the child of its vfork(2), which stands itself: named as late. */
static bool ckpt_awaits_child(struct ckpt_session *session, struct ckpt_freeze *call)
{
	struct task_struct *parent;

	rcu_read_lock();
	parent = ckpt_vfork_parent(session);
	if (parent)
		get_task_struct(parent);
	rcu_read_unlock();
	if (parent)
		ckpt_name_late(session, call, parent);
	return parent;
}

/* Before state or memory is looked at: anybody with the right to may have thawed the group meanwhile. */
int ckpt_must_stand(struct ckpt_session *session, struct pid *pid)
{
	struct task_struct *late;
	u32 threads = 0;
	bool stands;

	lockdep_assert_held(&session->lock);
	if (!session->freezer)
		return -EBUSY;
	rcu_read_lock();
	stands = ckpt_process_stands(pid, &late, &threads);
	rcu_read_unlock();
	return stands ? 0 : -EBUSY;
}

/* The descriptor comes from user space: it must be what it is said to be before anything is written to it. */
static int ckpt_check_freezer(struct file *file)
{
	if (file_inode(file)->i_sb->s_magic != CGROUP2_SUPER_MAGIC ||
	    strcmp(file->f_path.dentry->d_name.name, "cgroup.freeze"))
		return -EINVAL;
	if ((file->f_mode & (FMODE_READ | FMODE_WRITE)) != (FMODE_READ | FMODE_WRITE))
		return -EBADF;
	return 0;
}

static int ckpt_write_freezer(struct file *file, const char *value)
{
	loff_t position = 0;
	ssize_t written = kernel_write(file, value, 1, &position);

	return written < 0 ? written : 0;
}

long ckpt_freeze(struct ckpt_session *session, struct ckpt_freeze *call)
{
	struct task_struct *late;
	unsigned long deadline;
	loff_t position = 0;
	struct file *file;
	char now = 0;
	long ret;

	if (call->flags & ~CKPT_FREEZE_NO_VFORK || call->threads || call->late_pid || call->late_tid || call->late_syscall)
		return -EINVAL;
	if (!call->timeout_ms || call->timeout_ms > CKPT_FREEZE_TIMEOUT_MAX)
		return -EINVAL;
	if (session->freezer)
		return -EALREADY;
	if (list_empty(&session->members))
		return -ESRCH;
	file = fget(call->cgroup_freeze);
	if (!file)
		return -EBADF;
	ret = ckpt_check_freezer(file);
	if (ret)
		goto out;
	ret = kernel_read(file, &now, 1, &position);
	if (ret < 0)
		goto out;
	/* What somebody else froze, for a lease that ran out perhaps, is not ours to thaw. */
	ret = -EBUSY;
	if (now != '0')
		goto out;
	ret = ckpt_write_freezer(file, "1");
	if (ret)
		goto out;

	deadline = jiffies + msecs_to_jiffies(call->timeout_ms) + 1;
	while ((late = ckpt_first_late(session, &call->threads))) {
		if (time_after(jiffies, deadline))
			ret = -ETIMEDOUT;
		else if (signal_pending(current))
			ret = -EINTR;
		if (ret) {
			ckpt_name_late(session, call, late);
			goto thaw;
		}
		put_task_struct(late);
		schedule_timeout_interruptible(1);
	}
	/* A caller inside the group that he freezes would not come back to thaw it. */
	ret = -EINTR;
	if (READ_ONCE(current->jobctl) & JOBCTL_TRAP_FREEZE)
		goto thaw;
	ret = -EAGAIN;
	if (call->flags & CKPT_FREEZE_NO_VFORK && ckpt_awaits_child(session, call))
		goto thaw;
	session->freezer = file;
	return 0;

thaw:
	ckpt_write_freezer(file, "0");
	if (ret == -ETIMEDOUT)
		ckpt_event(session, CKPT_EVENT_LATE, call->late_pid, call->late_tid);
out:
	fput(file);
	return ret;
}

long ckpt_thaw(struct ckpt_session *session)
{
	long ret;

	lockdep_assert_held(&session->lock);
	if (!session->freezer)
		return -EALREADY;
	/* Fails only when the group is gone, and then nobody is in it. */
	ret = ckpt_write_freezer(session->freezer, "0");
	fput(session->freezer);
	session->freezer = NULL;
	return ret == -ENODEV ? 0 : ret;
}
