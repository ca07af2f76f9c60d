// SPDX-License-Identifier: MIT
// The symbols of what is loaded, see elf(5). dlsym(3) lies in a library of its own in older C libraries; this needs nobody.
#include "intercept.h"

#include <elf.h>
#include <link.h>

#include "objects.h"

#define HIDDEN_VERSION 0x8000

struct table {
	const ElfW(Sym) *symbols;
	const char *strings;
	const ElfW(Half) *versions;
	uint32_t imports; // how many of the first may be undefined
	uint32_t count;
	bool is_libc;
};

struct search {
	const char *wanted;
	bool (*name)(const char *name);
	void *found;
	bool used;
};

static bool same(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

static bool begins(const char *text, const char *with)
{
	while (*with && *text == *with)
		text++, with++;
	return !*with;
}

// The last symbol of the last chain ends the table: it says nowhere how long it is.
static void count_hashed(struct table *table, const uint32_t *hash)
{
	uint32_t buckets = hash[0], first = hash[1], words = hash[2], last = 0;
	const uint32_t *bucket = hash + 4 + words * (sizeof(ElfW(Addr)) / 4);
	const uint32_t *chain = bucket + buckets;

	table->imports = first;
	for (uint32_t i = 0; i < buckets; i++)
		last = bucket[i] > last ? bucket[i] : last;
	if (last < first) {
		table->count = first;
		return;
	}
	while (!(chain[last - first] & 1))
		last++;
	table->count = last + 1;
}

static bool read_table(struct dl_phdr_info *info, struct table *table)
{
	const ElfW(Dyn) *entry = NULL;
	const uint32_t *gnu = NULL, *plain = NULL;
	ElfW(Word) name = 0;

	for (int i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
			entry = (const ElfW(Dyn) *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
	*table = (struct table){ 0 };
	for (; entry && entry->d_tag != DT_NULL; entry++) {
		// The C library has relocated these; the vDSO's, which are left as they are, are offsets.
		ElfW(Addr) at = entry->d_un.d_ptr < info->dlpi_addr ? entry->d_un.d_ptr + info->dlpi_addr : entry->d_un.d_ptr;

		switch (entry->d_tag) {
		case DT_SYMTAB:
			table->symbols = (const ElfW(Sym) *)at;
			break;
		case DT_STRTAB:
			table->strings = (const char *)at;
			break;
		case DT_VERSYM:
			table->versions = (const ElfW(Half) *)at;
			break;
		case DT_GNU_HASH:
			gnu = (const uint32_t *)at;
			break;
		case DT_HASH:
			plain = (const uint32_t *)at;
			break;
		case DT_SONAME:
			name = entry->d_un.d_val;
			break;
		}
	}
	if (!table->symbols || !table->strings || (!gnu && !plain))
		return false;
	if (gnu) {
		count_hashed(table, gnu);
	} else {
		table->imports = table->count = plain[1];
	}
	table->is_libc = name && (begins(table->strings + name, "libc.so") || begins(table->strings + name, "libpthread.so") ||
				  begins(table->strings + name, "ld-linux"));
	return true;
}

static bool is_own(struct dl_phdr_info *info)
{
	ElfW(Addr) here = (ElfW(Addr))&is_own;

	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *part = &info->dlpi_phdr[i];

		if (part->p_type == PT_LOAD && here >= info->dlpi_addr + part->p_vaddr && here < info->dlpi_addr + part->p_vaddr + part->p_memsz)
			return true;
	}
	return false;
}

static int look_for(struct dl_phdr_info *info, size_t size, void *argument)
{
	struct search *search = argument;
	struct table table;

	(void)size;
	if (is_own(info) || !read_table(info, &table))
		return 0;
	for (uint32_t i = 0; i < table.count; i++) {
		const ElfW(Sym) *symbol = &table.symbols[i];

		if (symbol->st_shndx == SHN_UNDEF || ELF64_ST_TYPE(symbol->st_info) != STT_FUNC || ELF64_ST_BIND(symbol->st_info) == STB_LOCAL)
			continue;
		if (table.versions && (table.versions[i] & HIDDEN_VERSION))
			continue;
		if (!same(table.strings + symbol->st_name, search->wanted))
			continue;
		search->found = (void *)(info->dlpi_addr + symbol->st_value);
		return 1;
	}
	return 0;
}

static int look_at_imports(struct dl_phdr_info *info, size_t size, void *argument)
{
	struct search *search = argument;
	struct table table;

	(void)size;
	if (is_own(info) || !read_table(info, &table) || table.is_libc)
		return 0;
	for (uint32_t i = 1; i < table.imports; i++) {
		if (table.symbols[i].st_shndx == SHN_UNDEF && search->name(table.strings + table.symbols[i].st_name)) {
			search->used = true;
			return 1;
		}
	}
	return 0;
}

void *ckpt_next(const char *name)
{
	struct search search = { .wanted = name };

	if (dl_iterate_phdr)
		dl_iterate_phdr(look_for, &search);
	return search.found;
}

bool ckpt_anybody_uses(bool (*name)(const char *name))
{
	struct search search = { .name = name };

	if (!dl_iterate_phdr)
		return true;
	dl_iterate_phdr(look_at_imports, &search);
	return search.used;
}
