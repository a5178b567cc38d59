/* unit_text.c: text in fixed places, numbers, dates, the window writer.
 *
 * SPDX-License-Identifier: MIT
 */
#include "test.h"

#include "src/internal.h"

static void text_that_fits_is_kept_whole(void)
{
    char place[32];
    struct lssb_text text;

    lssb_text_start(&text, place, sizeof place);
    EXPECT_STR(place, "");
    lssb_text_add(&text, "port ");
    lssb_text_add_u64(&text, 8080);
    lssb_text_add_n(&text, ", x", 2);
    lssb_text_add_i64(&text, -7);
    EXPECT_STR(place, "port 8080, -7");
    EXPECT_INT(text.len, 13);
    EXPECT(!text.cut);
}

static void text_is_cut_between_characters_and_stays_cut(void)
{
    static const struct {
        const char *first, *second;
        size_t size;
        const char *kept;
        bool cut;
    } rows[] = {
        { "abc", "", 4, "abc", false },
        { "abcd", "", 4, "abc", true },
        { "abcd", "e", 4, "abc", true },
        { "x", "", 1, "", true },
        { "", "", 1, "", false },
        { "ab\xC3\xA9", "", 4, "ab", true },
        { "ab\xC3\xA9", "", 5, "ab\xC3\xA9", false },
        { "a\xE2\x82\xAC", "b", 3, "a", true },
        { "a\xE2\x82\xAC", "b", 4, "a", true },
        { "a\xE2\x82\xAC", "b", 5, "a\xE2\x82\xAC", true },
        { "\xF0\x9F\x98\x80", "", 4, "", true },
        { "\xF0\x9F\x98\x80", "", 5, "\xF0\x9F\x98\x80", false },
        { "ab\xC3", "\xA9", 4, "ab", true },
        { "a\xF0\x9F", "\x98\x80", 4, "a", true },
        { "\x80\x80\x80\x80", "", 4, "\x80\x80\x80", true },
        { "ab\xFF" "c", "", 4, "ab\xFF", true },
        { "\xC3\xA9", "z", 3, "\xC3\xA9", true },
        { "abcd", "\xC3\xA9", 4, "abc", true }
    };
    char place[16];
    struct lssb_text text;
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        test_row = rows[i].first;
        memset(place, '#', sizeof place);
        lssb_text_start(&text, place, rows[i].size);
        lssb_text_add(&text, rows[i].first);
        lssb_text_add(&text, rows[i].second);
        EXPECT_STR(place, rows[i].kept);
        EXPECT_INT(text.len, strlen(rows[i].kept));
        EXPECT_INT(text.cut, rows[i].cut);
        EXPECT_INT(place[rows[i].size], '#');
    }
}

static void numbers_of_every_size_are_written(void)
{
    char place[64];
    struct lssb_text text;

    lssb_text_start(&text, place, sizeof place);
    lssb_text_add_u64(&text, 0);
    lssb_text_add(&text, " ");
    lssb_text_add_u64(&text, UINT64_MAX);
    EXPECT_STR(place, "0 18446744073709551615");
    lssb_text_start(&text, place, sizeof place);
    lssb_text_add_i64(&text, INT64_MIN);
    lssb_text_add(&text, " ");
    lssb_text_add_i64(&text, INT64_MAX);
    EXPECT_STR(place, "-9223372036854775808 9223372036854775807");
}

static void a_copy_fits_whole_or_leaves_the_place_empty(void)
{
    char place[4] = "xyz";

    EXPECT(lssb_copy(place, sizeof place, "abc", 3));
    EXPECT_STR(place, "abc");
    EXPECT(!lssb_copy(place, sizeof place, "abcd", 4));
    EXPECT_STR(place, "");
    EXPECT(lssb_copy(place, sizeof place, NULL, 0));
    EXPECT_STR(place, "");
    EXPECT(!lssb_copy(NULL, 0, "", 0));
}

static void names_are_compared_without_case(void)
{
    EXPECT(lssb_same_name("Content-Length", 14, "cOntent-lEngth", 14));
    EXPECT(lssb_same_name("", 0, "", 0));
    EXPECT(!lssb_same_name("abc", 3, "abcd", 4));
    EXPECT(!lssb_same_name("ab[", 3, "ab{", 3));
    EXPECT(!lssb_same_name("ab@", 3, "ab`", 3));
    EXPECT(!lssb_same_name("\xC3\x84", 2, "\xC3\xA4", 2));
}

static void utf8_is_valid_up_to_the_first_byte_that_is_not(void)
{
    static const struct {
        const char *bytes;
        size_t valid;
    } rows[] = {
        { "", 0 },
        { "plain ASCII of more than eight bytes", 36 },
        { "\x7F", 1 },
        { "\xC2\x80", 2 },
        { "\xDF\xBF", 2 },
        { "\xC0\x80", 0 },                      /* overlong */
        { "\xC1\xBF", 0 },
        { "\xE0\xA0\x80", 3 },
        { "\xE0\x9F\xBF", 0 },                  /* overlong */
        { "\xED\x9F\xBF", 3 },
        { "\xED\xA0\x80", 0 },                  /* surrogates */
        { "\xED\xBF\xBF", 0 },
        { "\xEE\x80\x80", 3 },
        { "\xEF\xBF\xBF", 3 },
        { "\xF0\x90\x80\x80", 4 },
        { "\xF0\x8F\xBF\xBF", 0 },              /* overlong */
        { "\xF4\x8F\xBF\xBF", 4 },
        { "\xF4\x90\x80\x80", 0 },              /* beyond U+10FFFF */
        { "\xF5\x80\x80\x80", 0 },
        { "\xFF", 0 },
        { "a\x80", 1 },
        { "12345678\xC3", 8 },
        { "1234567\xC3\xA9" "12345678\xE2\x82", 17 },
        { "\xC3\x28", 0 },
        { "\xE2\x28\xA1", 0 },
        { "\xE2\x82\x28", 0 },
        { "\xF0\x90\x80\x28", 0 },
        { "abcdefghijklmno\xFEpqrstuvw", 15 }
    };
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        test_row = rows[i].bytes;
        EXPECT_INT(lssb_utf8_valid(rows[i].bytes, strlen(rows[i].bytes)),
                   rows[i].valid);
    }
    test_row = "";
    for (i = 0; i < 40; i++) {
        char text[40];

        memset(text, 'a', sizeof text);
        text[i] = '\x80';
        EXPECT_INT(lssb_utf8_valid(text, sizeof text), i);
    }
    EXPECT_INT(lssb_utf8_valid("a\0b\0cdefghi", 11), 11);
    EXPECT_INT(lssb_utf8_valid(NULL, 0), 0);
}

static void every_character_is_valid_and_every_other_pair_of_bytes_is_not(void)
{
    uint32_t code;
    unsigned a, b;

    for (code = 0x80; code <= 0x10FFFF; code++) {
        char c[4];
        size_t len = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4, i;

        for (i = len - 1; i > 0; i--)
            c[i] = (char)(0x80 | (code >> 6 * (len - 1 - i) & 0x3F));
        c[0] = (char)((0xF00 >> len & 0xFF) | code >> 6 * (len - 1));
        if (lssb_utf8_valid(c, len) !=
            (code >= 0xD800 && code <= 0xDFFF ? 0 : len))
            EXPECT_INT(code, -1);
    }
    for (a = 0x80; a < 0x100; a++)
        for (b = 0; b < 0x100; b++) {
            char c[2];

            c[0] = (char)a;
            c[1] = (char)b;
            if (lssb_utf8_valid(c, 2) !=
                (a >= 0xC2 && a < 0xE0 && (b & 0xC0) == 0x80 ? 2u : 0u))
                EXPECT_INT(a << 8 | b, -1);
        }
}

static void only_plain_decimal_numbers_are_read(void)
{
    static const struct {
        const char *text;
        bool good;
        uint64_t number;
    } rows[] = {
        { "0", true, 0 },
        { "007", true, 7 },
        { "18446744073709551615", true, UINT64_MAX },
        { "00000000000000000000000018446744073709551615", true, UINT64_MAX },
        { "18446744073709551616", false, 0 },
        { "99999999999999999999", false, 0 },
        { "", false, 0 },
        { "+1", false, 0 },
        { "-1", false, 0 },
        { " 1", false, 0 },
        { "1 ", false, 0 },
        { "0x1", false, 0 },
        { "1.0", false, 0 },
        { "\xB1", false, 0 }
    };
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t number = 99;

        test_row = rows[i].text;
        EXPECT_INT(lssb_parse_u64(rows[i].text, strlen(rows[i].text), &number),
                   rows[i].good);
        EXPECT(number == (rows[i].good ? rows[i].number : 99));
    }
}

static void a_secret_is_wiped(void)
{
    char secret[9] = "password";
    size_t i;

    lssb_wipe(secret + 1, 7);
    EXPECT_INT(secret[0], 'p');
    for (i = 1; i < sizeof secret; i++)
        EXPECT_INT(secret[i], 0);
}

static void a_secret_in_a_text_is_hidden_and_a_long_beginning_of_it_too(void)
{
    static const struct {
        const char *text, *secret, *left;
    } rows[] = {
        { "", "secretly-kept", "" },
        { "secret", "secret", "secret" },       /* it may be a word */
        { "secretly", "secretly", "***" },
        { "secretl.", "secretly", "secretl." },
        { "secretl", "secretly", "***" },
        { "a secr", "secretly", "a ***" },
        { "a sec", "secretly", "a sec" },
        { "xsecretly,secretlysecretly", "secretly", "x***,******" },
        { "secretly-kept.", "secretly-kept", "***." },
        { "a secretly-kep", "secretly-kept", "a ***" },
        { "a secretly-ke,", "secretly-kept", "a secretly-ke," },
        { "abababababa", "abababab", "***aba" }
    };
    char text[32];
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        test_row = rows[i].text;
        strcpy(text, rows[i].text);
        lssb_text_hide(text, rows[i].secret, strlen(rows[i].secret));
        EXPECT_STR(text, rows[i].left);
    }
}

static void dates_in_every_form_are_read_and_others_are_not(void)
{
    static const struct {
        const char *text;
        bool good;
        int64_t seconds;
    } rows[] = {
        /* RFC 9110 5.6.7's own three */
        { "Sun, 06 Nov 1994 08:49:37 GMT", true, 784111777 },
        { "Sunday, 06-Nov-94 08:49:37 GMT", true, 784111777 },
        { "Sun Nov  6 08:49:37 1994", true, 784111777 },
        { "Wed Nov 16 08:49:37 1994", true, 784975777 },
        { "Thu, 01 Jan 1970 00:00:00 GMT", true, 0 },
        { "Wed, 31 Dec 1969 23:59:59 GMT", true, -1 },
        { "Tue, 19 Jan 2038 03:14:08 GMT", true, INT64_C(2147483648) },
        { "Fri, 31 Dec 9999 23:59:59 GMT", true, INT64_C(253402300799) },
        { "Thursday, 01-Jan-70 00:00:00 GMT", true, 0 },
        { "Friday, 31-Dec-99 23:59:59 GMT", true, 946684799 },
        { "Saturday, 01-Jan-00 00:00:00 GMT", true, 946684800 },
        { "Tuesday, 31-Dec-69 23:59:59 GMT", true, INT64_C(3155759999) },
        { "Tue, 29 Feb 2000 00:00:00 GMT", true, 951782400 },
        { "Thu, 29 Feb 2024 12:00:00 GMT", true, 1709208000 },
        { "Tue, 31 Dec 2024 23:59:60 GMT", true, 1735689600 },
        { "Thu, 29 Feb 1900 00:00:00 GMT", false, 0 },
        { "Thu, 29 Feb 2023 00:00:00 GMT", false, 0 },
        { "Thu, 31 Apr 2023 00:00:00 GMT", false, 0 },
        { "Thu, 00 Apr 2023 00:00:00 GMT", false, 0 },
        { "Thu, 32 Jan 2023 00:00:00 GMT", false, 0 },
        { "Thu, 01 Jan 2023 24:00:00 GMT", false, 0 },
        { "Thu, 01 Jan 2023 00:60:00 GMT", false, 0 },
        { "Thu, 01 Jan 2023 00:00:61 GMT", false, 0 },
        { "Thu, 1 Jan 2023 00:00:00 GMT", false, 0 },
        { "Thu, 01 Jan 2023 00:00:00 UTC", false, 0 },
        { "Thu, 01 Jan 2023 00:00:00 +0000", false, 0 },
        { "Thu, 01 Jan 2023 00:00:00", false, 0 },
        { "Thu, 01 Jan 2023 00:00:00 GMT ", false, 0 },
        { " Thu, 01 Jan 2023 00:00:00 GMT", false, 0 },
        { "Thx, 01 Jan 2023 00:00:00 GMT", false, 0 },
        { "Thu, 01 Foo 2023 00:00:00 GMT", false, 0 },
        { "Thu, 01-Jan-23 00:00:00 GMT", false, 0 },
        { "Sun Nov 6 08:49:37 1994", false, 0 },
        { "Sun Nov  6 08:49:37 94", false, 0 },
        { "Sun", false, 0 },
        { "", false, 0 },
        { "120", false, 0 },
        /* ISO 8601 */
        { "2026-08-01T10:00:05.123456Z", true, 1785578405 },
        { "2026-08-01T10:00:05Z", true, 1785578405 },
        { "2026-08-01t10:00:05z", true, 1785578405 },
        { "2026-08-01 10:00:05", true, 1785578405 },
        { "2026-08-01T10:00:05,999999999+00:00", true, 1785578405 },
        { "2026-08-01T12:00:05+02:00", true, 1785578405 },
        { "2026-08-01T04:30:05-0530", true, 1785578405 },
        { "2026-08-01T11:00:05+01", true, 1785578405 },
        { "2026-08-01T10:00:05-00:00", true, 1785578405 },
        { "0001-01-01T00:00:00Z", true, INT64_C(-62135596800) },
        { "1600-02-29T00:00:00Z", true, INT64_C(-11670998400) },
        { "0000-01-01T00:00:00Z", false, 0 },
        { "2026-08-01", false, 0 },
        { "2026-08-01T10:00Z", false, 0 },
        { "2026-08-01T10:00:05.Z", false, 0 },
        { "2026-08-01T10:00:05+", false, 0 },
        { "2026-08-01T10:00:05+2:00", false, 0 },
        { "2026-08-01T10:00:05+24:00", false, 0 },
        { "2026-08-01T10:00:05+02:60", false, 0 },
        { "2026-08-01T10:00:05+02:", false, 0 },
        { "2026-08-01T10:00:05Zx", false, 0 },
        { "2026-13-01T10:00:05Z", false, 0 },
        { "2026-00-01T10:00:05Z", false, 0 },
        { "2026-8-1T10:00:05Z", false, 0 },
        { "+2026-08-01T10:00:05Z", false, 0 }
    };
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t seconds = 42;

        test_row = rows[i].text;
        EXPECT_INT(lssb_parse_http_date(rows[i].text, strlen(rows[i].text),
                                        &seconds), rows[i].good);
        EXPECT_INT(seconds, rows[i].good ? rows[i].seconds : 42);
    }
}

/* One day after another, from 1 to 9999, by a calendar that only counts. */
static void every_day_is_a_day_after_the_one_before(void)
{
    static const unsigned char days[12] = {
        31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31
    };
    int64_t expected = INT64_C(-62135596800), seconds;
    unsigned y, m, d;

    for (y = 1; y <= 9999; y++)
        for (m = 1; m <= 12; m++) {
            bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
            unsigned last = days[m - 1] + (m == 2 && leap ? 1u : 0u);

            for (d = 1; d <= last; d++, expected += 86400) {
                static char text[32];

                snprintf(text, sizeof text, "%04u-%02u-%02uT00:00:00Z", y, m,
                         d);
                if (!lssb_parse_http_date(text, 20, &seconds) ||
                    seconds != expected) {
                    test_row = text;
                    EXPECT_INT(seconds, expected);
                    return;
                }
            }
        }
}

/* Puts something of every kind. */
static void put_all(struct lssb_writer *writer)
{
    lssb_put_text(writer, "POST /v2/sandboxes/");
    lssb_put_segment(writer, "a b/\xC3\xA9");
    lssb_put_text(writer, " HTTP/1.1\r\nHost: ");
    lssb_put_authority(writer, "::1", false, 8080, false);
    lssb_put(writer, "\r\n", 2);
    lssb_put_header(writer, "Authorization", "x");
    lssb_put_u64(writer, UINT64_MAX);
    lssb_put_base64(writer, "any carnal pleas", 16);
    lssb_put(writer, NULL, 0);
}

static void windows_of_every_size_join_to_the_whole(void)
{
    uint8_t whole[256], joined[256], window[256];
    struct lssb_writer writer;
    size_t room, total;

    lssb_writer_start(&writer, whole, sizeof whole, 0);
    put_all(&writer);
    EXPECT(writer.wrong == NULL);
    total = writer.len;
    EXPECT_INT(writer.total, total);
    for (room = 1; room <= total + 1; room++) {
        size_t skip = 0;

        do {
            memset(window, '#', sizeof window);
            lssb_writer_start(&writer, window, room, skip);
            put_all(&writer);
            EXPECT_INT(writer.total, total);
            EXPECT_INT(window[writer.len], '#');
            memcpy(joined + skip, window, writer.len);
            skip += writer.len;
        } while (writer.len > 0);
        EXPECT_INT(skip, total);
        EXPECT(memcmp(joined, whole, total) == 0);
    }
}

static void every_window_shows_its_piece_of_the_whole(void)
{
    uint8_t whole[256], window[256];
    struct lssb_writer writer;
    size_t total, skip, room;

    lssb_writer_start(&writer, whole, sizeof whole, 0);
    put_all(&writer);
    total = writer.len;
    for (skip = 0; skip <= total + 2; skip++)
        for (room = 0; room <= total + 2; room++) {
            size_t left = skip < total ? total - skip : 0;

            memset(window, '#', sizeof window);
            lssb_writer_start(&writer, room > 0 ? window : NULL, room, skip);
            put_all(&writer);
            EXPECT_INT(writer.len, left < room ? left : room);
            EXPECT(memcmp(window, whole + (left > 0 ? skip : 0),
                          writer.len) == 0);
            EXPECT_INT(window[writer.len], '#');
        }
}

static void a_window_far_into_a_message_only_counts(void)
{
    static uint8_t block[4096];
    uint8_t window[4];
    struct lssb_writer writer;
    size_t i;

    lssb_writer_start(&writer, window, sizeof window,
                      (UINT64_C(1) << 32) + 4090);
    for (i = 0; i < (size_t)1 << 20; i++)
        lssb_put(&writer, block, sizeof block);
    lssb_put(&writer, block, 4089);
    lssb_put_text(&writer, "abcdefgh");
    EXPECT_INT(writer.len, 4);
    EXPECT(memcmp(window, "bcde", 4) == 0);
    EXPECT_INT(writer.total, (UINT64_C(1) << 32) + 4097);
}

static void base64_is_that_of_the_rfc(void)
{
    static const struct {
        const char *plain, *coded;
    } rows[] = {
        { "", "" },             { "f", "Zg==" },
        { "fo", "Zm8=" },       { "foo", "Zm9v" },
        { "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" },
        { "foobar", "Zm9vYmFy" },
        { "\xFB\xFF\xBF", "+/+/" },
        { "user:p\xC3\xA4ss", "dXNlcjpww6Rzcw==" }
    };
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char out[32] = "";
        struct lssb_writer writer;

        test_row = rows[i].coded;
        lssb_writer_start(&writer, out, sizeof out - 1, 0);
        lssb_put_base64(&writer, rows[i].plain, strlen(rows[i].plain));
        out[writer.len] = '\0';
        EXPECT_STR(out, rows[i].coded);
    }
}

int main(void)
{
    static const struct test tests[] = {
        TEST(text_that_fits_is_kept_whole),
        TEST(text_is_cut_between_characters_and_stays_cut),
        TEST(numbers_of_every_size_are_written),
        TEST(a_copy_fits_whole_or_leaves_the_place_empty),
        TEST(names_are_compared_without_case),
        TEST(utf8_is_valid_up_to_the_first_byte_that_is_not),
        TEST(every_character_is_valid_and_every_other_pair_of_bytes_is_not),
        TEST(only_plain_decimal_numbers_are_read),
        TEST(a_secret_is_wiped),
        TEST(a_secret_in_a_text_is_hidden_and_a_long_beginning_of_it_too),
        TEST(dates_in_every_form_are_read_and_others_are_not),
        TEST(every_day_is_a_day_after_the_one_before),
        TEST(windows_of_every_size_join_to_the_whole),
        TEST(every_window_shows_its_piece_of_the_whole),
        TEST(a_window_far_into_a_message_only_counts),
        TEST(base64_is_that_of_the_rfc)
    };

    return TEST_MAIN(tests);
}
