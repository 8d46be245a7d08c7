/* crypt_alone: how many password checks a second this machine's crypt_r does, with nothing around it.
 *
 *   crypt_alone '$6$saltsaltsaltsalt' PASSWORD SECONDS [THREADS]
 *
 * The yardstick: no daemon on this machine can check more passwords of this kind. Prints one JSON object.
 */
#define _GNU_SOURCE
#include <crypt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *setting, *password;
static atomic_bool stop;
static atomic_long checks;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void *work(void *unused) {
    struct crypt_data *data = calloc(1, sizeof *data);
    long done = 0;
    if (data)
        for (; !atomic_load_explicit(&stop, memory_order_relaxed); done++)
            if (!crypt_r(password, setting, data) || data->output[0] == '*')
                exit(2);
    atomic_fetch_add(&checks, done);
    free(data);
    return unused;
}

int main(int argc, char **argv) {
    double seconds = argc > 3 ? atof(argv[3]) : 0;
    long threads = argc > 4 ? atol(argv[4]) : sysconf(_SC_NPROCESSORS_ONLN);
    if (argc < 4 || seconds <= 0 || seconds > 600 || threads < 1 || threads > 512) {
        fprintf(stderr, "usage: crypt_alone SETTING PASSWORD SECONDS [THREADS]\n");
        return 2;
    }
    setting = argv[1];
    password = argv[2];
    pthread_t thread[512];
    double begin = now();
    for (long i = 0; i < threads; i++)
        if (pthread_create(&thread[i], NULL, work, NULL) != 0)
            return 2;
    struct timespec pause = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&pause, NULL);
    atomic_store(&stop, 1);
    for (long i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
    double took = now() - begin;
    printf("{\"per_second\": %.1f, \"threads\": %ld, \"seconds\": %.3f}\n", (double)checks / took, threads, took);
    return 0;
}
