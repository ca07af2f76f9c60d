// SPDX-License-Identifier: GPL-2.0
/*
 * Many files and links of procfs in one call, read with the caller's own
 * rights: what he would see if he opened each of them. For a process that
 * stands they are of one moment.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/namei.h>
#include <linux/slab.h>
#include <linux/stat.h>
#include <linux/statfs.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "session.h"

static int ckpt_find(const char *name, unsigned int flags, struct path *path)
{
	if (strncmp(name, "/proc/", 6))
		return -EINVAL;
	return kern_path(name, flags, path);
}

static bool ckpt_is_of_proc(const struct path *path)
{
	return path->dentry->d_sb->s_magic == PROC_SUPER_MAGIC;
}

static ssize_t ckpt_read_link(const char *name, char __user *to, size_t room)
{
	struct inode *inode;
	struct path path;
	ssize_t ret;

	ret = ckpt_find(name, 0, &path);
	if (ret)
		return ret;
	inode = d_inode(path.dentry);
	ret = -EINVAL;
	if (ckpt_is_of_proc(&path) && S_ISLNK(inode->i_mode) && inode->i_op->readlink)
		ret = inode->i_op->readlink(path.dentry, to, min_t(size_t, room, PATH_MAX));
	path_put(&path);
	/* It may be longer. */
	return ret == room ? -ENOSPC : ret;
}

static ssize_t ckpt_read_some(struct file *file, char __user *to, size_t room, u8 *page, loff_t *position)
{
	ssize_t ret;

	if (file->f_op->read)
		return file->f_op->read(file, to, min_t(size_t, room, MAX_RW_COUNT), position);
	ret = kernel_read(file, page, min_t(size_t, room, PAGE_SIZE), position);
	if (ret > 0 && copy_to_user(to, page, ret))
		ret = -EFAULT;
	return ret;
}

static ssize_t ckpt_read_file(const char *name, char __user *to, size_t room, u8 *page)
{
	loff_t position = 0;
	struct file *file;
	struct path path;
	size_t used = 0;
	ssize_t ret;

	ret = ckpt_find(name, 0, &path);
	if (ret)
		return ret;
	ret = -EINVAL;
	if (!ckpt_is_of_proc(&path) || !S_ISREG(d_inode(path.dentry)->i_mode))
		goto out;
	file = dentry_open(&path, O_RDONLY | O_LARGEFILE | O_NONBLOCK, current_cred());
	ret = PTR_ERR_OR_ZERO(file);
	if (ret)
		goto out;
	do {
		ret = used < room ? ckpt_read_some(file, to + used, room - used, page, &position) : -ENOSPC;
		if (ret > 0)
			used += ret;
		if (ret > 0 && signal_pending(current))
			ret = -EINTR;
	} while (ret > 0);
	fput(file);
out:
	path_put(&path);
	return ret ?: used;
}

struct ckpt_numbers {
	struct dir_context context;
	u32 __user *to;
	size_t room;		/* of numbers */
	size_t count;
	int error;
};

static bool ckpt_add_number(struct dir_context *context, const char *name, int length, loff_t offset, u64 inode,
			    unsigned int type)
{
	struct ckpt_numbers *numbers = container_of(context, struct ckpt_numbers, context);
	u32 number = 0;
	int i;

	for (i = 0; i < length && i < 10 && name[i] >= '0' && name[i] <= '9'; i++)
		number = number * 10 + name[i] - '0';
	if (!length || i < length)
		return true;
	if (numbers->count == numbers->room)
		numbers->error = -ENOSPC;
	else if (put_user(number, numbers->to + numbers->count))
		numbers->error = -EFAULT;
	else
		numbers->count++;
	return !numbers->error;
}

static ssize_t ckpt_read_numbers(const char *name, char __user *to, size_t room)
{
	struct ckpt_numbers numbers = {
		.context.actor = ckpt_add_number,
		.to = (u32 __user *)to,
		.room = room / sizeof(u32),
	};
	struct file *file;
	struct path path;
	ssize_t ret;

	ret = ckpt_find(name, 0, &path);
	if (ret)
		return ret;
	ret = -ENOTDIR;
	if (!ckpt_is_of_proc(&path) || !S_ISDIR(d_inode(path.dentry)->i_mode))
		goto out;
	file = dentry_open(&path, O_RDONLY | O_DIRECTORY, current_cred());
	ret = PTR_ERR_OR_ZERO(file);
	if (ret)
		goto out;
	/* A part at a time; a signal stops it. */
	do {
		loff_t before = numbers.context.pos;

		ret = iterate_dir(file, &numbers.context);
		if (!ret)
			ret = numbers.error;
		if (!ret && signal_pending(current))
			ret = -EINTR;
		if (numbers.context.pos == before)
			break;
	} while (!ret);
	fput(file);
out:
	path_put(&path);
	return ret ?: numbers.count * sizeof(u32);
}

static ssize_t ckpt_read_status(const char *name, char __user *to, size_t room)
{
	struct ckpt_stat status;
	struct kstatfs system;
	struct kstat found;
	struct path path;
	int ret;

	if (room < sizeof(status))
		return -ENOSPC;
	ret = ckpt_find(name, LOOKUP_FOLLOW, &path);
	if (ret)
		return ret;
	ret = vfs_getattr(&path, &found, STATX_BASIC_STATS, AT_STATX_SYNC_AS_STAT);
	/* A server that is gone does not answer, and the file is there all the same. */
	if (!ret && vfs_statfs(&path, &system))
		system.f_type = 0;
	path_put(&path);
	if (ret)
		return ret;
	status = (struct ckpt_stat){
		.inode = found.ino,
		.bytes = found.size,
		.modified = found.mtime.tv_sec * NSEC_PER_SEC + found.mtime.tv_nsec,
		.changed = found.ctime.tv_sec * NSEC_PER_SEC + found.ctime.tv_nsec,
		.mode = found.mode,
		.links = found.nlink,
		.major = MAJOR(found.dev),
		.minor = MINOR(found.dev),
		.raw_major = MAJOR(found.rdev),
		.raw_minor = MINOR(found.rdev),
		.filesystem = system.f_type,
	};
	return copy_to_user(to, &status, sizeof(status)) ? -EFAULT : sizeof(status);
}

static ssize_t ckpt_answer(const char *name, char __user *to, size_t room, u8 *page)
{
	switch (*name) {
	case CKPT_READ_FILE:
		return ckpt_read_file(name + 1, to, room, page);
	case CKPT_READ_LINK:
		return ckpt_read_link(name + 1, to, room);
	case CKPT_READ_NUMBERS:
		return ckpt_read_numbers(name + 1, to, room);
	case CKPT_READ_STATUS:
		return ckpt_read_status(name + 1, to, room);
	default:
		return -EINVAL;
	}
}

/* One record for a name: its header last, when it is known. */
static ssize_t ckpt_add_answer(const char *name, u8 __user *to, size_t room, u8 *page)
{
	struct ckpt_content header = {};
	ssize_t ret;

	if (room < sizeof(header) + 8)
		return -ENOSPC;
	/* Padding is zero, and inside the room. */
	ret = ckpt_answer(name, to + sizeof(header), round_down(room - sizeof(header), 8), page);
	if (ret == -ENOSPC || ret == -EFAULT || ret == -EINTR)
		return ret;
	if (ret < 0)
		header.error = -ret;
	else
		header.length = ret;
	header.size = sizeof(header) + ALIGN(header.length, 8);
	if (clear_user(to + sizeof(header) + header.length, header.size - sizeof(header) - header.length) ||
	    copy_to_user(to, &header, sizeof(header)))
		return -EFAULT;
	return header.size;
}

static long ckpt_read_all(struct ckpt_read *call, const char *names, u8 *page)
{
	u8 __user *to = u64_to_user_ptr(call->buffer);
	const char *name = names;
	u64 used = 0;
	u32 answered;
	long ret = 0;

	for (answered = 0; answered < call->count; answered++) {
		if (name >= names + call->names_length)
			return -EINVAL;
		ret = ckpt_add_answer(name, to + used, call->length - used, page);
		if (ret < 0)
			break;
		used += ret;
		name += strlen(name) + 1;
	}
	/* What does not fit is asked for again. */
	if (ret == -ENOSPC && answered)
		ret = 0;
	call->count = answered;
	call->length = used;
	return min(ret, 0L);
}

long ckpt_read(struct ckpt_session *session, struct ckpt_read *call)
{
	struct user_namespace *users = session->pids->user_ns;
	char *names;
	u8 *page;
	long ret;

	if (call->flags || !call->count || call->names_length > CKPT_NAMES_MAX || !call->names_length)
		return -EINVAL;
	if (call->length > CKPT_BUFFER_MAX)
		return -E2BIG;
	if (!ns_capable(users, CAP_SYS_PTRACE) || !file_ns_capable(session->file, users, CAP_SYS_PTRACE))
		return -EPERM;
	names = vmemdup_user(u64_to_user_ptr(call->names), call->names_length);
	if (IS_ERR(names))
		return PTR_ERR(names);
	page = kmalloc(PAGE_SIZE, GFP_KERNEL_ACCOUNT);
	ret = -ENOMEM;
	if (!page)
		goto out;
	ret = -EINVAL;
	if (!names[call->names_length - 1])
		ret = ckpt_read_all(call, names, page);
	kfree(page);
out:
	kvfree(names);
	return ret;
}
