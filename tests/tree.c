/* tree.c: a box's own tools, with a box that is a script: what it may say, and
 * what becomes of it.
 *
 * SPDX-License-Identifier: MIT
 *
 * The scripts themselves are tried in real boxes (live_tree.c). Here the box
 * answers as it should, wrongly, or as an enemy would.
 */
#include "scripted_ws.h"

#if LSSB_WEBSOCKET

#include "local.h"

#if defined(_WIN32)
#define WINDOWS 1                   /* has no modes but 0755 and 0555 */
#else
#define WINDOWS 0
#include <fcntl.h>
#include <sys/stat.h>
#endif

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

/* --------------------------------------------------------------- the box -- */

static struct script_client me;
static lssb_sandbox box;
static lssb_tools tools;
static struct model_event events[2];
static struct model_program program;

/* A box whose command prints this, then exits. */
static void begin(const char *out, const char *err, int code)
{
    static const struct model_event none = { 0, 0, "" };

    script_begin(SCRIPT_WHOLE, NULL, 0);
    events[0] = events[1] = none;
    events[0].stream = 1;
    events[0].text = out;
    events[1].stream = 2;
    events[1].text = err;
    memset(&program, 0, sizeof program);
    program.events = events;
    program.event_count = 2;
    program.exit_ms = 5;
    program.exit_code = code;
    peers_model(&program, 1);
    script_config(&me.config);
    me.config.slots = 2;
    if (script_client_open(&me) != LSSB_OK)
        script_stuck("no client");
    memset(&box, 0, sizeof box);
    box.client = me.client;
    strcpy(box.name, "b");
    strcpy(box.dataplane_url, "http://data.test/b");
    memset(&tools, 0, sizeof tools);
    tools.box = &box;
}

static void end(void)
{
    script_client_close(&me);
}

/* Bytes in base64 as the box sends them, "#b" in front. */
static const char *base64(const void *bytes, size_t len)
{
    static char text[2 * MODEL_TEXT];
    struct lssb_writer writer;
    size_t i;

    lssb_writer_start(&writer, text, sizeof text - 1, 0);
    lssb_put_text(&writer, "#b\n");
    for (i = 0; i < len; i += 57) {
        lssb_put_base64(&writer, (const char *)bytes + i,
                        len - i < 57 ? len - i : 57);
        lssb_put_text(&writer, "\n");
    }
    text[writer.len] = '\0';
    return text;
}

/* The same in hexadecimal digits, as od has them. */
static const char *octets(const void *bytes, size_t len)
{
    static char text[2 * MODEL_TEXT];
    const uint8_t *from = bytes;
    size_t i, at = (size_t)sprintf(text, "#o\n");

    for (i = 0; i < len; i++)
        at += (size_t)sprintf(text + at, " %02x%s", from[i],
                              i % 16 == 15 ? "\n" : "");
    return text;
}

/* ------------------------------------------------------------ listings -- */

struct seen {
    char text[2000];
    size_t len;
    unsigned again;                 /* so many are not taken at first */
    unsigned stop_at;               /* says stop then */
    unsigned entries;
    bool cut;                       /* the connection, when one is not taken */
    lssb_op *cancel;
};

static lssb_status see(void *user, const lssb_entry *entry)
{
    struct seen *seen = user;

    if (seen->again > 0 && seen->entries == 1) {
        seen->again--;
        if (seen->cut) {            /* and what comes then, comes piecemeal */
            script.cut = SCRIPT_CUT_RESET;
            script.cut_received = script.moved_received + 1;
            model.slice = 1;
            seen->cut = false;
        }
        return LSSB_AGAIN;
    }
    seen->entries++;
    if (seen->entries == seen->stop_at)
        return LSSB_E_STOPPED;
    if (seen->cancel != NULL)
        lssb_cancel(seen->cancel);
    seen->len += (size_t)sprintf(
        seen->text + seen->len, "[%s] %c %o %u %d %u;", entry->name,
        entry->letter, (unsigned)entry->mode, (unsigned)entry->size,
        (int)entry->mtime_s, (unsigned)entry->inode);
    return LSSB_OK;
}

#define ONE "./a// 81a4 3 100 101 7 0 0 1\n"
#define TWO "./b\n c// 41ed 0 -5 101 8 0 0 2\n"
#define LAST "// 0 0\n"

static const struct {
    const char *name;
    const char *out;                /* in clear, before it is encoded */
    const char *err;
    int code;
    lssb_status status;
    const char *seen;
} listings[] = {
    { "nothing", LAST, "", 0, LSSB_OK, "" },
    { "two", ONE TWO LAST, "", 0, LSSB_OK,
      "[a] - 644 3 100 7;[b\n c] d 755 0 -5 8;" },
    { "deeper", "./a/b// a1ff 3 1 1 7 0 0 1\n" LAST, "", 0, LSSB_OK,
      "[a/b] l 777 3 1 7;" },
    { "every kind", "./p// 1180 0 1 1 1 0 0 1\n./c// 2180 0 1 1 2 0 0 1\n"
      "./b// 6180 0 1 1 3 0 0 1\n./s// c180 0 1 1 4 0 0 1\n"
      "./x// 0 0 1 1 5 0 0 1\n" LAST, "", 0, LSSB_OK,
      "[p] p 600 0 1 1;[c] c 600 0 1 2;[b] b 600 0 1 3;[s] s 600 0 1 4;"
      "[x] ? 0 0 1 5;" },
    { "not there", "", "stat: cannot stat '/x/.': No such file or directory\n",
      1, LSSB_E_NOT_FOUND, "" },
    { "gone meanwhile", ONE "// 0 1\n",
      "stat: can't stat './x': No such file or directory\n", 0, LSSB_OK,
      "[a] - 644 3 100 7;" },
    { "a part is closed", ONE "// 0 1\n", "find: './d': Permission denied\n"
      "stat: can't stat './x': No such file or directory\n", 0,
      LSSB_E_PERMISSION, "[a] - 644 3 100 7;" },
    { "no find", "// 0 127\n", "/bin/sh: find: not found\n", 0,
      LSSB_E_UNSUPPORTED, "" },
    { "no shell", "", "/bin/sh: No such file or directory\n", 127,
      LSSB_E_UNSUPPORTED, "" },
    { "without a word", "", "", 3, LSSB_E_OPERATION, "" },
    { "cut", ONE, "", 0, LSSB_E_PROTOCOL, "[a] - 644 3 100 7;" },
    { "a slash at a name's end", "./a///n/// 81a4 3 100 1 1 1 1 1\n" LAST, "",
      0, LSSB_E_PROTOCOL, "" },
    { "slashes before a newline", "./a////n// 81a4 3 100 1 1 1 1 1\n" LAST,
      "", 0, LSSB_E_PROTOCOL, "" },
    { "cut in a name", ONE "./b", "", 0, LSSB_E_PROTOCOL,
      "[a] - 644 3 100 7;" },
    { "too few numbers", "./a// 81a4 3 100\n" LAST, "", 0, LSSB_E_PROTOCOL,
      "" },
    { "too many numbers", "./a// 81a4 3 100 1 1 1 1 1 1 1 1 1\n" LAST, "", 0,
      LSSB_E_PROTOCOL, "" },
    { "no number", "./a// 81a4 x 100 1 1 1 1 1\n" LAST, "", 0,
      LSSB_E_PROTOCOL, "" },
    { "a hexadecimal size", "./a// 81a4 a 100 1 1 1 1 1\n" LAST, "", 0,
      LSSB_E_PROTOCOL, "" },
    { "a name of every bit",
      "./\xbe\xfb\xef\xbe\xff\xff\xff// 81a4 3 100 101 7 0 0 1\n" LAST, "",
      0, LSSB_OK, "[\xbe\xfb\xef\xbe\xff\xff\xff] - 644 3 100 7;" },
    { "a number without end",
      "./a// 81a4 99999999999999999999999 100 1 1 1 1 1\n" LAST, "", 0,
      LSSB_E_PROTOCOL, "" },
    { "slashes", "./a//b// 81a4 3 100 1 1 1 1 1\n" LAST, "", 0,
      LSSB_E_PROTOCOL, "" },
    { "a NUL", "\1", "", 0, LSSB_E_PROTOCOL, "" },
};

/* A listing that the box prints, in slices of so many bytes. */
static lssb_status list(const char *text, size_t slice, const char *err,
                        int code, struct seen *seen, lssb_op *op)
{
    begin(text, err, code);
    model.slice = slice;
    if (seen->cancel != NULL)
        seen->cancel = op;
    return lssb_path_list(&tools, "/x", 0, see, seen, op);
}

static void a_listing_is_told_or_refused(void)
{
    static const size_t slices[] = { 1, 2, 3, 7, 512 };
    size_t i, j;

    for (i = 0; i < COUNT(listings); i++)
        for (j = 0; j < 2 * COUNT(slices); j++) {
            size_t len = strlen(listings[i].out);
            const char *out =
                listings[i].out[0] == '\1' ? "\0" : listings[i].out;
            struct seen seen;
            lssb_status status;

            test_row = listings[i].name;
            memset(&seen, 0, sizeof seen);
            status = list(len == 0 ? ""
                          : j % 2 != 0 ? base64(out, len)
                                       : octets(out, len),
                          slices[j / 2], listings[i].err, listings[i].code,
                          &seen, NULL);
            EXPECT_STR(lssb_status_name(status),
                       lssb_status_name(listings[i].status));
            EXPECT_STR(seen.text, listings[i].seen);
            if (status != LSSB_OK)
                EXPECT(strncmp(lssb_error_text(me.client), "list directory: ",
                               16) == 0);
            end();
        }
}

static void what_is_no_listing_is_refused(void)
{
    static const char *const texts[] = {
        "./a", "#x", "#b\n#", "#b\n!", "#o\nzz", "#b\nQUJD*", "Ly8gMCAwCg=="
    };
    size_t i;

    for (i = 0; i < COUNT(texts); i++) {
        struct seen seen;

        test_row = texts[i];
        memset(&seen, 0, sizeof seen);
        EXPECT_INT(list(texts[i], 512, "", 0, &seen, NULL), LSSB_E_PROTOCOL);
        EXPECT_INT(seen.entries, 0);
        end();
    }
}

static void a_name_that_has_no_end_is_refused(void)
{
    static char long_name[5000];
    struct seen seen;

    memset(&seen, 0, sizeof seen);
    memset(long_name, 'x', sizeof long_name - 1);
    EXPECT_INT(list(base64(long_name, 4999), 512, "", 0, &seen, NULL),
               LSSB_E_PROTOCOL);
    end();
}

static lssb_status see_length(void *user, const lssb_entry *entry)
{
    *(size_t *)user = strlen(entry->name);
    return LSSB_OK;
}

static void a_name_has_room_up_to_a_bound(void)
{
    static char text[4200];
    size_t most = sizeof tools.reserved.state.name - 1, len, seen;

    for (len = most; len <= most + 1; len++) {
        seen = 0;
        memset(text, 'x', len);
        strcpy(text + len, "// 81a4 3 100 101 7 0 0 1\n" LAST);
        begin(base64(text, strlen(text)), "", 0);
        EXPECT_INT(lssb_path_list(&tools, "x", 0, see_length, &seen, NULL),
                   len == most ? LSSB_OK : LSSB_E_PROTOCOL);
        EXPECT_INT(seen, len == most ? most : 0);
        end();
    }
}

static void that_there_is_nothing_is_no_error(void)
{
    static const struct {
        const char *err;
        int code;
        lssb_status status;
        bool there;
    } rows[] = {
        { "", 0, LSSB_OK, true },
        { "stat: x: No such file or directory\n", 1, LSSB_OK, false },
        { "stat: x: Not a directory\n", 1, LSSB_OK, false },
        { "stat: x: Permission denied\n", 1, LSSB_E_PERMISSION, false },
        { "stat: not found\n", 127, LSSB_E_UNSUPPORTED, false },
        { "sh: No such file or directory\n", 127, LSSB_E_UNSUPPORTED, false },
        { "", 1, LSSB_E_OPERATION, false },
    };
    size_t i;
    bool there;

    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i].err;
        begin("", rows[i].err, rows[i].code);
        EXPECT_INT(lssb_path_exists(&tools, "x", &there, NULL),
                   rows[i].status);
        EXPECT_INT(there, rows[i].there);
        if (rows[i].status == LSSB_OK)
            EXPECT_STR(lssb_error_text(me.client), "");
        end();
    }
}

static void an_entry_that_is_not_taken_is_offered_again(void)
{
    struct seen seen;

    memset(&seen, 0, sizeof seen);
    seen.again = 3;
    EXPECT_INT(list(base64(ONE TWO LAST, strlen(ONE TWO LAST)), 512, "", 0,
                    &seen, NULL), LSSB_OK);
    EXPECT_STR(seen.text, "[a] - 644 3 100 7;[b\n c] d 755 0 -5 8;");
    EXPECT_INT(seen.again, 0);
    end();
}

static void an_entry_is_offered_again_behind_a_lost_connection(void)
{
    struct seen seen;

    memset(&seen, 0, sizeof seen);
    seen.again = 500;               /* of 10 ms */
    seen.cut = true;
    EXPECT_INT(list(base64(ONE TWO LAST, strlen(ONE TWO LAST)), 512, "", 0,
                    &seen, NULL), LSSB_OK);
    EXPECT_STR(seen.text, "[a] - 644 3 100 7;[b\n c] d 755 0 -5 8;");
    EXPECT_INT(script.cuts, 1);
    EXPECT_INT(model_commands[0].reconnects, 1);
    end();
}

static void a_callback_stops_or_cancels(void)
{
    const char *text = base64(ONE TWO LAST, strlen(ONE TWO LAST));
    lssb_op op;
    struct seen seen;

    memset(&seen, 0, sizeof seen);
    seen.stop_at = 1;
    EXPECT_INT(list(text, 512, "", 0, &seen, NULL), LSSB_E_STOPPED);
    EXPECT_STR(lssb_error_text(me.client),
               "list directory: stopped by a callback");
    end();
    EXPECT_INT(model_commands[0].kills, 1);
    memset(&seen, 0, sizeof seen);
    memset(&op, 0, sizeof op);
    seen.cancel = &op;
    EXPECT_INT(list(text, 512, "", 0, &seen, &op), LSSB_PENDING);
    EXPECT_INT(lssb_wait(me.client, &op, LSSB_FOREVER), LSSB_E_CANCELED);
    EXPECT_INT(seen.entries, 1);
    EXPECT_STR(lssb_error_text(me.client), "list directory: canceled");
    end();
    EXPECT_INT(model_commands[0].kills, 1);
}

static void a_call_ends_at_its_deadline_and_with_its_client(void)
{
    struct seen seen;
    lssb_error error;
    lssb_op op;
    uint64_t began;

    memset(&seen, 0, sizeof seen);
    memset(&op, 0, sizeof op);
    op.deadline_ms = 500;
    op.error = &error;
    begin("", "", 0);
    program.exit_ms = 100000;
    began = script.now;
    EXPECT_INT(lssb_path_list(&tools, "x", 0, see, &seen, &op), LSSB_PENDING);
    EXPECT_INT(lssb_path_list(&tools, "x", 0, see, &seen, NULL), LSSB_E_BUSY);
    EXPECT_INT(lssb_wait(me.client, &op, LSSB_FOREVER), LSSB_E_DEADLINE);
    EXPECT_INT(error.status, LSSB_E_DEADLINE);
    EXPECT(script.now >= began + 500 && script.now < began + 1500);
    op.deadline_ms = 0;
    EXPECT_INT(lssb_path_list(&tools, "x", 0, see, &seen, &op), LSSB_PENDING);
    EXPECT_INT(lssb_wait(me.client, &op, 100), LSSB_AGAIN);
    end();
    EXPECT_INT(op.status, LSSB_E_CANCELED);
    EXPECT_INT(model_commands[0].kills, 1);
}

/* ------------------------------------------------------------ complaints -- */

static void what_a_tool_says_has_a_status(void)
{
    static const struct {
        const char *said;
        lssb_status status;
    } rows[] = {
        { "rm: cannot remove 'x': No such file or directory\n",
          LSSB_E_NOT_FOUND },
        { "mkdir: can't create directory 'x': File exists",
          LSSB_E_ALREADY_EXISTS },
        { "x: Not a directory\n", LSSB_E_NOT_DIRECTORY },
        { "x: Is a directory\n", LSSB_E_IS_DIRECTORY },
        { "rmdir: 'x': Directory not empty\n", LSSB_E_NOT_EMPTY },
        { "x: Permission denied\n", LSSB_E_PERMISSION },
        { "x: Operation not permitted\n", LSSB_E_PERMISSION },
        { "cp: error writing 'x': No space left on device\n", LSSB_E_NO_SPACE },
        { "x: Disk quota exceeded\n", LSSB_E_NO_SPACE },
        { "x: Quota exceeded\n", LSSB_E_NO_SPACE },
        { "tar: a b: Wrote only 512 of 10240 bytes\ntar: Exiting with failure "
          "status due to previous errors\n", LSSB_E_NO_SPACE },
        { "tar: a: Wrote only 1 of 2 byte\n", LSSB_E_NO_SPACE },
        { "x: has 10 of 20 bytes\n", LSSB_E_OPERATION },
        { "x: Read-only file system\n", LSSB_E_READ_ONLY },
        { "x: Device or resource busy\n", LSSB_E_IN_USE },
        { "x: Resource busy\n", LSSB_E_IN_USE },
        { "x: Text file busy\n", LSSB_E_IN_USE },
        { "x: File name too long\n", LSSB_E_TOO_LONG },
        { "x: Filename too long\n", LSSB_E_TOO_LONG },
        { "x: Input/output error\n", LSSB_E_OPERATION },
        { "rm: 'No space left on device': Permission denied\n",
          LSSB_E_PERMISSION },
        { "first\nx: Permission denied\nlast words\n", LSSB_E_PERMISSION },
        { "a very long line, far longer than what is kept of a line, so that "
          "only its end can be looked at, which is all that has to be: "
          "Permission denied\n", LSSB_E_PERMISSION },
    };
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i].said;
        begin("", rows[i].said, 1);
        EXPECT_STR(lssb_status_name(lssb_path_remove(&tools, "x", 0, NULL)),
                   lssb_status_name(rows[i].status));
        EXPECT_INT(lssb_last_error(me.client)->resource, LSSB_RESOURCE_FILE);
        EXPECT_STR(lssb_last_error(me.client)->operation, "remove");
        end();
    }
}

static void a_message_is_text_whatever_a_tool_says(void)
{
    begin("", "rm: '\1\x1b[2J\t\xEF\xBF\xBD': odd\n\n", 1);
    EXPECT_INT(lssb_path_remove(&tools, "x", 0, NULL), LSSB_E_OPERATION);
    EXPECT_STR(lssb_error_text(me.client),
               "remove: rm: '  [2J \xEF\xBF\xBD': odd");
    end();
}

/* ------------------------------------------------------------- arguments -- */

static void a_path_goes_along_unread_by_the_shell(void)
{
    static const struct {
        const char *path, *said;
    } rows[] = {
        { "/plain", "\"LSSB_A\":\"/plain\"" },
        { "$(rm) `x` 'q'", "\"LSSB_A\":\"$(rm) `x` 'q'\"" },
        { "a\n\"b\\", "\"LSSB_A\":\"a\\n\\\"b\\\\\"" },
        { "caf\xC3\xA9", "\"LSSB_A\":\"caf\xC3\xA9\"" },
        { "\xFF", "\"LSSB_AX\":\"\\\\0377\"" },
        { "a\\n\xE9z\xC3\xA9", "\"LSSB_AX\":\"a\\\\\\\\n\\\\0351z\xC3\xA9\"" },
        { "-rf", "\"LSSB_A\":\"-rf\"" },
    };
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        test_row = rows[i].path;
        begin("", "", 0);
        EXPECT_INT(lssb_path_remove(&tools, rows[i].path, 0, NULL), LSSB_OK);
        EXPECT(strstr(peers.said, rows[i].said) != NULL);
        EXPECT(strstr(peers.said, "\"LC_ALL\":\"C\"") != NULL);
        EXPECT(strstr(peers.said, "\"shell\":\"/bin/sh\"") != NULL);
        end();
    }
}

static void wrong_arguments_are_refused_at_once(void)
{
    static char path[5000];
    struct seen seen;
    lssb_entry entry;
    lssb_command command;
    lssb_tools none;
    bool there;

    memset(&none, 0, sizeof none);
    memset(&command, 0, sizeof command);
    begin("", "", 0);
    EXPECT_INT(lssb_path_list(NULL, "x", 0, see, &seen, NULL),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_path_list(&none, "x", 0, see, &seen, NULL),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_path_list(&tools, "x", 0, NULL, NULL, NULL),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_path_list(&tools, NULL, 0, see, &seen, NULL),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_path_stat(&tools, "", 0, &entry, NULL),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_path_stat(&tools, "x", 0, NULL, NULL),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_path_exists(&tools, "x", NULL, NULL),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_path_make(&tools, "x", 010000, 0, NULL),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_path_chmod(&tools, "x", 010000, 0, NULL),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_path_rename(&tools, "x", NULL, 0, NULL),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_path_copy(&tools, NULL, "x", 0, NULL),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_path_watch(&tools, "x", 0, 0, NULL, NULL, NULL),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_process_list(&tools, NULL, NULL, NULL),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_process_signal(&tools, 0, "TERM", 0, NULL),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_process_signal(&tools, -1, "TERM", 0, NULL),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_process_signal(&tools, 1, "TERM", LSSB_GROUP, NULL),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_command_signal(&tools, NULL, "TERM", NULL),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(lssb_command_signal(&tools, &command, "TERM", NULL),
               LSSB_E_INVALID_ARGUMENT);
    memset(path, 'x', 4096);
    EXPECT_INT(lssb_path_exists(&tools, path, &there, NULL),
               LSSB_E_INVALID_ARGUMENT);
    path[600] = '\0';
    memset(path, 0xE9, 600);
    EXPECT_INT(lssb_path_exists(&tools, path, &there, NULL),
               LSSB_E_INVALID_ARGUMENT);
    EXPECT_INT(peers.count, 0);     /* nothing was asked of anybody */
    path[255] = '\0';
    EXPECT_INT(lssb_path_exists(&tools, path, &there, NULL), LSSB_OK);
    EXPECT_INT(lssb_path_rename(&tools, path, path, 0, NULL), LSSB_OK);
    end();
}

static void a_name_that_is_no_signals_is_refused_in_words(void)
{
    static const char *const wrong[] = {
        NULL, "", "SIG", "9", "term", "TERM;x", "NOSUCH", "TER", "TERMS",
        "SIGSIGTERM", "RTMIN-1", "RTMAX+1", "RTMIN+", "RTMIN+x", "RTMIN+111",
        "EXIT"
    };
    static const char *const right[] = {
        "HUP", "SIGHUP", "VTALRM", "SIGSYS", "RTMIN", "SIGRTMIN+12", "RTMAX-1"
    };
    size_t i;

    begin("", "", 0);
    for (i = 0; i < COUNT(wrong); i++) {
        test_row = wrong[i] != NULL ? wrong[i] : "NULL";
        EXPECT_INT(lssb_process_signal(&tools, 5, wrong[i], 0, NULL),
                   LSSB_E_INVALID_ARGUMENT);
        EXPECT(strstr(lssb_last_error(me.client)->message,
                      "the name of a signal was expected") != NULL);
    }
    EXPECT_INT(peers.count, 0);
    end();
    for (i = 0; i < COUNT(right); i++) {
        test_row = right[i];
        begin("", "", 0);
        EXPECT_INT(lssb_process_signal(&tools, 5, right[i], 0, NULL), LSSB_OK);
        EXPECT_INT(peers.count, 1);
        end();
    }
}

static void signals_go_to_a_process_a_group_or_a_command(void)
{
    lssb_command command;

    memset(&command, 0, sizeof command);
    begin("", "", 0);
    EXPECT_INT(lssb_process_signal(&tools, 42, "SIGUSR1", 0, NULL), LSSB_OK);
    EXPECT(strstr(peers.said, "\"LSSB_S\":\"USR1\",\"LSSB_N\":\"42\"") !=
           NULL);
    end();
    begin("", "", 0);
    strcpy(command.id, "c 1");
    command.pid = 7;
    command.status = LSSB_PENDING;
    EXPECT_INT(lssb_command_signal(&tools, &command, "INT", NULL), LSSB_OK);
    EXPECT(strstr(peers.said, "\"LSSB_S\":\"INT\",\"LSSB_N\":\"-7\"") != NULL);
    end();
    begin("", "kill: (-7) - No such process\n", 1);
    EXPECT_INT(lssb_command_signal(&tools, &command, "INT", NULL),
               LSSB_E_NOT_FOUND);
    end();
    begin("", "", 0);
    command.pid = LSSB_UNKNOWN;
    EXPECT_INT(lssb_command_signal(&tools, &command, "INT", NULL), LSSB_OK);
    EXPECT(strstr(peers.said, "\"LSSB_S\":\"INT\",\"LSSB_N\":\"c 1\"") !=
           NULL);
    end();
}

/* One that was let go of, or is lost, may go on. */
static void what_has_ended_gets_no_signal(void)
{
    static const struct {
        lssb_status status, said;
        const char *id;
        int64_t pid;
    } rows[] = {
        { LSSB_OK, LSSB_E_NOT_FOUND, "c", 7 },
        { LSSB_OK, LSSB_E_NOT_FOUND, "c", LSSB_UNKNOWN },
        { LSSB_END, LSSB_OK, "c", 7 },
        { LSSB_E_CONNECTION, LSSB_OK, "c", LSSB_UNKNOWN },
        { LSSB_PENDING, LSSB_E_INVALID_ARGUMENT, "c\nd", LSSB_UNKNOWN },
        { LSSB_PENDING, LSSB_OK, "c\nd", 7 },
    };
    size_t i;

    for (i = 0; i < COUNT(rows); i++) {
        lssb_error error;
        lssb_command command;
        lssb_op op;

        memset(&command, 0, sizeof command);
        memset(&op, 0, sizeof op);
        memset(&error, 0, sizeof error);
        strcpy(command.id, rows[i].id);
        command.status = rows[i].status;
        command.pid = rows[i].pid;
        begin("", "", 0);
        EXPECT_INT(lssb_command_signal(&tools, &command, "INT", NULL),
                   rows[i].said);
        op.error = &error;
        lssb_command_signal(&tools, &command, "INT", &op);
        EXPECT_INT(lssb_wait(me.client, &op, LSSB_FOREVER), rows[i].said);
        EXPECT_INT(error.status, rows[i].said);
        EXPECT_INT(peers.count, rows[i].said == LSSB_OK ? 2 : 0);
        end();
    }
}

/* ------------------------------------------------------------- processes -- */

static lssb_status see_process(void *user, const lssb_process *process)
{
    struct seen *seen = user;

    seen->len += (size_t)sprintf(
        seen->text + seen->len, "%d %d %d %d %u %u %u %u %c [%s] %u [%s]",
        (int)process->pid, (int)process->parent, (int)process->group,
        (int)process->session, (unsigned)process->uid,
        (unsigned)process->cpu_ms, (unsigned)process->started_ms,
        (unsigned)process->memory_bytes, process->state, process->name,
        (unsigned)process->arguments_len, process->arguments);
    return LSSB_OK;
}

static void processes_are_told_or_refused(void)
{
    static const struct {
        const char *out;
        lssb_status status;
        const char *seen;
    } rows[] = {
        { "@.\n", LSSB_OK, "" },
        { "@1 0 1 1 0 3 55 12 S a @b\n 73 68 00 2d\n 63 00\n@.\n", LSSB_OK,
          "1 0 1 1 0 30 550 12288 S [a @b] 6 [sh]" },
        { "@2 1 1 1 5 0 0 0 Z zed\n@.\n", LSSB_OK,
          "2 1 1 1 5 0 0 0 Z [zed] 0 []" },
        { "@2 1 1 1 5 0 0 0 Z z\\n@.\\\\n\n@.\n", LSSB_OK,
          "2 1 1 1 5 0 0 0 Z [z\n@.\\n] 0 []" },
        { "@2 1 1 1 5 0 0 0 Z z\\x\n@.\n", LSSB_E_PROTOCOL, "" },
        { "@2 1 1 1 5 0 0 0 Z z\\\n@.\n", LSSB_E_PROTOCOL, "" },
        { "@2 1 1 1 5 0 0 0 Z zed\n", LSSB_E_PROTOCOL, "" },
        { "", LSSB_E_PROTOCOL, "" },
        { "hello", LSSB_E_PROTOCOL, "" },
        { "@2 1 x 1 5 0 0 0 Z zed\n@.\n", LSSB_E_PROTOCOL, "" },
        { "@2 1 1 1 5 0 0 0 ZZ zed\n@.\n", LSSB_E_PROTOCOL, "" },
        { "@2 1 1 1 5 0 0 0 Z zed\n 7x\n@.\n", LSSB_E_PROTOCOL, "" },
        { "@2 1 1 1\n@.\n", LSSB_E_PROTOCOL, "" },
    };
    size_t i, slice;

    for (i = 0; i < COUNT(rows); i++)
        for (slice = 1; slice < 20; slice += 6) {
            struct seen seen;

            test_row = rows[i].out;
            memset(&seen, 0, sizeof seen);
            begin(rows[i].out, "", 0);
            model.slice = slice;
            EXPECT_INT(lssb_process_list(&tools, see_process, &seen, NULL),
                       rows[i].status);
            EXPECT_STR(seen.text, rows[i].seen);
            end();
        }
}

/* The box has told more than it keeps. */
static void a_part_of_an_output_that_is_lost_is_told(void)
{
    begin("@2 1 1 1 5 0 0 0 Z zed\n@.\n", "", 0);
    model.ring = 3;                 /* what is left makes sense */
    EXPECT_INT(lssb_process_list(&tools, see_process, NULL, NULL),
               LSSB_E_CONNECTION);
    EXPECT_STR(lssb_error_text(me.client),
               "list processes: a part of the output was lost on the way");
    end();
}

/* ------------------------------------------------------- one, watching -- */

static void a_link_is_described_with_its_target(void)
{
    static const char said[] = ".// a1ff 3 1 1 7 0 0 1\nto //x\n\n";
    lssb_entry entry;

    begin(base64(said, sizeof said - 1), "", 0);
    model.slice = 3;
    EXPECT_INT(lssb_path_stat(&tools, "x", 0, &entry, NULL), LSSB_OK);
    EXPECT_INT(entry.kind, LSSB_ENTRY_SYMLINK);
    EXPECT_STR(entry.target, "to //x\n");
    EXPECT_STR(entry.name, "");
    end();
    begin("", "", 0);
    EXPECT_INT(lssb_path_stat(&tools, "x", 0, &entry, NULL), LSSB_E_PROTOCOL);
    end();
}

static lssb_status see_change(void *user, lssb_change change,
                              const lssb_entry *entry)
{
    struct seen *seen = user;

    seen->len += (size_t)sprintf(seen->text + seen->len, "%d[%s]",
                                 (int)change, entry->name);
    return LSSB_OK;
}

static void changes_are_told_in_several_pieces(void)
{
    static const char ready[] = "!// 0 0\n";
    static const char news[] = "+./a//nb// 81a4 3 100 101 7 0 0 1\n"
                               "-./c// 81a4 3 100 101 7 0 0 1\n"
                               "*./d// 81a4 3 100 101 7 0 0 1\n"
                               "+./e///n/f//n//n// 81a4 3 100 101 7 0 0 1\n"
                               "+.///n// 81a4 3 100 101 7 0 0 1\n";
    char text[800];
    struct seen seen;

    memset(&seen, 0, sizeof seen);
    sprintf(text, "%s", base64(ready, sizeof ready - 1));
    strcat(text, base64(news, sizeof news - 1));
    strcat(text, octets(news, 35));
    begin(text, "", 0);
    program.exit_ms = 50;
    events[1].text = "/x: No such file or directory\n";
    program.exit_code = 1;
    EXPECT_INT(lssb_path_watch(&tools, "x", 0, 1234, see_change, &seen, NULL),
               LSSB_E_NOT_FOUND);
    EXPECT_STR(seen.text, "1[]2[a\nb]4[c]3[d]2[e/\n/f\n\n]2[\n]2[a\nb]");
    EXPECT(strstr(peers.said, "\"LSSB_T\":\"1.234\"") != NULL);
    EXPECT(strstr(peers.said, "\"idle_timeout_seconds\":30,") != NULL);
    end();
}

/* ----------------------------------------------------------------- trees -- */

/* An archive, made entry by entry. */
static struct {
    uint8_t bytes[6000];
    size_t len;
} archive;

static void archive_number(uint8_t *to, size_t digits, uint64_t number)
{
    while (digits-- > 0) {
        to[digits] = (uint8_t)('0' + number % 8);
        number /= 8;
    }
}

/* A header as the box likes it, and the content behind it. */
static void archive_add(const char *name, char type, const char *target,
                        unsigned mode, const char *content)
{
    uint8_t *head = archive.bytes + archive.len;
    size_t len = strlen(content), i;
    unsigned sum = 0;

    memset(head, 0, 512);
    if (strlen(name) > 100) {       /* its first directories apart */
        const char *slash = strchr(name + strlen(name) - 101, '/');

        memcpy(head + 345, name, (size_t)(slash - name));
        name = slash + 1;
    }
    memcpy(head, name, strlen(name));
    archive_number(head + 100, 7, mode);
    archive_number(head + 108, 7, 0);
    archive_number(head + 116, 7, 0);
    archive_number(head + 124, 11, len);
    archive_number(head + 136, 11, 1000000000);
    memset(head + 148, ' ', 8);
    head[156] = (uint8_t)type;
    memcpy(head + 157, target, strlen(target));
    memcpy(head + 257, "ustar\00000", 8);
    for (i = 0; i < 512; i++)
        sum += head[i];
    archive_number(head + 148, 6, sum);
    head[154] = '\0';
    archive.len += 512;
    memset(archive.bytes + archive.len, 0, 512);
    memcpy(archive.bytes + archive.len, content, len);
    archive.len += len > 0 ? 512 : 0;
}

/* Opens the directory that a path's last name is in, and tells that name. */
static const char *open_above(const char *path, intptr_t *directory)
{
    const char *slash = strrchr(path, '/');
    char above[256] = "";

    EXPECT(strlen(path) < sizeof above);
    if (slash != NULL)
        memcpy(above, path, (size_t)(slash - path));
    EXPECT(open_here(above, directory));
    return slash != NULL ? slash + 1 : path;
}

/* Makes a file of so many bytes, in the place of one that is there. (By the
 * table: another C library than the system's has other paths.) */
static void plant(const char *path, const char *content, size_t len)
{
    intptr_t directory = 0, file = 0;
    const char *name = open_above(path, &directory);
    int32_t code = 0;

    files->remove(files->context, directory, name, false, &code);
    EXPECT_INT(files->create_file(files->context, directory, name, 0644,
                                  &file, &code), LSSB_OK);
    if (len > 0)
        EXPECT_INT(files->write(files->context, file, content, len, &code),
                   LSSB_OK);
    files->close(files->context, file);
    files->close(files->context, directory);
}

/* What is in a file; "": nothing, or there is none. */
static const char *content(const char *path)
{
    static char bytes[64];
    intptr_t directory = 0, file = 0;
    const char *name = open_above(path, &directory);
    int32_t code = 0;
    ptrdiff_t len = 0;

    if (files->open_file(files->context, directory, name, &file, &code) ==
        LSSB_OK) {
        len = files->read_at(files->context, file, 0, bytes, sizeof bytes - 1,
                             &code);
        files->close(files->context, file);
    }
    bytes[len > 0 ? len : 0] = '\0';
    files->close(files->context, directory);
    return bytes;
}

/* Every name below a directory, as find tells them. */
struct found {
    char paths[150][280];
    size_t count;
    intptr_t directory;
    const char *path;
};

static bool find(void *user, const char *name)
{
    struct found *found = user;
    char *path = found->paths[found->count];
    intptr_t directory = found->directory;
    const char *above = found->path;
    int32_t code = 0;

    if (found->count == COUNT(found->paths) ||
        strlen(above) + strlen(name) + 2 > sizeof found->paths[0])
        return false;
    sprintf(path, "%s/%s", above, name);
    found->count++;
    if (files->open_directory(files->context, directory, name,
                              &found->directory, &code) == LSSB_OK) {
        found->path = path;
        EXPECT_INT(files->list(files->context, found->directory, find, found,
                               &code), LSSB_OK);
        files->close(files->context, found->directory);
    }
    found->directory = directory;
    found->path = above;
    return true;
}

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* All of them, sorted, a blank between them; "." is the directory. */
static const char *names(const char *path)
{
    static struct found found;
    static char text[sizeof found.paths];
    int32_t code = 0;
    size_t i, len = 1;

    memset(&found, 0, sizeof found);
    found.path = strcpy(text, ".");
    if (!open_here(path, &found.directory))
        return "(none)";
    EXPECT_INT(files->list(files->context, found.directory, find, &found,
                           &code), LSSB_OK);
    files->close(files->context, found.directory);
    qsort(found.paths, found.count, sizeof found.paths[0], compare);
    for (i = 0; i < found.count; i++)
        len += (size_t)sprintf(text + len, " %s", found.paths[i]);
    return text;
}

/* Whether a name is there. */
static bool there(const char *directory, const char *name,
                  lssb_local_info *info)
{
    intptr_t handle;
    int32_t code = 0;
    bool is;

    if (!open_here(directory, &handle))
        return false;
    is = files->info(files->context, handle, name, info, &code) == LSSB_OK;
    files->close(files->context, handle);
    return is;
}

/* Makes what a directory is to have; without links where there are none. */
static bool links;

static void make(const char *directory, const char *name, const char *target)
{
    lssb_status status = LSSB_OK;
    intptr_t handle;
    int32_t code = 0;

    EXPECT(open_here(directory, &handle));
    if (target == NULL)
        status = files->make_directory(files->context, handle, name, 0755,
                                       &code);
    else
        links = files->make_symlink(files->context, handle, name, target,
                                    &code) == LSSB_OK;
    EXPECT_INT(status, LSSB_OK);
    files->close(files->context, handle);
}

struct hostile_entry {
    const char *name;
    char type;
    const char *target;
    unsigned mode;
    const char *content;
};

#define DEEP "d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/"

static const struct {
    const char *name;
    struct hostile_entry entries[4];
    lssb_status status;
    const char *made;               /* below "in", in the end */
    unsigned left_out;
    bool replace;
} hostile[] = {
    { "an absolute name", { { "/tmp/x", '0', "", 0644, "x" } },
      LSSB_E_UNSAFE, ".", 0, false },
    { "..", { { "..", '5', "", 0755, "" } }, LSSB_E_UNSAFE, ".", 0, false },
    { "out by ..", { { "../out/x", '0', "", 0644, "x" } }, LSSB_E_UNSAFE, ".",
      0, false },
    { ".. within", { { "a/../../out/x", '0', "", 0644, "x" } },
      LSSB_E_UNSAFE, ".", 0, false },
    { "an absolute link", { { "l", '2', "/etc", 0777, "" } }, LSSB_OK, ".", 1,
      false },
    { "a link out", { { "l", '2', "../out", 0777, "" } }, LSSB_OK, ".", 1,
      false },
    { "a link out, deeper", { { "a/l", '2', "../../out", 0777, "" } }, LSSB_OK,
      ".", 1, false },
    { "a link out by a name", { { "l", '2', "a/../../out", 0777, "" } },
      LSSB_OK, ".", 1, false },
    { "a link that winds within", { { "l", '2', "a/../b", 0777, "" } },
      LSSB_OK, ".", 1, false },
    { "links that stay", { { "a/l", '2', "../b", 0777, "" },
                           { "k", '2', "./a/l", 0777, "" } },
      LSSB_OK, ". ./a ./a/l ./k", 0, false },
    { "links that lead out together",
      { { "a/up", '2', "..", 0777, "" },
        { "a/l", '2', "up/../out", 0777, "" } },
      LSSB_OK, ". ./a ./a/up", 1, false },
    { "a file through its own link",
      { { "l", '2', "a", 0777, "" }, { "a/b", '0', "", 0644, "x" },
        { "l/c", '0', "", 0644, "x" } },
      LSSB_E_UNSAFE, ". ./a ./a/b ./l", 0, false },
    { "a file through a link that was there",
      { { "old/x", '0', "", 0644, "x" } }, LSSB_E_UNSAFE, ".", 0, false },
    { "the same, replacing", { { "old/x", '0', "", 0644, "x" } },
      LSSB_E_UNSAFE, ".", 0, true },
    { "a file over a link that was there", { { "old", '0', "", 0644, "x" } },
      LSSB_E_ALREADY_EXISTS, ".", 0, false },
    { "the same, replacing it", { { "old", '0', "", 0644, "x" } }, LSSB_OK,
      ". ./old", 0, true },
    { "a directory over a link", { { "old", '5', "", 0755, "" },
                                   { "old/x", '0', "", 0644, "x" } },
      LSSB_E_ALREADY_EXISTS, ".", 0, false },
    { "the same, replacing the link", { { "old", '5', "", 0755, "" },
                                        { "old/x", '0', "", 0644, "x" } },
      LSSB_OK, ". ./old ./old/x", 0, true },
    { "a file, then a link of its name, then through it",
      { { "a", '0', "", 0644, "x" }, { "a", '2', "b", 0777, "" },
        { "a/c", '0', "", 0644, "x" } },
      LSSB_E_UNSAFE, ". ./a", 0, true },
    { "a file in place of a directory", { { "a/b", '0', "", 0644, "x" },
                                          { "a", '0', "", 0644, "x" } },
      LSSB_E_ALREADY_EXISTS, ". ./a ./a/b", 0, true },
    { "a path through a file", { { "a", '0', "", 0644, "x" },
                                 { "a/b", '0', "", 0644, "x" } },
      LSSB_E_UNSAFE, ". ./a", 0, false },
    { "devices and pipes", { { "c", '3', "", 0644, "" },
                             { "b", '4', "", 0644, "" },
                             { "p", '6', "", 0644, "" },
                             { "f", '0', "", 0644, "x" } },
      LSSB_OK, ". ./f", 3, false },
    { "a second name", { { "f", '0', "", 0644, "xyz" },
                         { "a/g", '1', "f", 0644, "" } },
      LSSB_OK, ". ./a ./a/g ./f", 0, false },
    { "a second name of what is outside",
      { { "g", '1', "../out/secret", 0644, "" } }, LSSB_E_UNSAFE, ".", 0,
      false },
    { "a second name through a link",
      { { "g", '1', "old/secret", 0644, "" } }, LSSB_E_UNSAFE, ".", 0, false },
    { "a second name of a link",
      { { "l", '2', "f", 0777, "" }, { "g", '1', "l", 0644, "" } }, LSSB_OK,
      ". ./l", 1, false },
    { "a second name of nothing", { { "g", '1', "f", 0644, "" } }, LSSB_OK,
      ".", 1, false },
    { "a second name of itself, replacing",
      { { "f", '0', "", 0644, "x" }, { "f", '1', "f", 0644, "" } }, LSSB_OK,
      ". ./f", 0, true },
    { "too deep", { { DEEP DEEP "x", '0', "", 0644, "x" } }, LSSB_E_UNSAFE,
      ".", 0, false },
    { "a link that winds within, deeper",
      { { "d/l", '2', "a/../b", 0777, "" } }, LSSB_OK, ".", 1, false },
    { "twice the same", { { "f", '0', "", 0644, "x" },
                          { "f", '0', "", 0644, "y" } },
      LSSB_E_ALREADY_EXISTS, ". ./f", 0, false },
    { "the top itself", { { "./", '5', "", 0, "" } }, LSSB_OK, ".", 0, false },
    { "odd names", { { "./a//b/./c", '0', "", 0644, "x" },
                     { "-rf", '0', "", 0644, "x" } },
      LSSB_OK, ". ./-rf ./a ./a/b ./a/b/c", 0, false },
#if defined(_WIN32)
    { "a path of Windows", { { "C:/x", '0', "", 0644, "x" } }, LSSB_E_UNSAFE,
      ".", 0, false },
    { "a name that is one", { { "C:\\x", '0', "", 0644, "x" } },
      LSSB_E_REFUSED, ".", 0, false },
    { "out by ..\\", { { "..\\out\\x", '0', "", 0644, "x" } },
      LSSB_E_REFUSED, ".", 0, false },
    { "out by ..\\, in the middle",
      { { "a/..\\..\\out/x", '0', "", 0644, "x" } }, LSSB_E_UNSAFE,
      ". ./a", 0, false },
    { "a directory that is such a path",
      { { "..\\out\\d", '5', "", 0755, "" } }, LSSB_E_REFUSED, ".", 0,
      false },
    { "another machine", { { "\\\\host\\share\\x", '0', "", 0644, "x" } },
      LSSB_E_REFUSED, ".", 0, false },
    { "a link to another machine",
      { { "l", '2', "\\\\host\\share", 0777, "" } }, LSSB_E_REFUSED, ".",
      0, false },
    { "a link out by ..\\", { { "l", '2', "..\\out", 0777, "" } },
      LSSB_E_REFUSED, ".", 0, false },
    { "a stream", { { "f", '0', "", 0644, "x" },
                    { "f:s", '0', "", 0644, "x" } },
      LSSB_E_REFUSED, ". ./f", 0, true },
    { "the stream that is the file", { { "f", '0', "", 0644, "x" },
                                       { "f::$DATA", '0', "", 0644, "y" } },
      LSSB_E_REFUSED, ". ./f", 0, true },
    { "a device", { { "NUL", '0', "", 0644, "x" } }, LSSB_E_REFUSED, ".", 0,
      false },
    { "a device with an ending", { { "a/com1.txt", '0', "", 0644, "x" } },
      LSSB_E_REFUSED, ". ./a", 0, false },
    { "a device as a directory", { { "aux/x", '0', "", 0644, "x" } },
      LSSB_E_UNSAFE, ".", 0, false },
    { "a dot at the end", { { "f", '0', "", 0644, "x" },
                            { "f.", '0', "", 0644, "y" } },
      LSSB_E_REFUSED, ". ./f", 0, true },
    { "a blank at the end", { { "a /x", '0', "", 0644, "y" } },
      LSSB_E_UNSAFE, ".", 0, true },
    { "no UTF-8", { { "caf\xE9", '0', "", 0644, "x" } }, LSSB_E_REFUSED, ".",
      0, false },
    { "another case", { { "f", '0', "", 0644, "x" },
                        { "F", '0', "", 0644, "y" } },
      LSSB_E_ALREADY_EXISTS, ". ./f", 0, false },
    { "another case, replacing", { { "f", '0', "", 0644, "x" },
                                   { "F", '0', "", 0644, "y" } },
      LSSB_OK, ". ./F", 0, true },
    { "a directory in another case", { { "d/x", '0', "", 0644, "x" },
                                       { "D/y", '0', "", 0644, "y" } },
      LSSB_OK, ". ./d ./d/x ./d/y", 0, false },
#endif
};

/* A directory where nothing but "in" may change. */
static void make_place(void)
{
    EXPECT(make_here());
    make("", "in", NULL);
    make("", "out", NULL);
    plant("out/secret", "s", 1);
    make("in", "old", "../out");
}

/* Removes the link that was there from the start. */
static void drop_old(void)
{
    lssb_local_info info;
    intptr_t handle;
    int32_t code = 0;

    if (!there("in", "old", &info) || info.kind != LSSB_ENTRY_SYMLINK ||
        !open_here("in", &handle))
        return;
    files->remove(files->context, handle, "old", false, &code);
    files->close(files->context, handle);
}

/* Whether a name stays as long as the file is open, which an older Windows
 * has it do. */
static bool names_linger(void)
{
    lssb_local_info info;
    intptr_t handle, file = 0;
    int32_t code = 0;
    bool still;

    EXPECT(open_here("in", &handle));
    plant("in/x", "x", 1);
    EXPECT_INT(files->open_file(files->context, handle, "x", &file, &code),
               LSSB_OK);
    EXPECT_INT(files->remove(files->context, handle, "x", false, &code),
               LSSB_OK);
    still = there("in", "x", &info);
    files->close(files->context, file);
    files->close(files->context, handle);
    EXPECT(!there("in", "x", &info));
    return still;
}

/* Whether a row needs what this system, or its user, cannot do: links, and a
 * file that is read while another one takes its name. */
static bool cannot_be(const struct hostile_entry *entries, const char *made)
{
    char name[140];
    size_t i;

    for (i = 0; i < 4 && entries[i].name != NULL; i++) {
        snprintf(name, sizeof name, "./%s", entries[i].name);
        if (!links && (strncmp(name, "./old", 5) == 0 ||
                       strncmp(entries[i].target, "old", 3) == 0 ||
                       (entries[i].type == '2' && strstr(made, name) != NULL)))
            return true;
        if (entries[i].type == '1' &&
            strcmp(entries[i].name, entries[i].target) == 0 && names_linger())
            return true;
    }
    return false;
}

static lssb_tree tree;

/* A box that sends what is in `archive`; its length, or less. */
static lssb_status come_down(size_t len, size_t slice, int code)
{
    begin(base64(archive.bytes, len), "", code);
    model.slice = slice;
    memset(&tree, 0, sizeof tree);
    tree.tools.box = &box;
    tree.files = &lssb_default_files;
    return LSSB_OK;
}

static void what_a_hostile_box_sends_stays_where_it_belongs(void)
{
    size_t i, j;

    for (i = 0; i < COUNT(hostile); i++) {
        lssb_status status;

        test_row = hostile[i].name;
        make_place();
        if (cannot_be(hostile[i].entries, hostile[i].made)) {
            printf("  skipped: cannot be here: %s\n", test_row);
            EXPECT(remove_here());
            continue;
        }
        memset(&archive, 0, sizeof archive);
        for (j = 0; j < 4 && hostile[i].entries[j].name != NULL; j++) {
            const struct hostile_entry *entry = &hostile[i].entries[j];

            archive_add(entry->name, entry->type, entry->target, entry->mode,
                        entry->content);
        }
        archive.len += 1024;
        come_down(archive.len, i % 2 == 0 ? 512 : 77, 0);
        tree.replace = hostile[i].replace;
        status = lssb_tree_download(&tree, "/x", at("in"), NULL);
        EXPECT_STR(lssb_status_name(status),
                   lssb_status_name(hostile[i].status));
        EXPECT_INT(tree.left_out, hostile[i].left_out);
        drop_old();
        EXPECT_STR(names("in"), hostile[i].made);
        EXPECT_STR(names("out"), ". ./secret");
        EXPECT_STR(content("out/secret"), "s");
        end();
        EXPECT(remove_here());
    }
}

/* The box's path is told, or its end, and always why. */
static void what_leads_through_a_file_is_named(void)
{
    char leaf[201], path[512], expected[LSSB_MESSAGE_SIZE];
    lssb_error error;
    lssb_op op;
    int i;

    memset(leaf, 'n', 200);
    leaf[200] = '\0';
    for (i = 0; i < 2; i++) {
        test_row = i == 0 ? "short" : "long";
        snprintf(path, sizeof path, i == 0 ? "f/x" : "f/%s/%s", leaf, leaf);
        snprintf(expected, sizeof expected, "download tree: %s%s: its path "
                 "leads through a link or a file", i == 0 ? "f/" : ".../",
                 i == 0 ? "x" : leaf);
        make_place();
        memset(&archive, 0, sizeof archive);
        archive_add("f", '0', "", 0644, "x");
        archive_add("long", 'L', "", 0644, path);
        archive_add("f/x", '0', "", 0644, "x");
        archive.len += 1024;
        come_down(archive.len, 512, 0);
        memset(&op, 0, sizeof op);
        memset(&error, 0, sizeof error);
        op.error = &error;
        lssb_tree_download(&tree, "/x", at("in"), &op);
        EXPECT_INT(lssb_wait(me.client, &op, LSSB_FOREVER), LSSB_E_UNSAFE);
        EXPECT_STR(error.message, expected);
        end();
        EXPECT(remove_here());
    }
}

static void what_is_made_has_no_more_rights_than_it_should(void)
{
    lssb_local_info info;

    make_place();
    memset(&archive, 0, sizeof archive);
    archive_add("f", '0', "", 06755, "xyz");
    archive_add("d", '5', "", 07000, "");
    archive_add("d/g", '1', "f", 07444, "");
    archive.len += 1024;
    come_down(archive.len, 512, 0);
    EXPECT_INT(lssb_tree_download(&tree, "/x", at("in"), NULL), LSSB_OK);
    EXPECT(there("in", "f", &info));
    EXPECT_INT(info.mode, 0755);
    EXPECT_INT(info.mtime_s, 1000000000);
    EXPECT(there("in/d", "g", &info));
    EXPECT_INT(info.mode, WINDOWS ? 0555 : 0444);
    EXPECT_INT(info.mtime_s, 1000000000);
    EXPECT(there("in", "d", &info));
    EXPECT_INT(info.mode, WINDOWS ? 0755 : 0700);
    EXPECT_STR(content("in/d/g"), "xyz");
    EXPECT_INT(tree.entries, 3);
    EXPECT_INT(tree.bytes, 6);
    end();
    EXPECT(remove_here());
}

/* The same files, of which one call fails. */
static lssb_files frail;
static unsigned frail_calls, frail_at;
static int frail_handles;

static bool fails(int32_t *number)
{
    if (frail_calls++ != frail_at)
        return false;
    *number = 77;
    return true;
}

/* Counts what was opened. */
static lssb_status opened(lssb_status status)
{
    frail_handles += status == LSSB_OK;
    return status;
}

static lssb_status frail_root(void *context, const char *path,
                              intptr_t *handle, int32_t *number)
{
    return fails(number) ? LSSB_E_OPERATION
                         : opened(files->open_root(context, path, handle,
                                                   number));
}

static lssb_status frail_open(void *context, intptr_t directory,
                              const char *name, intptr_t *handle,
                              int32_t *number)
{
    return fails(number) ? LSSB_E_OPERATION
                         : opened(files->open_directory(context, directory,
                                                        name, handle, number));
}

static lssb_status frail_file(void *context, intptr_t directory,
                              const char *name, intptr_t *handle,
                              int32_t *number)
{
    return fails(number) ? LSSB_E_OPERATION
                         : opened(files->open_file(context, directory, name,
                                                   handle, number));
}

static lssb_status frail_create(void *context, intptr_t directory,
                                const char *name, uint32_t mode,
                                intptr_t *handle, int32_t *number)
{
    return fails(number) ? LSSB_E_OPERATION
                         : opened(files->create_file(context, directory, name,
                                                     mode, handle, number));
}

static lssb_status frail_make(void *context, intptr_t directory,
                              const char *name, uint32_t mode,
                              int32_t *number)
{
    return fails(number) ? LSSB_E_OPERATION
                         : files->make_directory(context, directory, name,
                                                 mode, number);
}

static lssb_status frail_info(void *context, intptr_t directory,
                              const char *name, lssb_local_info *info,
                              int32_t *number)
{
    return fails(number) ? LSSB_E_OPERATION
                         : files->info(context, directory, name, info, number);
}

static ptrdiff_t frail_read(void *context, intptr_t file, uint64_t offset,
                            void *bytes, size_t len, int32_t *number)
{
    return fails(number) ? -1
                         : files->read_at(context, file, offset, bytes, len,
                                          number);
}

static lssb_status frail_write(void *context, intptr_t file, const void *bytes,
                               size_t len, int32_t *number)
{
    return fails(number) ? LSSB_E_OPERATION
                         : files->write(context, file, bytes, len, number);
}

static lssb_status frail_mtime(void *context, intptr_t handle, int64_t seconds,
                               uint32_t nanoseconds, int32_t *number)
{
    return fails(number) ? LSSB_E_OPERATION
                         : files->set_mtime(context, handle, seconds,
                                            nanoseconds, number);
}

static void frail_close(void *context, intptr_t handle)
{
    frail_handles--;
    files->close(context, handle);
}

static void make_frail(void)
{
    frail = *files;
    frail.open_root = frail_root;
    frail.open_directory = frail_open;
    frail.open_file = frail_file;
    frail.create_file = frail_create;
    frail.make_directory = frail_make;
    frail.info = frail_info;
    frail.read_at = frail_read;
    frail.write = frail_write;
    frail.set_mtime = frail_mtime;
    frail.close = frail_close;
}

/* Every call on the way down fails in turn: each is told, with the system's
 * number, and nothing is left out for it. */
static void a_local_call_that_fails_is_told_on_the_way_down(void)
{
    lssb_status status = LSSB_E_OPERATION;
    lssb_error error;
    lssb_op op;

    make_frail();
    memset(&archive, 0, sizeof archive);
    archive_add("a/b/f", '0', "", 0644, "x");
    archive_add("d", '5', "", 0755, "");
    archive_add("d/g", '1', "a/b/f", 0644, "");
    archive_add("d/g", '0', "", 0644, "y");
    archive.len += 1024;
    for (frail_at = 0; frail_at < 100 && status != LSSB_OK; frail_at++) {
        make_place();
        come_down(archive.len, 512, 0);
        tree.files = &frail;
        tree.replace = true;
        memset(&op, 0, sizeof op);
        memset(&error, 0, sizeof error);
        op.error = &error;
        frail_calls = 0;
        lssb_tree_download(&tree, "/x", at("in"), &op);
        status = lssb_wait(me.client, &op, LSSB_FOREVER);
        if (status != LSSB_OK) {
            EXPECT_INT(status, LSSB_E_OPERATION);
            EXPECT_INT(error.system_code, 77);
            EXPECT(strstr(error.message, "cannot be ") != NULL);
        } else {
            EXPECT(frail_calls <= frail_at);
        }
        EXPECT_INT(tree.left_out, 0);
        EXPECT_INT(frail_handles, 0);
        end();
        EXPECT(remove_here());
    }
    EXPECT(frail_at > 20 && frail_at < 100);
}

static void a_path_is_as_deep_as_a_tree_may_be(void)
{
    char path[] = "in/" DEEP DEEP "x";

    memmove(path + 3, path + 5, strlen(path + 5) + 1);  /* one less */
    make_place();
    memset(&archive, 0, sizeof archive);
    archive_add(path + 3, '0', "", 0644, "x");
    archive.len += 1024;
    come_down(archive.len, 512, 0);
    EXPECT_INT(lssb_tree_download(&tree, "/x", at("in"), NULL), LSSB_OK);
    EXPECT_STR(content(path), "x");
    end();
    EXPECT(remove_here());
}

#if !WINDOWS

/* A second name for a file that was there before: no more may read the copy. */
static void a_copy_has_no_more_rights_than_what_it_is_of(void)
{
    lssb_local_info info;

    make_place();
    plant("in/key", "secret", 6);
    EXPECT_INT(chmod(at("in/key"), 0600), 0);
    memset(&archive, 0, sizeof archive);
    archive_add("pub", '1', "key", 0777, "");
    archive.len += 1024;
    come_down(archive.len, 512, 0);
    EXPECT_INT(lssb_tree_download(&tree, "/x", at("in"), NULL), LSSB_OK);
    EXPECT(there("in", "pub", &info));
    EXPECT_INT(info.mode, 0600);
    EXPECT_STR(content("in/pub"), "secret");
    end();
    EXPECT(remove_here());
}

#endif

/* What the caller is asked about, and refuses: paths that a space ends. */
struct asked {
    char text[600];
    const char *refused;
};

static bool ask(void *user, const char *path, const lssb_local_info *info)
{
    struct asked *asked = user;
    char word[64];

    snprintf(word, sizeof word, "%s%s ", path,
             info->kind == LSSB_ENTRY_DIRECTORY ? "/" : "");
    strcat(asked->text, word);
    return strstr(asked->refused, word) == NULL;
}

static void the_caller_is_asked_about_every_directory_of_a_path(void)
{
    static const struct {
        const char *name;
        struct hostile_entry entries[4];
        const char *refused, *asked, *made;
        unsigned left_out;
    } rows[] = {
        { "in order", { { "a", '5', "", 0755, "" },
                        { "a/b", '5', "", 0755, "" },
                        { "a/b/c", '0', "", 0644, "x" },
                        { "a/d", '0', "", 0644, "x" } }, "",
          "a/ a/b/ a/b/c a/d ", ". ./a ./a/b ./a/b/c ./a/d", 0 },
        { "without its directories",
          { { ".git/hooks/x", '0', "", 0755, "x" },
            { ".git/y", '0', "", 0755, "x" }, { "a", '0', "", 0644, "x" } },
          ".git/ ", ".git/ a ", ". ./a", 2 },
        { "a directory within", { { "a/b/c", '0', "", 0644, "x" },
                                  { "a/b", '5', "", 0755, "" },
                                  { "a/bc", '0', "", 0644, "x" } },
          "a/b/ ", "a/ a/b/ a/bc ", ". ./a ./a/bc", 2 },
        { "another one between", { { "a", '5', "", 0755, "" },
                                   { "z", '5', "", 0755, "" },
                                   { "a/x", '0', "", 0644, "x" },
                                   { "z/x", '0', "", 0644, "x" } },
          "a/ z/ ", "a/ z/ a/ z/ ", ".", 4 },
        { "what is no directory at first", { { "a", '6', "", 0644, "" },
                                             { "a/x", '0', "", 0644, "x" } },
          "a/ ", "a a/ ", ".", 2 },
        { "a directory with rights of its own",
          { { "a/x", '0', "", 0644, "x" }, { "a", '5', "", 0700, "" },
            { "a/y", '0', "", 0644, "x" } }, "a/y ",
          "a/ a/x a/ a/y ", ". ./a ./a/x", 1 },
    };
    size_t i, j;

    for (i = 0; i < COUNT(rows); i++) {
        struct asked asked;

        test_row = rows[i].name;
        make_place();
        drop_old();
        memset(&archive, 0, sizeof archive);
        for (j = 0; j < 4 && rows[i].entries[j].name != NULL; j++)
            archive_add(rows[i].entries[j].name, rows[i].entries[j].type, "",
                        rows[i].entries[j].mode, rows[i].entries[j].content);
        archive.len += 1024;
        come_down(archive.len, 512, 0);
        memset(&asked, 0, sizeof asked);
        asked.refused = rows[i].refused;
        tree.wanted = ask;
        tree.user = &asked;
        EXPECT_INT(lssb_tree_download(&tree, "/x", at("in"), NULL), LSSB_OK);
        EXPECT_STR(asked.text, rows[i].asked);
        EXPECT_INT(tree.left_out, rows[i].left_out);
        EXPECT_STR(names("in"), rows[i].made);
        end();
        EXPECT(remove_here());
    }
}

static void an_archive_that_is_cut_leaves_no_file_in_part(void)
{
    size_t len;

    memset(&archive, 0, sizeof archive);
    archive_add("f", '0', "", 0644, "xyz");
    archive_add("g", '0', "", 0644, "xyz");
    archive.len += 1024;
    for (len = 0; len < archive.len; len += 100) {
        bool whole = len >= 1024 + 1024;

        make_place();
        come_down(len, 512, 0);
        if (whole)
            break;
        EXPECT_INT(lssb_tree_download(&tree, "/x", at("in"), NULL),
                   LSSB_E_UNSAFE);
        drop_old();
        EXPECT_STR(names("in"), len >= 1024 + 512 + 3 ? ". ./f ./g"
                                : len >= 512 + 3      ? ". ./f"
                                                      : ".");
        EXPECT_STR(content("in/f"), len >= 512 + 3 ? "xyz" : "");
        EXPECT_STR(content("in/g"), len >= 1024 + 512 + 3 ? "xyz" : "");
        end();
        EXPECT(remove_here());
    }
    EXPECT_INT(lssb_tree_download(&tree, "/x", at("in"), NULL), LSSB_E_UNSAFE);
    end();
    EXPECT(remove_here());
}

static void limits_and_what_the_caller_wants_are_kept(void)
{
    memset(&archive, 0, sizeof archive);
    archive_add("f", '0', "", 0644, "xyz");
    archive_add("g", '1', "f", 0644, "");
    archive_add("h", '1', "f", 0644, "");
    archive.len += 1024;
    make_place();
    come_down(archive.len, 512, 0);
    tree.most_bytes = 8;            /* a copy counts, too */
    EXPECT_INT(lssb_tree_download(&tree, "/x", at("in"), NULL), LSSB_E_UNSAFE);
    drop_old();
    EXPECT_STR(names("in"), ". ./f ./g");
    end();
    clear("in");
    come_down(archive.len, 512, 0);
    tree.most_entries = 2;
    EXPECT_INT(lssb_tree_download(&tree, "/x", at("in"), NULL), LSSB_E_UNSAFE);
    EXPECT_STR(names("in"), ". ./f ./g");
    end();
    clear("in");
    memset(&archive, 0, sizeof archive);
    archive_add("f", '0', "", 0644, "xyz");
    archive_add("g", '1', "f", 0644, "");
    archive_add("h", '0', "", 0644, "xyz");
    archive.len += 1024;
    come_down(archive.len, 512, 0);
    tree.most_bytes = 8;            /* what follows upon copies does */
    EXPECT_INT(lssb_tree_download(&tree, "/x", at("in"), NULL), LSSB_E_UNSAFE);
    EXPECT(tree.bytes <= 8);
    end();
    clear("in");
    come_down(archive.len - 1024, 512, 1);  /* cut, with a code as below */
    EXPECT_INT(lssb_tree_download(&tree, "/x", at("in"), NULL),
               LSSB_E_OPERATION);
    end();
    come_down(archive.len, 512, 1); /* tar: a file changed as it was read */
    clear("in");
    EXPECT_INT(lssb_tree_download(&tree, "/x", at("in"), NULL), LSSB_OK);
    end();
    come_down(archive.len, 512, 2);
    clear("in");
    EXPECT_INT(lssb_tree_download(&tree, "/x", at("in"), NULL),
               LSSB_E_OPERATION);
    end();
    come_down(archive.len, 512, 0);
    EXPECT_INT(lssb_tree_download(&tree, "/x", at("no"), NULL),
               LSSB_E_NOT_FOUND);
    EXPECT(lssb_last_error(me.client)->system_code != 0);
    EXPECT_INT(peers.count, 0);
    end();
    EXPECT(remove_here());
}

/* -------------------------------------------------------------------- up -- */

/* What the box got, decoded; its length. */
static size_t came_up(uint8_t *to, size_t size)
{
    const struct model_command *command = &model_commands[0];
    struct lssb_tools_state told;
    size_t i, len = 0;

    memset(&told, 0, sizeof told);
    lssb_told_byte(&told, '#');
    lssb_told_byte(&told, 'b');
    for (i = 0; i < command->input_len && len < size; i++) {
        int byte;

        if (i > 0 && command->input[i] == '=' && command->input[i - 1] == '\n')
            break;
        byte = lssb_told_byte(&told, command->input[i]);
        if (byte >= 0)
            to[len++] = (uint8_t)byte;
        EXPECT(byte > -2);
    }
    EXPECT(command->input_len >= 3 &&
           memcmp(command->input + command->input_len - 3, "\n=\n", 3) == 0);
    return len;
}

/* Sets a time, so that every archive is the same. */
static void dates(const char *directory, const char *name, bool is_directory)
{
    intptr_t handle, opened = 0;
    int32_t code = 0;
    lssb_status status;

    EXPECT(open_here(directory, &handle));
    status = is_directory
                 ? files->open_directory(files->context, handle, name, &opened,
                                         &code)
                 : files->open_file(files->context, handle, name, &opened,
                                    &code);
    EXPECT_INT(status, LSSB_OK);
    EXPECT_INT(files->set_mtime(files->context, opened, 1000000000, 0, &code),
               LSSB_OK);
    files->close(files->context, opened);
    files->close(files->context, handle);
}

static void begin_up(void)
{
#if !WINDOWS
    static const struct timespec moments[2] = { { 1000000000, 0 },
                                                { 1000000000, 0 } };
#endif

    make_place();
    make("out", "d", NULL);
    plant("out/d/f", "content\n", 8);
    make("out", "l", "d");
    dates("out", "secret", false);
    dates("out/d", "f", false);
    dates("out", "d", true);
#if !WINDOWS
    utimensat(AT_FDCWD, at("out/l"), moments, AT_SYMLINK_NOFOLLOW);
#endif
    begin("", "", 0);
    program.kind = MODEL_SORT;
    program.event_count = 0;
    memset(&tree, 0, sizeof tree);
    tree.tools.box = &box;
    tree.files = &lssb_default_files;
}

static void end_up(void)
{
    end();
    EXPECT(remove_here());
}

static bool without_many(void *user, const char *path,
                         const lssb_local_info *info)
{
    (void)user;
    (void)info;
    return path[0] != 'e';
}

/* `many`: and with much that is not wanted between two of its entries. */
static void go_up(unsigned many)
{
    uint8_t bytes[MODEL_TEXT];
    struct lssb_tar tar;
    char told[100] = "", name[24];
    size_t len, from = 0, used;
    unsigned i;

    begin_up();
    for (i = 0; i < many; i++) {
        sprintf(name, "out/e%u", i);
        plant(name, "", 0);
    }
    if (many > 0)
        tree.wanted = without_many;
    EXPECT_INT(lssb_tree_upload(&tree, at("out"), "/x", NULL), LSSB_OK);
    EXPECT_INT(tree.left_out, many);
    EXPECT_INT(tree.entries, links ? 4 : 3);
    EXPECT_INT(tree.bytes, 9);
    len = came_up(bytes, sizeof bytes);
    EXPECT_INT(len % 512, 0);
    lssb_tar_start(&tar);
    for (;;) {
        enum lssb_tar_event event = lssb_tar_next(&tar, bytes + from,
                                                  len - from, &used);

        from += used;
        if (event == LSSB_TAR_ENTRY)
            strcat(strcat(told, tar.entry.name), " ");
        if (event == LSSB_TAR_END || event == LSSB_TAR_MORE ||
            event == LSSB_TAR_WRONG) {
            EXPECT_INT(event, LSSB_TAR_END);
            break;
        }
    }
    EXPECT_STR(told, links ? "d d/f l secret " : "d d/f secret ");
    EXPECT_INT(model_commands[0].kills, 0);
    end_up();
}

static void a_tree_goes_up_as_an_archive(void)
{
    go_up(0);
    go_up(300);
}

/* Cut anywhere on the way up: all of it has come, or the call says so. */
static void a_tree_that_breaks_off_is_not_called_complete(void)
{
    static char whole[MODEL_TEXT];
    size_t whole_len = 0, at_byte;
    unsigned uncertain = 0;

    for (at_byte = 0; at_byte < 8000; at_byte += at_byte == 0 ? 300 : 61) {
        const struct model_command *command = &model_commands[0];
        lssb_status status;

        begin_up();
        script.cut = SCRIPT_CUT_RESET;
        script.cut_sent = at_byte;
        status = lssb_tree_upload(&tree, at("out"), "/x", NULL);
        if (at_byte == 0) {
            whole_len = command->input_len;
            memcpy(whole, command->input, whole_len);
        }
        EXPECT(status == LSSB_OK || status == LSSB_E_CONNECTION);
        if (status == LSSB_OK)
            EXPECT(command->input_len == whole_len &&
                   memcmp(command->input, whole, whole_len) == 0);
        uncertain += status == LSSB_E_CONNECTION;
        end_up();
    }
    EXPECT(whole_len > 3000 && uncertain > 10);
}

/* Cut anywhere on the way down: nothing is missing, nothing comes twice. */
static void a_tree_comes_down_over_lost_connections(void)
{
    size_t at_byte;

    memset(&archive, 0, sizeof archive);
    archive_add("f", '0', "", 0644, "xyz");
    archive_add("d/g", '0', "", 0644, "content");
    archive.len += 1024;
    for (at_byte = 200; at_byte < 6000; at_byte += 83) {
        make_place();
        come_down(archive.len, 200, 0);
        script.cut = SCRIPT_CUT_RESET;
        script.cut_received = at_byte;
        EXPECT_INT(lssb_tree_download(&tree, "/x", at("in"), NULL), LSSB_OK);
        EXPECT_STR(content("in/f"), "xyz");
        EXPECT_STR(content("in/d/g"), "content");
        EXPECT_INT(tree.entries, 2);
        end();
        EXPECT(remove_here());
    }
}

static void what_tar_says_on_the_way_up_is_told(void)
{
    begin_up();
    program.kind = MODEL_PRINTS;
    program.event_count = 2;
    program.exit_code = 2;
    events[1].text = "tar: d/f: Cannot write: No space left on device\n";
    EXPECT_INT(lssb_tree_upload(&tree, at("out"), "/x", NULL),
               LSSB_E_NO_SPACE);
    EXPECT(strstr(lssb_error_text(me.client), "upload tree: tar: d/f") !=
           NULL);
    end_up();
}

static bool cancel_it(void *user, const char *path,
                      const lssb_local_info *info)
{
    (void)path;
    (void)info;
    lssb_cancel(user);
    return true;
}

static void cancel_then(void *user, uint64_t moved, uint64_t total)
{
    (void)moved;
    (void)total;
    lssb_cancel(user);
}

static void an_upload_is_canceled_at_any_time(void)
{
    lssb_op op;
    int when;

    memset(&op, 0, sizeof op);
    for (when = 0; when < 4; when++) {
        begin_up();
        tree.user = &op;
        if (when == 0)
            tree.wanted = cancel_it;
        if (when == 1)
            tree.progress = cancel_then;
        EXPECT_INT(lssb_tree_upload(&tree, at("out"), "/x", &op),
                   LSSB_PENDING);
        if (when == 2)
            lssb_cancel(&op);
        if (when == 3) {
            program.kind = MODEL_PRINTS;    /* it never reads */
            program.exit_ms = 1000000;
            EXPECT_INT(lssb_wait(me.client, &op, 5000), LSSB_AGAIN);
            lssb_cancel(&op);
        }
        EXPECT_INT(lssb_wait(me.client, &op, LSSB_FOREVER), LSSB_E_CANCELED);
        EXPECT_STR(lssb_error_text(me.client), "upload tree: canceled");
        if (when == 3)
            EXPECT_INT(model_commands[0].kills, 1);
        end_up();
    }
}

static void a_client_that_closes_ends_a_tree(void)
{
    lssb_op op;

    memset(&op, 0, sizeof op);
    begin_up();
    program.kind = MODEL_PRINTS;
    program.exit_ms = 1000000;
    EXPECT_INT(lssb_tree_upload(&tree, at("out"), "/x", &op), LSSB_PENDING);
    EXPECT_INT(lssb_wait(me.client, &op, 1000), LSSB_AGAIN);
    end_up();
    EXPECT_INT(op.status, LSSB_E_CANCELED);
}

/* Spoils a tree that is over: it is the caller's again. */
static void spoil(lssb_op *op)
{
    memset(op->user, 0xA5, sizeof(lssb_tree));
}

static void a_tree_is_the_callers_when_the_call_is_over(void)
{
    lssb_op op;

    memset(&op, 0, sizeof op);
    begin_up();
    op.done = spoil;
    op.user = &tree;
    EXPECT_INT(lssb_tree_upload(&tree, at("out"), "/x", &op), LSSB_PENDING);
    EXPECT_INT(lssb_wait(me.client, &op, LSSB_FOREVER), LSSB_OK);
    lssb_wait(me.client, NULL, LSSB_FOREVER);
    end_up();
}

/* The file shrinks when it is looked at for the second time: when it is about
 * to be sent. */
/* The same on the way up: before the box is asked for anything, or so that
 * what it got is not taken for all. */
static void a_local_call_that_fails_is_told_on_the_way_up(void)
{
    lssb_status status = LSSB_E_OPERATION;
    lssb_error error;
    lssb_op op;

    make_frail();
    for (frail_at = 0; frail_at < 100 && status != LSSB_OK; frail_at++) {
        begin_up();
        tree.files = &frail;
        memset(&op, 0, sizeof op);
        memset(&error, 0, sizeof error);
        op.error = &error;
        frail_calls = 0;
        lssb_tree_upload(&tree, at("out"), "/x", &op);
        status = lssb_wait(me.client, &op, LSSB_FOREVER);
        if (status != LSSB_OK) {
            EXPECT_INT(error.system_code, 77);
            EXPECT(strstr(error.message, "cannot be ") != NULL);
            EXPECT_INT(status, model.created == 0 ? LSSB_E_OPERATION
                                                  : LSSB_E_STOPPED);
            EXPECT_INT(model_commands[0].kills, model.created);
        } else {
            EXPECT(frail_calls <= frail_at);
        }
        EXPECT_INT(frail_handles, 0);
        end_up();
    }
    EXPECT(frail_at > 15 && frail_at < 100);
}

static bool shrink_it(void *user, const char *path,
                      const lssb_local_info *info)
{
    int *times = user;

    (void)info;
    if (strcmp(path, "d/f") == 0 && ++*times == 2)
        plant("out/d/f", "", 0);
    return true;
}

static void a_local_file_that_shrinks_is_named(void)
{
    static const char zeros[5000];
    int times = 0;

    begin_up();
    plant("out/d/f", zeros, sizeof zeros);
    tree.wanted = shrink_it;
    tree.user = &times;
    EXPECT_INT(lssb_tree_upload(&tree, at("out"), "/x", NULL),
               LSSB_E_STOPPED);
    EXPECT(strstr(lssb_error_text(me.client), "d/f") != NULL);
    EXPECT_INT(model_commands[0].kills, 1);
    end_up();
}

static const struct test tests[] = {
    TEST(a_listing_is_told_or_refused),
    TEST(what_is_no_listing_is_refused),
    TEST(a_name_that_has_no_end_is_refused),
    TEST(a_name_has_room_up_to_a_bound),
    TEST(a_part_of_an_output_that_is_lost_is_told),
    TEST(that_there_is_nothing_is_no_error),
    TEST(an_entry_that_is_not_taken_is_offered_again),
    TEST(an_entry_is_offered_again_behind_a_lost_connection),
    TEST(a_callback_stops_or_cancels),
    TEST(a_call_ends_at_its_deadline_and_with_its_client),
    TEST(what_a_tool_says_has_a_status),
    TEST(a_message_is_text_whatever_a_tool_says),
    TEST(a_path_goes_along_unread_by_the_shell),
    TEST(wrong_arguments_are_refused_at_once),
    TEST(a_name_that_is_no_signals_is_refused_in_words),
    TEST(signals_go_to_a_process_a_group_or_a_command),
    TEST(what_has_ended_gets_no_signal),
    TEST(processes_are_told_or_refused),
    TEST(a_link_is_described_with_its_target),
    TEST(changes_are_told_in_several_pieces),
    TEST(what_a_hostile_box_sends_stays_where_it_belongs),
    TEST(what_leads_through_a_file_is_named),
    TEST(what_is_made_has_no_more_rights_than_it_should),
    TEST(a_local_call_that_fails_is_told_on_the_way_down),
    TEST(a_path_is_as_deep_as_a_tree_may_be),
#if !WINDOWS
    TEST(a_copy_has_no_more_rights_than_what_it_is_of),
#endif
    TEST(the_caller_is_asked_about_every_directory_of_a_path),
    TEST(an_archive_that_is_cut_leaves_no_file_in_part),
    TEST(limits_and_what_the_caller_wants_are_kept),
    TEST(a_tree_goes_up_as_an_archive),
    TEST(a_tree_that_breaks_off_is_not_called_complete),
    TEST(a_tree_comes_down_over_lost_connections),
    TEST(what_tar_says_on_the_way_up_is_told),
    TEST(an_upload_is_canceled_at_any_time),
    TEST(a_client_that_closes_ends_a_tree),
    TEST(a_tree_is_the_callers_when_the_call_is_over),
    TEST(a_local_call_that_fails_is_told_on_the_way_up),
    TEST(a_local_file_that_shrinks_is_named),
};

#else

static struct script_client me;
static lssb_sandbox box;
static lssb_tools tools;

/* A box at an address that answers every command with this. */
static void begin(const struct script_route *route)
{
    script_begin(SCRIPT_WHOLE, route, route != NULL);
    script_config(&me.config);
    script_client_open(&me);
    memset(&box, 0, sizeof box);
    box.client = me.client;
    strcpy(box.name, "b");
    strcpy(box.dataplane_url, "http://data.test/b");
    memset(&tools, 0, sizeof tools);
    tools.box = &box;
}

static void what_a_tool_says_comes_over_http(void)
{
    static const struct script_route there = {
        "POST /b/execute", { { 200, "{\"exit_code\":0,\"stdout\":\"#b\\n"
          "Li8vIGExZmYgMyAxIDEgNyAwIDAgMQp0byAvL3gKCg==\\n\"}",
          NULL, SCRIPT_LENGTH, 0 } }
    };
    lssb_entry entry;

    begin(&there);
    EXPECT_INT(lssb_path_stat(&tools, "x", 0, &entry, NULL), LSSB_OK);
    EXPECT_INT(entry.kind, LSSB_ENTRY_SYMLINK);
    EXPECT_STR(entry.target, "to //x\n");
    EXPECT(strstr(script.body, "\"timeout\":") != NULL);
    script_client_close(&me);
}

static lssb_status see_change(void *user, lssb_change change,
                              const lssb_entry *entry)
{
    (void)user;
    (void)change;
    (void)entry;
    return LSSB_OK;
}

static void what_lasts_needs_a_websocket(void)
{
    lssb_tree tree;
    lssb_op op = { 0 };

    begin(NULL);
    EXPECT_INT(lssb_path_watch(&tools, "x", 0, 0, see_change, NULL, &op),
               LSSB_E_UNSUPPORTED);
    EXPECT_INT(op.status, LSSB_E_UNSUPPORTED);
    EXPECT(strstr(lssb_error_text(me.client), "LSSB_WEBSOCKET") != NULL);
    memset(&tree, 0, sizeof tree);
    tree.tools.box = &box;
    tree.files = &lssb_default_files;
    memset(&op, 0, sizeof op);
    EXPECT_INT(lssb_tree_upload(&tree, "/tmp", "/x", &op), LSSB_E_UNSUPPORTED);
    EXPECT_INT(op.status, LSSB_E_UNSUPPORTED);
    EXPECT_INT(lssb_tree_download(&tree, "/x", "/tmp", NULL),
               LSSB_E_UNSUPPORTED);
    EXPECT(strstr(lssb_error_text(me.client), "LSSB_WEBSOCKET") != NULL);
    EXPECT_INT(script.opened, 0);
    script_client_close(&me);
}

static const struct test tests[] = {
    TEST(what_a_tool_says_comes_over_http),
    TEST(what_lasts_needs_a_websocket),
};

#endif

int main(void)
{
    return TEST_MAIN(tests);
}
