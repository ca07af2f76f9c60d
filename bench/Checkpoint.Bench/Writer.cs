namespace Holdfast.Checkpoint.Bench;

/// <summary>The program of <see cref="ChangeBench"/>.</summary>
internal static class Writer
{
    // Arguments: MiB, directory. SIGUSR1: gives one page in a hundred other random bytes, and says in `changed` how many bytes these are. SIGUSR2: writes to random
    // pages for so many seconds as `seconds` says, and says in `written` how many writes that were.
    private const string Source = """
        #define _GNU_SOURCE
        #include <fcntl.h>
        #include <signal.h>
        #include <stdint.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <sys/mman.h>
        #include <time.h>
        #include <unistd.h>

        static uint64_t state = 88172645463325252ull;
        static uint64_t next(void) { state ^= state << 13; state ^= state >> 7; return state ^= state << 17; }
        static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec / 1e9; }

        static void say(const char *directory, const char *name, uint64_t number)
        {
            char path[4096], made[4200];
            snprintf(path, sizeof path, "%s/%s", directory, name);
            snprintf(made, sizeof made, "%s.new", path);
            FILE *file = fopen(made, "w");
            fprintf(file, "%llu", (unsigned long long)number);
            fclose(file);
            rename(made, path);
        }

        int main(int argc, char **argv)
        {
            uint64_t pages = argc > 2 ? strtoull(argv[1], 0, 10) * 256 : 0;
            uint64_t *memory = mmap(0, pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (memory == MAP_FAILED) return 1;
            for (uint64_t i = 0; i < pages * 512; i++) memory[i] = next();
            sigset_t signals;
            sigemptyset(&signals);
            sigaddset(&signals, SIGUSR1);
            sigaddset(&signals, SIGUSR2);
            sigprocmask(SIG_BLOCK, &signals, 0);
            say(argv[2], "ready", pages);
            for (;;) {
                int signal;
                sigwait(&signals, &signal);
                if (signal == SIGUSR1) {
                    uint64_t changed = 0;
                    for (; changed < pages / 100; changed++) {
                        uint64_t *page = memory + (changed * 100 + next() % 100) * 512;
                        for (int i = 0; i < 512; i++) page[i] = next();
                    }
                    say(argv[2], "changed", changed * 4096);
                } else {
                    char path[4096];
                    double seconds = 1;
                    snprintf(path, sizeof path, "%s/seconds", argv[2]);
                    FILE *file = fopen(path, "r");
                    if (!file || fscanf(file, "%lf", &seconds) != 1) return 1;
                    fclose(file);
                    uint64_t written = 0;
                    for (double end = now() + seconds; now() < end; written += 4096)
                        for (int i = 0; i < 4096; i++) { uint64_t r = next(); memory[(r % pages) * 512 + (r >> 55)] = r; }
                    say(argv[2], "written", written);
                }
            }
        }
        """;

    /// <inheritdoc cref="CCompiler.Compile"/>
    public static string Compile(string directory) => CCompiler.Compile(directory, "writer", Source);
}
