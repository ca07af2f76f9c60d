/*
 * Subject: memory and files of one moment. The case is a directory, a volume of the application (without one: a
 * directory of its own). The program changes files there all the time, in every way that it can, and knows in its memory what has to be in them: files that are
 * older or newer than that memory are found at the next step.
 * Suite: volumes
 */
#include "state.h"
#include <dirent.h>

#define BLOCKS 64
#define MAPPED 16
#define KEPT 5

static char volume[PATH_MAX];

static const char *in(const char *format, unsigned long number)
{
	static char paths[8][PATH_MAX + 64];
	static int next;
	char *path = paths[next++ % 8];
	char name[64];

	snprintf(name, sizeof(name), format, number);
	snprintf(path, sizeof(paths[0]), "%s/%s", volume, name);
	return path;
}

static void expect(int fd, off_t offset, unsigned long value, const char *what)
{
	unsigned long found = ~0UL;

	EQUAL(pread(fd, &found, sizeof(found), offset), sizeof(found));
	if (found != value)
		state_fail("%s at %ld holds %lu, and %lu was written", what, (long)offset, found, value);
}

static void names(unsigned long step)
{
	unsigned long found = 0;
	DIR *directory = opendir(volume);
	struct dirent *entry;

	CHECK(directory != NULL, "the volume cannot be opened");
	while ((entry = readdir(directory)) != NULL) {
		unsigned long number;

		if (sscanf(entry->d_name, "file%lu", &number) != 1)
			continue;
		if (number > step || number + KEPT <= step)
			state_fail("%s is there in step %lu", entry->d_name, step);
		found++;
	}
	closedir(directory);
	EQUAL(found, step < KEPT ? step : KEPT);
}

int main(int argc, char **argv)
{
	static unsigned long block[BLOCKS], ghost[BLOCKS];
	unsigned long step = 0;
	struct stat st;
	int go = 0;

	state_begin(argc, argv);
	snprintf(volume, sizeof(volume), argc > 2 ? "%s" : "%s/volume", argc > 2 ? argv[2] : state_dir);
	if (argc <= 2)
		MUST(mkdir(volume, 0700));
	int log = MUST(open(in("log", 0), O_RDWR | O_CREAT | O_EXCL | O_APPEND, 0600));
	int blocks = MUST(open(in("blocks", 0), O_RDWR | O_CREAT | O_EXCL, 0600));
	int gone = MUST(open(in("gone", 0), O_RDWR | O_CREAT | O_EXCL, 0600));
	int mapped = MUST(open(in("mapped", 0), O_RDWR | O_CREAT | O_EXCL, 0600));

	MUST(unlink(in("gone", 0)));
	MUST(ftruncate(mapped, MAPPED * PAGE));
	MUST(ftruncate(blocks, BLOCKS * PAGE));
	MUST(ftruncate(gone, BLOCKS * PAGE));
	unsigned long *map = mmap(NULL, MAPPED * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, mapped, 0);

	CHECK(map != MAP_FAILED, "mmap");
	while (!go || step < KEPT) {
		unsigned long b = ++step * 7 % BLOCKS, other = step * 11 % BLOCKS;

		/* One that grows, one that is written over, one through a mapping, one without a name. */
		EQUAL(write(log, &step, sizeof(step)), sizeof(step));
		EQUAL(pwrite(blocks, &step, sizeof(step), b * PAGE), sizeof(step));
		block[b] = step;
		map[step % MAPPED * PAGE / sizeof(*map)] = step;
		EQUAL(pwrite(gone, &step, sizeof(step), b * PAGE), sizeof(step));
		ghost[b] = step;

		/* One that is replaced, those that come and go, a directory. */
		int fd = MUST(open(in("state.new", 0), O_RDWR | O_CREAT | O_EXCL, 0600));

		EQUAL(write(fd, &step, sizeof(step)), sizeof(step));
		close(fd);
		MUST(rename(in("state.new", 0), in("state", 0)));
		close(MUST(open(in("file%lu", step), O_RDWR | O_CREAT | O_EXCL, 0600)));
		if (step > KEPT)
			MUST(unlink(in("file%lu", step - KEPT)));
		MUST(mkdir(in("directory%lu", step), 0700));
		if (step > 1)
			MUST(rmdir(in("directory%lu", step - 1)));

		MUST(fstat(log, &st));
		EQUAL(st.st_size, step * sizeof(step));
		expect(log, (step - 1) * sizeof(step), step, "the log");
		expect(blocks, other * PAGE, block[other], "the file of blocks");
		expect(gone, other * PAGE, ghost[other], "the deleted file");
		expect(mapped, step % MAPPED * PAGE, step, "the mapped file");
		fd = MUST(open(in("state", 0), O_RDONLY));
		expect(fd, 0, step, "the replaced file");
		close(fd);
		names(step);
		if (step == 100)
			state_ready();
		go = step > 100 && state_exists("go");
		usleep(500);
	}
	for (unsigned long i = 1; i <= step; i++)
		expect(log, (i - 1) * sizeof(i), i, "the log");
	state_pass();
}
