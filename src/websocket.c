/* websocket.c: the WebSocket protocol (RFC 6455), both roles.
 *
 * SPDX-License-Identifier: MIT
 *
 * An engine: bytes in, events and bytes out; it knows nothing of connections
 * or time. What comes in is parsed where it stands: the header of a frame byte
 * by byte, a payload in slices, so that a message of any size passes by in
 * whatever pieces it arrives. Only a control frame, 125 bytes at most, is
 * collected. Every rule is checked at the first byte that can break it. No
 * extensions.
 */
#include "internal.h"

#define WS_BLOCK 4096               /* bytes that are unmasked, then checked,
                                       while they are in the cache */

enum ws_state {
    WS_IN_HEAD = 0,
    WS_IN_CONTROL,                  /* the payload of a control frame */
    WS_IN_DATA,
    WS_NOT_TEXT,                    /* the next byte is wrong: told next */
    WS_CLOSED,                      /* a close frame has come */
    WS_BROKEN
};

/* ------------------------------------------------------------------- SHA-1 */

/* FIPS 180-4, for the few bytes of an accept: small rather than fast. It
 * protects nothing here; it shows that the peer speaks WebSocket. */
struct ws_sha1 {
    uint32_t hash[5];
    uint32_t words[16];             /* of the block that is filled */
    uint32_t len;                   /* bytes so far */
};

static uint32_t ws_rotate(uint32_t word, int by)
{
    return word << by | word >> (32 - by);
}

/* Word i of the message schedule, in a ring of sixteen. */
static uint32_t ws_sha1_word(uint32_t words[16], unsigned i)
{
    if (i >= 16)
        words[i & 15] = ws_rotate(words[(i + 13) & 15] ^ words[(i + 8) & 15] ^
                                  words[(i + 2) & 15] ^ words[i & 15], 1);
    return words[i & 15];
}

/* What round i mixes of the middle three words, with its constant. */
static uint32_t ws_sha1_mix(unsigned i, uint32_t b, uint32_t c, uint32_t d)
{
    if (i < 20)
        return ((b & c) | (~b & d)) + UINT32_C(0x5A827999);
    if (i < 40)
        return (b ^ c ^ d) + UINT32_C(0x6ED9EBA1);
    if (i < 60)
        return ((b & c) | (b & d) | (c & d)) + UINT32_C(0x8F1BBCDC);
    return (b ^ c ^ d) + UINT32_C(0xCA62C1D6);
}

/* Takes a full block into the hash, and empties it. */
static void ws_sha1_block(struct ws_sha1 *sha)
{
    uint32_t a = sha->hash[0], b = sha->hash[1], c = sha->hash[2];
    uint32_t d = sha->hash[3], e = sha->hash[4], next;
    unsigned i;

    for (i = 0; i < 80; i++) {
        next = ws_rotate(a, 5) + ws_sha1_mix(i, b, c, d) + e +
               ws_sha1_word(sha->words, i);
        e = d;
        d = c;
        c = ws_rotate(b, 30);
        b = a;
        a = next;
    }
    sha->hash[0] += a;
    sha->hash[1] += b;
    sha->hash[2] += c;
    sha->hash[3] += d;
    sha->hash[4] += e;
    memset(sha->words, 0, sizeof sha->words);
}

static void ws_sha1_put(struct ws_sha1 *sha, const char *bytes, size_t len)
{
    uint32_t byte;

    while (len-- > 0) {
        byte = (unsigned char)*bytes++;
        sha->words[sha->len / 4 % 16] |= byte << (24 - sha->len % 4 * 8);
        if (++sha->len % 64 == 0)
            ws_sha1_block(sha);
    }
}

/* Pads the message with its length in bits, and stores the hash. */
static void ws_sha1_end(struct ws_sha1 *sha, uint8_t out[20])
{
    uint32_t bits = sha->len * 8;
    unsigned i;

    ws_sha1_put(sha, "\x80", 1);
    while (sha->len % 64 != 56)
        ws_sha1_put(sha, "", 1);
    sha->words[15] = bits;
    ws_sha1_block(sha);
    for (i = 0; i < 20; i++)
        out[i] = (uint8_t)(sha->hash[i / 4] >> (24 - i % 4 * 8));
}

/* ----------------------------------------------------------------- upgrade */

/* Base64 of bytes as a string; `out` holds exactly that. */
static void ws_base64(char *out, size_t size, const uint8_t *bytes, size_t len)
{
    struct lssb_writer writer;

    lssb_writer_start(&writer, out, size - 1, 0);
    lssb_put_base64(&writer, bytes, len);
    out[size - 1] = '\0';
}

void lssb_ws_key(char key[LSSB_WS_KEY_SIZE], const uint8_t random[16])
{
    ws_base64(key, LSSB_WS_KEY_SIZE, random, 16);
}

void lssb_ws_accept(char accept[LSSB_WS_ACCEPT_SIZE], const char *key,
                    size_t key_len)
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    struct ws_sha1 sha = {
        { UINT32_C(0x67452301), UINT32_C(0xEFCDAB89), UINT32_C(0x98BADCFE),
          UINT32_C(0x10325476), UINT32_C(0xC3D2E1F0) }, { 0 }, 0
    };
    uint8_t hash[20];

    ws_sha1_put(&sha, key, key_len);
    ws_sha1_put(&sha, guid, sizeof guid - 1);
    ws_sha1_end(&sha, hash);
    ws_base64(accept, LSSB_WS_ACCEPT_SIZE, hash, sizeof hash);
}

static bool ws_is(const char *name, size_t len, const char *wanted)
{
    return lssb_same_name(name, len, wanted, strlen(wanted));
}

/* How many elements of a comma-separated list (RFC 9110 5.6.1) are `wanted`,
 * without regard to case; *others counts the rest. */
static size_t ws_list(const char *list, size_t len, const char *wanted,
                      size_t *others)
{
    const char *end = list + len, *next, *last;
    size_t found = 0;

    *others = 0;
    for (; list < end; list = next < end ? next + 1 : end) {
        next = memchr(list, ',', (size_t)(end - list));
        if (next == NULL)
            next = end;
        for (last = next; list < last && (*list == ' ' || *list == '\t');)
            list++;
        while (last > list && (last[-1] == ' ' || last[-1] == '\t'))
            last--;
        if (ws_is(list, (size_t)(last - list), wanted))
            found++;
        else if (last > list)
            ++*others;
    }
    return found;
}

static bool ws_is_base64(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c >= '0' && c <= '9') || c == '+' || c == '/';
}

/* Whether a value is base64 of `bytes` bytes. What the last digit has beyond
 * them is not looked at: RFC 6455 itself gives an example where it is not 0
 * (4.1). */
static bool ws_is_base64_of(const char *value, size_t len, size_t bytes)
{
    size_t digits = (bytes * 8 + 5) / 6, i;

    if (len != (bytes + 2) / 3 * 4)
        return false;
    for (i = 0; i < len; i++)
        if (i < digits ? !ws_is_base64(value[i]) : value[i] != '=')
            return false;
    return true;
}

void lssb_ws_upgrade_start(struct lssb_ws_upgrade *upgrade, bool server)
{
    memset(upgrade, 0, sizeof *upgrade);
    upgrade->server = server;
}

/* One more such header. */
static void ws_count(uint8_t *count)
{
    if (*count < UINT8_MAX)
        ++*count;
}

/* A request's key, or a reply's accept; each may come once (11.3). */
static void ws_upgrade_key(struct lssb_ws_upgrade *upgrade, const char *value,
                           size_t len)
{
    ws_count(&upgrade->keys);
    if (ws_is_base64_of(value, len, upgrade->server ? 16 : 20))
        lssb_copy(upgrade->key, sizeof upgrade->key, value, len);
}

/* A client takes nothing but "websocket" (4.1), a server takes an offer of
 * several (4.2.1). */
static void ws_upgrade_to(struct lssb_ws_upgrade *upgrade, const char *value,
                          size_t len)
{
    size_t others;

    if (ws_list(value, len, "websocket", &others) > 0)
        upgrade->upgrade = true;
    if (others > 0)
        upgrade->other = true;
}

void lssb_ws_upgrade_header(struct lssb_ws_upgrade *upgrade, const char *name,
                            const char *value, size_t len)
{
    const char *key = upgrade->server ? "Sec-WebSocket-Key"
                                      : "Sec-WebSocket-Accept";
    size_t name_len = strlen(name), others;

    if (ws_is(name, name_len, "Upgrade")) {
        ws_upgrade_to(upgrade, value, len);
    } else if (ws_is(name, name_len, "Connection")) {
        if (ws_list(value, len, "upgrade", &others) > 0)
            upgrade->connection = true;
    } else if (ws_is(name, name_len, key)) {
        ws_upgrade_key(upgrade, value, len);
    } else if (ws_is(name, name_len, "Sec-WebSocket-Version")) {
        ws_count(&upgrade->versions);
        upgrade->version = len == 2 && memcmp(value, "13", 2) == 0;
    } else if (ws_is(name, name_len, "Sec-WebSocket-Extensions")) {
        upgrade->extension = true;
    } else if (ws_is(name, name_len, "Sec-WebSocket-Protocol")) {
        upgrade->protocol = true;
    }
}

/* What is wrong with a reply (4.1); `key` was sent. */
static const char *ws_reply_wrong(const struct lssb_ws_upgrade *upgrade,
                                  const char *key)
{
    char accept[LSSB_WS_ACCEPT_SIZE];

    if (!upgrade->upgrade || upgrade->other)
        return "the upgrade's reply does not say \"Upgrade: websocket\"";
    if (!upgrade->connection)
        return "the upgrade's reply does not say \"Connection: upgrade\"";
    if (upgrade->keys != 1)
        return "the upgrade's reply has no Sec-WebSocket-Accept, or several";
    lssb_ws_accept(accept, key, strlen(key));
    if (strcmp(accept, upgrade->key) != 0)
        return "the upgrade's reply answers another Sec-WebSocket-Key";
    if (upgrade->extension)
        return "the server uses a WebSocket extension that was not offered";
    if (upgrade->protocol)
        return "the server chose a subprotocol, but none was offered";
    return NULL;
}

/* What is wrong with a request (4.2.1), and the status to answer with. */
static const char *ws_request_wrong(const struct lssb_ws_upgrade *upgrade,
                                    int *status)
{
    *status = 400;
    if (!upgrade->upgrade)
        return "the request does not say \"Upgrade: websocket\"";
    if (!upgrade->connection)
        return "the request does not say \"Connection: upgrade\"";
    if (upgrade->versions != 1)
        return "the request has no Sec-WebSocket-Version, or several";
    if (!upgrade->version) {
        *status = 426;
        return "only version 13 of WebSocket is spoken here";
    }
    if (upgrade->keys != 1)
        return "the request has no Sec-WebSocket-Key, or several";
    if (upgrade->key[0] == '\0')
        return "the Sec-WebSocket-Key is not base64 of 16 bytes";
    return NULL;
}

const char *lssb_ws_upgrade_wrong(const struct lssb_ws_upgrade *upgrade,
                                  const char *key, int *status)
{
    if (upgrade->server)
        return ws_request_wrong(upgrade, status);
    return ws_reply_wrong(upgrade, key);
}

/* ----------------------------------------------------------------- masking */

void lssb_ws_mask(uint8_t *bytes, size_t len, const uint8_t key[4],
                  uint64_t at)
{
    uint8_t turned[8];
    uint64_t mask, word;
    size_t i;

    for (i = 0; i < sizeof turned; i++)
        turned[i] = key[(at + i) & 3];
    memcpy(&mask, turned, sizeof mask);
    for (; len >= sizeof word; len -= sizeof word, bytes += sizeof word) {
        memcpy(&word, bytes, sizeof word);
        word ^= mask;
        memcpy(bytes, &word, sizeof word);
    }
    for (i = 0; i < len; i++)
        bytes[i] ^= turned[i];
}

/* ------------------------------------------------------------------- UTF-8 */

/* Takes the first byte of a character beyond ASCII (Unicode table 3-7): how
 * many bytes follow it, and what the next of them may be. */
static bool ws_text_lead(struct lssb_ws *ws, uint8_t byte)
{
    if (byte < 0xC2 || byte > 0xF4)
        return false;
    ws->own.utf8_left = byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3;
    ws->own.utf8_low = byte == 0xE0 ? 0xA0 : byte == 0xF0 ? 0x90 : 0x80;
    ws->own.utf8_most = byte == 0xED ? 0x9F : byte == 0xF4 ? 0x8F : 0xBF;
    return true;
}

/* Takes one of its other bytes. */
static bool ws_text_next(struct lssb_ws *ws, uint8_t byte)
{
    if (byte < ws->own.utf8_low || byte > ws->own.utf8_most)
        return false;
    ws->own.utf8_left--;
    ws->own.utf8_low = 0x80;
    ws->own.utf8_most = 0xBF;
    return true;
}

/* How many of the bytes go on as UTF-8 does; a character may be cut at either
 * end. */
static size_t ws_text(struct lssb_ws *ws, const uint8_t *bytes, size_t len)
{
    size_t at = 0;
    bool fits = true;

    while (at < len && fits) {
        if (ws->own.utf8_left > 0) {
            fits = ws_text_next(ws, bytes[at]);
        } else {
            at += lssb_utf8_valid((const char *)bytes + at, len - at);
            if (at == len)
                break;
            fits = ws_text_lead(ws, bytes[at]);
        }
        at += fits;
    }
    return at;
}

/* --------------------------------------------------------------- coming in */

void lssb_ws_start(struct lssb_ws *ws, bool server)
{
    memset(ws, 0, sizeof *ws);
    ws->server = server;
}

/* Ends it for good. */
static enum lssb_ws_event ws_refuse(struct lssb_ws *ws, uint16_t code,
                                    const char *wrong)
{
    ws->code = code;
    ws->wrong = wrong;
    ws->own.state = WS_BROKEN;
    return LSSB_WS_WRONG;
}

static enum lssb_ws_event ws_wrong(struct lssb_ws *ws, const char *wrong)
{
    return ws_refuse(ws, LSSB_WS_PROTOCOL_ERROR, wrong);
}

static enum lssb_ws_event ws_not_text(struct lssb_ws *ws)
{
    return ws_refuse(ws, LSSB_WS_NOT_UTF8, "a text is not UTF-8");
}

/* What is wrong with the first byte of a header: FIN, RSV, opcode. */
static const char *ws_first_wrong(const struct lssb_ws *ws, unsigned byte)
{
    unsigned opcode = byte & 0x0F;

    if ((byte & 0x70) != 0)
        return "a frame has a reserved bit set";
    if ((opcode & 7) > 2)
        return "a frame has a reserved opcode";
    if (opcode >= 8 && (byte & 0x80) == 0)
        return "a control frame is a fragment";
    if (opcode >= 8)
        return NULL;
    if (opcode == LSSB_WS_CONTINUATION && ws->own.message == 0)
        return "a continuation has no message to continue";
    if (opcode != LSSB_WS_CONTINUATION && ws->own.message != 0)
        return "a message begins within another";
    return NULL;
}

/* And with the second: the mask's bit and the short length. */
static const char *ws_second_wrong(const struct lssb_ws *ws, unsigned byte)
{
    unsigned opcode = ws->own.head[0] & 0x0F, len = byte & 0x7F;

    if (((byte & 0x80) != 0) != ws->server)
        return ws->server ? "a client's frame is not masked"
                          : "a server's frame is masked";
    if (opcode >= 8 && len > LSSB_WS_CONTROL)
        return "a control frame is longer than 125 bytes";
    if (opcode == LSSB_WS_CLOSE && len == 1)
        return "a close frame has half a code";
    return NULL;
}

/* How many bytes the length has behind the second byte. */
static uint8_t ws_length_size(const struct lssb_ws *ws)
{
    uint8_t len = ws->own.head[1] & 0x7F;

    return len < 126 ? 0 : len == 126 ? 2 : 8;
}

/* Takes a byte of the long length; it has to be minimal, and 63 bits (5.2). Of
 * eight bytes, one of the first six must not be 0. */
static const char *ws_length_wrong(struct lssb_ws *ws, uint8_t byte)
{
    uint8_t size = ws_length_size(ws), have = (uint8_t)(ws->own.have - 2);

    if (size == 8 && have == 1 && byte >= 0x80)
        return "a frame's length has its highest bit set";
    ws->own.left = ws->own.left << 8 | byte;
    if ((size == 2 && have == 2 && ws->own.left < 126) ||
        (size == 8 && have == 6 && ws->own.left == 0))
        return "a frame's length is not in its shortest form";
    return NULL;
}

/* Takes a byte of a header; NULL, or what is wrong. */
static const char *ws_head_wrong(struct lssb_ws *ws, uint8_t byte)
{
    uint8_t have = ws->own.have;

    if (have == 0) {
        ws->own.head[0] = byte;
        ws->own.have = 1;
        return ws_first_wrong(ws, byte);
    }
    ws->own.have++;
    if (have == 1) {
        ws->own.head[1] = byte;
        ws->own.left = ws_length_size(ws) > 0 ? 0 : byte & 0x7Fu;
        return ws_second_wrong(ws, byte);
    }
    if (have - 2 < ws_length_size(ws))
        return ws_length_wrong(ws, byte);
    ws->own.mask[have - 2 - ws_length_size(ws)] = byte;
    return NULL;
}

/* The header is complete. */
static void ws_begin(struct lssb_ws *ws)
{
    uint8_t opcode = ws->own.head[0] & 0x0F;

    ws->own.have = 0;
    ws->own.mask_at = 0;
    if (opcode >= 8) {
        ws->own.state = WS_IN_CONTROL;
        return;
    }
    ws->own.state = WS_IN_DATA;
    if (opcode == LSSB_WS_CONTINUATION)
        return;
    ws->own.message = opcode;
    ws->own.fresh = true;
}

/* MORE: the header is complete (the state says so), or the input is used. */
static enum lssb_ws_event ws_head(struct lssb_ws *ws, const uint8_t *bytes,
                                  size_t len, size_t *used)
{
    const char *wrong;

    while (*used < len) {
        wrong = ws_head_wrong(ws, bytes[(*used)++]);
        if (wrong != NULL)
            return ws_wrong(ws, wrong);
        if (ws->own.have >= 2 && ws->own.have == 2 + ws_length_size(ws) +
                                                 (ws->server ? 4 : 0)) {
            ws_begin(ws);
            break;
        }
    }
    return LSSB_WS_MORE;
}

/* The next header begins. */
static void ws_end_frame(struct lssb_ws *ws)
{
    ws->own.state = WS_IN_HEAD;
    ws->own.have = 0;
}

/* Codes that an endpoint may send (7.4.1, 7.4.2): those that are defined for
 * it, registered ones up to 1014 included, and those left to users. */
static bool ws_code_valid(unsigned code)
{
    if (code >= 3000)
        return code < 5000;
    return code >= 1000 && code <= 1014 && (code < 1004 || code > 1006);
}

/* A whole control frame has come. */
static enum lssb_ws_event ws_control_end(struct lssb_ws *ws)
{
    ws->data = ws->own.control;
    ws->data_len = ws->own.have;
    ws->opcode = (enum lssb_ws_opcode)(ws->own.head[0] & 0x0F);
    ws_end_frame(ws);
    if (ws->opcode != LSSB_WS_CLOSE)
        return LSSB_WS_CONTROL_FRAME;
    ws->own.state = WS_CLOSED;
    if (ws->data_len == 0)
        return LSSB_WS_CONTROL_FRAME;
    ws->data += 2;
    ws->data_len -= 2;
    if (ws->own.utf8_left > 0)
        return ws_not_text(ws);
    return LSSB_WS_CONTROL_FRAME;
}

/* Bytes of a close frame have come, the code or a part of the reason; *used
 * counts them. No message goes on behind it, so its UTF-8 state is free. */
static enum lssb_ws_event ws_close_part(struct lssb_ws *ws, size_t took,
                                        size_t *used)
{
    size_t before = ws->own.have - took, fits;

    if (before >= 2) {
        fits = ws_text(ws, ws->own.control + before, took);
        *used -= took - fits;
        return fits < took ? ws_not_text(ws) : LSSB_WS_MORE;
    }
    if (ws->own.have < 2)
        return LSSB_WS_MORE;
    ws->code = (uint16_t)(ws->own.control[0] << 8 | ws->own.control[1]);
    ws->own.utf8_left = 0;
    if (!ws_code_valid(ws->code))
        return ws_wrong(ws, "a close frame has a code that may not be sent");
    return LSSB_WS_MORE;
}

/* Collects a control frame. */
static enum lssb_ws_event ws_control(struct lssb_ws *ws, const uint8_t *bytes,
                                     size_t len, size_t *used)
{
    bool close = (ws->own.head[0] & 0x0F) == LSSB_WS_CLOSE;
    uint8_t *to = ws->own.control + ws->own.have;
    size_t took = len - *used;

    if (took > ws->own.left)
        took = (size_t)ws->own.left;
    if (close && ws->own.have < 2 && took > 2u - ws->own.have)
        took = 2u - ws->own.have;
    if (close && ws->own.have == 0)
        ws->code = LSSB_WS_NO_CODE;
    if (took > 0)
        memcpy(to, bytes + *used, took);
    if (ws->server)
        lssb_ws_mask(to, took, ws->own.mask, ws->own.have);
    ws->own.have = (uint8_t)(ws->own.have + took);
    ws->own.left -= took;
    *used += took;
    if (close && took > 0 && ws_close_part(ws, took, used) == LSSB_WS_WRONG)
        return LSSB_WS_WRONG;
    return ws->own.left == 0 ? ws_control_end(ws) : LSSB_WS_MORE;
}

/* Unmasks and checks bytes of a message, block by block; returns how many are
 * good. */
static size_t ws_take(struct lssb_ws *ws, uint8_t *bytes, size_t len)
{
    size_t at, block, fits;

    for (at = 0; at < len; at += block) {
        block = len - at < WS_BLOCK ? len - at : WS_BLOCK;
        if (ws->server)
            lssb_ws_mask(bytes + at, block, ws->own.mask, ws->own.mask_at + at);
        fits = block;
        if (ws->own.message == LSSB_WS_TEXT)
            fits = ws_text(ws, bytes + at, block);
        if (fits < block)
            return at + fits;
    }
    return len;
}

static enum lssb_ws_event ws_piece(struct lssb_ws *ws, const uint8_t *bytes,
                                   size_t len, bool ends)
{
    ws->opcode = (enum lssb_ws_opcode)ws->own.message;
    ws->data = bytes;
    ws->data_len = len;
    ws->begins = ws->own.fresh;
    ws->ends = ends;
    ws->own.fresh = false;
    if (ends)
        ws->own.message = 0;
    return LSSB_WS_PIECE;
}

/* Takes what there is of a data frame's payload. */
static enum lssb_ws_event ws_data(struct lssb_ws *ws, uint8_t *bytes,
                                  size_t len, size_t *used)
{
    size_t there = len - *used, fits;
    bool ends = false;

    if (there > ws->own.left)
        there = (size_t)ws->own.left;
    bytes += *used;
    fits = ws_take(ws, bytes, there);
    *used += fits;
    ws->own.left -= fits;
    ws->own.mask_at = (uint8_t)((ws->own.mask_at + fits) & 3);
    if (fits < there) {
        ws->own.state = WS_NOT_TEXT;
    } else if (ws->own.left == 0) {
        ws_end_frame(ws);
        ends = (ws->own.head[0] & 0x80) != 0;
        if (ends && ws->own.message == LSSB_WS_TEXT && ws->own.utf8_left > 0)
            ws->own.state = WS_NOT_TEXT;
    }
    if (ws->own.state == WS_NOT_TEXT && fits == 0)
        return ws_not_text(ws);
    if (fits == 0 && !ends)
        return LSSB_WS_MORE;
    return ws_piece(ws, bytes, fits, ends && ws->own.state != WS_NOT_TEXT);
}

enum lssb_ws_event lssb_ws_next(struct lssb_ws *ws, uint8_t *bytes, size_t len,
                                size_t *used)
{
    enum lssb_ws_event event = LSSB_WS_MORE;

    *used = 0;
    if (ws->own.state == WS_BROKEN)
        return LSSB_WS_WRONG;
    if (ws->own.state == WS_NOT_TEXT)
        return ws_not_text(ws);
    if (ws->own.state == WS_CLOSED || len == 0)
        return LSSB_WS_MORE;
    do {
        if (ws->own.state == WS_IN_HEAD)
            event = ws_head(ws, bytes, len, used);
        if (ws->own.state == WS_IN_CONTROL)
            event = ws_control(ws, bytes, len, used);
        else if (ws->own.state == WS_IN_DATA)
            event = ws_data(ws, bytes, len, used);
    } while (event == LSSB_WS_MORE && *used < len);
    return event;
}

/* --------------------------------------------------------------- going out */

size_t lssb_ws_head(uint8_t head[LSSB_WS_HEADER], enum lssb_ws_opcode opcode,
                    bool fin, uint64_t len, const uint8_t key[4])
{
    unsigned size = len < 126 ? 0 : len <= UINT16_MAX ? 2 : 8, i;

    head[0] = (uint8_t)((fin ? 0x80u : 0) | (unsigned)opcode);
    head[1] = (uint8_t)(size == 0 ? len : size == 2 ? 126 : 127);
    for (i = 0; i < size; i++)
        head[2 + i] = (uint8_t)(len >> (8 * (size - 1 - i)));
    if (key == NULL)
        return 2 + size;
    head[1] |= 0x80;
    memcpy(head + 2 + size, key, 4);
    return 2 + size + 4;
}

size_t lssb_ws_close_payload(uint8_t payload[LSSB_WS_CONTROL], uint16_t code,
                             const char *reason)
{
    size_t len = reason != NULL ? strlen(reason) : 0;

    if (code == LSSB_WS_NO_CODE)
        return 0;
    payload[0] = (uint8_t)(code >> 8);
    payload[1] = (uint8_t)code;
    if (len > LSSB_WS_CONTROL - 2) {
        len = LSSB_WS_CONTROL - 2;
        while (len > 0 && ((unsigned char)reason[len] & 0xC0) == 0x80)
            len--;
    }
    if (len > 0)
        memcpy(payload + 2, reason, len);
    return len + 2;
}
