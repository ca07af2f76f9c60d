// SPDX-License-Identifier: GPL-2.0
/*
 * Pages of a process, out and in. The page tables are read without their locks
 * and only tell where it is worth looking: what is empty is passed over a
 * table at a time. The page itself is always taken through
 * get_user_pages_remote(), which decides.
 */
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/pgtable.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/swap.h>
#include <linux/swapops.h>
#include <linux/uaccess.h>

#include "compat.h"
#include "session.h"

/* What the page tables say of one page. */
struct ckpt_hint {
	unsigned long address;
	bool dirty;
	bool zero;		/* the kernel's one page of zeros */
	bool huge;		/* part of a huge page: it may be the huge one of zeros */
};

static bool ckpt_pte_dirty(pte_t pte)
{
#ifdef CONFIG_MEM_SOFT_DIRTY
	return pte_present(pte) ? pte_soft_dirty(pte) : pte_swp_soft_dirty(pte);
#else
	return true;
#endif
}

static bool ckpt_pmd_dirty(pmd_t pmd)
{
#ifdef CONFIG_MEM_SOFT_DIRTY
	return pmd_present(pmd) ? pmd_soft_dirty(pmd) : true;
#else
	return true;
#endif
}

/*
 * The next page at or after address that is worth looking at; false when there
 * is none before end. The area stays what it is, since mmap_lock is held, and
 * with it its upper tables; a table of pages may be taken away by the collapse
 * into a huge page, and is kept readable by RCU.
 */
static bool ckpt_next_hint(struct mm_struct *mm, const struct vm_area_struct *area, unsigned long address,
			   unsigned long end, struct ckpt_hint *hint)
{
	unsigned long limit;
	pmd_t *pmdp, pmd;
	pgd_t *pgd;
	p4d_t *p4d;
	pud_t *pud;
	pte_t *ptep, pte;

	if (area->vm_flags & VM_HUGETLB) {
		/* Its tables may be shared with other processes, which take them away without asking ours. */
		*hint = (struct ckpt_hint){ .address = address, .dirty = true };
		return address < end;
	}
	for (; address < end; address = limit, cond_resched()) {
		pgd = pgd_offset(mm, address);
		limit = pgd_addr_end(address, end);
		if (pgd_none(READ_ONCE(*pgd)))
			continue;
		p4d = p4d_offset(pgd, address);
		limit = p4d_addr_end(address, end);
		if (p4d_none(READ_ONCE(*p4d)))
			continue;
		pud = pud_offset(p4d, address);
		limit = pud_addr_end(address, end);
		if (pud_none(READ_ONCE(*pud)))
			continue;
		*hint = (struct ckpt_hint){ .address = address, .dirty = true };
		if (!pud_present(READ_ONCE(*pud)) || pud_leaf(READ_ONCE(*pud)))
			return true;
		pmdp = pmd_offset(pud, address);
		limit = pmd_addr_end(address, end);
		pmd = READ_ONCE(*pmdp);
		if (pmd_none(pmd))
			continue;
		if (!pmd_present(pmd) || pmd_leaf(pmd)) {
			hint->dirty = ckpt_pmd_dirty(pmd);
			hint->huge = pmd_present(pmd);
			return true;
		}
		rcu_read_lock();
		ptep = pte_offset_kernel(&pmd, address);
		for (; address < limit; address += PAGE_SIZE, ptep++) {
			pte = READ_ONCE(*ptep);
			if (pte_none(pte))
				continue;
			hint->address = address;
			hint->dirty = ckpt_pte_dirty(pte);
			hint->zero = pte_present(pte) && is_zero_pfn(pte_pfn(pte));
			rcu_read_unlock();
			return true;
		}
		rcu_read_unlock();
	}
	return false;
}

/* The area at or after the scan's position, which is moved to it; NULL at the end. Devices have no pages of their own. */
static struct vm_area_struct *ckpt_scan_area(struct mm_struct *mm, struct ckpt_scan *scan)
{
	struct vm_area_struct *area;

	mmap_assert_locked(mm);
	while (scan->next < scan->end) {
		area = find_vma(mm, scan->next);
		if (!area || area->vm_start >= scan->end)
			break;
		scan->next = max(scan->next, area->vm_start);
		if (!(area->vm_flags & (VM_IO | VM_PFNMAP)))
			return area;
		scan->next = area->vm_end;
	}
	scan->next = scan->end;
	return NULL;
}

static void ckpt_copy_page(struct ckpt_page *record, u8 *contents, struct page *page)
{
	const u8 *from = kmap_local_page(page);

	if (memchr_inv(from, 0, PAGE_SIZE)) {
		memcpy(contents, from, PAGE_SIZE);
		record->size += PAGE_SIZE;
	} else {
		record->flags |= CKPT_PAGE_ZERO;
	}
	kunmap_local(from);
}

/* The page itself; 1 when it is one that is asked for. */
static int ckpt_read_page(struct mm_struct *mm, const struct vm_area_struct *area, const struct ckpt_hint *hint,
			  u32 flags, struct ckpt_page *record, u8 *contents)
{
	bool wanted, refused;
	struct page *page;
	long got;

	/* Without FOLL_FORCE, what is mapped with PROT_NONE could not be read; with FOLL_DUMP, nothing is made where nothing is. */
	got = ckpt_get_page(mm, record->address, FOLL_FORCE | FOLL_DUMP, &page);
	/* Which huge page is that of zeros is known to the kernel only: it is asked again, where a page is there for certain. */
	refused = got == -EFAULT && hint->huge;
	if (refused)
		got = ckpt_get_page(mm, record->address, FOLL_FORCE, &page);
	if (got == -EFAULT || got == -EHWPOISON) {
		/* Hidden from everybody, damaged, or marked as a guard. A hole in an area of huge pages shows the same way. */
		record->flags |= CKPT_PAGE_UNREADABLE;
		return !(area->vm_flags & VM_HUGETLB);
	}
	if (got != 1)
		return got < 0 ? got : -EFAULT;
	record->flags |= PageAnon(page) ? CKPT_PAGE_ANON : CKPT_PAGE_FILE;
	/* Shared memory belongs to a file of the kernel's own that has no other place. */
	wanted = PageAnon(page) || folio_test_swapbacked(page_folio(page)) || (area->vm_flags & VM_HUGETLB) ||
		 (flags & CKPT_PAGES_FILE);
	if (wanted)
		ckpt_copy_page(record, contents, page);
	put_page(page);
	return wanted && !(refused && (record->flags & CKPT_PAGE_ZERO));
}

/* One record at to, which has room for it; 0 bytes when the page is none that is asked for. */
static int ckpt_take_page(struct mm_struct *mm, const struct vm_area_struct *area, const struct ckpt_hint *hint,
			  const struct ckpt_scan *scan, u8 *to, size_t *size)
{
	bool dirty = hint->dirty;
	struct ckpt_page record;
	int ret;

#ifdef CONFIG_MEM_SOFT_DIRTY
	/* An area that is newer than the last reset: all of it is. */
	dirty = dirty || (area->vm_flags & VM_SOFTDIRTY);
#endif
	*size = 0;
	if (hint->zero || (scan->dirty && !dirty))
		return 0;
	record = (struct ckpt_page){
		.size = sizeof(record),
		.flags = dirty ? CKPT_PAGE_DIRTY : 0,
		.address = hint->address,
		.vma_flags = ckpt_vma_flags(area->vm_flags),
	};
	ret = ckpt_read_page(mm, area, hint, scan->flags, &record, to + sizeof(record));
	if (ret <= 0)
		return ret;
	memcpy(to, &record, sizeof(record));
	*size = record.size;
	return 0;
}

/* Page records from the scan's position on, until the buffer is full or the scan is at its end. */
int ckpt_scan_fill(struct mm_struct *mm, struct ckpt_scan *scan, u8 *buffer, size_t room, size_t *used)
{
	struct vm_area_struct *area;
	struct ckpt_hint hint;
	unsigned long end;
	size_t size;
	int ret = 0;

	if (mmap_read_lock_killable(mm))
		return -EINTR;
	while ((area = ckpt_scan_area(mm, scan))) {
		end = min(scan->end, area->vm_end);
		if (!ckpt_next_hint(mm, area, scan->next, end, &hint)) {
			scan->next = end;
			continue;
		}
		scan->next = hint.address;
		if (room - *used < sizeof(struct ckpt_page) + PAGE_SIZE)
			break;
		ret = ckpt_take_page(mm, area, &hint, scan, buffer + *used, &size);
		if (!ret && fatal_signal_pending(current))
			ret = -EINTR;
		if (ret)
			break;
		*used += size;
		if (size)
			scan->records++;
		scan->next += PAGE_SIZE;
		cond_resched();
	}
	mmap_read_unlock(mm);
	return ret;
}

/* How many pages the page tables tell of. */
int ckpt_scan_count(struct mm_struct *mm, u64 *pages)
{
	struct ckpt_scan scan = { .end = TASK_SIZE_MAX };
	struct vm_area_struct *area;
	struct ckpt_hint hint;

	*pages = 0;
	if (mmap_read_lock_killable(mm))
		return -EINTR;
	while ((area = ckpt_scan_area(mm, &scan))) {
		while (ckpt_next_hint(mm, area, scan.next, area->vm_end, &hint)) {
			scan.next = hint.address + PAGE_SIZE;
			++*pages;
		}
		scan.next = area->vm_end;
		if (fatal_signal_pending(current))
			break;
	}
	mmap_read_unlock(mm);
	return fatal_signal_pending(current) ? -EINTR : 0;
}

/* Whether a record may be put into a process; its size is checked first, so that its contents can be awaited. */
int ckpt_page_check(const struct ckpt_page *page)
{
	size_t contents = page->flags & (CKPT_PAGE_ZERO | CKPT_PAGE_UNREADABLE) ? 0 : PAGE_SIZE;

	if (page->size != sizeof(*page) + contents || page->reserved)
		return -EINVAL;
	if (page->flags & ~(CKPT_PAGE_ZERO | CKPT_PAGE_ANON | CKPT_PAGE_FILE | CKPT_PAGE_DIRTY | CKPT_PAGE_UNREADABLE))
		return -EINVAL;
	if (!PAGE_ALIGNED(page->address) || page->address >= TASK_SIZE_MAX)
		return -EINVAL;
	return 0;
}

int ckpt_page_put(struct mm_struct *mm, const struct ckpt_page *record, const u8 *contents)
{
	struct page *page;
	long got;
	u8 *to;

	/* There was nothing to keep of it. */
	if (record->flags & CKPT_PAGE_UNREADABLE)
		return 0;
	if (mmap_read_lock_killable(mm))
		return -EINTR;
	got = ckpt_pin_page(mm, record->address, FOLL_WRITE | FOLL_FORCE, &page);
	mmap_read_unlock(mm);
	if (got != 1)
		return got < 0 ? got : -EFAULT;
	to = kmap_local_page(page);
	if (record->flags & CKPT_PAGE_ZERO)
		memset(to, 0, PAGE_SIZE);
	else
		memcpy(to, contents, PAGE_SIZE);
	kunmap_local(to);
	unpin_user_pages_dirty_lock(&page, 1, true);
	return 0;
}

static int ckpt_check_ranges(const struct ckpt_range *ranges, u32 count)
{
	u64 before = 0;
	u32 i;

	for (i = 0; i < count; i++) {
		if (!PAGE_ALIGNED(ranges[i].start) || !PAGE_ALIGNED(ranges[i].end))
			return -EINVAL;
		if (ranges[i].start < before || ranges[i].end <= ranges[i].start || ranges[i].end > TASK_SIZE_MAX)
			return -EINVAL;
		before = ranges[i].end;
	}
	return 0;
}

/* Room in kernel memory between a process and the caller: neither's mmap_lock is held while the other's is taken. */
#define CKPT_BATCH	(64 * (sizeof(struct ckpt_page) + PAGE_SIZE))

/* One range, batch by batch; 1 when the caller's buffer is full. */
static int ckpt_pages_of_range(struct ckpt_session *session, struct ckpt_target *target, struct ckpt_scan *scan,
			       u8 *batch, struct ckpt_pages *call, u64 room)
{
	size_t used;
	int ret;

	while (scan->next < scan->end) {
		used = 0;
		ret = ckpt_must_stand(session, target->pid);
		if (ret)
			return ret;
		if (room - call->length < sizeof(struct ckpt_page) + PAGE_SIZE)
			return 1;
		ret = ckpt_scan_fill(target->mm, scan, batch, min_t(u64, CKPT_BATCH, room - call->length), &used);
		if (ret)
			return ret;
		if (copy_to_user(u64_to_user_ptr(call->buffer + call->length), batch, used))
			return -EFAULT;
		call->length += used;
	}
	return 0;
}

long ckpt_pages(struct ckpt_session *session, struct ckpt_pages *call, bool dirty)
{
	struct ckpt_scan scan = { .flags = call->flags, .dirty = dirty };
	struct ckpt_target target;
	struct ckpt_range *ranges;
	u64 room = call->length;
	u8 *batch;
	long ret;
	u32 i;

	if ((call->flags & ~CKPT_PAGES_FILE) || !call->count || call->count > CKPT_RANGES_MAX ||
	    !PAGE_ALIGNED(call->next) || room < sizeof(struct ckpt_page) + PAGE_SIZE || room > CKPT_BUFFER_MAX)
		return -EINVAL;
	ranges = vmemdup_user(u64_to_user_ptr(call->ranges), array_size(call->count, sizeof(*ranges)));
	if (IS_ERR(ranges))
		return PTR_ERR(ranges);
	ret = ckpt_check_ranges(ranges, call->count);
	if (ret)
		goto out_ranges;
	ret = ckpt_target_find(session, call->pid, &target);
	if (ret)
		goto out_ranges;
	ret = -ENOMEM;
	batch = kvmalloc(CKPT_BATCH, GFP_KERNEL_ACCOUNT);
	if (!batch)
		goto out_target;
	call->length = 0;
	ret = ckpt_must_stand(session, target.pid);
	for (i = 0; !ret && i < call->count; i++) {
		if (ranges[i].end <= call->next)
			continue;
		scan.next = max_t(u64, ranges[i].start, call->next);
		scan.end = ranges[i].end;
		ret = ckpt_pages_of_range(session, &target, &scan, batch, call, room);
	}
	call->next = ret == 1 ? scan.next : ~0ULL;
	ret = min(ret, 0L);
	kvfree(batch);
out_target:
	ckpt_target_close(&target);
out_ranges:
	kvfree(ranges);
	return ret;
}

long ckpt_put_pages(struct ckpt_session *session, struct ckpt_put *call)
{
	u64 length = call->length, at = 0;
	struct ckpt_target target;
	struct ckpt_page record;
	u8 *contents;
	long ret;

	if (call->flags || call->reserved || length > CKPT_BUFFER_MAX)
		return -EINVAL;
	ret = ckpt_target_find(session, call->pid, &target);
	if (ret)
		return ret;
	call->length = 0;
	contents = kmalloc(PAGE_SIZE, GFP_KERNEL_ACCOUNT);
	if (!contents)
		ret = -ENOMEM;
	while (!ret && at < length) {
		ret = -EINVAL;
		if (length - at < sizeof(record))
			break;
		ret = -EFAULT;
		if (copy_from_user(&record, u64_to_user_ptr(call->buffer + at), sizeof(record)))
			break;
		ret = ckpt_page_check(&record);
		if (ret)
			break;
		ret = -EINVAL;
		if (record.size > length - at)
			break;
		ret = -EFAULT;
		if (record.size > sizeof(record) &&
		    copy_from_user(contents, u64_to_user_ptr(call->buffer + at + sizeof(record)), PAGE_SIZE))
			break;
		ret = ckpt_must_stand(session, target.pid);
		if (!ret)
			ret = ckpt_page_put(target.mm, &record, contents);
		if (!ret && fatal_signal_pending(current))
			ret = -EINTR;
		if (ret)
			break;
		at += record.size;
		call->length = at;
		cond_resched();
	}
	kfree(contents);
	ckpt_target_close(&target);
	return ret;
}
