/* main.c: options, the ready line, the end.
 *
 * SPDX-License-Identifier: MIT
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#ifdef __linux__
#include <signal.h>
#include <sys/prctl.h>
#endif

#include "control.h"

#define MAIN_PARENT_MS 500          /* how often the parent is looked for */
#define MAIN_CLOSE_MS 500           /* for the answers to the last closes */

static const char main_usage[] =
    "sandboxd: a local LangSmith Sandbox server, for development only\n"
    "  --listen HOST:PORT   default 127.0.0.1:0, a port that the system picks\n"
    "  --api-key KEY        default: made up, and printed\n"
    "  --tls                serve https, with a throw-away certificate\n"
    "  --cert F --key F     … or with this one (PEM); --ca F names its issuer\n"
    "  --data DIR           where boxes live; default a new one in $TMPDIR\n"
    "  --keep               leave the data behind at the end\n"
    "  --isolation HOW      view (commands see the box's own files), none,\n"
    "                       or auto, the default: view where it is possible\n"
    "  --provision-ms N     how long a box takes to start; default 20\n"
    "  --second-ms N        how long a second of a TTL lasts; default 1000\n"
    "  --die-with-parent    stop when the parent process has ended\n"
    "  --faults             serve POST /_faults (see README.md)\n"
    "  --max-connections N  default 1024    --max-boxes N    default 100\n"
    "  --max-commands N     default 1000    --max-output N   8388608 bytes of\n"
    "  --max-json N         1048576 bytes   each output of a command\n"
    "  --max-upload N       bytes of a file; default 0, no limit\n"
    "  --max-millicores N   of all running boxes; default 0, no limit\n"
    "  --max-memory N       bytes of all running boxes; default 0, no limit\n"
    "  --max-snapshots N    default 100000  --max-volumes N  default 100\n"
    "  --service-domain D   service URLs are http://ID--PORT.D, not …/svc/…\n"
    "  --no-services        service URLs and download links are a 501\n"
    "  --max-message N      16777216 bytes of a message to a command\n"
    "  --ring-bytes N       1048576 bytes of each output of a streamed command\n"
    "                       are kept for those who read it late\n"
    "  --hold-ms N          5000, how long a command is held up at most for a\n"
    "                       client that reads more slowly than it writes\n"
    "  --message-bytes N    32768 bytes of output in a message, at most\n"
    "  --tunnel-ports LIST  that tunnels may lead to, 22,8000-8999; default all\n"
    "  --max-streams N      1024 connections through a tunnel at once\n"
    "  --tunnel-ping-ms N   30000, between pings to a tunnel's client, and how\n"
    "                       long it may be silent then\n"
    "  --drain-ms N         2000, for connections through tunnels to finish at\n"
    "                       a reload or at the end\n"
    "  --ping-ms N          20000, between pings to a WebSocket's client\n"
    "  --member-order LIST  of streamed messages; default type,data,offset\n";

/* An option with a number. */
struct main_number {
    const char *name;
    uint64_t *value;
    uint64_t least;
    uint64_t most;
};

/* Sets an option that has a number; false if it is none of these. */
static bool main_set_number(struct settings *s, const char *name,
                            const char *text)
{
    struct main_number numbers[] = {
        {"provision-ms", &s->provision_ms, 0, 3600000},
        {"second-ms", &s->second_ms, 1, 1000000},
        {"max-connections", &s->max_connections, 1, 10000},
        {"max-boxes", &s->max_boxes, 1, 100000},
        {"max-millicores", &s->max_millicores, 0, INT64_MAX},
        {"max-memory", &s->max_memory, 0, INT64_MAX},
        {"max-snapshots", &s->max_snapshots, 1, 10000000},
        {"max-volumes", &s->max_volumes, 0, 100000},
        {"max-commands", &s->max_commands, 1, 10000},
        {"max-output", &s->max_output, 1, 1073741824},
        {"max-json", &s->max_json, 2, 1073741824},
        {"max-upload", &s->max_upload, 0, INT64_MAX},
        {"max-message", &s->max_message, 256, 1073741824},
        {"ring-bytes", &s->ring_bytes, 16, 1073741824},
        {"message-bytes", &s->message_bytes, 4, 16777216},
        {"max-streams", &s->max_streams, 1, 100000},
        {"tunnel-ping-ms", &s->tunnel_ping_ms, 1, 3600000},
        {"drain-ms", &s->drain_ms, 0, 3600000},
        {"ping-ms", &s->ping_ms, 1, 3600000},
        {"hold-ms", &s->hold_ms, 0, 3600000}};
    size_t i;

    for (i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        uint64_t number;

        if (strcmp(numbers[i].name, name) != 0)
            continue;
        if (!lssb_parse_u64(text, strlen(text), &number) ||
            number < numbers[i].least || number > numbers[i].most)
            return false;
        *numbers[i].value = number;
        return true;
    }
    return false;
}

/* Sets an option that has a text; false if it is none of these. */
static bool main_set_text(struct settings *s, const char *name,
                          const char *text)
{
    if (strcmp(name, "listen") == 0)
        s->listen = text;
    else if (strcmp(name, "api-key") == 0 && *text != '\0')
        s->api_key = text;
    else if (strcmp(name, "cert") == 0)
        s->cert = text;
    else if (strcmp(name, "key") == 0)
        s->key = text;
    else if (strcmp(name, "ca") == 0)
        s->ca = text;
    else if (strcmp(name, "service-domain") == 0 && *text != '\0')
        s->service_domain = text;
    else if (strcmp(name, "data") == 0)
        s->data = text;
    else if (strcmp(name, "tunnel-ports") == 0 && tunnel_ports_valid(text))
        s->tunnel_ports = text;
    else if (strcmp(name, "member-order") == 0)
        s->member_order = text;
    else if (strcmp(name, "isolation") == 0 &&
             (strcmp(text, "auto") == 0 || strcmp(text, "view") == 0 ||
              strcmp(text, "none") == 0))
        s->isolation = text;
    else
        return false;
    return true;
}

/* Sets an option that is a flag; false if it is none of these. */
static bool main_set_flag(struct settings *s, const char *name)
{
    if (strcmp(name, "tls") == 0)
        s->tls = true;
    else if (strcmp(name, "keep") == 0)
        s->keep = true;
    else if (strcmp(name, "die-with-parent") == 0)
        s->die_with_parent = true;
    else if (strcmp(name, "faults") == 0)
        s->faults = true;
    else if (strcmp(name, "no-services") == 0)
        s->no_services = true;
    else
        return false;
    return true;
}

/* Reads the options, "--name value" or "--name=value". */
static bool main_options(struct settings *s, int argc, char **argv)
{
    int i;

    for (i = 1; i < argc; i++) {
        const char *equals = strchr(argv[i], '=');
        char name[32];
        size_t len = equals != NULL ? (size_t)(equals - argv[i])
                                    : strlen(argv[i]);
        const char *text = equals != NULL ? equals + 1 : NULL;

        if (strncmp(argv[i], "--", 2) != 0 || len - 2 >= sizeof name)
            return false;
        memcpy(name, argv[i] + 2, len - 2);
        name[len - 2] = '\0';
        if (text == NULL && main_set_flag(s, name))
            continue;
        if (text == NULL && ++i < argc)
            text = argv[i];
        if (text == NULL || (!main_set_text(s, name, text) &&
                             !main_set_number(s, name, text)))
            return false;
    }
    return (s->cert == NULL) == (s->key == NULL);
}

/* Says what went wrong at the start, and ends. */
static void __attribute__((noreturn))
main_fail(struct sandboxd *d, const char *what, const char *why)
{
    fprintf(stderr, "sandboxd: %s: %s\n", what, why);
    if (d->made_data) {
        const char *argv[] = {"rm", "-rf", "--", NULL, NULL};

        argv[3] = d->data;
        process_run(argv, NULL);
    }
    exit(1);
}

/* Makes the directory of everything. A given one must be new or empty. */
static void main_data(struct sandboxd *d)
{
    const char *tmp = getenv("TMPDIR");

    if (d->settings.data != NULL) {
        char here[4096];

        if (mkdir(d->settings.data, 0711) != 0 &&
            (errno != EEXIST || rmdir(d->settings.data) != 0 ||
             mkdir(d->settings.data, 0711) != 0))
            main_fail(d, d->settings.data, strerror(errno));
        d->data = d->settings.data[0] == '/' || getcwd(here, sizeof here) == NULL
                      ? take_copy(d->settings.data)
                      : take_format("%s/%s", here, d->settings.data);
        d->made_data = true;
        return;
    }
    d->data = take_format("%s/sandboxd-XXXXXX",
                          tmp != NULL && tmp[0] == '/' ? tmp : "/tmp");
    if (mkdtemp(d->data) == NULL)
        main_fail(d, d->data, strerror(errno));
    d->made_data = true;
    if (chmod(d->data, 0711) != 0)
        main_fail(d, d->data, strerror(errno));
}

/* Sets TLS up, if it is asked for. */
static void main_tls(struct sandboxd *d)
{
    struct settings *s = &d->settings;
    const char *why;

    if (s->cert != NULL) {
        s->tls = true;
        s->ca = s->ca != NULL ? s->ca : s->cert;
    }
    if (!s->tls)
        return;
    if (s->cert == NULL) {
        char *dir = take_format("%s/tls", d->data), *ca, *cert, *key;

        if (!tls_make_files(dir, &ca, &cert, &key))
            main_fail(d, "no certificate", "the openssl program failed");
        s->ca = ca;
        s->cert = cert;
        s->key = key;
        free(dir);
    }
    d->server.tls = tls_server_new(s->cert, s->key, &why);
    if (d->server.tls == NULL)
        main_fail(d, "no TLS", why);
}

/* Decides how commands see files. */
static void main_isolation(struct sandboxd *d)
{
    bool none = strcmp(d->settings.isolation, "none") == 0;

    if (!none && !view_probe(d) &&
        strcmp(d->settings.isolation, "view") == 0)
        main_fail(d, "--isolation view",
                  "mount namespaces are not available");
    fprintf(stderr,
            "sandboxd: a development server, not a security boundary: "
            "commands run on this machine as this user%s\n",
            d->view ? "" : ", and see its files");
}

/* Splits HOST:PORT and listens. */
static void main_listen(struct sandboxd *d)
{
    const char *listen = d->settings.listen, *colon = strrchr(listen, ':');
    uint64_t port = 0;
    char *host;

    if (colon == NULL ||
        !lssb_parse_u64(colon + 1, strlen(colon + 1), &port) || port > 65535)
        main_fail(d, listen, "HOST:PORT is expected");
    host = listen[0] == '[' && colon[-1] == ']'
               ? take_copy_n(listen + 1, (size_t)(colon - listen) - 2)
               : take_copy_n(listen, (size_t)(colon - listen));
    if (!server_listen(d, host, (uint16_t)port, d->endpoint,
                       sizeof d->endpoint))
        main_fail(d, listen, strerror(errno));
    if (!lssb_is_loopback(host, strlen(host)))
        fprintf(stderr, "sandboxd: %s is not loopback: whoever has the key "
                        "can run commands here\n", host);
    free(host);
}

/* Looks whether the parent is still there. */
static void main_parent(struct timer *timer)
{
    struct sandboxd *d = timer->owner;
    static pid_t parent;

    if (parent == 0)
        parent = getppid();
    if (getppid() != parent)
        d->loop.stopping = true;
    loop_at(&d->loop, timer, now_ms() + MAIN_PARENT_MS);
}

/* Ends with the parent, if that is wanted. Linux tells by a signal. */
static void main_watch_parent(struct sandboxd *d, struct timer *timer,
                              pid_t parent)
{
    if (!d->settings.die_with_parent)
        return;
    timer->owner = d;
    timer->fire = main_parent;
    main_parent(timer);
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGTERM);
#endif
    if (getppid() != parent)
        d->loop.stopping = true;
}

/* The line that says that it is ready. */
static void main_write_ready(struct lssb_json_writer *json, const void *ctx)
{
    const struct sandboxd *d = ctx;

    lssb_json_object(json, NULL);
    lssb_json_string(json, "endpoint", d->endpoint);
    lssb_json_string(json, "api_key", d->api_key);
    lssb_json_number(json, "pid", (int64_t)getpid());
    if (d->settings.tls)
        lssb_json_string(json, "ca", d->settings.ca);
    lssb_json_string(json, "isolation", d->view ? "view" : "none");
    lssb_json_close(json);
}

/* Prints it. */
static void main_ready(struct sandboxd *d)
{
    size_t len;
    char *text = json_text(main_write_ready, d, &len);

    if (text == NULL)
        main_fail(d, "no ready line", "a path or the key is not UTF-8");
    fwrite(text, 1, len, stdout);
    putchar('\n');
    fflush(stdout);
    free(text);
}

/* Time has passed: the loop is awake. */
static void main_awake(struct timer *timer)
{
    (void)timer;
}

/* Lets connections through tunnels finish, for a while, and their clients
 * close; a second signal ends that. */
static void main_drain(struct sandboxd *d)
{
    struct timer timer = {0};

    d->loop.stopping = false;
    timer.fire = main_awake;
    tunnels_go_away(d);
    loop_at(&d->loop, &timer, now_ms() + d->settings.drain_ms + 1);
    while (d->tunnels != NULL && timer.armed && !d->loop.stopping)
        loop_turn(&d->loop);
    loop_at(&d->loop, &timer, now_ms() + MAIN_CLOSE_MS);
    while (sockets_closing(d) && timer.armed && !d->loop.stopping)
        loop_turn(&d->loop);
    loop_cancel(&d->loop, &timer);
}

/* Ends everything: connections, processes, files. */
static void main_end(struct sandboxd *d)
{
    const char *argv[] = {"rm", "-rf", "--", NULL, NULL};

    server_close(d);
    while (d->boxes != NULL) {
        struct box *box = d->boxes;

        d->boxes = box->next;
        box_free(box);
    }
    sessions_end(d);
    commands_end(d);
    faults_clear(d);
    argv[3] = d->data;
    if (!d->settings.keep)
        process_run(argv, NULL);
    free(d->data);
    free(d->loop.watches);
}

int main(int argc, char **argv)
{
    static struct sandboxd sandboxd;
    struct sandboxd *d = &sandboxd;
    struct timer parent_timer;
    pid_t parent = getppid();

    memset(&parent_timer, 0, sizeof parent_timer);
    d->settings.listen = "127.0.0.1:0";
    d->settings.isolation = "auto";
    d->settings.provision_ms = 20;
    d->settings.second_ms = 1000;
    d->settings.max_connections = 1024;
    d->settings.max_boxes = 100;
    d->settings.max_snapshots = 100000;
    d->settings.max_volumes = 100;
    d->settings.max_commands = 1000;
    d->settings.max_output = 8 * 1024 * 1024;
    d->settings.max_json = 1024 * 1024;
    d->settings.max_message = 16 * 1024 * 1024;
    d->settings.ring_bytes = 1024 * 1024;
    d->settings.message_bytes = 32 * 1024;
    d->settings.max_streams = 1024;
    d->settings.tunnel_ping_ms = 30000;
    d->settings.drain_ms = 2000;
    d->settings.ping_ms = 20000;
    d->settings.hold_ms = 5000;
    if (!main_options(&d->settings, argc, argv)) {
        fputs(main_usage, stderr);
        return 2;
    }
    if (d->settings.api_key != NULL)
        snprintf(d->api_key, sizeof d->api_key, "%s", d->settings.api_key);
    else
        random_hex(d->api_key, 40);
    process_start(d);
    main_data(d);
    main_isolation(d);
    main_tls(d);
    snapshots_start(d);
    fill_random(d->token_key, sizeof d->token_key);
    main_listen(d);
    main_watch_parent(d, &parent_timer, parent);
    main_ready(d);
    while (!d->loop.stopping)
        loop_turn(&d->loop);
    main_drain(d);
    main_end(d);
    return 0;
}
