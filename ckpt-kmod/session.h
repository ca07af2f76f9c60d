/* SPDX-License-Identifier: GPL-2.0 */
/* The inner side of /dev/ckpt. README.md has the picture and the order of the locks. */
#ifndef CKPT_SESSION_H
#define CKPT_SESSION_H

#include <linux/fs.h>
#include <linux/lockdep.h>
#include <linux/mm_types.h>
#include <linux/mutex.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/sched.h>
#include <linux/types.h>
#include <linux/uio.h>
#include <linux/wait.h>

#include "uapi/ckpt.h"

#define CKPT_MEMBERS_MAX	65536
#define CKPT_EVENTS_KEPT	512

/* Where a walk over the pages of a process is. */
struct ckpt_scan {
	unsigned long next;
	unsigned long end;
	u32 flags;		/* CKPT_PAGES_* */
	bool dirty;		/* only what was written */
	u64 records;
};

/* What read() and write() are about. Guarded by ckpt_session.lock. */
struct ckpt_selection {
	struct pid *pid;	/* NULL: nothing is selected */
	u32 mode;
	u32 flags;
	struct ckpt_scan scan;
	bool started;		/* the header was made, or taken */
	bool finished;		/* the end was made, or taken */
	int error;		/* of an earlier record: every later write() says so */
	u8 *buffer;		/* read(): records not yet taken; write(): a record not yet whole */
	size_t at;
	size_t used;
};

struct ckpt_session {
	/* Serialises the calls of a session; taken first. */
	struct mutex lock;
	/* The device as it was opened: its credentials are asked too. Not counted: the session is released by it. */
	struct file *file;
	struct pid_namespace *pids;
	u64 secret[2];		/* of ckpt_identity() */
	struct file *freezer;	/* lock: cgroup.freeze, while the session is frozen */
	struct ckpt_selection selection;
	struct ckpt_gate *gate;	/* lock: its barrier, NULL: none */
	struct list_head kept;	/* lock: sockets the settings of which are put back */
	unsigned int kept_count;

	wait_queue_head_t wait;
	/* From here on guarded by ckpt_members_lock; members may be walked under RCU. */
	struct list_head members;
	unsigned int member_count;
	unsigned int event_first;
	unsigned int event_count;
	u64 events_lost;
	struct ckpt_event events[CKPT_EVENTS_KEPT];
};

struct ckpt_member {
	struct hlist_node hash;
	struct list_head list;
	struct rcu_head rcu;
	struct ckpt_session *session;
	struct pid *pid;	/* of the thread group; counted */
	bool follow;
};

/* Says of two objects whether they are one, and nothing of where they are: as kptr_obfuscate() of kernel/kcmp.c. */
static inline u64 ckpt_identity(const struct ckpt_session *session, const void *object)
{
	return ((u64)(uintptr_t)object ^ session->secret[0]) * session->secret[1];
}

/* A process while it is looked at: references to its memory and to a thread that has it. */
struct ckpt_target {
	struct pid *pid;
	struct task_struct *task;
	struct mm_struct *mm;
};

/* members.c: who belongs to which session; fork, exec and exit; events. */
int ckpt_members_init(void);
void ckpt_members_exit(void);
long ckpt_attach(struct ckpt_session *session, const struct ckpt_attach *call);
long ckpt_list(struct ckpt_session *session, struct ckpt_list *call);
long ckpt_take_events(struct ckpt_session *session, struct ckpt_events *call);
bool ckpt_has_events(struct ckpt_session *session);
void ckpt_event(struct ckpt_session *session, u32 type, s32 pid, s32 other);
bool ckpt_is_member(struct ckpt_session *session, struct pid *pid);
void ckpt_forget_members(struct ckpt_session *session);

/* access.c: may this caller look at that process? */
int ckpt_target_open(struct ckpt_session *session, struct pid *pid, struct ckpt_target *target);
int ckpt_target_find(struct ckpt_session *session, s32 nr, struct ckpt_target *target);
void ckpt_target_close(struct ckpt_target *target);

/* freeze.c */
long ckpt_freeze(struct ckpt_session *session, struct ckpt_freeze *call);
long ckpt_thaw(struct ckpt_session *session);
int ckpt_must_stand(struct ckpt_session *session, struct pid *pid);

/* state.c */
long ckpt_state(struct ckpt_session *session, struct ckpt_state *call);
u64 ckpt_vma_flags(unsigned long flags);

/* threads.c */
long ckpt_set_registers(struct ckpt_session *session, const struct ckpt_registers *call);

/* pages.c */
int ckpt_scan_fill(struct mm_struct *mm, struct ckpt_scan *scan, u8 *buffer, size_t room, size_t *used);
int ckpt_scan_count(struct mm_struct *mm, u64 *pages);
int ckpt_page_put(struct mm_struct *mm, const struct ckpt_page *page, const u8 *contents);
int ckpt_page_check(const struct ckpt_page *page);
long ckpt_pages(struct ckpt_session *session, struct ckpt_pages *call, bool dirty);
long ckpt_put_pages(struct ckpt_session *session, struct ckpt_put *call);

/* keep.c */
long ckpt_keep(struct ckpt_session *session, const struct ckpt_keep *call);
void ckpt_put_all_back(struct ckpt_session *session);

/* barrier.c */
long ckpt_barrier(struct ckpt_session *session, struct ckpt_barrier *call);
void ckpt_leave_barrier(struct ckpt_session *session, int result);

/* ring.c */
long ckpt_ring(struct ckpt_session *session, struct ckpt_ring *call);
u64 ckpt_ring_features(void);

/* procfs.c */
long ckpt_read(struct ckpt_session *session, struct ckpt_read *call);

/* stream.c */
long ckpt_select(struct ckpt_session *session, const struct ckpt_select *call);
void ckpt_deselect(struct ckpt_session *session);
ssize_t ckpt_stream_read(struct ckpt_session *session, struct iov_iter *to);
ssize_t ckpt_stream_write(struct ckpt_session *session, struct iov_iter *from);

#endif
