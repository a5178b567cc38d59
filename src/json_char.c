/* json_char.c: what the strings of JSON are made of (RFC 8259 7).
 *
 * SPDX-License-Identifier: MIT
 *
 * Characters as UTF-8 (RFC 3629), and escapes both ways. For the scanner, for
 * those who read what it kept, and for the writer.
 */
#include "internal.h"

/* Whether one of eight bytes is a quote, a backslash, a control or not ASCII.
 * (A borrow only ever reaches a byte above one that is special itself.) */
static bool json_special(uint64_t word)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint64_t tops = ones << 7;
    uint64_t quote = word ^ (ones * '"');
    uint64_t slash = word ^ (ones * '\\');

    return ((word | ((word - ones * 0x20) & ~word) | ((quote - ones) & ~quote) |
             ((slash - ones) & ~slash)) & tops) != 0;
}

bool lssb_json_utf8_lead(uint8_t c, uint8_t *left, uint8_t *low,
                         uint8_t *most)
{
    *left = c < 0xE0 ? 1 : c < 0xF0 ? 2 : 3;
    *low = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80;
    *most = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;
    return c >= 0xC2 && c <= 0xF4;
}

size_t lssb_json_utf8_len(const uint8_t *p, const uint8_t *end)
{
    uint8_t left, low, most;
    size_t i;

    if (!lssb_json_utf8_lead(*p, &left, &low, &most) || end - p <= left)
        return 0;
    if (p[1] < low || p[1] > most)
        return 0;
    for (i = 2; i <= left; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    }
    return (size_t)left + 1;
}

const uint8_t *lssb_json_plain(const uint8_t *p, const uint8_t *end)
{
    while (p < end) {
        uint64_t word;
        size_t len;

        while (end - p >= 8) {
            memcpy(&word, p, 8);
            if (json_special(word))
                break;
            p += 8;
        }
        while (p < end && *p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\')
            p++;
        if (p == end || *p < 0x80)
            break;
        while (p < end && *p >= 0x80) {
            len = lssb_json_utf8_len(p, end);
            if (len == 0)
                return p;
            p += len;
        }
    }
    return p;
}

int lssb_json_hex(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

char lssb_json_unescape(uint8_t c)
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    const char *at = c == 0 ? NULL : strchr(from, c);

    return (char)(at == NULL ? 0 : to[at - from]);
}

size_t lssb_json_escape(char c, char *out)
{
    static const char from[] = "\"\\\b\f\n\r\t";
    static const char to[] = "\"\\bfnrt";
    static const char hex[] = "0123456789abcdef";
    const char *at = c == 0 ? NULL : strchr(from, c);

    if (at == NULL && (uint8_t)c >= 0x20) {
        out[0] = c;
        return 1;
    }
    out[0] = '\\';
    if (at != NULL) {
        out[1] = to[at - from];
        return 2;
    }
    memcpy(out + 1, "u00", 3);
    out[4] = hex[(uint8_t)c >> 4];
    out[5] = hex[c & 15];
    return 6;
}

size_t lssb_json_utf8_put(uint32_t point, char *out)
{
    static const uint8_t lead[] = {0, 0xC0, 0xE0, 0xF0};
    size_t extra = (size_t)((point >= 0x80) + (point >= 0x800) +
                            (point >= 0x10000));
    size_t i;

    for (i = extra; i > 0; i--) {
        out[i] = (char)(0x80 | (point & 0x3F));
        point >>= 6;
    }
    out[0] = (char)(lead[extra] | point);
    return extra + 1;
}

bool lssb_json_is_high(int32_t unit)
{
    return unit >= 0xD800 && unit < 0xDC00;
}

bool lssb_json_is_low(int32_t unit)
{
    return unit >= 0xDC00 && unit < 0xE000;
}

uint32_t lssb_json_pair(int32_t high, int32_t low)
{
    return (uint32_t)(0x10000 + (high - 0xD800) * 0x400 + (low - 0xDC00));
}
