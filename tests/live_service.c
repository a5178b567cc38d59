/* live_service.c: requests and WebSockets to real services in a real box, links
 * to real files.
 *
 * SPDX-License-Identifier: MIT
 *
 * tests/services.sh starts a sandboxd, and says in the environment where; and
 * in WS_TAR where an archive of npm's `ws` is. Services are python3's
 * http.server, nginx and that; each picks a port, and says it when it listens.
 */
#include <stdlib.h>

#include "../lssb.h"
#include "test.h"

#define MIB 1048576u

static lssb_client *client;
static lssb_sandbox box;
static lssb_command server;
static lssb_service service;
static lssb_service_options where;
static lssb_request request;
static lssb_response response;
static char page[65536];

/* Ends the service. */
static void stop(void)
{
    EXPECT_INT(lssb_command_kill(&server), LSSB_OK);
    lssb_command_wait(&server, NULL, NULL);
    EXPECT_INT(lssb_command_close(&server, NULL), LSSB_OK);
}

/* Starts a service of the box: a program that says "port N" when it listens.
 * What it prints is "port N" and a newline in one piece, or in more. */
static int serve(const char *command)
{
    lssb_chunk chunk;
    char line[64] = "";
    size_t len = 0;

    memset(&service, 0, sizeof service);
    memset(&where, 0, sizeof where);
    memset(&request, 0, sizeof request);
    request.out = page;
    request.out_size = sizeof page;
    if (lssb_command_start(&server, &box, command, NULL, NULL) != LSSB_OK)
        return 0;
    while (strchr(line, '\n') == NULL &&
           lssb_command_next(&server, &chunk, 20000) == LSSB_OK) {
        if (chunk.len > sizeof line - 1 - len)
            break;
        memcpy(line + len, chunk.bytes, chunk.len);
        len += chunk.len;
        line[len] = '\0';
    }
    if (strncmp(line, "port ", 5) != 0) {
        printf("  the service said: %s\n", line);
        stop();
        return 0;
    }
    where.port = (uint32_t)strtoul(line + 5, NULL, 10);
    return where.port != 0;
}

/* What a test needs is not there. */
static void not_there(const char *what)
{
    printf("  %s\n", what);
    test_failures++;
}

/* Puts a program into the box. */
static void put(const char *path, const char *text)
{
    EXPECT_INT(lssb_file_write(&box, path, text, strlen(text), NULL),
               LSSB_OK);
}

/* Asks, and says so if it fails. */
static int ask(void)
{
    lssb_status status = lssb_service_request(&box, &where, &service, &request,
                                              &response, NULL);

    EXPECT_INT(status, LSSB_OK);
    if (status != LSSB_OK)
        printf("  %s\n", lssb_error_text(client));
    return status == LSSB_OK;
}

/* -------------------------------------------------------- python3's server */

/* Says what it was asked: method, path, some headers, the body's length and the
 * sum of its bytes. /big/N is N bytes, slowly /drip. */
static const char echo_program[] =
    "import http.server, sys\n"
    "class H(http.server.BaseHTTPRequestHandler):\n"
    "    protocol_version = 'HTTP/1.1'\n"
    "    def body(self):\n"
    "        if self.headers.get('Transfer-Encoding') == 'chunked':\n"
    "            while True:\n"
    "                n = int(self.rfile.readline(), 16)\n"
    "                yield self.rfile.read(n)\n"
    "                self.rfile.readline()\n"
    "                if n == 0: return\n"
    "        left = int(self.headers.get('Content-Length', 0))\n"
    "        while left:\n"
    "            part = self.rfile.read(min(left, 65536))\n"
    "            left -= len(part)\n"
    "            yield part\n"
    "    def any(self):\n"
    "        length = total = 0\n"
    "        for part in self.body():\n"
    "            length += len(part)\n"
    "            total += sum(part)\n"
    "        if self.path.startswith('/big/'):\n"
    "            left = int(self.path[5:])\n"
    "            self.send_response(200)\n"
    "            self.send_header('Content-Length', str(left))\n"
    "            self.end_headers()\n"
    "            while left:\n"
    "                n = min(left, 65536)\n"
    "                self.wfile.write(b'x' * n)\n"
    "                left -= n\n"
    "            return\n"
    "        key = 'key' if self.headers.get('X-Api-Key') else 'no key'\n"
    "        text = '%s %s|%s|%s|%d|%d' % (self.command, self.path,\n"
    "            self.headers.get('X-Mine'), key, length, total)\n"
    "        self.send_response(404 if '404' in self.path else 200)\n"
    "        self.send_header('Content-Type', 'text/x-echo')\n"
    "        self.send_header('Content-Length', str(len(text)))\n"
    "        self.end_headers()\n"
    "        if self.command != 'HEAD': self.wfile.write(text.encode())\n"
    "    def log_message(self, *a): pass\n"
    "for m in 'GET HEAD POST PUT PATCH DELETE OPTIONS PROPFIND'.split():\n"
    "    setattr(H, 'do_' + m, H.any)\n"
    "s = http.server.ThreadingHTTPServer(('127.0.0.1', 0), H)\n"
    "print('port', s.server_port, flush=True)\n"
    "s.serve_forever()\n";

static void every_method_reaches_the_service(void)
{
    static const char *const methods[] = { "GET", "HEAD", "POST", "PUT",
                                           "PATCH", "DELETE", "OPTIONS",
                                           "PROPFIND" };
    static const lssb_pair mine = { "X-Mine", "m" };
    char expected[128];
    size_t i;

    put("echo.py", echo_program);
    if (!serve("exec python3 echo.py")) {
        not_there("the service did not start");
        return;
    }
    request.headers = &mine;
    request.header_count = 1;
    request.path = "/a%20b/404?c=d";
    for (i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        test_row = methods[i];
        request.method = methods[i];
        request.body = i >= 2 ? "hello" : NULL;
        request.body_len = i >= 2 ? 5 : 0;
        snprintf(expected, sizeof expected,
                 "%s /a%%20b/404?c=d|m|no key|%s", methods[i],
                 i >= 2 ? "5|532" : "0|0");
        if (!ask())
            continue;
        EXPECT_INT(response.status, 404);
        EXPECT_STR(response.content_type, "text/x-echo");
        EXPECT_STR(page, i == 1 ? "" : expected);
    }
    stop();
}

static ptrdiff_t read_at(void *ctx, uint64_t offset, void *bytes, size_t len)
{
    uint64_t size = *(uint64_t *)ctx;

    if (len > size - offset)
        len = (size_t)(size - offset);
    memset(bytes, 1, len);
    return (ptrdiff_t)len;
}

static void large_bodies_of_either_kind_arrive_whole(void)
{
    uint64_t size = 20 * MIB + 7;
    lssb_source from;
    char expected[64];
    int known;

    if (!serve("exec python3 echo.py")) {
        not_there("the service did not start");
        return;
    }
    from.read_at = read_at;
    from.ctx = &size;
    request.source = &from;
    snprintf(expected, sizeof expected, "POST /|None|no key|%lu|%lu",
             (unsigned long)size, (unsigned long)size);
    for (known = 0; known < 2; known++) {
        from.size = known ? size : LSSB_SIZE_UNKNOWN;
        if (ask())
            EXPECT_STR(page, expected);
    }
    stop();
}

static unsigned turns;
static uint64_t taken;

/* Takes every third offer. */
static lssb_status take(void *user, const void *bytes, size_t len)
{
    (void)user;
    (void)bytes;
    if (turns++ % 3 != 0)
        return LSSB_AGAIN;
    taken += len;
    return LSSB_OK;
}

static void a_large_reply_waits_for_its_taker(void)
{
    if (!serve("exec python3 echo.py")) {
        not_there("the service did not start");
        return;
    }
    turns = 0;
    taken = 0;
    request.path = "/big/3000000";
    request.out = NULL;
    request.out_size = 0;
    request.on_body = take;
    if (ask()) {
        EXPECT_INT(taken, 3000000);
        EXPECT_INT(response.len, 3000000);
    }
    stop();
}

static void a_token_that_expires_is_made_again(void)
{
    char first[LSSB_TOKEN_SIZE] = "";
    unsigned changes = 0;

    if (!serve("exec python3 echo.py")) {
        not_there("the service did not start");
        return;
    }
    where.expires_in_s = 2;
    while (changes < 3 && ask() && response.status == 200) {
        if (strcmp(first, service.token) != 0)
            changes++;
        strcpy(first, service.token);
    }
    EXPECT_INT(response.status, 200);
    EXPECT_INT(changes, 3);
    stop();
}

static void a_service_that_is_not_up_is_the_callers_to_read(void)
{
    memset(&service, 0, sizeof service);
    memset(&request, 0, sizeof request);
    memset(&where, 0, sizeof where);
    where.port = 9;
    if (ask())
        EXPECT_INT(response.status, 502);
    strcpy(service.token, "forged");
    if (ask())
        EXPECT_INT(response.status, 401);
}

/* ------------------------------------------------------------------- nginx */

static const char nginx_program[] =
    "import os, socket, subprocess, time\n"
    "s = socket.socket(); s.bind(('127.0.0.1', 0)); port = s.getsockname()[1]\n"
    "s.close()\n"
    "here = os.getcwd() + '/ng'\n"
    "os.makedirs(here, exist_ok=True)\n"
    "with open(here + '/big', 'wb') as f: f.write(b'0123456789' * 5000000)\n"
    "with open(here + '/conf', 'w') as f: f.write('''daemon off;\n"
    "pid %s/pid; error_log stderr;\n"
    "events {}\n"
    "http { access_log off; client_body_temp_path %s/a; proxy_temp_path %s/b;\n"
    " fastcgi_temp_path %s/c; uwsgi_temp_path %s/d; scgi_temp_path %s/e;\n"
    " server { listen 127.0.0.1:%d; root %s; } }\n"
    "''' % (here, here, here, here, here, here, port, here))\n"
    "p = subprocess.Popen(['nginx', '-e', 'stderr', '-c', here + '/conf'])\n"
    "while p.poll() is None:\n"
    "    try:\n"
    "        socket.create_connection(('127.0.0.1', port)).close()\n"
    "        print('port', port, flush=True)\n"
    "        break\n"
    "    except OSError: time.sleep(0.01)\n"
    "p.wait()\n";

static uint64_t digits;
static int digits_right;

/* Checks that the bytes are those of the file. */
static lssb_status take_digits(void *user, const void *bytes, size_t len)
{
    const char *at = bytes;
    size_t i;

    (void)user;
    for (i = 0; i < len; i++)
        digits_right = digits_right &&
                       at[i] == (char)('0' + (digits + i) % 10);
    digits += len;
    return LSSB_OK;
}

static void nginx_serves_a_large_file(void)
{
    static const lssb_pair part = { "Range", "bytes=10-19" };

    put("nginx.py", nginx_program);
    if (!serve("PATH=$PATH:/usr/sbin exec python3 nginx.py")) {
        SKIP("no nginx");
        return;
    }
    digits = 0;
    digits_right = 1;
    request.path = "/big";
    request.on_body = take_digits;
    if (ask()) {
        EXPECT_INT(response.status, 200);
        EXPECT_INT(response.len, 50000000);
        EXPECT(digits_right);
        EXPECT(response.cut);
    }
    request.on_body = NULL;
    request.headers = &part;
    request.header_count = 1;
    if (ask()) {
        EXPECT_INT(response.status, 206);
        EXPECT_STR(page, "0123456789");
        EXPECT(!response.cut);
    }
    request.path = "/none";
    if (ask())
        EXPECT_INT(response.status, 404);
    stop();
}

/* ------------------------------------------------------------------- links */

static void a_link_leads_to_its_file(void)
{
    lssb_link_options what = {0};
    lssb_link link;
    lssb_download download = {0};
    lssb_file file;
    char url[LSSB_LINK_SIZE + 8];

    put("digits.py", "open('digits', 'w').write('0123456789' * 2000000)");
    memset(&request, 0, sizeof request);
    if (!serve("python3 digits.py; echo port 1; sleep 1000"))
        not_there("the file was not made");
    stop();
    what.content_type = "text/x-digits";
    what.path = "digits";
    EXPECT_INT(lssb_download_url(&box, &what, &link, NULL), LSSB_OK);
    EXPECT_INT(lssb_link_stat(client, link.url, &file, NULL), LSSB_OK);
    EXPECT_INT(file.size, 20000000);
    EXPECT_STR(file.content_type, "text/x-digits");
    digits = 0;
    digits_right = 1;
    download.take = take_digits;
    EXPECT_INT(lssb_link_download(client, link.url, &download, &file, NULL),
               LSSB_OK);
    EXPECT_INT(digits, 20000000);
    EXPECT(digits_right);
    digits = 0;
    download.range.start = 1000000;
    download.range.length = 30;
    EXPECT_INT(lssb_link_download(client, link.url, &download, &file, NULL),
               LSSB_OK);
    EXPECT_INT(digits, 30);
    EXPECT(file.partial);
    EXPECT_INT(file.size, 20000000);
    snprintf(url, sizeof url, "%sx", link.url);
    EXPECT_INT(lssb_link_stat(client, url, &file, NULL), LSSB_E_AUTH);
    EXPECT(strstr(lssb_error_text(client), link.token) == NULL);
}

/* A network that cuts the first connection after 3 MB, and the third one. */
#define CUT_AT 3000000

static lssb_client *outside;        /* one that was never connected */
static int changes;                 /* the file is to be changed meanwhile */
static int by_date;                 /* the server has no ETags */

/* Where the file is, by way of that network; 0: there is none. */
static int relayed(char *url, size_t size)
{
    lssb_link_options what = {0};
    lssb_link link;
    char *port;

    if (by_date) {
        if (getenv("DATED_URL") == NULL)
            return 0;
        snprintf(url, size, "%s", getenv("DATED_URL"));
        return 1;
    }
    what.path = "digits";
    EXPECT_INT(lssb_download_url(&box, &what, &link, NULL), LSSB_OK);
    port = strrchr(link.url, ':');
    if (port == NULL || strchr(port, '/') == NULL || getenv("RELAY") == NULL)
        return 0;
    snprintf(url, size, "%.*s:%s%s", (int)(port - link.url), link.url,
             getenv("RELAY"), strchr(port, '/'));
    return 1;
}

/* Takes bytes; another file takes the place of the first one. */
static lssb_status take_and_change(void *user, const void *bytes, size_t len)
{
    if (changes && by_date)
        EXPECT_INT(rename(getenv("DATED_OTHER"), getenv("DATED_FILE")), 0);
    else if (changes)
        put("digits", "another one");
    changes = 0;
    return take_digits(user, bytes, len);
}

/* Fetches it with a client of its own, by two connections. */
static lssb_status fetch_relayed(lssb_file *file)
{
    lssb_download download = {0};
    lssb_stats_list stats;
    char url[LSSB_LINK_SIZE + 8];
    lssb_status status = LSSB_E_UNSUPPORTED;

    digits = 0;
    digits_right = 1;
    download.take = take_and_change;
    if (!relayed(url, sizeof url) || lssb_open(&outside, NULL) != LSSB_OK)
        return status;
    status = lssb_link_download(outside, url, &download, file, NULL);
    lssb_stats(outside, &stats);
    EXPECT_INT(stats.connections, 2);
    EXPECT(digits_right);
    return status;
}

static void a_link_that_is_cut_is_gone_on_with(void)
{
    lssb_file file;

    for (by_date = 0; by_date < 2; by_date++) {
        test_row = by_date ? "by its date" : "by its ETag";
        if (by_date && getenv("DATED_URL") == NULL) {
            SKIP("no nginx");
            return;
        }
        EXPECT_INT(fetch_relayed(&file), LSSB_OK);
        EXPECT_INT(digits, 20000000);
        EXPECT_INT(file.size, 20000000);
        EXPECT((file.etag[0] == '\0') == by_date);
        lssb_close(outside, NULL);
    }
}

static void a_link_whose_file_changes_is_no_mix(void)
{
    lssb_file file;

    for (by_date = 0; by_date < 2; by_date++) {
        test_row = by_date ? "by its date" : "by its ETag";
        if (by_date && getenv("DATED_URL") == NULL) {
            SKIP("no nginx");
            return;
        }
        changes = 1;
        EXPECT_INT(fetch_relayed(&file), LSSB_E_CONNECTION);
        EXPECT(digits > 0 && digits <= CUT_AT);
        EXPECT(strstr(lssb_error_text(outside), "changed") != NULL);
        lssb_close(outside, NULL);
    }
}

/* -------------------------------------------------------------- npm's `ws` */

static const char ws_program[] =
    "const { WebSocketServer } = require('./ws')\n"
    "const wss = new WebSocketServer({ port: 0, host: '127.0.0.1',\n"
    "  handleProtocols: (offered) => offered.has('b') ? 'b' : false,\n"
    "  verifyClient: (info) => info.req.url !== '/refuse' })\n"
    "wss.on('listening', () => console.log('port ' + wss.address().port))\n"
    "wss.on('connection', (ws, req) => {\n"
    "  if (req.url === '/close') ws.close(4001, 'enough')\n"
    "  ws.on('close', (code, why) => console.log('closed', code, '' + why))\n"
    "  if (req.url === '/cut') ws.terminate()\n"
    "  ws.on('message', (data, binary) => { ws.ping('p');\n"
    "    ws.send(data, { binary }) }) })\n";

/* Brings `ws` into the box, and starts it there. */
static int serve_ws(void)
{
    static char archive[4 * MIB];
    const char *path = getenv("WS_TAR");
    FILE *from = path != NULL ? fopen(path, "rb") : NULL;
    size_t len;

    if (from == NULL) {
        SKIP("no archive of ws");
        return 0;
    }
    len = fread(archive, 1, sizeof archive, from);
    fclose(from);
    EXPECT_INT(lssb_file_write(&box, "ws.tar", archive, len, NULL), LSSB_OK);
    put("chat.js", ws_program);
    if (serve("tar xf ws.tar && exec node chat.js"))
        return 1;
    not_there("the service did not start");
    return 0;
}

/* Sends a message and takes its echo, at the same time; the bytes are a pattern
 * of letters. */
static void echo(lssb_websocket *socket, lssb_message kind, size_t size,
                 int fragments)
{
    static char bytes[MIB];
    size_t sent = 0, got = 0, n, step;
    int ended = 0, wrong = 0;
    lssb_status status;
    lssb_piece piece;
    size_t i;

    for (i = 0; i < size; i++)
        bytes[i] = (char)('a' + i % 23);
    while (!ended) {
        step = size - sent;
        if (fragments && step > 1000)
            step = 1000;
        if (sent < size || (size == 0 && !ended)) {
            status = lssb_websocket_write(socket, kind, bytes + sent, step,
                                          sent + step == size, &n, 0);
            EXPECT(status == LSSB_OK || status == LSSB_AGAIN);
            sent += n;
        }
        status = lssb_websocket_next(socket, &piece, sent < size ? 1 : 20000);
        if (status == LSSB_AGAIN && sent < size)
            continue;
        if (status != LSSB_OK) {
            printf("  %s\n", lssb_error_text(client));
            EXPECT_INT(status, LSSB_OK);
            return;
        }
        EXPECT_INT(piece.kind, kind);
        EXPECT_INT(piece.begins, got == 0);
        wrong = wrong || got + piece.len > size ||
                memcmp(piece.bytes, bytes + got, piece.len) != 0;
        got += piece.len;
        ended = piece.ends;
        if (wrong)
            break;
    }
    EXPECT(!wrong);
    EXPECT_INT(got, size);
}

static void messages_of_any_size_come_back(void)
{
    static const size_t sizes[] = { 0, 1, 125, 126, 1117, 65535, 65536, 70000,
                                    MIB };
    static const char *const protocols[] = { "a", "b" };
    lssb_websocket_options how = {0};
    lssb_websocket socket;
    size_t i;

    if (!serve_ws())
        return;
    how.protocols = protocols;
    how.protocol_count = 2;
    EXPECT_INT(lssb_websocket_open(&socket, &box, &where, &service, &how,
                                   NULL), LSSB_OK);
    EXPECT_STR(socket.protocol, "b");
    for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        echo(&socket, LSSB_TEXT, sizes[i], 0);
        echo(&socket, LSSB_BINARY, sizes[i], 0);
        if (sizes[i] > 0)
            echo(&socket, LSSB_TEXT, sizes[i], 1);
    }
    EXPECT_INT(lssb_websocket_close(&socket, 4444, "that is all", NULL),
               LSSB_OK);
    {
        lssb_chunk chunk = {0};

        EXPECT_INT(lssb_command_next(&server, &chunk, 20000), LSSB_OK);
        EXPECT(chunk.len == 24 &&
               memcmp(chunk.bytes, "closed 4444 that is all\n", 24) == 0);
    }
    stop();
}

static void what_the_service_decides_is_told(void)
{
    lssb_websocket_options how = {0};
    lssb_websocket socket;
    lssb_piece piece;

    if (!serve_ws())
        return;
    how.path = "/close";
    EXPECT_INT(lssb_websocket_open(&socket, &box, &where, &service, &how,
                                   NULL), LSSB_OK);
    EXPECT_INT(lssb_websocket_next(&socket, &piece, 20000), LSSB_END);
    EXPECT_INT(socket.close_code, 4001);
    EXPECT_STR(socket.close_reason, "enough");
    EXPECT_INT(lssb_websocket_close(&socket, 0, NULL, NULL), LSSB_OK);
    how.path = "/cut";
    EXPECT_INT(lssb_websocket_open(&socket, &box, &where, &service, &how,
                                   NULL), LSSB_OK);
    EXPECT_INT(lssb_websocket_next(&socket, &piece, 20000),
               LSSB_E_CONNECTION);
    EXPECT_INT(lssb_websocket_close(&socket, 0, NULL, NULL), LSSB_OK);
    how.path = "/refuse";
    EXPECT_INT(lssb_websocket_open(&socket, &box, &where, &service, &how,
                                   NULL), LSSB_E_REFUSED);
    EXPECT_INT(lssb_last_error(client)->http_status, 401);
    EXPECT_INT(lssb_websocket_close(&socket, 0, NULL, NULL), LSSB_OK);
    stop();
}

int main(void)
{
    static const struct test tests[] = {
        TEST(every_method_reaches_the_service),
        TEST(large_bodies_of_either_kind_arrive_whole),
        TEST(a_large_reply_waits_for_its_taker),
        TEST(a_token_that_expires_is_made_again),
        TEST(a_service_that_is_not_up_is_the_callers_to_read),
        TEST(nginx_serves_a_large_file),
        TEST(a_link_leads_to_its_file),
        TEST(a_link_that_is_cut_is_gone_on_with),
        TEST(a_link_whose_file_changes_is_no_mix),
        TEST(messages_of_any_size_come_back),
        TEST(what_the_service_decides_is_told)
    };
    int failed;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (lssb_open(&client, NULL) != LSSB_OK ||
        lssb_sandbox_create(client, NULL, &box, NULL) != LSSB_OK) {
        printf("  no sandbox: %s\n0 passed, 1 failed\n",
               lssb_error_text(client));
        return 1;
    }
    failed = TEST_MAIN(tests);
    lssb_sandbox_delete(&box, NULL);
    lssb_close(client, NULL);
    return failed;
}
