/* saslload: closed-loop logins against an authentication daemon on a unix socket.
 *
 *   saslload --protocol saslauthd --socket /run/saslauthd/mux --concurrency 64 --seconds 5 \
 *            --user 'u%d@example.org' --users 20000 --password secret
 *
 * Each of the --concurrency slots makes one login after the other, one connection per login, as the protocols ask for.
 * A login's time starts with the first try to connect: the wait for a place in a full backlog belongs to it. Every
 * answer is checked against the one that the password calls for. Only logins that end between the warm-up and the end
 * are counted; those under way at the end are waited for and not counted, so that the daemon is idle for the next run.
 * Prints one JSON object. Exit status: 0 measured (whatever the answers were), 2 wrong usage or no memory.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_SLOTS = 4096,
    MAX_USERS = 100 * 1000 * 1000,
    MAX_LOGINS = 50 * 1000 * 1000, /* also the most latencies that are kept: 200 MB */
    MAX_SECONDS = 3600,
    REQUEST = 1024,
    REPLY = 8192,
};
static const int64_t SECOND = 1000 * 1000; /* all times are microseconds of the monotonic clock */
static const int64_t BACKLOG_PAUSE = 1000; /* a full backlog gives no event: look again after a millisecond */
static const int64_t ERROR_PAUSE = 10 * 1000;
static const int64_t TICK = 100 * 1000;

enum protocol { SASLAUTHD, AUTHDAEMON };
enum state { IDLE, CONNECTING, TALKING };
enum answer { MORE, YES, NO, NONSENSE };

struct slot {
    enum state state;
    int fd;
    bool right; /* the password of this login */
    int64_t started, not_before;
    size_t request_size, sent, received;
    char request[REQUEST], reply[REPLY];
};

static struct {
    enum protocol protocol;
    const char *socket, *user, *password, *wrong_password, *service, *realm;
    int concurrency, users, wrong_percent;
    int64_t seconds, warmup, deadline, most; /* times in microseconds */
    uint64_t seed;
} option = {
    .user = "user", .password = "", .wrong_password = "not the password", .service = "smtp", .realm = "",
    .concurrency = 1, .users = 1, .seconds = 1000000, .deadline = 10000000, .most = MAX_LOGINS, .seed = 1,
};

static struct {
    long ok, no, mismatched, timeouts, hangups, failed, backlog_full, uncounted;
    uint32_t *latency;
    size_t latencies, room;
} result;

static struct slot *slots;
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static int poller;
static int64_t counted_from, counted_until;

static void die(const char *what, const char *detail) {
    fprintf(stderr, "saslload: %s%s%s\n", what, detail ? ": " : "", detail ? detail : "");
    exit(2);
}

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * SECOND + t.tv_nsec / 1000;
}

/* splitmix64: the same logins for the same --seed */
static uint64_t chance(void) {
    uint64_t z = (option.seed += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

/* ---- the two protocols ---- */

static char *counted(char *at, const char *text) {
    size_t size = strlen(text);
    *at++ = (char)(size >> 8);
    *at++ = (char)size;
    return (char *)memcpy(at, text, size) + size;
}

static void user_name(char *name, size_t size) {
    int number = (int)(chance() % (uint64_t)option.users);
    const char *mark = strstr(option.user, "%d"); /* not a printf format: it comes from the command line */
    if (mark)
        snprintf(name, size, "%.*s%d%s", (int)(mark - option.user), option.user, number, mark + 2);
    else
        snprintf(name, size, "%s", option.user);
}

static void write_request(struct slot *slot) {
    char name[256];
    user_name(name, sizeof name);
    slot->right = (int)(chance() % 100) >= option.wrong_percent;
    const char *password = slot->right ? option.password : option.wrong_password;
    if (option.protocol == SASLAUTHD) {
        char *at = counted(counted(slot->request, name), password);
        slot->request_size = (size_t)(counted(counted(at, option.service), option.realm) - slot->request);
    } else {
        size_t body = strlen(option.service) + 1 + strlen("login\n") + strlen(name) + 1 + strlen(password) + 1;
        slot->request_size = (size_t)snprintf(slot->request, sizeof slot->request, "AUTH %zu\n%s\nlogin\n%s\n%s\n",
                                              body, option.service, name, password);
    }
}

static enum answer read_saslauthd(const struct slot *slot) {
    const unsigned char *head = (const unsigned char *)slot->reply;
    if (slot->received < 2 || slot->received < 2u + (head[0] << 8 | head[1]))
        return MORE;
    if (slot->received < 4)
        return NONSENSE;
    return !memcmp(slot->reply + 2, "OK", 2) ? YES : !memcmp(slot->reply + 2, "NO", 2) ? NO : NONSENSE;
}

static bool ends_with(const struct slot *slot, const char *text) {
    size_t size = strlen(text);
    return slot->received >= size && !memcmp(slot->reply + slot->received - size, text, size);
}

static enum answer read_authdaemon(const struct slot *slot) {
    if (slot->received == 5 && ends_with(slot, "FAIL\n"))
        return NO;
    if (ends_with(slot, "\n.\n"))
        return memmem(slot->reply, slot->received, "ADDRESS=", 8) ? YES : NONSENSE;
    return MORE;
}

/* ---- one slot ---- */

static void keep_latency(int64_t took) {
    if (result.latencies == result.room) {
        result.room = result.room ? result.room * 2 : 65536;
        result.latency = realloc(result.latency, result.room * sizeof *result.latency);
        if (!result.latency)
            die("no memory", NULL);
    }
    result.latency[result.latencies++] = (uint32_t)took;
}

/* The login is over; `count` is where an outcome without an answer is counted. */
static void finish(struct slot *slot, enum answer answer, long *count, int64_t time) {
    if (slot->fd >= 0)
        close(slot->fd);
    slot->fd = -1;
    slot->state = IDLE;
    slot->not_before = count ? time + ERROR_PAUSE : time;
    if (time < counted_from || time > counted_until) {
        result.uncounted++;
        if (count)
            ++*count; /* a failure is told whenever it happens */
        return;
    }
    if (count) {
        ++*count;
        return;
    }
    ++*(answer == YES ? &result.ok : &result.no);
    if ((answer == YES) != slot->right)
        result.mismatched++;
    keep_latency(time - slot->started);
}

static void send_some(struct slot *slot) {
    while (slot->sent < slot->request_size) {
        ssize_t n = send(slot->fd, slot->request + slot->sent, slot->request_size - slot->sent, MSG_NOSIGNAL);
        if (n < 0)
            break; /* EAGAIN: wait for EPOLLOUT; anything else: the reply or the end of the stream tells */
        slot->sent += (size_t)n;
    }
}

/* False when the backlog is full. */
static bool connect_slot(struct slot *slot, int64_t time) {
    slot->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (slot->fd < 0 || connect(slot->fd, (struct sockaddr *)&address, sizeof address) != 0) {
        bool full = slot->fd >= 0 && errno == EAGAIN;
        if (!full) {
            finish(slot, NONSENSE, &result.failed, time);
            return true;
        }
        close(slot->fd);
        slot->fd = -1;
        result.backlog_full++;
        return false;
    }
    slot->state = TALKING;
    send_some(slot);
    struct epoll_event event = {
        .events = EPOLLIN | (slot->sent < slot->request_size ? EPOLLOUT : 0u),
        .data.ptr = slot,
    };
    if (epoll_ctl(poller, EPOLL_CTL_ADD, slot->fd, &event) != 0)
        finish(slot, NONSENSE, &result.failed, time);
    return true;
}

static void ready_to_write(struct slot *slot) {
    send_some(slot);
    if (slot->sent == slot->request_size) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = slot};
        epoll_ctl(poller, EPOLL_CTL_MOD, slot->fd, &event);
    }
}

static void ready_to_read(struct slot *slot) {
    ssize_t n = recv(slot->fd, slot->reply + slot->received, sizeof slot->reply - slot->received, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        finish(slot, NONSENSE, &result.hangups, now());
        return;
    }
    slot->received += (size_t)n;
    enum answer answer = option.protocol == SASLAUTHD ? read_saslauthd(slot) : read_authdaemon(slot);
    if (answer == MORE && slot->received == sizeof slot->reply)
        answer = NONSENSE;
    if (answer == NONSENSE)
        finish(slot, answer, &result.failed, now());
    else if (answer != MORE)
        finish(slot, answer, NULL, now());
}

/* ---- the loop ---- */

/* Start idle slots (while `starting`) and connect those that wait. Gives the time of the next look. */
static int64_t start_slots(int64_t time, bool starting) {
    static int first; /* slots take turns at a backlog that has few places */
    int64_t next = time + TICK;
    bool full = false;
    for (int i = 0; i < option.concurrency; i++) {
        struct slot *slot = &slots[(first + i) % option.concurrency];
        if (slot->state == IDLE && starting && slot->not_before <= time) {
            slot->state = CONNECTING;
            slot->started = time;
            slot->sent = slot->received = 0;
            write_request(slot);
        }
        if (slot->state == IDLE && starting && slot->not_before < next)
            next = slot->not_before;
        if (slot->state == CONNECTING && !full && !connect_slot(slot, time)) {
            full = true;
            first = (first + i) % option.concurrency;
        }
    }
    return full && time + BACKLOG_PAUSE < next ? time + BACKLOG_PAUSE : next;
}

static int end_late_logins(int64_t time) {
    int busy = 0;
    for (int i = 0; i < option.concurrency; i++) {
        if (slots[i].state != IDLE && time - slots[i].started > option.deadline)
            finish(&slots[i], NONSENSE, &result.timeouts, time);
        busy += slots[i].state != IDLE;
    }
    return busy;
}

static void handle_events(int timeout) {
    struct epoll_event events[256];
    int count = epoll_wait(poller, events, 256, timeout);
    for (int i = 0; i < count; i++) {
        struct slot *slot = events[i].data.ptr;
        if (events[i].events & EPOLLOUT)
            ready_to_write(slot);
        if (events[i].events & ~(uint32_t)EPOLLOUT)
            ready_to_read(slot);
    }
}

static void run(void) {
    int64_t begin = now(), next_check = begin + TICK;
    counted_from = begin + option.warmup;
    counted_until = counted_from + option.seconds;
    for (int busy = option.concurrency; busy > 0;) {
        int64_t time = now();
        bool starting = time < counted_until && result.latencies + (size_t)option.concurrency <= (size_t)option.most;
        if (!starting && counted_until > time)
            counted_until = time; /* --requests was reached */
        int64_t next = start_slots(time, starting);
        if (time >= next_check || !starting) {
            busy = end_late_logins(time) + (starting ? 1 : 0);
            next_check = time + TICK;
        }
        if (starting && counted_until < next)
            next = counted_until;
        if (busy > 0)
            handle_events(next > time ? (int)((next - time + 999) / 1000) : 0);
    }
}

/* ---- options and the result ---- */

static int compare(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static uint32_t percentile(double share) {
    size_t at = (size_t)(share * (double)result.latencies);
    return !result.latencies ? 0 : result.latency[at < result.latencies ? at : result.latencies - 1];
}

static void print_result(void) {
    double seconds = (double)(counted_until - counted_from) / (double)SECOND;
    if (result.latencies)
        qsort(result.latency, result.latencies, sizeof *result.latency, compare);
    printf("{\"protocol\": \"%s\", \"concurrency\": %d, \"seconds\": %.3f, \"rps\": %.1f, \"ok\": %ld, \"no\": %ld, "
           "\"mismatched\": %ld, \"errors\": %ld, \"timeouts\": %ld, \"hangups\": %ld, \"failed\": %ld, "
           "\"backlog_full\": %ld, \"uncounted\": %ld, "
           "\"p50_us\": %u, \"p95_us\": %u, \"p99_us\": %u, \"max_us\": %u}\n",
           option.protocol == SASLAUTHD ? "saslauthd" : "authdaemon", option.concurrency, seconds,
           seconds > 0 ? (double)result.latencies / seconds : 0, result.ok, result.no, result.mismatched,
           result.timeouts + result.hangups + result.failed, result.timeouts, result.hangups, result.failed,
           result.backlog_full, result.uncounted, percentile(.5), percentile(.95), percentile(.99), percentile(1));
}

static double number(const char *name, const char *text, double least, double most) {
    char *end;
    double value = strtod(text, &end);
    if (*end || end == text || !(value >= least && value <= most)) {
        fprintf(stderr, "saslload: --%s: expected a number from %g to %g, got %s\n", name, least, most, text);
        exit(2);
    }
    return value;
}

static const struct option OPTIONS[] = {
    {"protocol", required_argument, NULL, 'P'},   {"socket", required_argument, NULL, 's'},
    {"concurrency", required_argument, NULL, 'c'}, {"seconds", required_argument, NULL, 't'},
    {"warmup", required_argument, NULL, 'a'},     {"requests", required_argument, NULL, 'n'},
    {"user", required_argument, NULL, 'u'},       {"users", required_argument, NULL, 'N'},
    {"password", required_argument, NULL, 'p'},   {"wrong-password", required_argument, NULL, 'x'},
    {"wrong", required_argument, NULL, 'w'},      {"service", required_argument, NULL, 'S'},
    {"realm", required_argument, NULL, 'r'},      {"deadline", required_argument, NULL, 'd'},
    {"seed", required_argument, NULL, 'e'},       {"help", no_argument, NULL, 'h'},
    {0},
};

static void usage(int status) {
    fprintf(status ? stderr : stdout,
            "usage: saslload --protocol saslauthd|authdaemon --socket PATH [options]\n"
            "  --concurrency N      logins at a time [1]\n"
            "  --seconds S          how long is counted [1]       --warmup S   not counted before that [0]\n"
            "  --requests N         end after N counted logins    --deadline S of one login [10]\n"
            "  --user PATTERN       %%d is a number below --users  --users N    [1]\n"
            "  --password P         --wrong PERCENT of logins use --wrong-password instead, and must be refused\n"
            "  --service NAME       [smtp]   --realm REALM (saslauthd)   --seed N  of the drawn users [1]\n");
    exit(status);
}

static void take_option(int letter, const char *text) {
    switch (letter) {
    case 'P':
        option.protocol = !strcmp(text, "saslauthd") ? SASLAUTHD : AUTHDAEMON;
        if (option.protocol == AUTHDAEMON && strcmp(text, "authdaemon"))
            die("--protocol: expected saslauthd or authdaemon", text);
        break;
    case 's': option.socket = text; break;
    case 'c': option.concurrency = (int)number("concurrency", text, 1, MAX_SLOTS); break;
    case 't': option.seconds = (int64_t)(number("seconds", text, .01, MAX_SECONDS) * (double)SECOND); break;
    case 'a': option.warmup = (int64_t)(number("warmup", text, 0, MAX_SECONDS) * (double)SECOND); break;
    case 'n': option.most = (int64_t)number("requests", text, 1, MAX_LOGINS); break;
    case 'u': option.user = text; break;
    case 'N': option.users = (int)number("users", text, 1, MAX_USERS); break;
    case 'p': option.password = text; break;
    case 'x': option.wrong_password = text; break;
    case 'w': option.wrong_percent = (int)number("wrong", text, 0, 100); break;
    case 'S': option.service = text; break;
    case 'r': option.realm = text; break;
    case 'd': option.deadline = (int64_t)(number("deadline", text, .001, MAX_SECONDS) * (double)SECOND); break;
    case 'e': option.seed = (uint64_t)number("seed", text, 0, 1e15); break;
    case 'h': usage(0); break;
    default: usage(2);
    }
}

static void check_options(void) {
    if (!option.socket)
        usage(2);
    if (strlen(option.socket) >= sizeof address.sun_path)
        die("--socket: too long for a unix socket", option.socket);
    strcpy(address.sun_path, option.socket);
    if (strlen(option.user) > 200 || strlen(option.password) > 200 || strlen(option.wrong_password) > 200 ||
        strlen(option.service) > 100 || strlen(option.realm) > 100)
        die("--user, --password: 200 bytes at most; --service, --realm: 100", NULL);
    if (option.most < option.concurrency)
        option.concurrency = (int)option.most;
}

int main(int argc, char **argv) {
    for (int letter; (letter = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1;)
        take_option(letter, optarg);
    if (optind < argc)
        usage(2);
    check_options();
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    /* whatever happens, this program ends */
    alarm((unsigned)((option.warmup + option.seconds + option.deadline) / SECOND) + 10);
    slots = calloc((size_t)option.concurrency, sizeof *slots);
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (!slots || poller < 0)
        die("cannot start", strerror(errno));
    for (int i = 0; i < option.concurrency; i++)
        slots[i].fd = -1;
    run();
    print_result();
    return 0;
}
