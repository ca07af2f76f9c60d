// SPDX-License-Identifier: GPL-2.0
/*
 * May this caller look at that process? ptrace_may_access() is not exported.
 * What it asks is asked here, without its relief for processes of the same
 * user: the capability is wanted always, of the opener as well as of the
 * caller, and again at every call, since a process may have become somebody
 * else by execve(2).
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/rwsem.h>
#include <linux/sched/coredump.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>

#include "session.h"

/* A thread of the process that still has its memory: the first one may have ended before the others. */
static struct task_struct *ckpt_thread_with_memory(struct pid *pid)
{
	struct task_struct *leader, *thread, *found = NULL;

	rcu_read_lock();
	leader = pid_task(pid, PIDTYPE_TGID);
	if (leader) {
		for_each_thread(leader, thread) {
			if ((thread->flags & PF_KTHREAD) || !READ_ONCE(thread->mm))
				continue;
			found = get_task_struct(thread);
			break;
		}
	}
	rcu_read_unlock();
	return found;
}

static bool ckpt_capable_in(struct ckpt_session *session, struct user_namespace *namespace)
{
	return file_ns_capable(session->file, namespace, CAP_SYS_PTRACE) && ns_capable(namespace, CAP_SYS_PTRACE);
}

static int ckpt_may_access(struct ckpt_session *session, struct task_struct *task, struct mm_struct *mm)
{
	const struct cred *cred;
	bool may;

	/* Nobody stops or writes over himself, under whatever name: his own call would wait for it. */
	if (same_thread_group(task, current) || mm == current->mm)
		return -EPERM;
	cred = get_task_cred(task);
	may = ckpt_capable_in(session, cred->user_ns) && ckpt_capable_in(session, mm->user_ns);
	put_cred(cred);
	return may ? 0 : -EPERM;
}

int ckpt_target_open(struct ckpt_session *session, struct pid *pid, struct ckpt_target *target)
{
	struct task_struct *task = ckpt_thread_with_memory(pid);
	struct mm_struct *mm;
	int ret;

	if (!task)
		return -ESRCH;
	/* Memory and credentials of one program, not those of before and after execve(2). */
	ret = down_read_killable(&task->signal->exec_update_lock);
	if (ret)
		goto out_task;
	mm = get_task_mm(task);
	ret = mm ? ckpt_may_access(session, task, mm) : -ESRCH;
	up_read(&task->signal->exec_update_lock);
	if (ret)
		goto out_mm;
	*target = (struct ckpt_target){ .pid = get_pid(pid), .task = task, .mm = mm };
	return 0;

out_mm:
	if (mm)
		mmput(mm);
out_task:
	put_task_struct(task);
	return ret;
}

/* Of a member. */
int ckpt_target_find(struct ckpt_session *session, s32 nr, struct ckpt_target *target)
{
	struct pid *pid;
	int ret;

	if (nr <= 0)
		return -EINVAL;
	rcu_read_lock();
	pid = get_pid(find_pid_ns(nr, session->pids));
	rcu_read_unlock();
	if (!pid)
		return -ESRCH;
	ret = ckpt_is_member(session, pid) ? ckpt_target_open(session, pid, target) : -ESRCH;
	put_pid(pid);
	return ret;
}

void ckpt_target_close(struct ckpt_target *target)
{
	mmput(target->mm);
	put_task_struct(target->task);
	put_pid(target->pid);
}
