/* fuzz_command.c: what a server may say to a client that follows a command.
 *
 * SPDX-License-Identifier: MIT
 *
 * A libFuzzer target. The input is a program for a server: bytes, messages,
 * ends of connections, over as many connections as the client opens. It is
 * played twice, whole and byte by byte, to lssb_run or lssb_command_next: each
 * time the command ends, what was delivered is whole characters at the offsets
 * that were told, and it is the same both times, unless a message was longer
 * than the hold: then what came of one that was cut is not. Built with a
 * small LSSB_HOLD, so that there are such messages.
 */
#include "scripted_ws.h"

#define LEGS 64
#define OUTPUT 100000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition)
{
    if (!condition || test_failures > 0)
        abort();
}

/* ----------------------------------------------------------- the server -- */

static char legs_text[400000];
static const char *legs[LEGS];
static size_t leg_count, legs_len;
static bool legs_long;              /* a message may be longer than the hold */

static void say(const char *text)
{
    size_t len = strlen(text);

    if (legs_len + len + 1 > sizeof legs_text)
        return;
    memcpy(legs_text + legs_len, text, len + 1);
    legs_len += len;
}

static void say_hex(const uint8_t *bytes, size_t len)
{
    char two[3];
    size_t i;

    for (i = 0; i < len; i++) {
        sprintf(two, "%02x", bytes[i]);
        say(two);
    }
}

/* The rest belongs to the next connection. */
static void next_leg(void)
{
    legs_len++;
    if (leg_count + 1 < LEGS)
        leg_count++;
    legs[leg_count] = legs_text + legs_len;
    legs_text[legs_len] = '\0';
}

static const char *const canned[] = {
    "{\"type\":\"started\",\"command_id\":\"id-1\",\"pid\":7}\n",
    "{\"type\":\"stdout\",\"data\":\"caf\xc3\xa9\",\"offset\":0}\n",
    "{\"type\":\"stdout\",\"data\":\"abcdef\",\"offset\":5}\n",
    "{\"type\":\"stderr\",\"data\":\"\\ud83d\\ude00\\ud800\",\"offset\":0}\n",
    "{\"type\":\"stderr\",\"data\":\"xyz\"}\n",
    "{\"data\":\"late\",\"offset\":3,\"type\":\"stdout\"}\n",
    "{\"type\":\"stdout\",\"data\":\"\xef\xbf\xbd\",\"offset\":9}\n",
    "{\"type\":\"exit\",\"exit_code\":3}\n",
    "{\"type\":\"error\",\"error_type\":\"CommandTimeout\"}\n",
    "{\"type\":\"ssh_agent_data\",\"channel_id\":\"c\",\"data\":\"YWJj\"}\n",
    "@ping x\n",
    "@split 2 {\"type\":\"stdout\",\"data\":\"split\",\"offset\":4}\n",
    "@long stdout 0 1500\n",
    "@late stderr 0 900\n",
    "@middle stdout 0 1500\n",
    "@wait 100\n",
};

static const char *const ends[] = {
    "@end\n", "@reset\n", "@close 1000\n", "@close 1001\n"
};

/* A message of any bytes, in a frame as it should be. */
static void say_message(const uint8_t *bytes, size_t len)
{
    uint8_t head[LSSB_WS_HEADER];

    say("@raw ");
    say_hex(head, lssb_ws_head(head, LSSB_WS_TEXT, true, len, NULL));
    say_hex(bytes, len);
    say("\n");
}

/* Makes legs of an input. */
static void write_legs(const uint8_t *data, size_t size)
{
    size_t at = 0, i;

    legs_len = leg_count = 0;
    legs_long = size >= LSSB_HOLD;
    legs_text[0] = '\0';
    legs[0] = legs_text;
    while (at < size && legs_len < sizeof legs_text / 2) {
        uint8_t what = data[at++];
        size_t len = what < 0x80 ? what : (size_t)(what & 0x3F) * 4;

        if (len > size - at)
            len = size - at;
        if (what >= 0xE0) {
            say(ends[what % 4]);
            next_leg();
        } else if (what >= 0xC0) {
            say(canned[what % 16]);
            legs_long = legs_long || strncmp(canned[what % 16], "@long", 5) == 0
                        || strncmp(canned[what % 16], "@mid", 4) == 0;
        } else if (what >= 0x80) {
            say_message(data + at, len);
            at += len;
        } else {
            say("@raw ");
            say_hex(data + at, len);
            say("\n");
            at += len;
        }
    }
    say("@end\n");
    for (i = leg_count + 1; i < LEGS; i++)
        legs[i] = "@gone";
}

/* ----------------------------------------------------------- the client -- */

static struct told {
    lssb_status status;
    int32_t exit_code;
    char *text[2];
    size_t len[2];
    uint64_t lost[2];
} told[2], *now;

static void hear(int err, const void *bytes, size_t len)
{
    must(len > 0 && len <= LSSB_HOLD);
    must(lssb_utf8_valid(bytes, len) == len);
    if (now->len[err] + len <= OUTPUT)
        memcpy(now->text[err] + now->len[err], bytes, len);
    now->len[err] += len;
}

static lssb_status take_out(void *user, const void *bytes, size_t len)
{
    (void)user;
    hear(0, bytes, len);
    return LSSB_OK;
}

static lssb_status take_err(void *user, const void *bytes, size_t len)
{
    (void)user;
    hear(1, bytes, len);
    return LSSB_OK;
}

static void take_gap(void *user, lssb_stream stream, uint64_t offset,
                     uint64_t lost)
{
    (void)user;
    must(lost > 0 && offset + lost > offset);
    now->lost[stream == LSSB_STDERR] += lost;
}

static lssb_status take_agent(void *user, const char *channel,
                              const void *bytes, size_t len)
{
    (void)user;
    must(channel[0] != '\0' && strlen(channel) < LSSB_ID_SIZE);
    must(bytes != NULL ? len > 0 : len == 0);
    return LSSB_OK;
}

static void follow_by_run(const lssb_sandbox *box, lssb_run_options *how)
{
    lssb_result result;

    how->on_out = take_out;
    how->on_err = take_err;
    now->status = lssb_run(box, "x", how, &result, NULL);
    now->exit_code = result.exit_code;
    must(result.out_len == now->len[0] && result.err_len == now->len[1]);
    must(result.out_lost == now->lost[0] && result.err_lost == now->lost[1]);
}

static void follow_by_next(const lssb_sandbox *box,
                           const lssb_run_options *how)
{
    static lssb_command command;
    lssb_chunk chunk;

    now->status = lssb_command_start(&command, box, "x", how, NULL);
    while (now->status == LSSB_OK) {
        now->status = lssb_command_next(&command, &chunk, LSSB_FOREVER);
        if (now->status != LSSB_OK)
            break;
        must(chunk.len > 0 || chunk.lost > 0);
        must(chunk.offset + chunk.len ==
             (chunk.stream == LSSB_STDERR ? command.err_offset
                                          : command.out_offset));
        if (chunk.len > 0)
            hear(chunk.stream == LSSB_STDERR, chunk.bytes, chunk.len);
    }
    if (now->status == LSSB_END)
        now->status = LSSB_OK;
    now->exit_code = command.exit_code;
    must(command.out_lost == now->lost[0] && command.err_lost == now->lost[1]);
    must(lssb_command_close(&command, NULL) == LSSB_OK);
}

/* Plays the legs to a client of its own. */
static void play(enum script_mode mode, uint8_t options)
{
    static struct script_client me;
    lssb_run_options how = { 0 };
    lssb_sandbox box;

    script_begin(mode, NULL, 0);
    peers_play(legs, LEGS);
    script_config(&me.config);
    me.config.slots = 1;
    must(script_client_open(&me) == LSSB_OK);
    memset(&box, 0, sizeof box);
    box.client = me.client;
    strcpy(box.name, "b");
    strcpy(box.dataplane_url, "http://data.test/b");
    how.command_id = "id-1";
    how.on_gap = take_gap;
    how.ssh_agent = (options & 2) != 0;
    how.on_agent = take_agent;
    how.ping_ms = LSSB_FOREVER;
    if ((options & 4) != 0) {
        how.input = "some input\n";
        how.input_len = 11;
    }
    if ((options & 1) != 0)
        follow_by_next(&box, &how);
    else
        follow_by_run(&box, &how);
    must(now->status <= LSSB_OK);
    script_client_close(&me);
    must(true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int i, err;

    if (size < 1 || size > 8192)
        return 0;
    write_legs(data + 1, size - 1);
    for (i = 0; i < 2; i++) {
        now = &told[i];
        for (err = 0; err < 2; err++) {
            now->len[err] = 0;
            now->lost[err] = 0;
            if (now->text[err] == NULL)
                now->text[err] = malloc(OUTPUT);
        }
        play(i ? SCRIPT_BYTE : SCRIPT_WHOLE, data[0]);
    }
    if (legs_long)                  /* how much came of what was cut differs */
        return 0;
    must(told[0].status == told[1].status);
    must(told[0].exit_code == told[1].exit_code);
    for (err = 0; err < 2; err++) {
        size_t len = told[0].len[err];

        must(len == told[1].len[err] &&
             told[0].lost[err] == told[1].lost[err]);
        must(memcmp(told[0].text[err], told[1].text[err],
                    len < OUTPUT ? len : OUTPUT) == 0);
    }
    return 0;
}
