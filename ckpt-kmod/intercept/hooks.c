// SPDX-License-Identifier: MIT
// What the application asked for: hooks, and critical sections.
#include "intercept.h"

#define MOST_HOOKS 32
#define MOST_NAMES 64
#define CLOSED 0x80000000u

static struct {
	_Atomic(void *) hook; // written last: not null means that the argument is there
	void *argument;
} hooks[3][MOST_HOOKS];
static atomic_uint taken[3];

// Bit 31: no section may begin. The rest: how many threads are in one.
static atomic_uint gate;
static _Atomic(const char *) names[MOST_NAMES];
static OF_THREAD unsigned int depth;
static OF_THREAD int own_name;

EXPORTED int ckpt_hook(enum ckpt_moment moment, void *hook, void *argument)
{
	unsigned int place;

	if ((unsigned int)moment > CKPT_RESTORE || !hook)
		return EINVAL;
	place = atomic_load(&taken[moment]);
	do {
		if (place == MOST_HOOKS)
			return ENOSPC;
	} while (!atomic_compare_exchange_weak(&taken[moment], &place, place + 1));
	hooks[moment][place].argument = argument;
	atomic_store_explicit(&hooks[moment][place].hook, hook, memory_order_release);
	return 0;
}

// Writes "before N" and returns where the text ends.
static void with_number(char *text, const char *before, int number)
{
	char digits[12];
	unsigned int rest = number < 0 ? -(unsigned int)number : (unsigned int)number;
	int end = 0, count = 0;

	copy_text(text, before);
	while (text[end])
		end++;
	do
		digits[count++] = '0' + rest % 10;
	while (rest /= 10);
	if (number < 0)
		digits[count++] = '-';
	while (count && end < CKPT_TEXT - 1)
		text[end++] = digits[--count];
	text[end] = 0;
}

bool ckpt_run_prepare(struct ckpt_work *work)
{
	for (int i = atomic_load(&taken[CKPT_PREPARE]) - 1; i >= 0; i--) {
		int (*hook)(void *) = (int (*)(void *))atomic_load_explicit(&hooks[CKPT_PREPARE][i].hook, memory_order_acquire);
		char text[CKPT_TEXT];
		int answer;

		if (!hook)
			continue;
		with_number(text, "its prepare hook ", i + 1);
		work->stage(text);
		answer = hook(hooks[CKPT_PREPARE][i].argument);
		if (answer) {
			with_number(work->refusal, "its prepare hook answered ", answer);
			return false;
		}
	}
	return true;
}

void ckpt_run_hooks(enum ckpt_moment moment)
{
	unsigned int count = atomic_load(&taken[moment]);

	for (unsigned int i = 0; i < count; i++) {
		void (*hook)(void *) = (void (*)(void *))atomic_load_explicit(&hooks[moment][i].hook, memory_order_acquire);

		if (hook)
			hook(hooks[moment][i].argument);
	}
}

EXPORTED void ckpt_section_begin(const char *name)
{
	unsigned int value;

	// A hook runs when nobody else may be in one.
	if (ckpt_is_ours || depth++)
		return;
	value = atomic_load(&gate);
	do {
		while (value & CLOSED) {
			// A child that a bare system call made has a copy of a gate that nobody opens.
			if (!ckpt_has_thread())
				atomic_fetch_and(&gate, ~CLOSED);
			wait_while(&gate, value, -1);
			value = atomic_load(&gate);
		}
	} while (!atomic_compare_exchange_weak(&gate, &value, value + 1));
	own_name = -1;
	for (int i = 0; i < MOST_NAMES && own_name < 0; i++) {
		const char *none = NULL;

		if (atomic_compare_exchange_strong(&names[i], &none, name ? name : "without a name"))
			own_name = i;
	}
}

EXPORTED void ckpt_section_end(void)
{
	if (ckpt_is_ours || !depth || --depth)
		return;
	if (own_name >= 0)
		atomic_store(&names[own_name], NULL);
	if ((atomic_fetch_sub(&gate, 1) - 1) & CLOSED)
		wake_all(&gate);
}

static void name_section(char *text)
{
	const char *name = NULL;
	int i = 0;

	for (int place = 0; place < MOST_NAMES && !name; place++)
		name = atomic_load(&names[place]);
	copy_text(text, "the critical section \"");
	while (text[i])
		i++;
	for (const char *from = name ? name : "?"; *from && i < CKPT_TEXT - 2; from++)
		text[i++] = *from;
	text[i++] = '"';
	text[i] = 0;
}

bool ckpt_close_sections(struct ckpt_work *work)
{
	unsigned int value = atomic_fetch_or(&gate, CLOSED) | CLOSED;
	bool said = false;

	for (; value != CLOSED; value = atomic_load(&gate)) {
		int64_t left = work->deadline - now();
		char text[CKPT_TEXT];

		name_section(text);
		if (!said)
			work->stage(text);
		said = true;
		if (left <= 0 || work->called_off()) {
			copy_text(work->refusal, text);
			ckpt_open_sections();
			return false;
		}
		wait_while(&gate, value, left < 100000000 ? left : 100000000);
	}
	return true;
}

void ckpt_open_sections(void)
{
	atomic_fetch_and(&gate, ~CLOSED);
	wake_all(&gate);
}

void ckpt_sections_after_fork(void)
{
	for (int i = 0; i < MOST_NAMES; i++)
		if (!depth || i != own_name)
			atomic_store(&names[i], NULL);
	atomic_store(&gate, depth ? 1 : 0);
}
