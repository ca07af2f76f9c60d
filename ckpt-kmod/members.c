// SPDX-License-Identifier: GPL-2.0
/*
 * Who belongs to which session. A process is in one session at most; found by
 * the pid of its thread group in one hash table. Fork, exec and exit come by
 * the scheduler's tracepoints, in the context of the process that does it.
 */
#include <linux/hash.h>
#include <linux/hashtable.h>
#include <linux/poll.h>
#include <linux/rculist.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>
#include <linux/tracepoint.h>
#include <linux/uaccess.h>

#include "session.h"

/* Guards the table, the lists of members and the events of all sessions; taken last, in process context only. */
static DEFINE_SPINLOCK(ckpt_members_lock);
static DEFINE_HASHTABLE(ckpt_members, 10);

static struct ckpt_member *ckpt_member_of(struct pid *pid)
{
	struct ckpt_member *member;

	lockdep_assert_held(&ckpt_members_lock);
	hash_for_each_possible(ckpt_members, member, hash, (unsigned long)pid)
		if (member->pid == pid)
			return member;
	return NULL;
}

static void ckpt_keep_event(struct ckpt_session *session, u32 type, s32 pid, s32 other)
{
	struct ckpt_event *event;

	lockdep_assert_held(&ckpt_members_lock);
	if (session->event_count == CKPT_EVENTS_KEPT) {
		session->events_lost++;
		return;
	}
	event = &session->events[(session->event_first + session->event_count++) % CKPT_EVENTS_KEPT];
	*event = (struct ckpt_event){
		.type = type, .pid = pid, .other = other, .time = ktime_get_ns(),
	};
	wake_up_interruptible_poll(&session->wait, EPOLLPRI);
}

void ckpt_event(struct ckpt_session *session, u32 type, s32 pid, s32 other)
{
	spin_lock(&ckpt_members_lock);
	ckpt_keep_event(session, type, pid, other);
	spin_unlock(&ckpt_members_lock);
}

static void ckpt_add_member(struct ckpt_session *session, struct ckpt_member *member, struct pid *pid, bool follow)
{
	lockdep_assert_held(&ckpt_members_lock);
	member->session = session;
	member->pid = get_pid(pid);
	member->follow = follow;
	hash_add(ckpt_members, &member->hash, (unsigned long)pid);
	/* At the end: a walk that has begun comes past what is born meanwhile. */
	list_add_tail_rcu(&member->list, &session->members);
	session->member_count++;
}

static void ckpt_remove_member(struct ckpt_member *member)
{
	lockdep_assert_held(&ckpt_members_lock);
	hash_del(&member->hash);
	list_del_rcu(&member->list);
	member->session->member_count--;
	put_pid(member->pid);
	kfree_rcu(member, rcu);
}

static void ckpt_on_fork(void *data, struct task_struct *parent, struct task_struct *child)
{
	struct ckpt_member *member, *born;
	struct ckpt_session *session;

	/* Most of the time nobody is a member of anything. A parent that is one became so before it could fork here. */
	if (parent->tgid == child->tgid || hash_empty(ckpt_members))
		return;
	born = kzalloc(sizeof(*born), GFP_ATOMIC);
	spin_lock(&ckpt_members_lock);
	member = ckpt_member_of(task_tgid(parent));
	if (member && member->follow) {
		session = member->session;
		if (born && session->member_count < CKPT_MEMBERS_MAX) {
			ckpt_add_member(session, born, task_tgid(child), true);
			ckpt_keep_event(session, CKPT_EVENT_BORN, pid_nr_ns(task_tgid(child), session->pids),
					pid_nr_ns(task_tgid(parent), session->pids));
			born = NULL;
		} else {
			/* The owner has to look for itself. */
			session->events_lost++;
		}
	}
	spin_unlock(&ckpt_members_lock);
	kfree(born);
}

static void ckpt_on_exit(void *data, struct task_struct *task)
{
	struct ckpt_member *member;

	/* The last thread only; should two see that nobody lives, the second finds no member. */
	if (atomic_read(&task->signal->live) || hash_empty(ckpt_members))
		return;
	spin_lock(&ckpt_members_lock);
	member = ckpt_member_of(task_tgid(task));
	if (member) {
		ckpt_keep_event(member->session, CKPT_EVENT_EXITED, pid_nr_ns(member->pid, member->session->pids), 0);
		ckpt_remove_member(member);
	}
	spin_unlock(&ckpt_members_lock);
}

static void ckpt_on_exec(void *data, struct task_struct *task)
{
	struct ckpt_member *member;

	if (hash_empty(ckpt_members))
		return;
	spin_lock(&ckpt_members_lock);
	member = ckpt_member_of(task_tgid(task));
	if (member)
		ckpt_keep_event(member->session, CKPT_EVENT_EXEC, pid_nr_ns(member->pid, member->session->pids), 0);
	spin_unlock(&ckpt_members_lock);
}

bool ckpt_is_member(struct ckpt_session *session, struct pid *pid)
{
	struct ckpt_member *member;
	bool is;

	spin_lock(&ckpt_members_lock);
	member = ckpt_member_of(pid);
	is = member && member->session == session;
	spin_unlock(&ckpt_members_lock);
	return is;
}

long ckpt_attach(struct ckpt_session *session, const struct ckpt_attach *call)
{
	struct ckpt_member *member, *known;
	struct ckpt_target target;
	struct pid *pid;
	long ret;

	if ((call->flags & ~CKPT_ATTACH_FOLLOW) || call->reserved || call->pid <= 0)
		return -EINVAL;
	rcu_read_lock();
	pid = get_pid(find_pid_ns(call->pid, session->pids));
	rcu_read_unlock();
	if (!pid)
		return -ESRCH;
	ret = ckpt_target_open(session, pid, &target);
	if (ret)
		goto out_pid;
	ret = -ENOMEM;
	member = kzalloc(sizeof(*member), GFP_KERNEL_ACCOUNT);
	if (!member)
		goto out_target;

	spin_lock(&ckpt_members_lock);
	known = ckpt_member_of(pid);
	if (known)
		ret = known->session == session ? -EEXIST : -EBUSY;
	else if (session->member_count == CKPT_MEMBERS_MAX)
		ret = -E2BIG;
	else if (!atomic_read(&target.task->signal->live))
		/* Its exit has gone by, or waits for the lock and will find it. */
		ret = -ESRCH;
	else
		ret = 0;
	if (!ret)
		ckpt_add_member(session, member, pid, call->flags & CKPT_ATTACH_FOLLOW);
	spin_unlock(&ckpt_members_lock);
	if (ret)
		kfree(member);
out_target:
	ckpt_target_close(&target);
out_pid:
	put_pid(pid);
	return ret;
}

long ckpt_list(struct ckpt_session *session, struct ckpt_list *call)
{
	s32 __user *user = u64_to_user_ptr(call->pids);
	u32 room = min_t(u32, call->count, CKPT_MEMBERS_MAX), count = 0;
	struct ckpt_member *member;
	s32 *pids;
	long ret = 0;

	pids = kvmalloc_array(room ?: 1, sizeof(*pids), GFP_KERNEL_ACCOUNT);
	if (!pids)
		return -ENOMEM;
	spin_lock(&ckpt_members_lock);
	list_for_each_entry(member, &session->members, list) {
		if (count < room)
			pids[count] = pid_nr_ns(member->pid, session->pids);
		count++;
	}
	spin_unlock(&ckpt_members_lock);
	call->count = count;
	if (count > room)
		ret = -ENOSPC;
	if (copy_to_user(user, pids, min(count, room) * sizeof(*pids)))
		ret = -EFAULT;
	kvfree(pids);
	return ret;
}

long ckpt_take_events(struct ckpt_session *session, struct ckpt_events *call)
{
	struct ckpt_event __user *user = u64_to_user_ptr(call->target);
	struct ckpt_event batch[16];
	u32 room = call->count, count, i;

	if (call->lost)
		return -EINVAL;
	call->count = 0;
	do {
		spin_lock(&ckpt_members_lock);
		count = min3(room - call->count, session->event_count, (u32)ARRAY_SIZE(batch));
		for (i = 0; i < count; i++)
			batch[i] = session->events[(session->event_first + i) % CKPT_EVENTS_KEPT];
		session->event_first = (session->event_first + count) % CKPT_EVENTS_KEPT;
		session->event_count -= count;
		spin_unlock(&ckpt_members_lock);
		if (copy_to_user(user + call->count, batch, count * sizeof(*batch))) {
			/* They are lost, and it is said so next time. */
			spin_lock(&ckpt_members_lock);
			session->events_lost += count;
			spin_unlock(&ckpt_members_lock);
			return -EFAULT;
		}
		call->count += count;
	} while (count == ARRAY_SIZE(batch));
	spin_lock(&ckpt_members_lock);
	call->lost = session->events_lost;
	session->events_lost = 0;
	spin_unlock(&ckpt_members_lock);
	return 0;
}

bool ckpt_has_events(struct ckpt_session *session)
{
	bool has;

	spin_lock(&ckpt_members_lock);
	has = session->event_count || session->events_lost;
	spin_unlock(&ckpt_members_lock);
	return has;
}

void ckpt_forget_members(struct ckpt_session *session)
{
	struct ckpt_member *member, *next;

	spin_lock(&ckpt_members_lock);
	list_for_each_entry_safe(member, next, &session->members, list)
		ckpt_remove_member(member);
	spin_unlock(&ckpt_members_lock);
}

static struct {
	const char *name;
	void *probe;
	struct tracepoint *tracepoint;
	bool registered;
} ckpt_probes[] = {
	{ .name = "sched_process_fork", .probe = ckpt_on_fork },
	{ .name = "sched_process_exit", .probe = ckpt_on_exit },
	{ .name = "sched_process_exec", .probe = ckpt_on_exec },
};

static void ckpt_find_tracepoint(struct tracepoint *tracepoint, void *data)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(ckpt_probes); i++)
		if (!strcmp(tracepoint->name, ckpt_probes[i].name))
			ckpt_probes[i].tracepoint = tracepoint;
}

int ckpt_members_init(void)
{
	int i, ret;

	for_each_kernel_tracepoint(ckpt_find_tracepoint, NULL);
	for (i = 0; i < ARRAY_SIZE(ckpt_probes); i++) {
		ret = ckpt_probes[i].tracepoint ?
			tracepoint_probe_register(ckpt_probes[i].tracepoint, ckpt_probes[i].probe, NULL) : -ENOENT;
		if (ret) {
			ckpt_members_exit();
			return ret;
		}
		ckpt_probes[i].registered = true;
	}
	return 0;
}

void ckpt_members_exit(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(ckpt_probes); i++)
		if (ckpt_probes[i].registered)
			tracepoint_probe_unregister(ckpt_probes[i].tracepoint, ckpt_probes[i].probe, NULL);
	tracepoint_synchronize_unregister();
}
