/* probe.c: the public API on a command line, for tests/servers.sh.
 *
 * SPDX-License-Identifier: MIT
 *
 * usage: probe [OPTION VALUE]... VERB [ARGUMENT]...
 *
 * What came goes to standard output; standard error gets one line of
 * "name=value" about the last call, the client's counters and this process's
 * memory, and one that begins with "message=". The exit code is 0 when the
 * last call went well. A BASE is a dataplane URL: any server's.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lssb.h"

struct probe {
    lssb_config config;
    lssb_client *client;
    lssb_op op;                     /* the options of a call */
    lssb_sandbox box;
    lssb_file file;
    lssb_download download;
    lssb_pair header;
    uint32_t times;                 /* how often, on one client */
    uint32_t together;              /* how many side by side */
    uint32_t pause_ms;              /* between them */
    const char *const *arguments;   /* of the verb */
};

/* Ends the program over a mistake in how it was called. */
static void die(const char *what)
{
    fprintf(stderr, "probe: %s\n", what);
    exit(2);
}

/* ------------------------------------------------------------- the calls -- */

/* The sandbox that a dataplane URL is made to be. */
static void probe_base(struct probe *p)
{
    if (strlen(p->arguments[0]) >= sizeof p->box.dataplane_url)
        die("the BASE is too long");
    memset(&p->box, 0, sizeof p->box);
    p->box.client = p->client;
    strcpy(p->box.name, "box-1");
    strcpy(p->box.dataplane_url, p->arguments[0]);
}

static lssb_status take_to_stdout(void *user, const void *bytes, size_t len)
{
    (void)user;
    return fwrite(bytes, 1, len, stdout) == len ? LSSB_OK : LSSB_E_STOPPED;
}

/* get BASE PATH: a file, or a part of it. */
static lssb_status verb_get(struct probe *p)
{
    probe_base(p);
    p->download.take = take_to_stdout;
    return lssb_file_download(&p->box, p->arguments[1], &p->download, &p->file,
                              &p->op);
}

/* stat BASE PATH */
static lssb_status verb_stat(struct probe *p)
{
    probe_base(p);
    return lssb_file_stat(&p->box, p->arguments[1], &p->file, &p->op);
}

/* Bytes of a file that is uploaded. */
static ptrdiff_t read_file(void *ctx, uint64_t offset, void *bytes, size_t len)
{
    return pread(fileno(ctx), bytes, len, (off_t)offset);
}

/* put BASE PATH FILE */
static lssb_status verb_put(struct probe *p)
{
    static lssb_source source;      /* borrowed until the call is final */

    probe_base(p);
    if (source.ctx == NULL)
        source.ctx = fopen(p->arguments[2], "rb");
    if (source.ctx == NULL || fseeko(source.ctx, 0, SEEK_END) != 0)
        die("the FILE cannot be read");
    source.read_at = read_file;
    source.size = (uint64_t)ftello(source.ctx);
    return lssb_file_upload(&p->box, p->arguments[1], &source, NULL, &p->op);
}

/* run BASE COMMAND */
static lssb_status verb_run(struct probe *p)
{
    static lssb_run_options how;
    static lssb_result result;

    probe_base(p);
    how.on_out = take_to_stdout;
    how.on_err = take_to_stdout;
    return lssb_run(&p->box, p->arguments[1], &how, &result, &p->op);
}

/* box NAME */
static lssb_status verb_box(struct probe *p)
{
    return lssb_sandbox_get(p->client, p->arguments[0], &p->box, &p->op);
}

/* create NAME; prints its dataplane URL */
static lssb_status verb_create(struct probe *p)
{
    static lssb_sandbox_options options;

    options.name = p->arguments[0];
    return lssb_sandbox_create(p->client, &options, &p->box, &p->op);
}

/* delete NAME */
static lssb_status verb_delete(struct probe *p)
{
    return lssb_sandbox_delete_named(p->client, p->arguments[0], &p->op);
}

/* list: one page */
static lssb_status verb_list(struct probe *p)
{
    static lssb_sandbox_list walk;
    static size_t count;

    memset(&walk, 0, sizeof walk);
    return lssb_sandbox_next(p->client, &walk, &p->box, 1, &count, &p->op);
}

struct verb {
    const char *name;
    int arguments;
    lssb_status (*call)(struct probe *);
};

static const struct verb verbs[] = {
    { "get", 2, verb_get },       { "stat", 2, verb_stat },
    { "put", 3, verb_put },       { "run", 2, verb_run },
    { "box", 1, verb_box },       { "create", 1, verb_create },
    { "delete", 1, verb_delete }, { "list", 0, verb_list }
};

/* ------------------------------------------------------------ the report -- */

/* A number of KiB that Linux knows of this process; -1 elsewhere. */
static long process_kb(const char *name)
{
    char line[128];
    long kb = -1;
    FILE *status = fopen("/proc/self/status", "r");

    while (status != NULL && fgets(line, sizeof line, status) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            kb = strtol(line + strlen(name), NULL, 10);
    if (status != NULL)
        fclose(status);
    return kb;
}

/* What the report says of memory: private memory now, which only grows in here,
 * and the most that was resident at all. */
static void report_memory(void)
{
    struct rusage usage;
    long peak = process_kb("VmHWM:");

    if (peak < 0 && getrusage(RUSAGE_SELF, &usage) == 0)
        peak = usage.ru_maxrss;
    fprintf(stderr, " memory_kb=%ld peak_kb=%ld",
            process_kb("RssAnon:") >= 0 ? process_kb("RssAnon:") : peak, peak);
}

/* What is known of the file. */
static void report_file(const lssb_file *file)
{
    if (file->size != LSSB_SIZE_UNKNOWN)
        fprintf(stderr, " size=%llu", (unsigned long long)file->size);
    fprintf(stderr, " start=%llu length=%llu partial=%d unchanged=%d etag=%s",
            (unsigned long long)file->start,
            (unsigned long long)file->length, file->partial, file->unchanged,
            file->etag);
}

static void report(const struct probe *p, lssb_status status)
{
    const lssb_error *error = lssb_last_error(p->client);
    lssb_stats_list stats;

    lssb_stats(p->client, &stats);
    fprintf(stderr, "status=%s layer=%s http=%d attempts=%u retry_after=%u",
            lssb_status_name(status), lssb_layer_name(error->layer),
            (int)error->http_status, (unsigned)error->attempts,
            (unsigned)error->retry_after_ms);
    fprintf(stderr, " requests=%llu retries=%llu connections=%llu reused=%llu "
            "resumed=%llu slots_high=%u",
            (unsigned long long)stats.requests,
            (unsigned long long)stats.retries,
            (unsigned long long)stats.connections,
            (unsigned long long)stats.reused,
            (unsigned long long)stats.resumed, (unsigned)stats.slots_high);
    report_memory();
    report_file(&p->file);
    fprintf(stderr, " name=%s state=%s dataplane=%s\n", p->box.name,
            p->box.status, p->box.dataplane_url);
    fprintf(stderr, "message=%s\n", error->message);
}

/* -------------------------------------------------------------- a client -- */

/* Calls one verb `times` times, one after another. */
static lssb_status in_turn(struct probe *p, const struct verb *verb)
{
    lssb_status status = LSSB_OK;
    uint32_t i;

    for (i = 0; i < p->times && status == LSSB_OK; i++) {
        if (i > 0 && p->pause_ms > 0)
            poll(NULL, 0, (int)p->pause_ms);
        status = verb->call(p);
        if (status == LSSB_PENDING)
            status = lssb_wait(p->client, &p->op, LSSB_FOREVER);
    }
    return status;
}

/* Downloads one file several times side by side; the first failure counts. */
static lssb_status side_by_side(struct probe *p)
{
    static lssb_op ops[64];
    static lssb_file files[64];
    lssb_status status = LSSB_OK;
    uint32_t i;

    if (p->together > 64)
        die("--together: 64 at most");
    probe_base(p);
    p->download.take = take_to_stdout;
    for (i = 0; i < p->together; i++)
        lssb_file_download(&p->box, p->arguments[1], &p->download, &files[i],
                           &ops[i]);
    lssb_wait(p->client, NULL, LSSB_FOREVER);
    for (i = 0; i < p->together; i++)
        if (status == LSSB_OK)
            status = ops[i].status;
    return status;
}

/* Opens a client, calls a verb and tells. */
static int probe_call(struct probe *p, const struct verb *verb)
{
    lssb_error why;
    lssb_status status = lssb_open_why(&p->client, &p->config, &why);

    if (status != LSSB_OK) {
        fprintf(stderr, "status=%s layer=%s\nmessage=%s\n",
                lssb_status_name(status), lssb_layer_name(why.layer),
                why.message);
        return 1;
    }
    status = p->together > 0 ? side_by_side(p) : in_turn(p, verb);
    report(p, status);
    lssb_close(p->client, NULL);
    return status != LSSB_OK;
}

/* -------------------------------------------------------------- loopback -- */

/* A loopback address with a port. */
static struct sockaddr_in loopback(unsigned port)
{
    struct sockaddr_in at;

    memset(&at, 0, sizeof at);
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    at.sin_port = htons((uint16_t)port);
    return at;
}

/* Listens on a port that the system picks, and tells which. */
static int listen_anywhere(unsigned *port)
{
    struct sockaddr_in at = loopback(0);
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0 ||
        listen(fd, 16) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &len) != 0)
        die("no port to listen on");
    *port = ntohs(at.sin_port);
    return fd;
}

/* Connects to a port; -1 when nothing listens there. */
static int connect_to(const char *port)
{
    struct sockaddr_in at = loopback((unsigned)strtoul(port, NULL, 10));
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof at) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* ports N: so many ports that are free now, all of them different. */
static int verb_ports(const char *const *arguments)
{
    unsigned long n = strtoul(arguments[0], NULL, 10), i;
    unsigned port;

    for (i = 0; i < n; i++) {
        listen_anywhere(&port);     /* held until the end of this program */
        printf("%u\n", port);
    }
    return 0;
}

/* await PORT...: until each accepts; for 20 s at most. */
static int verb_await(const char *const *arguments)
{
    int tries, fd = -1;

    for (; *arguments != NULL; arguments++) {
        for (tries = 0; tries < 1000; tries++) {
            fd = connect_to(*arguments);
            if (fd >= 0)
                break;
            poll(NULL, 0, 20);
        }
        if (fd < 0)
            return 1;
        close(fd);
    }
    return 0;
}

/* Moves what there is from one socket to another, at most *left bytes; false
 * at the end of either. */
static int relay_some(int from, int to, unsigned long long *left)
{
    char bytes[16384];
    size_t want = sizeof bytes < *left ? sizeof bytes : (size_t)*left;
    ssize_t n = recv(from, bytes, want, 0), sent = 0, m;

    if (n <= 0)
        return 0;
    while (sent < n) {
        m = send(to, bytes + sent, (size_t)(n - sent), MSG_NOSIGNAL);
        if (m <= 0)
            return 0;
        sent += m;
    }
    *left -= (unsigned long long)n;
    return *left > 0;
}

/* One connection through the relay, until it is to be cut. */
static void relay(int client, int server, unsigned long long down)
{
    unsigned long long up = ~0ULL;
    struct pollfd both[2] = { { client, POLLIN, 0 }, { server, POLLIN, 0 } };

    for (;;) {
        if (poll(both, 2, -1) < 0)
            return;
        if (both[0].revents != 0 && !relay_some(client, server, &up))
            return;
        if (both[1].revents != 0 && !relay_some(server, client, &down))
            return;
    }
}

/* cut PORT BYTES TIMES: a relay to a port, which closes the first TIMES
 * connections after BYTES of the server's; those behind are left whole. Prints
 * its own port; one connection at a time; lives until it is killed. */
static void verb_cut(const char *const *arguments)
{
    unsigned long long bytes = strtoull(arguments[1], NULL, 10);
    unsigned long times = strtoul(arguments[2], NULL, 10), i;
    unsigned port;
    int listener = listen_anywhere(&port);

    printf("%u\n", port);
    fclose(stdout);
    for (i = 0;; i++) {
        int client = accept(listener, NULL, NULL);
        int server = connect_to(arguments[0]);

        if (client >= 0 && server >= 0)
            relay(client, server, i < times ? bytes : ~0ULL);
        if (server >= 0)
            close(server);
        shutdown(client, SHUT_WR);  /* what was sent arrives, then the end */
        close(client);
    }
}

/* ---------------------------------------------------------- command line -- */

static uint64_t number(const char *text)
{
    char *end;
    unsigned long long value = strtoull(text, &end, 10);

    if (end == text || *end != '\0')
        die("a number was expected");
    return value;
}

/* Options that are a string of the configuration or of a range. */
static int set_string(struct probe *p, const char *name, const char *value)
{
    const struct {
        const char *name;
        const char **at;
    } strings[] = { { "--endpoint", &p->config.endpoint },
                    { "--key", &p->config.api_key },
                    { "--proxy", &p->config.proxy },
                    { "--no-proxy", &p->config.no_proxy },
                    { "--ca", &p->config.trust.file },
                    { "--if-range", &p->download.range.if_range },
                    { "--if-none-match",
                      &p->download.range.if_none_match } };
    size_t i;

    for (i = 0; i < sizeof strings / sizeof strings[0]; i++)
        if (strcmp(name, strings[i].name) == 0) {
            *strings[i].at = value;
            return 1;
        }
    return 0;
}

/* Options that are a number. */
static int set_number(struct probe *p, const char *name, const char *value)
{
    if (strcmp(name, "--retries") == 0)
        p->config.retries = strcmp(value, "none") == 0 ? LSSB_NONE
                                                       : (int)number(value);
    else if (strcmp(name, "--timeout") == 0)
        p->config.timeout_ms = (uint32_t)number(value);
    else if (strcmp(name, "--deadline") == 0)
        p->op.deadline_ms = (uint32_t)number(value);
    else if (strcmp(name, "--slots") == 0)
        p->config.slots = (uint32_t)number(value);
    else if (strcmp(name, "--times") == 0)
        p->times = (uint32_t)number(value);
    else if (strcmp(name, "--together") == 0)
        p->together = (uint32_t)number(value);
    else if (strcmp(name, "--pause") == 0)
        p->pause_ms = (uint32_t)number(value);
    else if (strcmp(name, "--start") == 0)
        p->download.range.start = number(value);
    else if (strcmp(name, "--length") == 0)
        p->download.range.length = number(value);
    else if (strcmp(name, "--last") == 0)
        p->download.range.last = number(value);
    else
        return 0;
    return 1;
}

/* Options that are yes or no, and a header of the call. */
static int set_rest(struct probe *p, const char *name, const char *value)
{
    bool yes = strcmp(value, "yes") == 0;

    if (strcmp(name, "--only") == 0)
        p->config.trust.only = yes;
    else if (strcmp(name, "--environment") == 0)
        p->config.no_environment = !yes;
    else if (strcmp(name, "--cleartext") == 0)
        p->config.allow_cleartext = yes;
    else if (strcmp(name, "--resume") == 0)
        p->config.trust.no_resumption = !yes;
    else if (strcmp(name, "--header") == 0) {
        p->header.name = "X-Probe";
        p->header.value = value;
        p->op.headers = &p->header;
        p->op.header_count = 1;
    } else
        return 0;
    return 1;
}

/* The verb of an API call, or NULL. */
static const struct verb *find_verb(const char *name, int arguments)
{
    size_t i;

    for (i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(verbs[i].name, name) == 0 &&
            verbs[i].arguments == arguments)
            return &verbs[i];
    return NULL;
}

int main(int argc, char **argv)
{
    static struct probe p;
    const struct verb *verb;
    int i = 1;

    p.times = 1;
    p.config.no_environment = true;
    for (; i + 1 < argc && strncmp(argv[i], "--", 2) == 0; i += 2)
        if (!set_string(&p, argv[i], argv[i + 1]) &&
            !set_number(&p, argv[i], argv[i + 1]) &&
            !set_rest(&p, argv[i], argv[i + 1]))
            die("an option is unknown");
    if (i >= argc)
        die("which VERB?");
    p.arguments = (const char *const *)argv + i + 1;
    if (strcmp(argv[i], "ports") == 0 && argc - i == 2)
        return verb_ports(p.arguments);
    if (strcmp(argv[i], "await") == 0)
        return verb_await(p.arguments);
    if (strcmp(argv[i], "cut") == 0 && argc - i == 4)
        verb_cut(p.arguments);
    verb = find_verb(argv[i], argc - i - 1);
    if (verb == NULL)
        die("the VERB is unknown, or its arguments are not that many");
    return probe_call(&p, verb);
}
