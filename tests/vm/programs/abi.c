// SPDX-License-Identifier: GPL-2.0
/* What a call looks like, and what is refused about it. */
#include "kit.h"

static const struct {
	unsigned int command;
	const char *name;
} calls[] = {
	{ CKPT_VERSION, "VERSION" }, { CKPT_ATTACH, "ATTACH" }, { CKPT_LIST, "LIST" }, { CKPT_FREEZE, "FREEZE" },
	{ CKPT_THAW, "THAW" }, { CKPT_STATE, "STATE" }, { CKPT_PAGES, "PAGES" }, { CKPT_DIRTY, "DIRTY" },
	{ CKPT_SELECT, "SELECT" }, { CKPT_PUT, "PUT" }, { CKPT_EVENTS, "EVENTS" },
	{ CKPT_REGISTERS, "REGISTERS" }, { CKPT_KEEP, "KEEP" }, { CKPT_READ, "READ" }, { CKPT_BARRIER, "BARRIER" },
	{ CKPT_RING, "RING" },
};
#define CALLS (sizeof(calls) / sizeof(*calls))

TEST(the_version_and_the_features_are_told)
{
	struct ckpt_version call = { .size = sizeof(call) };
	uint64_t features = CKPT_FEATURE_FREEZE | CKPT_FEATURE_STATE | CKPT_FEATURE_PAGES | CKPT_FEATURE_DIRTY |
			    CKPT_FEATURE_PUT | CKPT_FEATURE_EVENTS | CKPT_FEATURE_REGISTERS | CKPT_FEATURE_KEEP |
			    CKPT_FEATURE_READ | CKPT_FEATURE_BARRIER | CKPT_FEATURE_RING | CKPT_FEATURE_AIO;

	CHECK(!ioctl(open_session(), CKPT_VERSION, &call));
	CHECK(call.abi == CKPT_ABI_VERSION);
	/* Only where the kernel does not tell itself. */
	CHECK((call.features & ~(uint64_t)CKPT_FEATURE_SEMAPHORES) == features);
	CHECK(call.page_size == PAGE);
}

TEST(a_structure_of_another_size_is_refused)
{
	int session = open_session();
	uint8_t bytes[4096];

	for (size_t i = 0; i < CALLS; i++) {
		uint32_t size = _IOC_SIZE(calls[i].command);

		for (uint32_t wrong = 0; wrong < 4 * size; wrong++) {
			memset(bytes, 0, sizeof(bytes));
			memcpy(bytes, &wrong, sizeof(wrong));
			if (wrong != size)
				FAILS(EINVAL, ioctl(session, calls[i].command, bytes));
			if (wrong != size)
				FAILS(ENOTTY, ioctl(session, _IOC(_IOC_DIR(calls[i].command), CKPT_MAGIC, _IOC_NR(calls[i].command), wrong), bytes));
		}
	}
}

TEST(an_unknown_call_is_enotty)
{
	int session = open_session();
	uint8_t bytes[256] = { sizeof(struct ckpt_version) };

	FAILS(ENOTTY, ioctl(session, _IOWR(CKPT_MAGIC, 0x7f, struct ckpt_version), bytes));
	FAILS(ENOTTY, ioctl(session, _IOWR('T', 0x00, struct ckpt_version), bytes));
	FAILS(ENOTTY, ioctl(session, _IOR(CKPT_MAGIC, 0x00, struct ckpt_version), bytes));
	FAILS(ENOTTY, ioctl(session, _IO(CKPT_MAGIC, 0), bytes));
}

TEST(a_bad_pointer_is_efault)
{
	int session = open_session();

	for (size_t i = 0; i < CALLS; i++) {
		FAILS(EFAULT, ioctl(session, calls[i].command, NULL));
		FAILS(EFAULT, ioctl(session, calls[i].command, (void *)-1L));
		FAILS(EFAULT, ioctl(session, calls[i].command, (void *)0xffff888000000000UL));
	}
}

TEST(bad_pointers_inside_a_call_are_efault)
{
	pid_t pid = victim(idle, NULL);
	int session = frozen_session(pid);
	struct ckpt_range range = { 0, 1UL << 46 };
	uint64_t wrong[] = { 0, 8, -1UL, -4096UL, 0xffff888000000000UL, 0x7ffffffff000UL };
	uint8_t *buffer = malloc(1 << 20);

	CHECK(buffer != NULL);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		struct ckpt_pages pages = { .size = sizeof(pages), .pid = pid, .count = 1, .ranges = (uintptr_t)&range,
					    .buffer = wrong[i], .length = 1 << 20 };
		struct ckpt_state state = { .size = sizeof(state), .pid = pid, .buffer = wrong[i], .length = 1 << 20 };
		struct ckpt_put put = { .size = sizeof(put), .pid = pid, .buffer = wrong[i], .length = 4128 };
		struct ckpt_list list = { .size = sizeof(list), .count = 4, .pids = wrong[i] };

		FAILS(EFAULT, ioctl(session, CKPT_PAGES, &pages));
		FAILS(EFAULT, ioctl(session, CKPT_STATE, &state));
		FAILS(EFAULT, ioctl(session, CKPT_PUT, &put));
		FAILS(EFAULT, ioctl(session, CKPT_LIST, &list));
		pages.buffer = (uintptr_t)buffer;
		pages.length = 1 << 20;
		pages.next = 0;
		pages.ranges = wrong[i];
		FAILS(EFAULT, ioctl(session, CKPT_PAGES, &pages));
	}
}

TEST(unknown_flags_and_padding_are_refused)
{
	pid_t pid = victim(idle, NULL);
	int session = frozen_session(pid);
	struct ckpt_range range = { 0, 1UL << 46 };
	static uint8_t buffer[1 << 20];

	for (int bit = 0; bit < 32; bit++) {
		uint32_t flag = 1U << bit;
		struct ckpt_version version = { .size = sizeof(version), .reserved = flag };
		struct ckpt_attach attached = { .size = sizeof(attached), .pid = pid, .reserved = flag };
		struct ckpt_thaw thawed = { .size = sizeof(thawed), .flags = flag };
		struct ckpt_freeze frozen = { .size = sizeof(frozen), .flags = flag, .timeout_ms = 1 };
		struct ckpt_state state = { .size = sizeof(state), .pid = pid, .flags = flag, .buffer = (uintptr_t)buffer, .length = sizeof(buffer) };
		struct ckpt_pages pages = { .size = sizeof(pages), .pid = pid, .flags = flag, .count = 1, .ranges = (uintptr_t)&range,
					    .buffer = (uintptr_t)buffer, .length = sizeof(buffer) };
		struct ckpt_select chosen = { .size = sizeof(chosen), .pid = pid, .flags = flag };
		struct ckpt_put put = { .size = sizeof(put), .pid = pid, .flags = flag };

		FAILS(EINVAL, ioctl(session, CKPT_VERSION, &version));
		FAILS(EINVAL, ioctl(session, CKPT_ATTACH, &attached));
		FAILS(EINVAL, ioctl(session, CKPT_THAW, &thawed));
		if (flag & ~CKPT_FREEZE_NO_VFORK)
			FAILS(EINVAL, ioctl(session, CKPT_FREEZE, &frozen));
		if (flag & ~CKPT_STATE_SEMAPHORES)
			FAILS(EINVAL, ioctl(session, CKPT_STATE, &state));
		FAILS(EINVAL, ioctl(session, CKPT_PUT, &put));
		if (flag != CKPT_PAGES_FILE) {
			FAILS(EINVAL, ioctl(session, CKPT_PAGES, &pages));
			FAILS(EINVAL, ioctl(session, CKPT_DIRTY, &pages));
			FAILS(EINVAL, ioctl(session, CKPT_SELECT, &chosen));
		}
		chosen.mode = CKPT_SELECT_WRITE;
		FAILS(EINVAL, ioctl(session, CKPT_SELECT, &chosen));
		if (flag != CKPT_ATTACH_FOLLOW) {
			attached.reserved = 0;
			attached.flags = flag;
			FAILS(EINVAL, ioctl(session, CKPT_ATTACH, &attached));
		}
		state.flags = 0;
		state.reserved = flag;
		FAILS(EINVAL, ioctl(session, CKPT_STATE, &state));
		put.flags = 0;
		put.reserved = flag;
		FAILS(EINVAL, ioctl(session, CKPT_PUT, &put));
		chosen.flags = 0;
		chosen.mode = flag;
		if (flag != CKPT_SELECT_WRITE)
			FAILS(EINVAL, ioctl(session, CKPT_SELECT, &chosen));
	}
	/* None of these has thawed it. */
	CHECK(!thaw(session));
}

TEST(ranges_that_make_no_sense_are_refused)
{
	pid_t pid = victim(idle, NULL);
	int session = frozen_session(pid);
	static uint8_t buffer[1 << 16];
	struct ckpt_range wrong[][2] = {
		{ { 4096, 4096 }, { 0, 0 } }, { { 8192, 4096 }, { 0, 0 } }, { { 1, 4096 }, { 0, 0 } }, { { 0, 4097 }, { 0, 0 } },
		{ { 0, -4096UL }, { 0, 0 } }, { { -8192UL, -4096UL }, { 0, 0 } }, { { 0, 1UL << 56 }, { 0, 0 } },
		{ { 8192, 16384 }, { 0, 4096 } }, { { 0, 8192 }, { 4096, 16384 } },
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		struct ckpt_pages call = { .size = sizeof(call), .pid = pid, .count = wrong[i][1].end ? 2 : 1, .ranges = (uintptr_t)wrong[i],
					   .buffer = (uintptr_t)buffer, .length = sizeof(buffer) };

		FAILS(EINVAL, ioctl(session, CKPT_PAGES, &call));
	}
	struct ckpt_range good = { 0, 4096 };
	struct ckpt_pages call = { .size = sizeof(call), .pid = pid, .count = 1, .ranges = (uintptr_t)&good,
				   .buffer = (uintptr_t)buffer, .length = sizeof(buffer) };
	struct ckpt_pages other = call;

	CHECK(!ioctl(session, CKPT_PAGES, &other));
	other = call;
	other.count = 0;
	FAILS(EINVAL, ioctl(session, CKPT_PAGES, &other));
	other.count = CKPT_RANGES_MAX + 1;
	FAILS(EINVAL, ioctl(session, CKPT_PAGES, &other));
	other = call;
	other.length = sizeof(struct ckpt_page) + PAGE - 1;
	FAILS(EINVAL, ioctl(session, CKPT_PAGES, &other));
	other.length = (uint64_t)CKPT_BUFFER_MAX + 1;
	FAILS(EINVAL, ioctl(session, CKPT_PAGES, &other));
	other = call;
	other.next = 1;
	FAILS(EINVAL, ioctl(session, CKPT_PAGES, &other));
}

TEST(nothing_is_said_of_a_process_that_was_not_attached)
{
	pid_t pid = victim(idle, NULL), stranger = victim(idle, NULL);
	int session = frozen_session(pid);
	struct ckpt_range range = { 0, 4096 };
	static uint8_t buffer[1 << 16];
	struct ckpt_pages pages = { .size = sizeof(pages), .pid = stranger, .count = 1, .ranges = (uintptr_t)&range,
				    .buffer = (uintptr_t)buffer, .length = sizeof(buffer) };
	struct ckpt_state state = { .size = sizeof(state), .pid = stranger, .buffer = (uintptr_t)buffer, .length = sizeof(buffer) };
	struct ckpt_put put = { .size = sizeof(put), .pid = stranger };

	FAILS(ESRCH, ioctl(session, CKPT_PAGES, &pages));
	FAILS(ESRCH, ioctl(session, CKPT_DIRTY, &pages));
	FAILS(ESRCH, ioctl(session, CKPT_STATE, &state));
	FAILS(ESRCH, ioctl(session, CKPT_PUT, &put));
	FAILS(ESRCH, choose(session, stranger, CKPT_SELECT_READ, 0));
	state.pid = 0;
	FAILS(EINVAL, ioctl(session, CKPT_STATE, &state));
	state.pid = -1;
	FAILS(EINVAL, ioctl(session, CKPT_STATE, &state));
}

TEST(nothing_is_read_before_a_select_and_while_it_runs)
{
	pid_t pid = victim(idle, NULL);
	int session = open_session();
	struct ckpt_range range = { 0, 4096 };
	static uint8_t buffer[1 << 16];
	struct ckpt_pages pages = { .size = sizeof(pages), .pid = pid, .count = 1, .ranges = (uintptr_t)&range,
				    .buffer = (uintptr_t)buffer, .length = sizeof(buffer) };
	struct ckpt_state state = { .size = sizeof(state), .pid = pid, .buffer = (uintptr_t)buffer, .length = sizeof(buffer) };

	FAILS(ENXIO, read(session, buffer, sizeof(buffer)));
	FAILS(ENXIO, write(session, buffer, sizeof(buffer)));
	CHECK(!attach(session, pid, 0));
	FAILS(EBUSY, ioctl(session, CKPT_PAGES, &pages));
	FAILS(EBUSY, ioctl(session, CKPT_STATE, &state));
	CHECK(!choose(session, pid, CKPT_SELECT_READ, 0));
	FAILS(EBUSY, read(session, buffer, sizeof(buffer)));
	FAILS(ENXIO, write(session, buffer, sizeof(buffer)));
}
