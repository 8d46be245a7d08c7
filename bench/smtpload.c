/* smtpload: closed-loop mail submission over loopback TCP.
 *
 *   smtpload --port 587 --concurrency 20 --seconds 4 --tls --messages 1 --bytes 4096 \
 *            --user joe@example.org --password secret --from joe@example.org --to ann@example.net
 *
 * Each of the --concurrency slots has one session after the other, in lock-step: EHLO, STARTTLS and EHLO with --tls, AUTH
 * PLAIN with an initial response, then MAIL, RCPT, DATA and the message --messages times (0: none), then QUIT. Every reply
 * must have the code that a working server gives; a session in which one has not is failed, and shown for the first three.
 * A message's time is from MAIL to the reply to its end, a session's from connect() to the reply to QUIT. TLS sessions are
 * not resumed, and certificates not verified. Only what ends between the warm-up and the end is counted; sessions under way
 * then are broken off. Prints one JSON object. Exit status: 0 measured, 2 wrong usage or no memory.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_SLOTS = 4096, MAX_TIMES = 20 * 1000 * 1000, REPLY = 8192, LINE = 2048 };

enum state { GREETING, EHLO, STARTTLS, HANDSHAKE, EHLO_AGAIN, AUTH, MAIL, RCPT, DATA, BODY, QUIT };
static const char *const STATES[] = {"greeting", "EHLO", "STARTTLS", "handshake", "EHLO", "AUTH", "MAIL", "RCPT",
                                     "DATA",     "body", "QUIT"};
static const int EXPECTED[] = {220, 250, 220, 0, 250, 235, 250, 250, 354, 250, 221};

struct slot {
    enum state state;
    int fd, left;
    SSL *ssl;
    uint32_t events;
    const char *out;
    size_t out_left, received;
    int64_t session, message;
    char in[REPLY + 1];
};

struct times {
    float *all;
    size_t count, room;
};

static struct {
    int port, concurrency, messages;
    double seconds, warmup;
    bool tls;
    size_t bytes;
    const char *user, *password, *from, *to;
} option = {.concurrency = 20, .messages = 1, .seconds = 4, .warmup = 0.5, .bytes = 4096, .user = "", .password = "",
            .from = "", .to = ""};

static char auth[LINE + 64], mail[LINE], rcpt[LINE], *body;
static size_t body_size;
static struct times sessions, messages;
static long failed, refused;
static int64_t counted_from, counted_to;
static int epoll;
static SSL_CTX *tls;
static struct slot *slots;

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void *need(void *memory) {
    if (!memory) {
        fputs("smtpload: no memory\n", stderr);
        exit(2);
    }
    return memory;
}

static void note(struct times *times, int64_t started) {
    int64_t end = now();
    if (end < counted_from || end > counted_to || times->count >= MAX_TIMES)
        return;
    if (times->count == times->room)
        times->all = need(realloc(times->all, (times->room = times->room ? 2 * times->room : 4096) * sizeof(float)));
    times->all[times->count++] = (float)(end - started);
}

static void watch(struct slot *slot, uint32_t events) {
    if (slot->events == events)
        return;
    struct epoll_event event = {.events = events, .data.ptr = slot};
    epoll_ctl(epoll, slot->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, slot->fd, &event);
    slot->events = events;
}

static void begin(struct slot *slot) {
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)option.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    slot->session = now();
    for (;;) {
        slot->fd = socket(AF_INET, SOCK_STREAM, 0);
        if (slot->fd >= 0 && !connect(slot->fd, (void *)&to, sizeof to))
            break;
        refused++;
        close(slot->fd);
        usleep(1000);
    }
    setsockopt(slot->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    slot->state = GREETING;
    slot->left = option.messages;
    slot->events = 0;
    slot->received = slot->out_left = 0;
    watch(slot, EPOLLIN);
}

static void end(struct slot *slot) {
    SSL_free(slot->ssl);
    slot->ssl = NULL;
    close(slot->fd);
    begin(slot);
}

static void fail(struct slot *slot, const char *why) {
    if (now() <= counted_to && failed++ < 3)
        fprintf(stderr, "smtpload: %s: %.200s\n", STATES[slot->state], why);
    end(slot);
}

/* The kernel would answer small packets after 40 ms, and a server that does not say TCP_NODELAY waits for that (tcp(7)). Over
 * loopback this would be all that is measured, so every packet is acknowledged at once. The kernel forgets it: ask each time. */
static void acknowledge(const struct slot *slot) {
    int one = 1;
    setsockopt(slot->fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof one);
}

/* What recv() and send() answer, through TLS or not: bytes, 0 for the end, -1 for a fault, -2 for "later". */
static ssize_t moved(struct slot *slot, bool out, void *data, size_t size) {
    ssize_t done;
    if (!slot->ssl) {
        done = out ? send(slot->fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT) : recv(slot->fd, data, size, MSG_DONTWAIT);
        return done < 0 && errno == EAGAIN ? -2 : done;
    }
    done = out ? SSL_write(slot->ssl, data, (int)size) : SSL_read(slot->ssl, data, (int)size);
    if (done > 0)
        return done;
    int why = SSL_get_error(slot->ssl, (int)done);
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? -2 : why == SSL_ERROR_ZERO_RETURN ? 0 : -1;
}

static void flush(struct slot *slot) {
    while (slot->out_left) {
        ssize_t done = moved(slot, true, (void *)slot->out, slot->out_left);
        if (done == -2) {
            watch(slot, EPOLLIN | EPOLLOUT);
            return;
        }
        if (done <= 0) {
            fail(slot, "cannot send");
            return;
        }
        slot->out += done;
        slot->out_left -= (size_t)done;
    }
    watch(slot, EPOLLIN);
}

static void say(struct slot *slot, enum state state, const char *text, size_t size) {
    slot->state = state;
    slot->out = text;
    slot->out_left = size;
    slot->received = 0;
    flush(slot);
}

static void say_line(struct slot *slot, enum state state, const char *text) { say(slot, state, text, strlen(text)); }

static void next(struct slot *slot) {
    if (slot->left-- > 0) {
        slot->message = now();
        say_line(slot, MAIL, mail);
    } else
        say_line(slot, QUIT, "QUIT\r\n");
}

static void shake(struct slot *slot) {
    int done = SSL_connect(slot->ssl);
    if (done == 1) {
        say_line(slot, EHLO_AGAIN, "EHLO bench.example.org\r\n");
        return;
    }
    int why = SSL_get_error(slot->ssl, done);
    if (why == SSL_ERROR_WANT_READ)
        watch(slot, EPOLLIN);
    else if (why == SSL_ERROR_WANT_WRITE)
        watch(slot, EPOLLIN | EPOLLOUT);
    else
        fail(slot, "no TLS");
}

static void begin_tls(struct slot *slot) {
    slot->state = HANDSHAKE;
    slot->ssl = need(SSL_new(tls));
    SSL_set_fd(slot->ssl, slot->fd);
    SSL_set_connect_state(slot->ssl);
    shake(slot);
}

static void answered(struct slot *slot) {
    switch (slot->state) {
    case GREETING: say_line(slot, EHLO, "EHLO bench.example.org\r\n"); break;
    case EHLO:
        if (option.tls)
            say_line(slot, STARTTLS, "STARTTLS\r\n");
        else
            say_line(slot, AUTH, auth);
        break;
    case STARTTLS: begin_tls(slot); break;
    case HANDSHAKE: break;
    case EHLO_AGAIN: say_line(slot, AUTH, auth); break;
    case AUTH: next(slot); break;
    case MAIL: say_line(slot, RCPT, rcpt); break;
    case RCPT: say_line(slot, DATA, "DATA\r\n"); break;
    case DATA: say(slot, BODY, body, body_size); break;
    case BODY:
        note(&messages, slot->message);
        next(slot);
        break;
    case QUIT:
        note(&sessions, slot->session);
        end(slot);
    }
}

/* The code of a whole reply, 0 while there is more to come. */
static int code_of(const struct slot *slot) {
    if (slot->received < 5 || slot->in[slot->received - 1] != '\n')
        return 0;
    const char *last = slot->in;
    for (const char *p = slot->in; p < slot->in + slot->received - 1; p++)
        if (*p == '\n')
            last = p + 1;
    return last[3] == '-' ? 0 : atoi(last);
}

static void hear(struct slot *slot) {
    for (;;) {
        ssize_t done = moved(slot, false, slot->in + slot->received, REPLY - slot->received);
        if (done == -2)
            return;
        if (done <= 0) {
            fail(slot, done ? "broken" : "closed");
            return;
        }
        slot->received += (size_t)done;
        slot->in[slot->received] = 0;
        int code = code_of(slot);
        if (!code)
            continue;
        if (code != EXPECTED[slot->state])
            fail(slot, slot->in);
        else
            answered(slot);
        return;
    }
}

static void happened(struct slot *slot, uint32_t events) {
    acknowledge(slot);
    if (slot->state == HANDSHAKE)
        shake(slot);
    else if (slot->out_left && events & EPOLLOUT)
        flush(slot);
    else
        hear(slot);
}

static void prepare(void) {
    unsigned char plain[LINE / 2], coded[LINE];
    int size = snprintf((char *)plain, sizeof plain, "%c%s%c%s", 0, option.user, 0, option.password);
    EVP_EncodeBlock(coded, plain, size);
    snprintf(auth, sizeof auth, "AUTH PLAIN %s\r\n", (char *)coded);
    snprintf(mail, sizeof mail, "MAIL FROM:<%s>\r\n", option.from);
    snprintf(rcpt, sizeof rcpt, "RCPT TO:<%s>\r\n", option.to);
    body = need(malloc(option.bytes + 2 * LINE));
    body_size = (size_t)snprintf(body, 2 * LINE,
                                 "From: <%s>\r\nTo: <%s>\r\nSubject: bench\r\nDate: Tue, 24 Nov 2026 00:00:00 +0000\r\n"
                                 "Message-ID: <b@bench.example.org>\r\n\r\n",
                                 option.from, option.to);
    while (body_size < option.bytes)
        body_size += (size_t)sprintf(body + body_size, "The quick brown fox jumps over the lazy dog and keeps on.\r\n");
    body_size += (size_t)sprintf(body + body_size, ".\r\n");
    if (option.tls) {
        tls = need(SSL_CTX_new(TLS_client_method()));
        SSL_CTX_set_verify(tls, SSL_VERIFY_NONE, NULL);
        SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    }
}

static int compare(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

static void print(const char *name, struct times *times) {
    qsort(times->all, times->count, sizeof(float), compare);
    size_t n = times->count;
    printf("\"%s\": {\"count\": %zu, \"per_second\": %.1f, \"p50_us\": %.0f, \"p99_us\": %.0f}, ", name, n,
           (double)n / option.seconds, n ? times->all[n / 2] : 0.0, n ? times->all[(size_t)((double)n * 0.99)] : 0.0);
}

static void usage(void) {
    fputs("usage: smtpload --port N --concurrency N --seconds S [--warmup S] [--tls] [--messages N] [--bytes N] --user U "
          "--password P --from A --to A\n",
          stderr);
    exit(2);
}

static void read_options(int argc, char **argv) {
    static const struct option known[] = {
        {"port", 1, 0, 'p'},  {"concurrency", 1, 0, 'c'}, {"seconds", 1, 0, 's'}, {"warmup", 1, 0, 'w'},
        {"tls", 0, 0, 't'},   {"messages", 1, 0, 'm'},    {"bytes", 1, 0, 'b'},   {"user", 1, 0, 'u'},
        {"password", 1, 0, 'P'}, {"from", 1, 0, 'f'},     {"to", 1, 0, 'T'},      {0, 0, 0, 0}};
    for (int key; (key = getopt_long(argc, argv, "", known, NULL)) != -1;)
        switch (key) {
        case 'p': option.port = atoi(optarg); break;
        case 'c': option.concurrency = atoi(optarg); break;
        case 's': option.seconds = atof(optarg); break;
        case 'w': option.warmup = atof(optarg); break;
        case 't': option.tls = true; break;
        case 'm': option.messages = atoi(optarg); break;
        case 'b': option.bytes = (size_t)atol(optarg); break;
        case 'u': option.user = optarg; break;
        case 'P': option.password = optarg; break;
        case 'f': option.from = optarg; break;
        case 'T': option.to = optarg; break;
        default: usage();
        }
    if (option.port < 1 || option.port > 65535 || option.concurrency < 1 || option.concurrency > MAX_SLOTS ||
        option.seconds <= 0 || option.bytes > 100000000 || strlen(option.user) + strlen(option.password) > 600 ||
        strlen(option.from) > 300 || strlen(option.to) > 300)
        usage();
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN);
    read_options(argc, argv);
    prepare();
    epoll = epoll_create1(0);
    slots = need(calloc((size_t)option.concurrency, sizeof *slots));
    counted_from = now() + (int64_t)(option.warmup * 1e6);
    counted_to = counted_from + (int64_t)(option.seconds * 1e6);
    for (int i = 0; i < option.concurrency; i++)
        begin(&slots[i]);
    struct epoll_event events[256];
    while (now() < counted_to) {
        int count = epoll_wait(epoll, events, 256, 100);
        for (int i = 0; i < count; i++)
            happened(events[i].data.ptr, events[i].events);
    }
    putchar('{');
    print("sessions", &sessions);
    print("messages", &messages);
    printf("\"failed\": %ld, \"refused\": %ld}\n", failed, refused);
    return 0;
}
