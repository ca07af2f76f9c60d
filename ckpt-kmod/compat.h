/* SPDX-License-Identifier: GPL-2.0 */
/* What differs between the kernels that are served (6.1 and later), and nothing else. */
#ifndef CKPT_COMPAT_H
#define CKPT_COMPAT_H

#include <linux/capability.h>
#include <linux/fdtable.h>
#include <linux/mm.h>
#include <linux/splice.h>
#include <linux/version.h>

/* Since 6.5 the areas are no longer given out. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 5, 0)
#define ckpt_get_page(mm, address, flags, page) \
	get_user_pages_remote(mm, address, 1, flags, page, NULL, NULL)
#define ckpt_pin_page(mm, address, flags, page) \
	pin_user_pages_remote(mm, address, 1, flags, page, NULL, NULL)
#define ckpt_splice_read generic_file_splice_read
#else
#define ckpt_get_page(mm, address, flags, page) \
	get_user_pages_remote(mm, address, 1, flags, page, NULL)
#define ckpt_pin_page(mm, address, flags, page) \
	pin_user_pages_remote(mm, address, 1, flags, page, NULL)
#define ckpt_splice_read copy_splice_read
#endif

/* What is mapped from a layered file system is the file below since 6.8; what the user opened is asked for by name. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
#define ckpt_file_inode(file) file_inode(file)
#define ckpt_file_path(file) (&(file)->f_path)
#else
#define ckpt_file_inode(file) file_user_inode(file)
#define ckpt_file_path(file) file_user_path(file)
#endif

/* A 64-bit number since 6.3. */
static inline u64 ckpt_capabilities(kernel_cap_t set)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
	return (u64)set.cap[1] << 32 | set.cap[0];
#else
	return set.val;
#endif
}

/* Asked of the table of descriptors itself since 6.12. */
static inline bool ckpt_close_on_exec(unsigned int fd, struct files_struct *files)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 12, 0)
	return close_on_exec(fd, files_fdtable(files));
#else
	return close_on_exec(fd, files);
#endif
}

#endif
