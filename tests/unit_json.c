/* unit_json.c: reading and writing JSON.
 *
 * SPDX-License-Identifier: MIT
 *
 * Most tests compare transcripts: what the scanner asked and told, a line for
 * each event, slices joined. The public suites of JSON texts are read from
 * ../shared/corpora, or from the folder that LSSB_CORPORA names.
 */
/* Or readdir fails on 32-bit machines where inode numbers are long. */
#define _FILE_OFFSET_BITS 64

#include <dirent.h>
#include <stdlib.h>
#include <time.h>

#include "src/internal.h"
#include "test.h"

/* ---------------------------------------------------------- transcripts -- */

#define LOG_SIZE (1 << 20)
#define TEXT_SIZE (1 << 18)

struct log {
    char text[LOG_SIZE];
    size_t len;
    bool in_slice;
    bool asks;                      /* note what is asked, too */
    bool done;                      /* told already, before the end */
};

static struct log whole_log, split_log;
static char scan_buffer[4096];

static void log_bytes(struct log *log, const char *bytes, size_t len)
{
    if (len > LOG_SIZE - 1 - log->len)
        len = LOG_SIZE - 1 - log->len;
    memcpy(log->text + log->len, bytes, len);
    log->len += len;
    log->text[log->len] = '\0';
}

static void log_text(struct log *log, const char *text)
{
    log_bytes(log, text, strlen(text));
}

static void log_line(struct log *log, const char *word, const char *name,
                     const char *bytes, size_t len)
{
    if (log->in_slice)
        log_text(log, "\n");
    log->in_slice = false;
    log_text(log, word);
    if (*name != '\0')
        log_text(log, " ");
    log_text(log, name);
    if (len > 0)
        log_text(log, " ");
    log_bytes(log, bytes, len);
    log_text(log, "\n");
}

/* Chooses by the first letter of a name. */
static enum lssb_json_take by_letter(void *ctx, int depth, const char *parent,
                                     const char *key)
{
    static const char letters[] = "skcdeav";
    struct log *log = ctx;
    const char *at = *key == '\0' ? NULL : strchr(letters, *key);
    char line[32];

    if (log->asks) {
        snprintf(line, sizeof line, "ask %d '", depth);
        log_text(log, line);
        log_text(log, parent);
        log_line(log, "'", key, "", 0);
    }
    return at == NULL ? LSSB_JSON_KEEP
                      : (enum lssb_json_take)(at - letters);
}

/* The same choice for every name. */
#define ALWAYS(name, take) \
    static enum lssb_json_take name(void *ctx, int depth, \
                                    const char *parent, const char *key) \
    { \
        (void)ctx, (void)depth, (void)parent, (void)key; \
        return take; \
    }

ALWAYS(always_skip, LSSB_JSON_SKIP)
ALWAYS(always_cut, LSSB_JSON_CUT)
ALWAYS(always_stream, LSSB_JSON_STREAM)
ALWAYS(always_enter, LSSB_JSON_ENTER)
ALWAYS(always_visit, LSSB_JSON_VISIT)

typedef enum lssb_json_take (*choose_fn)(void *, int, const char *,
                                         const char *);

static const choose_fn chooses[] = {
    NULL, by_letter, always_skip, always_cut, always_stream, always_enter,
    always_visit
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static void log_event(struct log *log, struct lssb_json *json,
                      enum lssb_json_event event)
{
    char at[32];

    switch (event) {
    case LSSB_JSON_MORE:
        return;
    case LSSB_JSON_SLICE:
        EXPECT(json->slice_len > 0);
        EXPECT_INT(lssb_utf8_valid(json->slice, json->slice_len),
                   json->slice_len);
        if (!log->in_slice) {
            log_text(log, "slice ");
            log_text(log, json->key);
            log_text(log, " ");
        }
        log->in_slice = true;
        log_bytes(log, json->slice, json->slice_len);
        return;
    case LSSB_JSON_SLICE_END:
        log_line(log, "end", json->key, "", 0);
        return;
    case LSSB_JSON_VALUE:
        EXPECT_INT(json->slice[json->slice_len], 0);
        log_line(log, "value", json->path, json->slice, json->slice_len);
        return;
    case LSSB_JSON_ELEMENT:
    case LSSB_JSON_DONE:
        EXPECT_INT(json->text[json->text_len], 0);
        log_line(log, event == LSSB_JSON_DONE ? "done" : "element",
                 event == LSSB_JSON_DONE ? "" : json->key, json->text,
                 json->text_len);
        if (json->overflow)
            log_text(log, "overflow\n");
        json->overflow = false;
        return;
    case LSSB_JSON_WRONG:
        snprintf(at, sizeof at, "%lu", (unsigned long)json->at);
        log_line(log, "wrong", at, json->wrong, strlen(json->wrong));
        return;
    }
}

/* Feeds a piece; false once the text is wrong. */
static bool feed(struct log *log, struct lssb_json *json, const char *bytes,
                 size_t len)
{
    enum lssb_json_event event = LSSB_JSON_MORE;
    size_t used;

    while (len > 0) {
        event = lssb_json_next(json, (const uint8_t *)bytes, len, &used);
        EXPECT(used <= len);
        EXPECT(event != LSSB_JSON_MORE || used == len);
        log_event(log, json, event);
        log->done = log->done || event == LSSB_JSON_DONE;
        if (event == LSSB_JSON_WRONG || used > len)
            return false;
        bytes += used;
        len -= used;
    }
    return true;
}

static void finish(struct log *log, struct lssb_json *json)
{
    enum lssb_json_event event = lssb_json_end(json);

    EXPECT(event == LSSB_JSON_DONE || event == LSSB_JSON_WRONG);
    if (event != LSSB_JSON_DONE || !log->done) {
        log_event(log, json, event);
        return;
    }
    EXPECT_INT(json->text[json->text_len], 0);
    EXPECT(strstr(log->text, json->text) != NULL);
}

static void begin(struct log *log, struct lssb_json *json, choose_fn choose,
                  size_t size)
{
    memset(json, 0, sizeof *json);
    json->choose = choose;
    json->ctx = log;
    log->len = 0;
    log->in_slice = log->done = false;
    log->text[0] = '\0';
    memset(scan_buffer, '#', sizeof scan_buffer);
    lssb_json_start(json, scan_buffer, size);
}

/* What the scanner says of a text that comes in two pieces. */
static const char *scan_split(struct log *log, const char *text, size_t len,
                              size_t at, choose_fn choose, size_t size)
{
    struct lssb_json json;

    begin(log, &json, choose, size);
    if (feed(log, &json, text, at) && feed(log, &json, text + at, len - at))
        finish(log, &json);
    return log->text;
}

static const char *scan_bytewise(struct log *log, const char *text, size_t len,
                                 choose_fn choose, size_t size)
{
    struct lssb_json json;
    size_t i = 0;

    begin(log, &json, choose, size);
    while (i < len && feed(log, &json, text + i, 1))
        i++;
    if (i == len)
        finish(log, &json);
    return log->text;
}

/* Compares whole, byte by byte and every cut in two (of a long text, some). */
static void expect_same_for_every_split(const char *text, size_t len,
                                        choose_fn choose, size_t size)
{
    size_t step = len > 2048 ? len / 61 : 1, at;

    whole_log.asks = split_log.asks = true;
    scan_split(&whole_log, text, len, len, choose, size);
    scan_bytewise(&split_log, text, len, choose, size);
    EXPECT_STR(split_log.text, whole_log.text);
    for (at = 1; at < len && test_failures == 0; at += step) {
        scan_split(&split_log, text, len, at, choose, size);
        EXPECT_STR(split_log.text, whole_log.text);
    }
    whole_log.asks = split_log.asks = false;
}

/* ------------------------------------------------------------ the corpora -- */

static const char *corpora(void)
{
    const char *named = getenv("LSSB_CORPORA");

    return named != NULL ? named : "../shared/corpora";
}

/* Calls `each` for every document of a suite; false when it is not there. */
static bool for_corpus(const char *suite,
                       void (*each)(const char *name, const char *text,
                                    size_t len))
{
    static char text[TEXT_SIZE], path[1024];
    struct dirent *entry;
    DIR *folder;
    FILE *file;
    int seen = 0;

    snprintf(path, sizeof path, "%s/%s", corpora(), suite);
    folder = opendir(path);
    if (folder == NULL)
        return false;
    while ((entry = readdir(folder)) != NULL) {
        if (strstr(entry->d_name, ".json") == NULL)
            continue;
        snprintf(path, sizeof path, "%s/%s/%s", corpora(), suite,
                 entry->d_name);
        file = fopen(path, "rb");
        EXPECT(file != NULL);
        if (file == NULL)
            break;
        test_row = entry->d_name;
        each(entry->d_name, text, fread(text, 1, sizeof text, file));
        fclose(file);
        seen++;
    }
    closedir(folder);
    test_row = "";
    EXPECT(seen > 20);
    return true;
}

static bool is_done(const struct log *log)
{
    return strstr(log->text, "wrong") == NULL;
}

static void check_verdict(const char *name, const char *text, size_t len)
{
    size_t i;

    for (i = 0; i < COUNT(chooses); i++) {
        scan_split(&whole_log, text, len, len, chooses[i], 4096);
        if (name[0] == 'y')
            EXPECT(is_done(&whole_log));
        if (name[0] == 'n')
            EXPECT(!is_done(&whole_log));
    }
}

static void the_corpus_is_accepted_and_refused_as_its_names_say(void)
{
    if (!for_corpus("json", check_verdict))
        SKIP("no corpora/json");
}

static void check_splits(const char *name, const char *text, size_t len)
{
    size_t i;

    (void)name;
    for (i = 0; i < COUNT(chooses); i++)
        expect_same_for_every_split(text, len, chooses[i], 512);
}

static void the_corpus_gives_the_same_events_for_every_split(void)
{
    if (!for_corpus("json", check_splits) ||
        !for_corpus("json-transform", check_splits))
        SKIP("no corpora/json, json-transform");
}

#define FFFD "\xEF\xBF\xBD"

/* What parsers do differently, and what this one does. NULL: it refuses. */
static const struct {
    const char *name;
    const char *kept;
} transforms[] = {
    {"number_1.0.json", "[1.0]"},
    {"number_1e-999.json", "[1E-999]"},
    {"number_10000000000000000999.json", "[10000000000000000999]"},
    {"object_same_key_different_values.json", "{\"a\":1,\"a\":2}"},
    {"object_key_nfc_nfd.json",
     "{\"\xC3\xA9\":\"NFC\",\"e\xCC\x81\":\"NFD\"}"},
    {"string_1_escaped_invalid_codepoint.json", "[\"" FFFD "\"]"},
    {"string_2_escaped_invalid_codepoints.json", "[\"" FFFD FFFD "\"]"},
    {"string_3_escaped_invalid_codepoints.json", "[\"" FFFD FFFD FFFD "\"]"},
    {"string_1_invalid_codepoint.json", NULL},
    {"string_with_escaped_NULL.json", "[\"A\\u0000B\"]"}
};

static void check_transform(const char *name, const char *text, size_t len)
{
    char expected[128];
    size_t i;

    scan_split(&whole_log, text, len, len, NULL, 4096);
    EXPECT(is_done(&whole_log) == (strstr(name, "_invalid") == NULL ||
                                   strstr(name, "escaped") != NULL));
    for (i = 0; i < COUNT(transforms); i++) {
        if (strcmp(transforms[i].name, name) != 0)
            continue;
        if (transforms[i].kept == NULL) {
            EXPECT(!is_done(&whole_log));
            continue;
        }
        snprintf(expected, sizeof expected, "done %s\n", transforms[i].kept);
        EXPECT_STR(whole_log.text, expected);
    }
}

static void what_parsers_do_differently_is_done_on_purpose(void)
{
    if (!for_corpus("json-transform", check_transform))
        SKIP("no corpora/json-transform");
}

/* ------------------------------------------------------------ the scanner -- */

#define SCAN(text, choose, size) \
    scan_split(&whole_log, text, strlen(text), strlen(text), choose, size)

#define LONG_NAME "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* By letter: s skip, k keep, c cut, d stream, e enter, a split, v visit. */
static const struct {
    const char *text;
    const char *log;
} transcripts[] = {
    /* What is kept: no blanks, no needless escapes. */
    {" { } ", "done {}\n"},
    {"\t{\"k\" : [ 1 , { \"x\" : null } , \"a b\" ] }\r\n",
     "done {\"k\":[1,{\"x\":null},\"a b\"]}\n"},
    {"{\"k\":\"\\u0041\\/\\u00e9\\n\\u000a\\u0007\\\"\\\\\\ud83d\\ude00\"}",
     "done {\"k\":\"A/\xC3\xA9\\n\\n\\u0007\\\"\\\\\xF0\x9F\x98\x80\"}\n"},
    {"{\"k\\u0031\":\"\\ud800\\ud800\\udc00\\udc00\\ud800x\\ud800\\n\"}",
     "done {\"k1\":\"" FFFD "\xF0\x90\x80\x80" FFFD FFFD "x" FFFD "\\n\"}\n"},
    {"{\"s\":{\"k\":1},\"k\":-0.5e+10,\"s\":[],\"k2\":false}",
     "done {\"k\":-0.5e+10,\"k2\":false}\n"},
    {"{\"k\\\"\\n\":1}", "done {\"k\\\"\\n\":1}\n"},
    /* Names that cannot be told apart are skipped. */
    {"{\"" LONG_NAME "\":1,\"k\":2}", "done {\"" LONG_NAME "\":1,\"k\":2}\n"},
    {"{\"" LONG_NAME "+\":1,\"k\":2}", "done {\"k\":2}\n"},
    {"{\"k\\u0000\":1,\"k\":2}", "done {\"k\":2}\n"},
    /* The whole text. */
    {"12.5", "done 12.5\n"},
    {" 12 ", "done 12\n"},
    {"\"d\\ud800\"", "done \"d" FFFD "\"\n"},
    {"null", "done null\n"},
    {"[]", "done []\n"},
    {"[1,\"s\",{\"k\":1,\"s\":2},[3,4],{}]",
     "element 1\nelement \"s\"\nelement {\"k\":1}\nelement [3,4]\n"
     "element {}\ndone []\n"},
    /* Streams. */
    {"{\"d\":\"\"}", "end d\ndone {}\n"},
    {"{\"d\":\"one\\ntwo\\ud83d\\ude00\\ud83d\",\"k\":0}",
     "slice d one\ntwo\xF0\x9F\x98\x80" FFFD "\nend d\ndone {\"k\":0}\n"},
    {"{\"d\":null,\"d2\":[\"x\"],\"d\":7}",
     "done {\"d\":null,\"d2\":[\"x\"],\"d\":7}\n"},
    {"{\"d\":\"a\",\"d\":\"b\"}",
     "slice d a\nend d\nslice d b\nend d\ndone {}\n"},
    /* Entered objects and split arrays. */
    {"{\"e\":{\"c\":\"T\",\"s\":1,\"e\":{\"k\":1}},\"k\":2}",
     "done {\"e\":{\"c\":\"T\",\"e\":{\"k\":1}},\"k\":2}\n"},
    {"{\"e\":\"text\",\"e\":5,\"e\":null}",
     "done {\"e\":\"text\",\"e\":5,\"e\":null}\n"},
    {"{\"e\":[{\"k\":[\"body\",\"vcpus\"],\"c\":\"m\",\"s\":0},{\"c\":\"n\"}]}",
     "element e {\"k\":[\"body\",\"vcpus\"],\"c\":\"m\"}\n"
     "element e {\"c\":\"n\"}\ndone {\"e\":[]}\n"},
    {"{\"k\":1,\"a\":[{\"k\":1},\"x\",2,[{\"s\":1}],null],\"k2\":\"c\"}",
     "element a {\"k\":1}\nelement a \"x\"\nelement a 2\n"
     "element a [{\"s\":1}]\nelement a null\n"
     "done {\"k\":1,\"a\":[],\"k2\":\"c\"}\n"},
    {"{\"a\":{\"s\":1},\"a\":7}", "done {\"a\":{\"s\":1},\"a\":7}\n"},
    {"{\"a\":[{\"k\":1,\"a\":[1,{\"k\":2}],\"d\":\"x\",\"k3\":3}]}",
     "element a 1\nelement a {\"k\":2}\nslice d x\nend d\n"
     "element a {\"k\":1,\"a\":[],\"k3\":3}\ndone {\"a\":[]}\n"},
    {"{\"e\":{\"e\":{\"e\":{\"e\":{\"s\":1,\"e\":{\"s\":1}}}}}}",
     "done {\"e\":{\"e\":{\"e\":{\"e\":{\"e\":{\"s\":1}}}}}}\n"},
    /* Visits. */
    {"{\"v\":\"x\\u00e9\",\"v\":1,\"v\":{},\"v\":[],\"v\":[[],{}],\"k\":1}",
     "value /v x\xC3\xA9\nvalue /v 1\ndone {\"k\":1}\n"},
    {"{\"v\":{\"a/b~\\\"\":[1,{\"x\":true,\"\":\"y\"},[],[[null]],\"\"]}}",
     "value /v/a~1b~0\"/0 1\nvalue /v/a~1b~0\"/1/x true\n"
     "value /v/a~1b~0\"/1/ y\nvalue /v/a~1b~0\"/3/0/0 null\n"
     "value /v/a~1b~0\"/4\ndone {}\n"},
    {"{\"v\":[0,1,2,3,4,5,6,7,8,9,10]}",
     "value /v/0 0\nvalue /v/1 1\nvalue /v/2 2\nvalue /v/3 3\nvalue /v/4 4\n"
     "value /v/5 5\nvalue /v/6 6\nvalue /v/7 7\nvalue /v/8 8\nvalue /v/9 9\n"
     "value /v/10 10\ndone {}\n"},
    {"{\"v\":{\"n\\u0000\":1}}", "value /v/n" FFFD " 1\ndone {}\n"},
    {"{\"e\":{\"e2\":{\"v\":{\"x\":1}}}}",
     "value /e/e2/v/x 1\ndone {\"e\":{\"e2\":{}}}\n"},
    {"{\"a\":[{\"k\":1,\"e\":{\"v\":[2]}}]}",
     "value /e/v/0 2\nelement a {\"k\":1,\"e\":{}}\ndone {\"a\":[]}\n"},
    {"[{\"v\":1}]", "value /v 1\nelement {}\ndone []\n"}
};

static void what_is_chosen_is_told(void)
{
    size_t i;

    for (i = 0; i < COUNT(transcripts); i++) {
        test_row = transcripts[i].text;
        EXPECT_STR(SCAN(transcripts[i].text, by_letter, 1024),
                   transcripts[i].log);
    }
}

static void every_split_gives_the_same_events(void)
{
    size_t i, j;

    for (i = 0; i < COUNT(transcripts); i++) {
        test_row = transcripts[i].text;
        for (j = 0; j < COUNT(chooses); j++)
            expect_same_for_every_split(transcripts[i].text,
                                        strlen(transcripts[i].text),
                                        chooses[j], 256);
    }
}

static void it_says_how_deep_and_in_what_the_members_are_it_asks_about(void)
{
    whole_log.asks = true;
    EXPECT_STR(SCAN("{\"e\":{\"k\":{\"x\":1},\"e2\":{\"s\":1}},\"s\":2,"
                    "\"a\":[{\"e3\":{\"s\":1},\"k\":1}]}", by_letter, 1024),
               "ask 1 '' e\nask 2 'e' k\nask 2 'e' e2\nask 3 'e2' s\n"
               "ask 1 '' s\nask 1 '' a\nask 1 'a' e3\nask 2 'e3' s\n"
               "ask 1 'a' k\nelement a {\"e3\":{},\"k\":1}\n"
               "done {\"e\":{\"k\":{\"x\":1},\"e2\":{}},\"a\":[]}\n");
    whole_log.asks = false;
}

static const struct {
    const char *text;
    int at;
    const char *wrong;
} mistakes[] = {
    {"", 0, "The JSON text is empty"},
    {" ", 1, "The JSON text ends too early"},
    {"{\"k\":\"x", 7, "The JSON text ends too early"},
    {"[1.", 3, "The JSON text ends too early"},
    {"-", 1, "The JSON text ends too early"},
    {"\xEF\xBB\xBF{}", 0, "A value was expected in the JSON text"},
    {"{\"k\":,", 5, "A value was expected in the JSON text"},
    {"[1,]", 3, "A value was expected in the JSON text"},
    {"[1}", 2, "A comma or ']' was expected in an array of the JSON text"},
    {"{\"k\":1]", 6,
     "A comma or '}' was expected in an object of the JSON text"},
    {"{\"k\":1,}", 7, "A name was expected in an object of the JSON text"},
    {"{k", 1, "A name was expected in an object of the JSON text"},
    {"{\"k\" 1", 5, "A colon was expected behind a name of the JSON text"},
    {"[truE]", 4,
     "The JSON text has a word that is not true, false or null"},
    {"[-x]", 2, "A digit was expected in a number of the JSON text"},
    {"[01]", 2, "A comma or ']' was expected in an array of the JSON text"},
    {"\"\t\"", 1,
     "A control character in a string of the JSON text is not escaped"},
    {"\"\\x\"", 2, "The JSON text has an unknown escape"},
    {"\"\\u12g4\"", 5,
     "Four hexadecimal digits were expected in an escape of the JSON text"},
    {"\"\xC3(\"", 2, "A string of the JSON text is not UTF-8"},
    {"\"\xED\xA0\x80\"", 2, "A string of the JSON text is not UTF-8"},
    {"\"\xE0\x9F\x80\"", 2, "A string of the JSON text is not UTF-8"},
    {"\"\xF0\x8F\xBF\xBF\"", 2, "A string of the JSON text is not UTF-8"},
    {"\"\xF4\x90\x80\x80\"", 2, "A string of the JSON text is not UTF-8"},
    {"\"\xC1\x80\"", 1, "A string of the JSON text is not UTF-8"},
    {"\"\x80\"", 1, "A string of the JSON text is not UTF-8"},
    {"{} {", 3, "Something follows the end of the JSON text"}
};

static void a_mistake_is_told_in_a_sentence_and_where(void)
{
    char expected[160];
    size_t i;

    for (i = 0; i < COUNT(mistakes); i++) {
        test_row = mistakes[i].text;
        snprintf(expected, sizeof expected, "wrong %d %s\n", mistakes[i].at,
                 mistakes[i].wrong);
        SCAN(mistakes[i].text, always_skip, 256);
        EXPECT_STR(strstr(whole_log.text, "wrong"), expected);
        expect_same_for_every_split(mistakes[i].text,
                                    strlen(mistakes[i].text), by_letter, 256);
    }
}

static void a_wrong_text_stays_wrong(void)
{
    struct lssb_json json = {0};
    size_t used = 9;

    lssb_json_start(&json, scan_buffer, sizeof scan_buffer);
    EXPECT_INT(lssb_json_next(&json, (const uint8_t *)"x", 1, &used),
               LSSB_JSON_WRONG);
    EXPECT_INT(lssb_json_next(&json, (const uint8_t *)"{}", 2, &used),
               LSSB_JSON_WRONG);
    EXPECT_INT(used, 0);
    EXPECT_INT(lssb_json_next(&json, (const uint8_t *)"", 0, &used),
               LSSB_JSON_WRONG);
    EXPECT_INT(lssb_json_end(&json), LSSB_JSON_WRONG);
}

static void text_in_front_of_a_mistake_is_streamed(void)
{
    EXPECT_STR(SCAN("{\"d\":\"a\\nb\x01", by_letter, 256),
               "slice d a\nb\nwrong 10 A control character in a string of the "
               "JSON text is not escaped\n");
}

/* Opening brackets, then closing ones. */
static void nest(char *text, int depth)
{
    memset(text, '[', (size_t)depth);
    memset(text + depth, ']', (size_t)depth);
    text[2 * depth] = '\0';
}

static void sixty_four_levels_are_enough(void)
{
    char text[256];

    nest(text, LSSB_JSON_DEPTH);
    SCAN(text, NULL, 4096);
    EXPECT(is_done(&whole_log));
    nest(text, LSSB_JSON_DEPTH + 1);
    EXPECT_STR(SCAN(text, always_skip, 4096),
               "wrong 64 The JSON text is nested too deeply\n");
}

/* ------------------------------------------------------- what does not fit -- */

static char big[TEXT_SIZE];

/* Fills `big` with a text in which '*' stands for `len` times `fill`. */
static const char *expand(const char *text, const char *fill, size_t len)
{
    char *to = big;
    size_t i;

    for (; *text != '\0'; text++) {
        if (*text != '*')
            *to++ = *text;
        for (i = 0; *text == '*' && i < len; i++, to += strlen(fill))
            memcpy(to, fill, strlen(fill));
    }
    *to = '\0';
    return big;
}

static const struct {
    const char *text;
    const char *log;
} overflows[] = {
    {"{\"k\":1,\"k2\":\"*\",\"k3\":3}", "done {\"k\":1,\"k3\":3}\noverflow\n"},
    {"{\"k2\":[1,{\"x\":\"*\"}],\"k3\":3}", "done {\"k3\":3}\noverflow\n"},
    {"{\"k2\":{\"*\":1},\"k3\":3}", "done {\"k3\":3}\noverflow\n"},
    {"{\"s\":{\"*\":1},\"s\":\"*\",\"k3\":3}", "done {\"k3\":3}\n"},
    {"\"*\"", "done\noverflow\n"},
    {"{\"a\":[\"*\",{\"k\":\"*\",\"k2\":1},[\"*\"],{\"k\":1}],\"k\":1}",
     "element a\noverflow\nelement a {\"k2\":1}\noverflow\n"
     "element a\noverflow\nelement a {\"k\":1}\n"
     "done {\"a\":[],\"k\":1}\n"},
    {"{\"v\":{\"x\":\"*\",\"y\":1},\"v2\":2,\"k\":1}",
     "value /v2 2\ndone {\"k\":1}\noverflow\n"},
    {"{\"v\":{\"x\":1,\"*\":1,\"z\":3},\"k\":1}",
     "value /v/x 1\ndone {\"k\":1}\noverflow\n"}
};

static void what_does_not_fit_is_left_out_and_said(void)
{
    size_t i;

    for (i = 0; i < COUNT(overflows); i++) {
        test_row = overflows[i].text;
        EXPECT_STR(SCAN(expand(overflows[i].text, "x", 300), by_letter, 256),
                   overflows[i].log);
        expect_same_for_every_split(big, strlen(big), by_letter, 256);
    }
}

/* Lengths about the buffer's end: nothing is written beyond it, and what was
 * kept is valid. (The sanitizers watch scan_buffer's end, too.) */
static void every_length_about_the_limit_is_handled(void)
{
    static const char *const texts[] = {
        "{\"k\":\"*\",\"e\":{\"e\":{\"e\":{\"e\":{\"k\":1}}}}}",
        "{\"k\":\"*\",\"a\":[{\"a\":[{\"k\":[1,2]},\"x\"]}]}",
        "{\"d\":\"\\n*\\uD800\\uD83D\\uDE00\\uD800z\"}",
        "{\"k\":\"*\",\"d\":\"a\\nb\\uD800\xC3\xA9 and more \\t\"}",
        "{\"k\":\"*\",\"v\":{\"x\":[12,\"\\u00e9\",null,\"y\"]}}",
        "{\"k\":\"*\",\"c\":\"\\\"\\\\\xC3\xA9\xF0\x9F\x98\x80zz\"}",
        "{\"k\":\"*\",\"k2\":\"\\u0001\\u0002\",\"k3\":3}"
    };
    struct lssb_json json;
    size_t i, len;

    for (i = 0; i < COUNT(texts); i++) {
        for (len = 180; len < 260; len++) {
            const char *text = expand(texts[i], "x", len);

            test_row = texts[i];
            begin(&whole_log, &json, by_letter, 256);
            EXPECT(feed(&whole_log, &json, text, strlen(text)));
            EXPECT_INT(lssb_json_end(&json), LSSB_JSON_DONE);
            EXPECT(json.high <= 256);
            EXPECT_INT(scan_buffer[256], '#');
            memcpy(big, json.text, json.text_len + 1);
            EXPECT_STR(SCAN(big, NULL, 4096) + 5,
                       strcat(strcpy(big + 1024, big), "\n"));
        }
    }
}

/* Whether the string kept as `name` is a beginning of what stood there. */
static bool is_beginning(const struct lssb_json *json, const char *name)
{
    static char kept[1024], given[1024];
    size_t kept_len, given_len, raw_len;
    const char *raw = lssb_json_find(json->text, json->text_len, name,
                                     &raw_len);

    if (raw == NULL)
        return false;
    kept_len = lssb_json_decode(raw, raw_len, kept, sizeof kept);
    raw = lssb_json_find(big, strlen(big), name, &raw_len);
    given_len = lssb_json_decode(raw, raw_len, given, sizeof given);
    return kept_len <= given_len && given_len < sizeof given &&
        memcmp(kept, given, kept_len) == 0 &&
        lssb_utf8_valid(kept, kept_len) == kept_len &&
        (kept_len == given_len || kept_len > 6);
}

static void a_string_that_is_cut_ends_between_characters(void)
{
    static const char *const fills[] = {
        "x", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80", "\\n", "\\u0001",
        "\\uD83D\\uDE00", "a\xE2\x82\xAC\\u20AC\\\"", "\xF0\x9F\x98\x80\\n",
        "\\ud83d\\ude00xyz\\n"
    };
    struct lssb_json json;
    size_t i, len, at;

    for (i = 0; i < COUNT(fills); i++) {
        for (len = 0; len < 480; len++) {
            test_row = fills[i];
            expand("{\"c\":\"*\",\"c2\":\"*\",\"k\":1}", fills[i], len / 4);
            memmove(big + 6 + len % 4, big + 6, strlen(big + 6) + 1);
            memset(big + 6, 'p', len % 4);
            begin(&whole_log, &json, by_letter, 256);
            EXPECT(feed(&whole_log, &json, big, strlen(big)));
            EXPECT(!json.overflow);
            EXPECT(is_beginning(&json, "c"));
            EXPECT(is_beginning(&json, "c2"));
            EXPECT(lssb_json_find(json.text, json.text_len, "k", &at) != NULL);
        }
    }
}

static void a_long_message_leaves_room_for_what_follows(void)
{
    struct lssb_json json;

    expand("{\"e\":{\"c\":\"*\",\"c2\":\"short\",\"c3\":\"e-1\"}}", "m", 20000);
    begin(&whole_log, &json, by_letter, 4096);
    EXPECT(feed(&whole_log, &json, big, strlen(big)));
    EXPECT(!json.overflow);
    EXPECT(json.text_len > 2000);
    EXPECT(strstr(json.text, "m\",\"c2\":\"short\",\"c3\":\"e-1\"}}") != NULL);
}

static void a_hundred_thousand_elements_pass_through_four_kibibytes(void)
{
    static const char element[] = "{\"k\":\"a name\",\"s\":[1,2],\"k2\":7},";
    struct lssb_json json = {0};
    enum lssb_json_event event;
    uint32_t told = 0, i;
    size_t used, from;

    whole_log.asks = false;
    begin(&whole_log, &json, by_letter, 4096);
    feed(&whole_log, &json, "{\"k\":1,\"a\":[", 12);
    for (i = 0; i < 100000; i++) {
        for (from = 0; from < sizeof element - 1; from += used) {
            event = lssb_json_next(&json, (const uint8_t *)element + from,
                                   sizeof element - 1 - from, &used);
            if (event != LSSB_JSON_ELEMENT)
                continue;
            told++;
            if (strcmp(json.text, "{\"k\":\"a name\",\"k2\":7}") != 0)
                break;
        }
    }
    EXPECT_INT(told, 100000);
    feed(&whole_log, &json, "0],\"k3\":\"c\"}", 12);
    finish(&whole_log, &json);
    EXPECT_STR(whole_log.text,
               "element a 0\ndone {\"k\":1,\"a\":[],\"k3\":\"c\"}\n");
    EXPECT(json.high < 100);
}

/* ----------------------------------------------------------------- slices -- */

static void text_without_escapes_is_streamed_from_where_it_stands(void)
{
    const char *text = expand("{\"d\":\"*\xC3\xA9\"}", "abcdefghij", 4000);
    const uint8_t *bytes = (const uint8_t *)text;
    struct lssb_json json;
    size_t used;

    begin(&whole_log, &json, by_letter, 256);
    EXPECT_INT(lssb_json_next(&json, bytes, 20007, &used), LSSB_JSON_SLICE);
    EXPECT(json.slice == text + 6);
    EXPECT_INT(json.slice_len, 20001);
    EXPECT_INT(used, 20007);
    EXPECT_INT(lssb_json_next(&json, bytes + used, 20003, &used),
               LSSB_JSON_SLICE);
    EXPECT(json.slice == text + 20007);
    EXPECT_INT(json.slice_len, 20001);
}

static void text_with_many_escapes_does_not_come_in_crumbs(void)
{
    const char *text = expand("{\"d\":\"*\"}", "a line of text\\n", 4000);
    size_t len = strlen(text), used, slices = 0, bytes = 0;
    struct lssb_json json;
    enum lssb_json_event event;

    begin(&whole_log, &json, by_letter, 4096);
    for (; len > 0; text += used, len -= used) {
        event = lssb_json_next(&json, (const uint8_t *)text, len, &used);
        slices += event == LSSB_JSON_SLICE;
        bytes += event == LSSB_JSON_SLICE ? json.slice_len : 0;
    }
    EXPECT_INT(bytes, 4000 * 15);
    EXPECT(slices < 20);
}

static void a_gathered_slice_ends_between_characters(void)
{
    char text[32];
    size_t len;

    for (len = 0; len < 16; len++) {
        memset(text, 'p', len);
        strcpy(text + len, "\\n*");
        expand("{\"d\":\"*\"}", "\xE2\x82\xAC", 80);
        memmove(big + 6 + len + 2, big + 6, strlen(big + 6) + 1);
        memcpy(big + 6, text, len + 2);
        SCAN(big, by_letter, 256);      /* log_event looks at each slice */
        EXPECT(is_done(&whole_log));
        EXPECT_INT(whole_log.len, 8 + len + 1 + 240 + 1 + 6 + 8);
    }
}

static void a_character_that_the_input_cuts_is_never_sliced(void)
{
    struct lssb_json json;
    size_t used;

    begin(&whole_log, &json, by_letter, 256);
    EXPECT(feed(&whole_log, &json, "{\"d\":\"ab\xE2\x82", 10));
    EXPECT_STR(whole_log.text, "slice d ab");
    EXPECT_INT(lssb_json_next(&json, (const uint8_t *)"\xAC" "cd", 3, &used),
               LSSB_JSON_SLICE);
    EXPECT(json.slice_len >= 3 && memcmp(json.slice, "\xE2\x82\xAC", 3) == 0);
}

/* ------------------------------------------------------------- the tables -- */

struct thing {
    char id[8];
    char note[8];
    int64_t size;
    int32_t code;
    int32_t flag;
    bool there;
};

#define PLACE(kind, member, size) \
    {#member, kind, (uint16_t)offsetof(struct thing, member), size}

static const struct lssb_json_member thing_table[] = {
    PLACE(LSSB_JSON_TEXT, id, 8),
    PLACE(LSSB_JSON_TEXT_CUT, note, 8),
    PLACE(LSSB_JSON_I64, size, 0),
    PLACE(LSSB_JSON_I32, code, 0),
    PLACE(LSSB_JSON_FLAG, flag, 0),
    PLACE(LSSB_JSON_PRESENT, there, 0)
};

static const struct {
    const char *text;
    lssb_status status;
    const char *key;
    const char *id;
    const char *note;
    int64_t size;
    int32_t code;
    int32_t flag;
    bool there;
} fills[] = {
    {"{}", LSSB_OK, "", "", "", -1, -1, -1, false},
    {"{\"id\":\"a\",\"note\":\"b\",\"size\":5,\"code\":-7,\"flag\":true,"
     "\"there\":{}}", LSSB_OK, "", "a", "b", 5, -7, 1, true},
    {"{\"id\":null,\"note\":null,\"size\":null,\"code\":null,\"flag\":null,"
     "\"there\":null}", LSSB_OK, "", "", "", -1, -1, -1, false},
    {"{\"id\":1,\"note\":[\"x\"],\"size\":\"5\",\"code\":true,\"flag\":0,"
     "\"there\":false}", LSSB_OK, "", "", "", -1, -1, -1, true},
    {"{\"x\":{\"id\":\"no\"},\"y\":[{\"id\":\"no\"},\"id\"],\"id\":\"yes\"}",
     LSSB_OK, "", "yes", "", -1, -1, -1, false},
    {"{\"size\":9223372036854775808,\"code\":2147483648,\"flag\":false}",
     LSSB_OK, "", "", "", -1, -1, 0, false},
    {"{\"size\":-9223372036854775808,\"code\":-2147483648,\"id\":\"\"}",
     LSSB_OK, "", "", "", INT64_MIN, INT32_MIN, -1, false},
    {"{\"size\":1.5,\"code\":2.50e1}", LSSB_OK, "", "", "", -1, 25, -1, false},
    {"{\"id\":\"1234567\",\"note\":\"123456\xC3\xA9\"}", LSSB_OK, "",
     "1234567", "123456", -1, -1, -1, false},
    {"{\"id\":\"12345678\",\"code\":3}", LSSB_E_TOO_LONG, "id", "", "", -1, 3,
     -1, false},
    {"{\"id\":\"a\\u0000b\",\"note\":\"a\\u0000b\"}", LSSB_E_PROTOCOL, "id",
     "", "a", -1, -1, -1, false},
    {"{\"id\":\"a\",\"id\":\"b\",\"code\":1,\"code\":null}", LSSB_OK, "", "b",
     "", -1, -1, -1, false},
    {"{\"id\":\"much too long\",\"id\":\"b\"}", LSSB_OK, "", "b", "", -1, -1,
     -1, false},
    {"{\"i\\u0064\":\"\\u00e9\",\"there\":0}", LSSB_OK, "", "\xC3\xA9", "", -1,
     -1, -1, true},
    {"[1]", LSSB_E_PROTOCOL, "", "", "", -1, -1, -1, false},
    {"null", LSSB_E_PROTOCOL, "", "", "", -1, -1, -1, false},
    {"", LSSB_E_PROTOCOL, "", "", "", -1, -1, -1, false}
};

static void a_table_fills_a_struct(void)
{
    struct thing thing;
    const char *key;
    size_t i;

    for (i = 0; i < COUNT(fills); i++) {
        test_row = fills[i].text;
        memset(&thing, 0x55, sizeof thing);
        EXPECT_INT(lssb_json_fill(fills[i].text, strlen(fills[i].text),
                                  thing_table, COUNT(thing_table), &thing,
                                  &key), fills[i].status);
        EXPECT_STR(key == NULL ? "" : key, fills[i].key);
        EXPECT_STR(thing.id, fills[i].id);
        EXPECT_STR(thing.note, fills[i].note);
        EXPECT_INT(thing.size, fills[i].size);
        EXPECT_INT(thing.code, fills[i].code);
        EXPECT_INT(thing.flag, fills[i].flag);
        EXPECT_INT(thing.there, fills[i].there);
    }
}

static void an_object_of_too_many_tokens_is_refused(void)
{
    struct thing thing;
    const char *key;

    expand("{\"id\":\"a\",\"x\":[*0]}", "0,", LSSB_TOKENS - 6);
    EXPECT_INT(lssb_json_fill(big, strlen(big), thing_table,
                              COUNT(thing_table), &thing, &key), LSSB_OK);
    EXPECT_STR(thing.id, "a");
    expand("{\"id\":\"a\",\"x\":[*0]}", "0,", LSSB_TOKENS - 5);
    EXPECT_INT(lssb_json_fill(big, strlen(big), thing_table,
                              COUNT(thing_table), &thing, &key),
               LSSB_E_PROTOCOL);
    EXPECT_STR(thing.id, "");
}

static const struct {
    const char *text;
    const char *path;
    const char *raw;                /* NULL: it is not there */
} finds[] = {
    {"{\"a\":1}", "a", "1"},
    {"{\"a\":1}", "b", NULL},
    {"{\"a\":1}", "", "{\"a\":1}"},
    {" [ 7 ] ", "0", "7"},
    {"{\"detail\":[{\"loc\":[\"body\",\"v\"],\"msg\":\"m\"},{\"msg\":\"n\"}]}",
     "detail/0/loc/1", "\"v\""},
    {"{\"detail\":[{\"loc\":[\"body\"]},{\"msg\":\"n\"}]}", "detail/1/msg",
     "\"n\""},
    {"{\"detail\":[1,2]}", "detail/2", NULL},
    {"{\"detail\":[1,2]}", "detail/-1", NULL},
    {"{\"detail\":[1,2]}", "detail/x", NULL},
    {"{\"detail\":[1,2]}", "detail/0/x", NULL},
    {"{\"detail\":\"text\"}", "detail/error", NULL},
    {"{\"a\":1,\"a\":2}", "a", "2"},
    {"{\"0\":{\"1\":true}}", "0/1", "true"},
    {"{\"a/b\":{\"c~d\":1}}", "a~1b/c~0d", "1"},
    {"{\"\\u0061\\n\":-1.5}", "a\n", "-1.5"},
    {"{\"\":{\"\":3}}", "/", "{\"\":3}"},
    {"{ \"x\" : { \"}\" : \"]\\\"{\" } , \"y\" : [ ] }", "y", "[ ]"},
    {"{ \"x\" : { \"}\" : \"]\\\"{\" } , \"y\" : [ ] }", "x/}", "\"]\\\"{\""},
    {"5", "", "5"},
    {"", "", NULL},
    {"{\"a\"", "a", NULL},
    {"[", "0", NULL}
};

static void a_path_finds_a_value(void)
{
    const char *raw;
    char found[64];
    size_t i, len;

    for (i = 0; i < COUNT(finds); i++) {
        test_row = finds[i].text;
        raw = lssb_json_find(finds[i].text, strlen(finds[i].text),
                             finds[i].path, &len);
        EXPECT((raw == NULL) == (finds[i].raw == NULL));
        if (raw == NULL || finds[i].raw == NULL || len >= sizeof found)
            continue;
        memcpy(found, raw, len);
        found[len] = '\0';
        EXPECT_STR(found, finds[i].raw);
    }
}

static void a_value_is_found_among_any_number(void)
{
    size_t len;
    const char *raw;

    expand("[*1]", "{\"a\":[0]},", 10000);
    raw = lssb_json_find(big, strlen(big), "9999/a/0", &len);
    EXPECT(raw != NULL && len == 1 && *raw == '0');
    raw = lssb_json_find(big, strlen(big), "10000", &len);
    EXPECT(raw != NULL && len == 1 && *raw == '1');
}

static const struct {
    const char *raw;
    size_t size;
    size_t whole;
    const char *text;
} decodes[] = {
    {"\"\"", 8, 0, ""},
    {"\"abc\"", 8, 3, "abc"},
    {"\"abc\"", 4, 3, "abc"},
    {"\"abc\"", 3, 3, "ab"},
    {"\"abc\"", 1, 3, ""},
    {"\"a\xC3\xA9\"", 3, 3, "a"},
    {"\"a\xC3\xA9z\"", 3, 4, "a"},
    {"\"\\b\\f\\n\\r\\t\\\"\\\\\\/\"", 16, 8, "\b\f\n\r\t\"\\/"},
    {"\"\\u0041\\u00E9\\u20ac\\uD83D\\uDE00\"", 16, 10,
     "A\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"},
    {"\"\\uD800\"", 8, 3, FFFD},
    {"\"\\uDC00\\uD800\"", 8, 6, FFFD FFFD},
    {"\"\\uD800\\u0041\"", 8, 4, FFFD "A"},
    {"\"\\uD800\\uD83D\\uDE00\"", 8, 7, FFFD "\xF0\x9F\x98\x80"},
    {"\"a\\u0000b\"", 8, 3, "a"},
    {"12", 8, SIZE_MAX, ""},
    {"\"", 8, SIZE_MAX, ""},
    {"", 8, SIZE_MAX, ""},
    {"\"a", 8, SIZE_MAX, ""},
    {"\"a\"b\"", 8, SIZE_MAX, ""},
    {"\"a\\\"", 8, SIZE_MAX, ""},
    {"\"a\\x\"", 8, SIZE_MAX, ""},
    {"\"a\\u12\"", 8, SIZE_MAX, ""},
    {"\"a\n\"", 8, SIZE_MAX, ""},
    {"\"a\xFF\"", 8, SIZE_MAX, ""}
};

static void a_raw_string_is_decoded(void)
{
    char text[32];
    size_t i;

    for (i = 0; i < COUNT(decodes); i++) {
        test_row = decodes[i].raw;
        memset(text, '#', sizeof text);
        EXPECT_INT(lssb_json_decode(decodes[i].raw, strlen(decodes[i].raw),
                                    text, decodes[i].size), decodes[i].whole);
        EXPECT_STR(text, decodes[i].text);
        EXPECT_INT(text[decodes[i].size], '#');
        EXPECT_INT(lssb_json_decode(decodes[i].raw, strlen(decodes[i].raw),
                                    NULL, 0), decodes[i].whole);
    }
}

static const struct {
    const char *raw;
    bool is;
    int64_t number;
} integers[] = {
    {"0", true, 0},
    {"-0", true, 0},
    {"-1", true, -1},
    {"9223372036854775807", true, INT64_MAX},
    {"9223372036854775808", false, 0},
    {"-9223372036854775808", true, INT64_MIN},
    {"-9223372036854775809", false, 0},
    {"10000000000000000999", false, 0},
    {"99999999999999999999999999", false, 0},
    {"1.0", true, 1},
    {"1.5", false, 0},
    {"1.000000000000000005", false, 0},
    {"1e6", true, 1000000},
    {"1E+2", true, 100},
    {"10e-1", true, 1},
    {"15e-1", false, 0},
    {"1.25e2", true, 125},
    {"1.255e2", false, 0},
    {"0.001e3", true, 1},
    {"123456789012345678900000e-5", true, 1234567890123456789},
    {"922337203685477580.7e1", true, INT64_MAX},
    {"922337203685477580.8e1", false, 0},
    {"1e18", true, INT64_C(1000000000000000000)},
    {"1e19", false, 0},
    {"1e-999", false, 0},
    {"0e-999", true, 0},
    {"0e999999999999999999999", true, 0},
    {"0.0e99", true, 0},
    {"1e999999999999999999999", false, 0},
    {"1e-999999999999999999999", false, 0},
    {"", false, 0},
    {"-", false, 0},
    {"01", false, 0},
    {"+1", false, 0},
    {"1.", false, 0},
    {".5", false, 0},
    {"1e", false, 0},
    {"1e+", false, 0},
    {"1x", false, 0},
    {"1.0.0", false, 0},
    {"\"1\"", false, 0},
    {"null", false, 0}
};

static void an_integer_is_read_exactly_or_not_at_all(void)
{
    size_t i;
    int64_t number;

    for (i = 0; i < COUNT(integers); i++) {
        test_row = integers[i].raw;
        number = 0;
        EXPECT_INT(lssb_json_integer(integers[i].raw, strlen(integers[i].raw),
                                     &number), integers[i].is);
        EXPECT_INT(number, integers[i].number);
    }
}

/* -------------------------------------------------------------- the writer -- */

static char written[TEXT_SIZE];
static struct lssb_writer out;

static void write_start(struct lssb_json_writer *json)
{
    lssb_writer_start(&out, written, sizeof written - 1, 0);
    lssb_json_write(json, &out);
}

static const char *write_end(void)
{
    written[out.len] = '\0';
    return written;
}

static void a_writer_puts_commas_quotes_and_needed_escapes(void)
{
    static const lssb_pair pairs[] = {{"A", "1"}, {"B\"", "\xC3\xA9\n"}};
    struct lssb_json_writer json;

    write_start(&json);
    EXPECT(!lssb_json_complete(&json));
    lssb_json_object(&json, NULL);
    lssb_json_string(&json, "s", "q\" b\\ \b\f\n\r\t \x01\x1F\x7F / \xC3\xA9");
    lssb_json_string_n(&json, "n", "a\0b", 3);
    lssb_json_array(&json, "a");
    lssb_json_number(&json, NULL, INT64_MIN);
    lssb_json_number(&json, NULL, INT64_MAX);
    lssb_json_number(&json, NULL, 0);
    lssb_json_array(&json, NULL);
    lssb_json_close(&json);
    lssb_json_object(&json, NULL);
    lssb_json_close(&json);
    lssb_json_close(&json);
    lssb_json_bool(&json, "t", true);
    lssb_json_bool(&json, "f", false);
    lssb_json_null(&json, "z\t");
    lssb_json_pairs(&json, "p", pairs, 2);
    lssb_json_pairs(&json, "e", NULL, 0);
    EXPECT(!lssb_json_complete(&json));
    lssb_json_close(&json);
    EXPECT(lssb_json_complete(&json));
    EXPECT_STR(write_end(),
               "{\"s\":\"q\\\" b\\\\ \\b\\f\\n\\r\\t \\u0001\\u001f\x7F / "
               "\xC3\xA9\",\"n\":\"a\\u0000b\",\"a\":[-9223372036854775808,"
               "9223372036854775807,0,[],{}],\"t\":true,\"f\":false,"
               "\"z\\t\":null,\"p\":{\"A\":\"1\",\"B\\\"\":\"\xC3\xA9\\n\"},"
               "\"e\":{}}");
}

static void raw_json_is_put_as_it_is(void)
{
    struct lssb_json_writer json;

    write_start(&json);
    lssb_json_object(&json, NULL);
    lssb_json_raw(&json, "a", "{\"b\": [1 ,2]}!", 13);
    lssb_json_raw(&json, "c\t", "1.5e3", 5);
    lssb_json_array(&json, "d");
    lssb_json_raw(&json, NULL, "null", 4);
    lssb_json_raw(&json, NULL, "[]", 2);
    lssb_json_close(&json);
    lssb_json_raw(&json, NULL, "0", 1);
    lssb_json_close(&json);
    EXPECT_STR(out.wrong, "A member of a JSON object has no name");
    EXPECT_STR(write_end(),
               "{\"a\":{\"b\": [1 ,2]},\"c\\t\":1.5e3,\"d\":[null,[]]");
}

static void a_scalar_alone_is_complete(void)
{
    struct lssb_json_writer json;

    write_start(&json);
    lssb_json_string(&json, NULL, "x");
    EXPECT(lssb_json_complete(&json));
    EXPECT_STR(write_end(), "\"x\"");
}

/* Calls, a letter each: { [ open, } close, n a nameless and m a named value,
 * b bad UTF-8, B the same in a name, N a string that is NULL, O a named
 * object. */
static void call(struct lssb_json_writer *json, char c)
{
    static const char bad[] = "\xED\xA0\x80";

    switch (c) {
    case '{': lssb_json_object(json, NULL); break;
    case '[': lssb_json_array(json, NULL); break;
    case '}': lssb_json_close(json); break;
    case 'n': lssb_json_number(json, NULL, -12); break;
    case 'm': lssb_json_null(json, "m"); break;
    case 's': lssb_json_string(json, NULL, "\"\n\xC3\xA9"); break;
    case 't': lssb_json_bool(json, "t\x01", true); break;
    case 'b': lssb_json_string(json, NULL, bad); break;
    case 'B': lssb_json_bool(json, bad, true); break;
    case 'N': lssb_json_string(json, NULL, NULL); break;
    case 'O': lssb_json_object(json, "o"); break;
    default: break;
    }
}

static const struct {
    const char *calls;
    const char *wrong;              /* NULL: nothing */
    bool complete;
    const char *text;
} misuses[] = {
    {"", NULL, false, ""},
    {"[", NULL, false, "["},
    {"[}", NULL, true, "[]"},
    {"{m}", NULL, true, "{\"m\":null}"},
    {"{n", "A member of a JSON object has no name", false, "{"},
    {"{{", "A member of a JSON object has no name", false, "{"},
    {"m", "A JSON value has a name outside an object", false, ""},
    {"[m", "A JSON value has a name outside an object", false, "["},
    {"[{}[m", "A JSON value has a name outside an object", false, "[{},["},
    {"nn", "A second JSON value follows the first", false, "-12"},
    {"[}[", "A second JSON value follows the first", false, "[]"},
    {"}", "There is no JSON object or array to close", false, ""},
    {"[}}", "There is no JSON object or array to close", false, "[]"},
    {"b", "A string in JSON is not UTF-8", false, ""},
    {"{B", "A name in JSON is not UTF-8", false, "{"},
    {"[N", "A string in JSON is NULL", false, "["},
    {"[bNmn}", "A string in JSON is not UTF-8", false, "["},
    {"{mOm}[", "A member of a JSON object has no name", false,
     "{\"m\":null,\"o\":{\"m\":null}"},
    {"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", NULL, false,
     "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["},
    {"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "The JSON is nested too deeply",
     false, "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["}
};

static void a_misused_writer_says_so_and_puts_nothing_more(void)
{
    struct lssb_json_writer json;
    const char *c;
    size_t i;

    for (i = 0; i < COUNT(misuses); i++) {
        test_row = misuses[i].calls;
        write_start(&json);
        for (c = misuses[i].calls; *c != '\0'; c++)
            call(&json, *c);
        EXPECT_STR(out.wrong == NULL ? "" : out.wrong,
                   misuses[i].wrong == NULL ? "" : misuses[i].wrong);
        EXPECT(lssb_json_complete(&json) == misuses[i].complete);
        EXPECT_STR(write_end(), misuses[i].text);
    }
}

static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static void whatever_is_written_and_complete_is_valid(void)
{
    static const char calls[] = "{[}}}nmstOO}{[}}nmst}}bBN";
    struct lssb_json_writer json;
    uint32_t state = 2463534242u;
    int i, j, complete = 0;
    char line[256];

    for (i = 0; i < 200000; i++) {
        int count = (int)(next_random(&state) % 12);

        write_start(&json);
        for (j = 0; j < count; j++) {
            line[j] = calls[next_random(&state) % (sizeof calls - 1)];
            call(&json, line[j]);
        }
        line[j] = '\0';
        if (out.wrong != NULL || !lssb_json_complete(&json))
            continue;
        complete++;
        test_row = line;
        write_end();
        SCAN(written, always_skip, 256);
        EXPECT(is_done(&whole_log));
    }
    EXPECT(complete > 1000);
}

static void what_is_written_through_a_small_window_is_the_same(void)
{
    struct lssb_json_writer json;
    char whole[512], piece[7];
    uint64_t skip = 0, total = 1;
    size_t len = 0, i;

    while (skip < total) {
        lssb_writer_start(&out, piece, sizeof piece, skip);
        lssb_json_write(&json, &out);
        lssb_json_object(&json, NULL);
        for (i = 0; i < 10; i++)
            lssb_json_string(&json, "name", "\xC3\xA9\x01\n text");
        lssb_json_close(&json);
        EXPECT(lssb_json_complete(&json));
        memcpy(whole + len, piece, out.len);
        len += out.len;
        skip += out.len;
        total = out.total;
    }
    whole[len] = '\0';
    EXPECT_INT(len, 2 + 9 + 10 * 24);
    SCAN(whole, NULL, 4096);
    EXPECT(is_done(&whole_log));
}

/* A measure, not a test: how fast a streamed string and a list go through. */
static void measure(const char *what, const char *text, choose_fn choose)
{
    size_t len = strlen(text), i, used, at;
    struct lssb_json json;
    clock_t from = clock();
    double seconds;

    for (i = 0; i < 2000; i++) {
        begin(&whole_log, &json, choose, 4096);
        for (at = 0; at < len; at += used)
            lssb_json_next(&json, (const uint8_t *)text + at,
                           len - at < 16384 ? len - at : 16384, &used);
    }
    seconds = (double)(clock() - from) / CLOCKS_PER_SEC;
    printf("%-28s %8.0f MB/s\n", what, (double)len * 2000 / 1e6 / seconds);
}

static int bench(void)
{
    measure("stream, plain", expand("{\"d\":\"*\"}", "0123456789abcdef", 8192),
            by_letter);
    measure("stream, lines", expand("{\"d\":\"*\"}",
            "a line of output that is sixty characters long, and no more\\n",
            2048), by_letter);
    measure("stream, three-byte text",
            expand("{\"d\":\"*\"}", "\xE4\xBD\xA0\xE5\xA5\xBD", 16384),
            by_letter);
    measure("skip, a list",
            expand("{\"s\":[*0]}", "{\"id\":\"550e8400-e29b\",\"n\":12},", 4096),
            by_letter);
    measure("elements of a list",
            expand("{\"a\":[*0]}", "{\"id\":\"550e8400-e29b\",\"n\":12},", 4096),
            by_letter);
    return 0;
}

static const struct test tests[] = {
    TEST(the_corpus_is_accepted_and_refused_as_its_names_say),
    TEST(the_corpus_gives_the_same_events_for_every_split),
    TEST(what_parsers_do_differently_is_done_on_purpose),
    TEST(what_is_chosen_is_told),
    TEST(every_split_gives_the_same_events),
    TEST(it_says_how_deep_and_in_what_the_members_are_it_asks_about),
    TEST(a_mistake_is_told_in_a_sentence_and_where),
    TEST(a_wrong_text_stays_wrong),
    TEST(text_in_front_of_a_mistake_is_streamed),
    TEST(sixty_four_levels_are_enough),
    TEST(what_does_not_fit_is_left_out_and_said),
    TEST(every_length_about_the_limit_is_handled),
    TEST(a_string_that_is_cut_ends_between_characters),
    TEST(a_long_message_leaves_room_for_what_follows),
    TEST(a_hundred_thousand_elements_pass_through_four_kibibytes),
    TEST(text_without_escapes_is_streamed_from_where_it_stands),
    TEST(text_with_many_escapes_does_not_come_in_crumbs),
    TEST(a_gathered_slice_ends_between_characters),
    TEST(a_character_that_the_input_cuts_is_never_sliced),
    TEST(a_table_fills_a_struct),
    TEST(an_object_of_too_many_tokens_is_refused),
    TEST(a_path_finds_a_value),
    TEST(a_value_is_found_among_any_number),
    TEST(a_raw_string_is_decoded),
    TEST(an_integer_is_read_exactly_or_not_at_all),
    TEST(a_writer_puts_commas_quotes_and_needed_escapes),
    TEST(raw_json_is_put_as_it_is),
    TEST(a_scalar_alone_is_complete),
    TEST(a_misused_writer_says_so_and_puts_nothing_more),
    TEST(whatever_is_written_and_complete_is_valid),
    TEST(what_is_written_through_a_small_window_is_the_same)
};

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "bench") == 0)
        return bench();
    return TEST_MAIN(tests);
}
