/* SPDX-License-Identifier: GPL-2.0 */
/* What CKPT_STATE is put together from: state.c, threads.c, timers.c. */
#ifndef CKPT_RECORDS_H
#define CKPT_RECORDS_H

#include <linux/fdtable.h>

#include "session.h"

/* Counts on past its end: then the caller knows how much room it takes. */
struct ckpt_records {
	u8 *data;
	size_t room;
	size_t used;
	struct ckpt_session *session;
	struct files_struct *files;
	char *path;		/* PATH_MAX */
	bool semaphores;	/* CKPT_STATE_SEMAPHORES */
};

/* state.c */
void ckpt_add(struct ckpt_records *records, struct ckpt_record *record, u32 type, size_t size,
	      const void *tail, size_t tail_size);

/* threads.c */
int ckpt_with_signals(struct task_struct *task, void (*read)(struct task_struct *task, void *data), void *data);
void ckpt_read_process_signals(struct task_struct *task, void *data);
int ckpt_add_threads(struct ckpt_records *records, const struct ckpt_target *target);

/* timers.c; under the siglock */
void ckpt_add_timers(struct ckpt_records *records, struct task_struct *task);

#endif
