/* memory PROCESSES MIB FILE [THREADS]: so many processes with so much memory among them, all of it written to, of so many threads each; the file is made when all stand still. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static void *stand(void *nothing)
{
	for (;;)
		pause();
	return nothing;
}

int main(int argc, char **argv)
{
	if (argc != 4 && argc != 5)
		return 2;
	int processes = atoi(argv[1]), ready[2];
	size_t size = ((size_t)atoi(argv[2]) << 20) / processes;
	char byte = 0;

	if (pipe(ready))
		return 1;
	for (int i = 1; i < processes; i++)
		if (!fork())
			break;
		else if (i + 1 == processes)
			byte = 1;
	unsigned long *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return 1;
	for (size_t i = 0; i < size / sizeof(*memory); i++)
		memory[i] = (i * 0x9e3779b97f4a7c15 ^ (unsigned long)getpid() << 32) | 1;
	for (int i = argc == 5 ? atoi(argv[4]) : 1; i > 1; i--) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, stand, NULL))
			return 1;
	}
	if (!byte && processes > 1) {
		if (write(ready[1], "", 1) != 1)
			return 1;
	} else {
		for (int i = 1; i < processes; i++)
			if (read(ready[0], &byte, 1) != 1)
				return 1;
		FILE *file = fopen(argv[3], "w");
		if (!file || fclose(file))
			return 1;
	}
	stand(NULL);
}
