/* fuzz_websocket.c: WebSocket frames and upgrades, both roles, from any bytes.
 *
 * SPDX-License-Identifier: MIT
 *
 * A libFuzzer target. The first byte chooses the role, and whether the rest
 * are frames or header fields, the second where frames are split. However
 * they are split the story is the same, and not a byte more is consumed; what
 * was understood of them, sent on, is understood the same by the other side.
 */
#include <stdlib.h>

#include "src/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int condition)
{
    if (!condition)
        abort();
}

/* What was told: a hash of the events; and what is sent on, if it is kept. */
struct story {
    uint64_t hash;
    size_t consumed;
    enum lssb_ws_event last;
    const char *wrong;
    uint16_t code;
    bool in_message;
    bool is_text;
    uint8_t *text;                  /* the message at hand */
    size_t text_len;
    uint8_t *on;                    /* frames for the other side, or NULL */
    size_t on_len;
};

static void mix(struct story *story, const uint8_t *bytes, size_t len)
{
    while (len-- > 0)
        story->hash = (story->hash ^ *bytes++) * UINT64_C(1099511628211);
}

static void mix_number(struct story *story, unsigned number)
{
    uint8_t byte = (uint8_t)number;

    mix(story, &byte, 1);
    byte = (uint8_t)(number >> 8);
    mix(story, &byte, 1);
}

/* Sends an event on, as the role `server`. */
static void send_on(struct story *story, bool server,
                    enum lssb_ws_opcode opcode, bool fin, const uint8_t *bytes,
                    size_t len)
{
    static const uint8_t key[4] = { 0x5A, 0x00, 0xC3, 0xFF };
    uint8_t *to;

    if (story->on == NULL)
        return;
    to = story->on + story->on_len;
    story->on_len += lssb_ws_head(to, opcode, fin, len, server ? NULL : key);
    to = story->on + story->on_len;
    if (len > 0)
        memcpy(to, bytes, len);
    if (!server)
        lssb_ws_mask(to, len, key, 0);
    story->on_len += len;
}

static void tell_piece(struct story *story, const struct lssb_ws *ws)
{
    must(ws->begins == !story->in_message);
    must(ws->opcode == LSSB_WS_TEXT || ws->opcode == LSSB_WS_BINARY);
    must(ws->data_len > 0 || ws->ends);
    if (ws->begins) {
        story->text_len = 0;
        story->is_text = ws->opcode == LSSB_WS_TEXT;
        mix_number(story, (unsigned)ws->opcode);
    }
    must(story->is_text == (ws->opcode == LSSB_WS_TEXT));
    if (ws->data_len > 0)
        memcpy(story->text + story->text_len, ws->data, ws->data_len);
    story->text_len += ws->data_len;
    mix(story, ws->data, ws->data_len);
    if (ws->ends)
        mix_number(story, 0xE4D5);
    if (ws->ends && story->is_text)
        must(lssb_utf8_valid((const char *)story->text, story->text_len) ==
             story->text_len);
    story->in_message = !ws->ends;
    send_on(story, ws->server,
            ws->begins ? ws->opcode : LSSB_WS_CONTINUATION, ws->ends, ws->data,
            ws->data_len);
}

static void tell_control(struct story *story, const struct lssb_ws *ws)
{
    uint8_t payload[LSSB_WS_CONTROL];
    size_t len = ws->data_len;

    must(len <= LSSB_WS_CONTROL);
    mix_number(story, 0xC000u + (unsigned)ws->opcode);
    mix(story, ws->data, len);
    memcpy(payload, ws->data, len);
    if (ws->opcode == LSSB_WS_CLOSE) {
        must(ws->code >= 1000 && ws->code < 5000);
        must(lssb_utf8_valid((const char *)ws->data, len) == len);
        must(len == 0 || ws->code != LSSB_WS_NO_CODE);
        mix_number(story, ws->code);
        if (ws->code != LSSB_WS_NO_CODE) {
            payload[0] = (uint8_t)(ws->code >> 8);
            payload[1] = (uint8_t)ws->code;
            memcpy(payload + 2, ws->data, len);
            len += 2;
        }
    }
    send_on(story, ws->server, ws->opcode, true, payload, len);
}

static void tell(struct story *story, const struct lssb_ws *ws,
                 enum lssb_ws_event event, const uint8_t *piece, size_t len)
{
    if (event == LSSB_WS_PIECE) {
        must(ws->data_len == 0 ||
             (ws->data >= piece && ws->data + ws->data_len <= piece + len));
        tell_piece(story, ws);
    } else if (event == LSSB_WS_CONTROL_FRAME) {
        tell_control(story, ws);
    } else {
        must(event == LSSB_WS_WRONG && ws->wrong != NULL);
        must(ws->code == LSSB_WS_PROTOCOL_ERROR ||
             ws->code == LSSB_WS_NOT_UTF8);
        story->wrong = ws->wrong;
        story->code = ws->code;
    }
}

/* Feeds frames: a first piece, then pieces of `rest` bytes. */
static void feed(struct story *story, bool server, const uint8_t *data,
                 size_t size, size_t first, size_t rest)
{
    uint8_t *bytes = malloc(size + 1);
    struct lssb_ws ws;
    enum lssb_ws_event event = LSSB_WS_MORE;
    size_t at = 0, piece = first, end, used;
    bool closed = false;

    if (bytes == NULL)
        return;
    memcpy(bytes, data, size);
    lssb_ws_start(&ws, server);
    while (at < size && !closed && event != LSSB_WS_WRONG) {
        end = piece < size - at ? at + piece : size;
        do {
            event = lssb_ws_next(&ws, bytes + at, end - at, &used);
            must(used <= end - at);
            if (event != LSSB_WS_MORE)
                tell(story, &ws, event, bytes + at, used);
            at += used;
            if (event == LSSB_WS_CONTROL_FRAME && ws.opcode == LSSB_WS_CLOSE)
                closed = true;
        } while (event != LSSB_WS_MORE && event != LSSB_WS_WRONG && !closed);
        must(event != LSSB_WS_MORE || at == end);
        piece = rest;
    }
    must(event != LSSB_WS_WRONG ||
         lssb_ws_next(&ws, bytes, 0, &used) == LSSB_WS_WRONG);
    if (closed) {
        must(lssb_ws_next(&ws, bytes + at, size - at, &used) == LSSB_WS_MORE);
        must(used == 0);
    }
    story->consumed = at;
    story->last = event;
    free(bytes);
}

static void start(struct story *story, size_t size)
{
    memset(story, 0, sizeof *story);
    story->text = malloc(size + 1);
    must(story->text != NULL);
}

static void must_be_same(const struct story *a, const struct story *b)
{
    must(a->hash == b->hash && a->in_message == b->in_message);
    must(a->wrong == b->wrong && a->code == b->code);
}

static void frames(bool server, const uint8_t *data, size_t size, size_t first)
{
    struct story whole, split, bytes, on;

    start(&whole, size);
    start(&split, size);
    start(&bytes, size);
    whole.on = malloc(size * 8 + 64);
    must(whole.on != NULL);
    feed(&whole, server, data, size, size, size);
    feed(&split, server, data, size, first, size);
    feed(&bytes, server, data, size, 1, 1);
    must_be_same(&whole, &split);
    must_be_same(&whole, &bytes);
    must(whole.consumed == split.consumed && whole.consumed == bytes.consumed);
    start(&on, whole.on_len);
    feed(&on, !server, whole.on, whole.on_len, whole.on_len, whole.on_len);
    whole.wrong = NULL;
    whole.code = 0;
    must_be_same(&whole, &on);
    must(on.consumed == whole.on_len);
    free(on.text);
    free(whole.on);
    free(whole.text);
    free(split.text);
    free(bytes.text);
}

/* Lines of "Name: value"; a name may also be one byte that stands for it. */
static void fields(bool server, const uint8_t *data, size_t size)
{
    static const char *const names[] = {
        "Upgrade", "connection", "Sec-WebSocket-Key", "SEC-WEBSOCKET-ACCEPT",
        "Sec-WebSocket-Version", "Sec-WebSocket-Extensions",
        "Sec-WebSocket-Protocol"
    };
    static const char key[] = "dGhlIHNhbXBsZSBub25jZQ==";
    struct lssb_ws_upgrade upgrade;
    const uint8_t *end = data + size, *next;
    const char *wrong;
    int status = 0;

    lssb_ws_upgrade_start(&upgrade, server);
    for (; data < end; data = next < end ? next + 1 : end) {
        size_t name = *data % (sizeof names / sizeof *names);
        char *value;

        next = memchr(data, '\n', (size_t)(end - data));
        if (next == NULL)
            next = end;
        if (next == data)
            continue;
        value = malloc((size_t)(next - data));
        must(value != NULL);
        memcpy(value, data + 1, (size_t)(next - data) - 1);
        value[next - data - 1] = '\0';
        if (strlen(value) == (size_t)(next - data) - 1)
            lssb_ws_upgrade_header(&upgrade, names[name], value, strlen(value));
        free(value);
    }
    wrong = lssb_ws_upgrade_wrong(&upgrade, server ? NULL : key, &status);
    must(strlen(upgrade.key) == 0 ||
         strlen(upgrade.key) == (server ? 24u : 28u));
    if (server && wrong != NULL)
        must(status == 400 || status == 426);
    if (wrong == NULL)
        must(upgrade.upgrade && upgrade.connection && upgrade.keys == 1 &&
             upgrade.key[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool server;

    if (size < 3)
        return 0;
    server = (data[0] & 1) != 0;
    if ((data[0] & 2) != 0)
        fields(server, data + 2, size - 2);
    else
        frames(server, data + 2, size - 2, 1 + data[1] % (size - 2));
    return 0;
}
