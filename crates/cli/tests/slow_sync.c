/* A slow disk: each sync takes as many milliseconds longer as the file named by SLOW_SYNC_FILE says at the time. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void wait_a_while(void)
{
    const char *path = getenv("SLOW_SYNC_FILE");
    FILE *file = path ? fopen(path, "r") : NULL;
    long ms = 0;
    if (!file)
        return;
    if (fscanf(file, "%ld", &ms) == 1 && ms > 0) {
        struct timespec span = { ms / 1000, ms % 1000 * 1000000L };
        nanosleep(&span, NULL);
    }
    fclose(file);
}

int fsync(int fd)
{
    int (*sync)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    wait_a_while();
    return sync(fd);
}

int fdatasync(int fd)
{
    int (*sync)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    wait_a_while();
    return sync(fd);
}
