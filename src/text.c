/* text.c: text in fixed places, numbers, dates, and the window writer.
 *
 * SPDX-License-Identifier: MIT
 *
 * The bottom of the house: no state, no locale, no library but string.h.
 * Nothing here fails silently: what is cut says so, what does not parse is
 * refused whole.
 */
#include "internal.h"

/* ------------------------------------------------------------------- text */

void lssb_text_start(struct lssb_text *text, char *at, size_t size)
{
    text->at = at;
    text->size = size;
    text->len = 0;
    text->cut = false;
    at[0] = '\0';
}

/* The bytes that a UTF-8 sequence has by its first byte; 1 for what can be
 * none. */
static size_t text_sequence(unsigned char lead)
{
    if (lead < 0xC2 || lead > 0xF4)
        return 1;
    return lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

/* The length without a last character that is not all there. */
static size_t text_whole(const char *at, size_t len)
{
    size_t back;

    for (back = 1; back <= 3 && back <= len; back++) {
        unsigned char c = (unsigned char)at[len - back];

        if ((c & 0xC0) != 0x80)
            return text_sequence(c) > back ? len - back : len;
    }
    return len;
}

/* How many bytes a text has alike with the beginning of another. */
static size_t text_alike(const char *text, const char *other, size_t len)
{
    size_t n = 0;

    while (n < len && text[n] != '\0' && text[n] == other[n])
        n++;
    return n;
}

void lssb_text_hide(char *text, const char *secret, size_t len)
{
    size_t least = len < LSSB_SECRET_PART ? len : LSSB_SECRET_PART;

    if (len < LSSB_SECRET_LEAST)
        return;
    for (; *text != '\0'; text++) {
        size_t n = text_alike(text, secret, len);

        if (n < least && (n < LSSB_SECRET_END || text[n] != '\0'))
            continue;
        memcpy(text, "***", 3);
        memmove(text + 3, text + n, strlen(text + n) + 1);
        text += 2;
    }
}

void lssb_text_add_n(struct lssb_text *text, const char *bytes, size_t len)
{
    size_t room = text->size - 1 - text->len;
    size_t take = len < room ? len : room;

    if (text->cut || len == 0)
        return;
    memcpy(text->at + text->len, bytes, take);
    text->len += take;
    if (take < len) {
        text->cut = true;
        text->len = text_whole(text->at, text->len);
    }
    text->at[text->len] = '\0';
}

void lssb_text_add(struct lssb_text *text, const char *string)
{
    lssb_text_add_n(text, string, strlen(string));
}

/* Writes the digits of a number before `end`; where they begin. */
static char *text_digits(char *end, uint64_t number)
{
    do {
        *--end = (char)('0' + (int)(number % 10));
        number /= 10;
    } while (number > 0);
    return end;
}

void lssb_text_add_u64(struct lssb_text *text, uint64_t number)
{
    char digits[20];
    char *end = digits + sizeof digits;
    const char *from = text_digits(end, number);

    lssb_text_add_n(text, from, (size_t)(end - from));
}

void lssb_text_add_i64(struct lssb_text *text, int64_t number)
{
    uint64_t size = (uint64_t)number;

    if (number < 0) {
        lssb_text_add_n(text, "-", 1);
        size = 0 - size;
    }
    lssb_text_add_u64(text, size);
}

bool lssb_copy(char *to, size_t size, const char *from, size_t len)
{
    if (size == 0)
        return false;
    to[0] = '\0';
    if (len >= size)
        return false;
    if (len > 0)
        memcpy(to, from, len);
    to[len] = '\0';
    return true;
}

/* A letter in lower case, anything else as it is. */
static unsigned char text_lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

bool lssb_same_name(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t i;

    if (a_len != b_len)
        return false;
    for (i = 0; i < a_len; i++)
        if (text_lower(a[i]) != text_lower(b[i]))
            return false;
    return true;
}

/* How many bytes the white space at the front of a text has; 0: none is. */
static size_t text_space(const char *text, size_t len)
{
    static const char others[] = "\xe1\x9a\x80" "\xe2\x80\xa8" "\xe2\x80\xa9"
                                 "\xe2\x80\xaf" "\xe2\x81\x9f" "\xe3\x80\x80";
    const uint8_t *at = (const uint8_t *)text;
    size_t i;

    if (len == 0)
        return 0;
    if (at[0] == ' ' || (at[0] >= '\t' && at[0] <= '\r'))
        return 1;
    if (len >= 2 && at[0] == 0xc2 && (at[1] == 0x85 || at[1] == 0xa0))
        return 2;
    if (len < 3)
        return 0;
    if (at[0] == 0xe2 && at[1] == 0x80 && at[2] >= 0x80 && at[2] <= 0x8a)
        return 3;
    for (i = 0; others[i] != '\0'; i += 3)
        if (memcmp(text, others + i, 3) == 0)
            return 3;
    return 0;
}

const char *lssb_trim(const char *text, size_t *len)
{
    size_t n, i;

    while ((n = text_space(text, *len)) > 0) {
        text += n;
        *len -= n;
    }
    do {
        n = 0;
        for (i = 1; i <= 3 && i <= *len && n == 0; i++)
            if (text_space(text + *len - i, i) == i)
                n = i;
        *len -= n;
    } while (n > 0);
    return text;
}

/* ------------------------------------------------------------------ UTF-8 */

/* How many bytes from `at` on are ASCII, eight at a time. */
static size_t text_ascii(const char *at, size_t len)
{
    size_t i = 0;
    uint64_t word;

    for (; len - i >= sizeof word; i += sizeof word) {
        memcpy(&word, at + i, sizeof word);
        if ((word & UINT64_C(0x8080808080808080)) != 0)
            break;
    }
    while (i < len && (unsigned char)at[i] < 0x80)
        i++;
    return i;
}

/* The length of the character beyond ASCII at `at`, 0 when it is none (Unicode
 * table 3-7: the second byte's range depends on the first). */
static size_t text_character(const char *at, size_t len)
{
    const unsigned char *c = (const unsigned char *)at;
    size_t need = text_sequence(c[0]);
    unsigned char low = 0x80, high = 0xBF;
    size_t i;

    if (need == 1 || need > len)
        return 0;
    if (c[0] == 0xE0)
        low = 0xA0;
    else if (c[0] == 0xED)
        high = 0x9F;
    else if (c[0] == 0xF0)
        low = 0x90;
    else if (c[0] == 0xF4)
        high = 0x8F;
    if (c[1] < low || c[1] > high)
        return 0;
    for (i = 2; i < need; i++)
        if ((c[i] & 0xC0) != 0x80)
            return 0;
    return need;
}

size_t lssb_utf8_valid(const char *bytes, size_t len)
{
    size_t at = 0;
    size_t took;

    while (at < len) {
        if ((unsigned char)bytes[at] < 0x80)
            took = text_ascii(bytes + at, len - at);
        else
            took = text_character(bytes + at, len - at);
        if (took == 0)
            break;
        at += took;
    }
    return at;
}

/* ---------------------------------------------------------------- numbers */

bool lssb_parse_u64(const char *bytes, size_t len, uint64_t *number)
{
    uint64_t sum = 0;
    size_t i;

    if (len == 0)
        return false;
    for (i = 0; i < len; i++) {
        unsigned digit = (unsigned)((unsigned char)bytes[i]) - '0';

        if (digit > 9 || sum > (UINT64_MAX - digit) / 10)
            return false;
        sum = sum * 10 + digit;
    }
    *number = sum;
    return true;
}

/* The writes are volatile: they happen, though nobody reads them. */
void lssb_wipe(void *bytes, size_t len)
{
    volatile unsigned char *at = bytes;

    while (len-- > 0)
        *at++ = 0;
}

/* ------------------------------------------------------------------ dates */

/* A date that is being read. */
struct text_date {
    const char *at;
    const char *end;
    unsigned year, month, day;      /* month: 1 to 12 */
    unsigned hour, minute, second;
    int32_t offset_s;               /* east of Greenwich */
};

/* Takes a string, if it stands here, letters in any case. */
static bool date_take(struct text_date *date, const char *string)
{
    size_t len = strlen(string);

    if ((size_t)(date->end - date->at) < len ||
        !lssb_same_name(date->at, len, string, len))
        return false;
    date->at += len;
    return true;
}

/* Takes exactly `count` digits. */
static bool date_digits(struct text_date *date, size_t count, unsigned *number)
{
    uint64_t value;

    if ((size_t)(date->end - date->at) < count ||
        !lssb_parse_u64(date->at, count, &value))
        return false;
    *number = (unsigned)value;
    date->at += count;
    return true;
}

/* Takes the name of a month. */
static bool date_month(struct text_date *date)
{
    static const char names[12][4] = {
        "Jan", "Feb", "Mar", "Apr", "May", "Jun",
        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"
    };

    for (date->month = 1; date->month <= 12; date->month++)
        if (date_take(date, names[date->month - 1]))
            return true;
    return false;
}

/* Takes the name of a day, whole or its first three letters. Whether it is
 * that date's day is not asked: the date says enough. */
static bool date_weekday(struct text_date *date, bool *whole)
{
    static const char names[7][10] = {
        "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday",
        "Sunday"
    };
    char shorter[4];
    size_t i;

    for (i = 0; i < 7; i++) {
        *whole = true;
        if (date_take(date, names[i]))
            return true;
        *whole = false;
        memcpy(shorter, names[i], 3);
        shorter[3] = '\0';
        if (date_take(date, shorter))
            return true;
    }
    return false;
}

/* Takes "08:49:37". */
static bool date_clock(struct text_date *date)
{
    return date_digits(date, 2, &date->hour) && date_take(date, ":") &&
           date_digits(date, 2, &date->minute) && date_take(date, ":") &&
           date_digits(date, 2, &date->second);
}

/* "Sun, 06 Nov 1994 08:49:37 GMT", behind the day's name. */
static bool date_imf(struct text_date *date)
{
    return date_take(date, ", ") && date_digits(date, 2, &date->day) &&
           date_take(date, " ") && date_month(date) && date_take(date, " ") &&
           date_digits(date, 4, &date->year) && date_take(date, " ") &&
           date_clock(date) && date_take(date, " GMT");
}

/* "Sunday, 06-Nov-94 08:49:37 GMT", behind the day's name. Years 70 to 99 are
 * 1970 to 1999, the others 2000 to 2069. */
static bool date_rfc850(struct text_date *date)
{
    if (!date_take(date, ", ") || !date_digits(date, 2, &date->day) ||
        !date_take(date, "-") || !date_month(date) || !date_take(date, "-") ||
        !date_digits(date, 2, &date->year))
        return false;
    date->year += date->year >= 70 ? 1900 : 2000;
    return date_take(date, " ") && date_clock(date) && date_take(date, " GMT");
}

/* "Sun Nov  6 08:49:37 1994", behind the day's name. */
static bool date_asctime(struct text_date *date)
{
    if (!date_take(date, " ") || !date_month(date) || !date_take(date, " "))
        return false;
    if (!date_digits(date, 2, &date->day) &&
        !(date_take(date, " ") && date_digits(date, 1, &date->day)))
        return false;
    return date_take(date, " ") && date_clock(date) && date_take(date, " ") &&
           date_digits(date, 4, &date->year);
}

/* Takes "Z", "+05:30", "+0530", "+05", or nothing, which is UTC. */
static bool date_zone(struct text_date *date)
{
    unsigned hours, minutes = 0;
    bool west;

    if (date->at == date->end || date_take(date, "Z"))
        return true;
    west = date_take(date, "-");
    if ((!west && !date_take(date, "+")) || !date_digits(date, 2, &hours))
        return false;
    if (date->at < date->end) {
        (void)date_take(date, ":");
        if (!date_digits(date, 2, &minutes))
            return false;
    }
    if (hours > 23 || minutes > 59)
        return false;
    date->offset_s = (int32_t)(hours * 3600 + minutes * 60);
    if (west)
        date->offset_s = -date->offset_s;
    return true;
}

/* "2026-08-01T10:00:05.123456Z"; the fraction is dropped. */
static bool date_iso(struct text_date *date)
{
    unsigned digit;

    if (!date_digits(date, 4, &date->year) || !date_take(date, "-") ||
        !date_digits(date, 2, &date->month) || !date_take(date, "-") ||
        !date_digits(date, 2, &date->day) ||
        !(date_take(date, "T") || date_take(date, " ")) || !date_clock(date))
        return false;
    if (date_take(date, ".") || date_take(date, ",")) {
        if (!date_digits(date, 1, &digit))
            return false;
        while (date_digits(date, 1, &digit))
            continue;
    }
    return date_zone(date);
}

static bool date_leap(unsigned year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Seconds since 1970 of what was read; false when there is no such time. A
 * second 60 is the first of the next minute (RFC 9110 5.6.7 allows it). */
static bool date_seconds(const struct text_date *date, int64_t *seconds)
{
    static const uint16_t before[13] = {
        0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365
    };
    unsigned leap = date_leap(date->year) ? 1 : 0;
    unsigned past, in_month;
    int64_t days;

    if (date->year < 1 || date->month < 1 || date->month > 12 ||
        date->hour > 23 || date->minute > 59 || date->second > 60)
        return false;
    in_month = (unsigned)(before[date->month] - before[date->month - 1]);
    if (date->month == 2)
        in_month += leap;
    if (date->day < 1 || date->day > in_month)
        return false;
    past = date->year - 1;
    days = (int64_t)past * 365 + past / 4 - past / 100 + past / 400;
    days += before[date->month - 1] + (date->month > 2 ? leap : 0);
    days += (int64_t)date->day - 1 - 719162;    /* 1 January of 1 to 1970 */
    *seconds = days * 86400 + (int64_t)date->hour * 3600 +
               (int64_t)date->minute * 60 + (int64_t)date->second -
               date->offset_s;
    return true;
}

bool lssb_parse_http_date(const char *bytes, size_t len, int64_t *seconds)
{
    struct text_date date;
    bool whole, good;

    memset(&date, 0, sizeof date);
    if (len == 0)
        return false;
    date.at = bytes;
    date.end = bytes + len;
    if (!date_weekday(&date, &whole))
        good = date_iso(&date);
    else if (whole)
        good = date_rfc850(&date);
    else if (date.at < date.end && *date.at == ',')
        good = date_imf(&date);
    else
        good = date_asctime(&date);
    return good && date.at == date.end && date_seconds(&date, seconds);
}

/* ------------------------------------------------------------- the writer */

void lssb_writer_start(struct lssb_writer *writer, void *out, size_t room,
                       uint64_t skip)
{
    writer->out = out;
    writer->room = room;
    writer->len = 0;
    writer->skip = skip;
    writer->total = 0;
    writer->wrong = NULL;
    writer->wrong_name = NULL;
    writer->mark = NULL;
    writer->may_wait = false;
    writer->later = false;
}

bool lssb_writer_full(const struct lssb_writer *writer)
{
    return writer->room > 0 && writer->len == writer->room;
}

void lssb_put(struct lssb_writer *writer, const void *bytes, size_t len)
{
    const uint8_t *from = bytes;
    size_t before = 0;              /* of these, to be skipped */
    size_t take;

    if (writer->skip > writer->total) {
        uint64_t left = writer->skip - writer->total;

        before = left < len ? (size_t)left : len;
    }
    writer->total += len;
    take = len - before;
    if (take > writer->room - writer->len)
        take = writer->room - writer->len;
    if (take == 0)
        return;
    memcpy(writer->out + writer->len, from + before, take);
    writer->len += take;
}

void lssb_put_text(struct lssb_writer *writer, const char *string)
{
    lssb_put(writer, string, strlen(string));
}

void lssb_put_u64(struct lssb_writer *writer, uint64_t number)
{
    char digits[20];
    char *end = digits + sizeof digits;
    const char *from = text_digits(end, number);

    lssb_put(writer, from, (size_t)(end - from));
}

void lssb_put_base64(struct lssb_writer *writer, const void *bytes, size_t len)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *from = bytes;
    char four[4];

    while (len > 0) {
        size_t n = len < 3 ? len : 3;
        uint32_t bits = (uint32_t)from[0] << 16;

        if (n > 1)
            bits |= (uint32_t)from[1] << 8;
        if (n > 2)
            bits |= from[2];
        four[0] = alphabet[bits >> 18];
        four[1] = alphabet[bits >> 12 & 63];
        four[2] = n > 1 ? alphabet[bits >> 6 & 63] : '=';
        four[3] = n > 2 ? alphabet[bits & 63] : '=';
        lssb_put(writer, four, sizeof four);
        from += n;
        len -= n;
    }
}
