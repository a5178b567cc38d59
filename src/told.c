/* told.c: what a box's tools tell: listings, processes, complaints.
 *
 * SPDX-License-Identifier: MIT
 *
 * An engine without I/O. The output of a command arrives as UTF-8 text, so
 * bytes come as base64 or, where the box has none, in hexadecimal digits, said
 * by "#b" or "#o" in front. Decoded they are records,
 *
 *     MARK NAME "// " MODE " " SIZE " " … "\n"
 *
 * where MARK (of a watch only) is one character, and NAME is a path as find
 * tells it: any bytes, but never two slashes in a row. In it "//n" stands for a
 * newline where records are lines, which may stand behind a slash. The last
 * record has no name. All of it is from the box, and nothing of it is believed.
 */
#include "internal.h"

enum told_state {
    TOLD_MARK = 0,                  /* a record begins; its mark, if any */
    TOLD_NAME,
    TOLD_SLASH,                     /* behind one */
    TOLD_SLASHES,                   /* behind two */
    TOLD_NUMBERS,
    TOLD_DONE,                      /* a record was told */
    TOLD_REST,                      /* bytes up to the end: a link's target */
    TOLD_LINE,                      /* of a process: up to its '@' */
    TOLD_STATE,
    TOLD_PLAIN,                     /* its name */
    TOLD_ESCAPE,                    /* behind a backslash in it */
    TOLD_HEX                        /* its arguments */
};

/* ------------------------------------------------------------- decoding -- */

#define TOLD_NONE (-1)              /* no byte yet */
#define TOLD_BAD (-2)

/* The value of a base64 digit (RFC 4648 4), or -1. */
static int told_sextet(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* The bits of one more digit; the byte that they complete. */
static int told_bits(struct lssb_tools_state *told, int value, unsigned width)
{
    if (value < 0)
        return TOLD_BAD;
    told->bits = (told->bits << width | (uint32_t)value) & 0xFFF;
    told->bit_count = (uint8_t)(told->bit_count + width);
    if (told->bit_count < 8)
        return TOLD_NONE;
    told->bit_count = (uint8_t)(told->bit_count - 8);
    return (int)(told->bits >> told->bit_count & 0xFF);
}

int lssb_told_byte(struct lssb_tools_state *told, char c)
{
    if (c == '#') {
        told->coding = '#';
        return TOLD_NONE;
    }
    if (told->coding == '#' && (c == 'b' || c == 'o')) {
        told->coding = (uint8_t)c;
        told->bit_count = 0;
        return TOLD_NONE;
    }
    if (c == '\n' || c == ' ')
        return TOLD_NONE;
    if (told->coding == 'b' && c == '=') {
        told->bit_count = 0;
        return TOLD_NONE;
    }
    if (told->coding == 'b')
        return told_bits(told, told_sextet(c), 6);
    if (told->coding == 'o')
        return told_bits(told, lssb_json_hex((uint8_t)c), 4);
    return TOLD_BAD;
}

/* -------------------------------------------------------------- records -- */

/* Forgets the record before. */
static void told_begin(struct lssb_tools_state *told)
{
    memset(told->numbers, 0, sizeof told->numbers);
    told->mark = 0;
    told->field = 0;
    told->negative = false;
    told->name_len = 0;
    told->name[0] = '\0';
}

/* A byte of a name; false when it is too long. */
static bool told_name(struct lssb_tools_state *told, int byte)
{
    if (told->name_len + 1u >= sizeof told->name)
        return false;
    told->name[told->name_len++] = (char)byte;
    told->name[told->name_len] = '\0';
    return byte != 0;
}

/* A digit of the number at hand: the first one is hexadecimal. */
static bool told_digit(struct lssb_tools_state *told, int byte, unsigned base)
{
    int digit = lssb_json_hex((uint8_t)byte);
    uint64_t *number = &told->numbers[told->field];

    if (byte == '-' && *number == 0 && !told->negative) {
        told->negative = true;
        return true;
    }
    if (digit < 0 || (unsigned)digit >= base ||
        *number > (UINT64_MAX - 15) / base)
        return false;
    *number = *number * base + (unsigned)digit;
    return true;
}

/* The number at hand is complete; another one may follow. */
static bool told_number(struct lssb_tools_state *told)
{
    if (told->negative)
        told->numbers[told->field] = 0 - told->numbers[told->field];
    told->negative = false;
    told->field++;
    return told->field < sizeof told->numbers / sizeof told->numbers[0];
}

/* A record is complete. */
static enum lssb_told told_complete(struct lssb_tools_state *told)
{
    told_number(told);
    told->state = TOLD_DONE;
    if (told->name_len > 0)
        return told->field == LSSB_TOLD_FIELDS ? LSSB_TOLD_ENTRY
                                               : LSSB_TOLD_WRONG;
    told->ended = true;
    return told->field == 2 ? LSSB_TOLD_END : LSSB_TOLD_WRONG;
}

/* What stands behind two slashes: the end of the name, or a newline in it. Of
 * three the first one is the name's own. */
static bool told_slashes(struct lssb_tools_state *told, int byte)
{
    bool slash = told->name_len > 0 && told->name[told->name_len - 1] == '/';

    if (byte == '/')
        return !slash && told_name(told, byte);
    if (slash && byte == ' ')
        return false;               /* no name ends with one */
    told->state = byte == ' ' ? TOLD_NUMBERS : TOLD_NAME;
    if (byte == ' ')
        return true;
    return byte == 'n' && told_name(told, '\n');
}

/* A byte of the name, or what may be its end. */
static bool told_in_name(struct lssb_tools_state *told, int byte)
{
    if (told->state == TOLD_SLASH && byte == '/') {
        told->state = TOLD_SLASHES;
        return true;
    }
    if (told->state == TOLD_SLASH && !told_name(told, '/'))
        return false;
    told->state = byte == '/' ? TOLD_SLASH : TOLD_NAME;
    return byte == '/' || told_name(told, byte);
}

/* A decoded byte. */
static enum lssb_told told_record(struct lssb_tools_state *told, int byte)
{
    bool right = true;

    switch ((enum told_state)told->state) {
    case TOLD_DONE:
        told->state = (told->flags & LSSB_TOLD_TARGET) != 0 ? TOLD_REST
                                                            : TOLD_MARK;
        if (told->state == TOLD_REST) {
            told->name_len = 0;
            return told_record(told, byte);
        }
        /* fall through */
    case TOLD_MARK:
        told_begin(told);
        told->state = TOLD_NAME;
        if ((told->flags & LSSB_TOLD_MARKED) != 0)
            told->mark = (uint8_t)byte;
        else
            right = told_in_name(told, byte);
        break;
    case TOLD_NAME:
    case TOLD_SLASH:
        right = told_in_name(told, byte);
        break;
    case TOLD_SLASHES:
        right = told_slashes(told, byte);
        break;
    case TOLD_NUMBERS:
        if (byte == '\n')
            return told_complete(told);
        right = byte == ' ' ? told_number(told)
                            : told_digit(told, byte, told->field == 0 ? 16
                                                                      : 10);
        break;
    case TOLD_REST:
        right = told_name(told, byte);
        break;
    case TOLD_LINE:
    case TOLD_STATE:
    case TOLD_PLAIN:
    case TOLD_ESCAPE:
    case TOLD_HEX:
        right = false;
        break;
    }
    return right ? LSSB_TOLD_MORE : LSSB_TOLD_WRONG;
}

enum lssb_told lssb_told_next(struct lssb_tools_state *told, const char *text,
                              size_t len, size_t *used)
{
    enum lssb_told event = LSSB_TOLD_MORE;

    for (*used = 0; *used < len && event == LSSB_TOLD_MORE; ++*used) {
        int byte = lssb_told_byte(told, text[*used]);

        if (byte == TOLD_BAD)
            event = LSSB_TOLD_WRONG;
        else if (byte != TOLD_NONE)
            event = told_record(told, byte);
    }
    return event;
}

/* What `ls` has for a kind of file. */
static char told_letter(uint32_t type)
{
    switch (type) {
    case 0010000: return 'p';
    case 0020000: return 'c';
    case 0040000: return 'd';
    case 0060000: return 'b';
    case 0100000: return '-';
    case 0120000: return 'l';
    case 0140000: return 's';
    }
    return '?';
}

void lssb_told_entry(const struct lssb_tools_state *told, lssb_entry *entry)
{
    uint32_t mode = (uint32_t)told->numbers[0];

    memset(entry, 0, sizeof *entry);
    entry->name = told->name;
    if (told->name_len >= 2 && memcmp(told->name, "./", 2) == 0)
        entry->name += 2;
    entry->letter = told_letter(mode & 0170000);
    entry->kind = entry->letter == '-'   ? LSSB_ENTRY_FILE
                  : entry->letter == 'd' ? LSSB_ENTRY_DIRECTORY
                  : entry->letter == 'l' ? LSSB_ENTRY_SYMLINK
                                         : LSSB_ENTRY_OTHER;
    entry->mode = mode & 07777;
    entry->size = told->numbers[1];
    entry->mtime_s = (int64_t)told->numbers[2];
    entry->ctime_s = (int64_t)told->numbers[3];
    entry->inode = told->numbers[4];
    entry->uid = told->numbers[5];
    entry->gid = told->numbers[6];
    entry->links = told->numbers[7];
    entry->target = "";
}

/* ------------------------------------------------------------ processes -- */

/* A character of a process's name: a newline, which the kernel writes as "\n",
 * or a backslash, "\\", perhaps. What is too long is cut. */
static bool told_plain(struct lssb_tools_state *told, char c)
{
    if (told->state == TOLD_PLAIN && c == '\\') {
        told->state = TOLD_ESCAPE;
        return true;
    }
    if (told->state == TOLD_ESCAPE && c != 'n' && c != '\\')
        return false;
    if (told->state == TOLD_ESCAPE && c == 'n')
        c = '\n';
    told->state = TOLD_PLAIN;
    return told->name_len >= LSSB_TOLD_PROCESS_NAME ||
           told_name(told, (uint8_t)c);
}

/* A character behind "@": numbers, a letter, a name up to the end of the line.
 * "@." is the end of the list. */
static enum lssb_told told_process_line(struct lssb_tools_state *told, char c)
{
    bool right = true;

    if (told->state == TOLD_LINE && c == '.' && told->field == 0) {
        told->ended = true;
        told->state = TOLD_DONE;
        return LSSB_TOLD_END;
    }
    if (told->state == TOLD_LINE && c == ' ') {
        right = told_number(told);
        if (told->field == LSSB_TOLD_FIELDS)
            told->state = TOLD_STATE;
    } else if (told->state == TOLD_LINE) {
        right = told_digit(told, c, 10);
    } else if (told->state == TOLD_STATE) {
        if (told->mark == 0)
            told->mark = (uint8_t)c;
        else if (c == ' ')
            told->state = TOLD_PLAIN;
        else
            right = false;
    } else if (told->state == TOLD_PLAIN && c == '\n') {
        right = told_name(told, ' ');
        told->name[told->name_len - 1] = '\0';
        told->word_len = told->name_len;
        told->bit_count = 0;
        told->state = TOLD_HEX;
    } else {
        right = told_plain(told, c);
    }
    return right ? LSSB_TOLD_MORE : LSSB_TOLD_WRONG;
}

enum lssb_told lssb_told_process(struct lssb_tools_state *told,
                                 const char *text, size_t len, size_t *used)
{
    enum lssb_told event = LSSB_TOLD_MORE;

    for (*used = 0; *used < len && event == LSSB_TOLD_MORE; ++*used) {
        char c = text[*used];
        int byte;

        if (told->state == TOLD_HEX && c == '@') {
            told->state = TOLD_DONE;
            return LSSB_TOLD_ENTRY; /* which is looked at again */
        }
        if (told->state == TOLD_MARK || told->state == TOLD_DONE) {
            if (told->ended && c == '\n')
                continue;
            told_begin(told);
            told->state = TOLD_LINE;
            event = c == '@' ? LSSB_TOLD_MORE : LSSB_TOLD_WRONG;
        } else if (told->state != TOLD_HEX) {
            event = told_process_line(told, c);
        } else if (c != ' ' && c != '\n') {
            byte = told_bits(told, lssb_json_hex((uint8_t)c), 4);
            if (byte == TOLD_BAD)
                event = LSSB_TOLD_WRONG;
            else if (byte != TOLD_NONE &&
                     told->name_len + 1u < sizeof told->name)
                told->name[told->name_len++] = (char)byte;
        }
    }
    return event;
}

void lssb_told_fill(struct lssb_tools_state *told, lssb_process *process)
{
    memset(process, 0, sizeof *process);
    process->pid = (int64_t)told->numbers[0];
    process->parent = (int64_t)told->numbers[1];
    process->group = (int64_t)told->numbers[2];
    process->session = (int64_t)told->numbers[3];
    process->uid = told->numbers[4];
    process->cpu_ms = told->numbers[5] * 10;
    process->started_ms = told->numbers[6] * 10;
    process->memory_bytes = told->numbers[7] * 1024;
    process->state = (char)told->mark;
    process->name = told->name;
    process->arguments = told->name + told->word_len;
    process->arguments_len = (size_t)(told->name_len - told->word_len);
    told->name[told->name_len] = '\0';
}

/* ----------------------------------------------------------- complaints -- */

/* The end of a line on standard error, and what it means: the words of glibc,
 * of musl, of the tools themselves. */
static const struct {
    const char *words;
    lssb_status status;
} told_words[] = {
    { "No such file or directory", LSSB_E_NOT_FOUND },
    { "No such process", LSSB_E_NOT_FOUND },
    { "File exists", LSSB_E_ALREADY_EXISTS },
    { "Not a directory", LSSB_E_NOT_DIRECTORY },
    { "Is a directory", LSSB_E_IS_DIRECTORY },
    { "Directory not empty", LSSB_E_NOT_EMPTY },
    { "Permission denied", LSSB_E_PERMISSION },
    { "Operation not permitted", LSSB_E_PERMISSION },
    { "No space left on device", LSSB_E_NO_SPACE },
    { "Disk quota exceeded", LSSB_E_NO_SPACE },
    { "Quota exceeded", LSSB_E_NO_SPACE },
    { "Read-only file system", LSSB_E_READ_ONLY },
    { "Device or resource busy", LSSB_E_IN_USE },
    { "Resource busy", LSSB_E_IN_USE },
    { "Text file busy", LSSB_E_IN_USE },
    { "File name too long", LSSB_E_TOO_LONG },
    { "Filename too long", LSSB_E_TOO_LONG }
};

/* Whether a line is GNU tar's way to say that a disk is full: "Wrote only 512
 * of 1024 bytes". */
static bool told_is_short(const char *line, size_t len)
{
    static const char words[] = ": Wrote only ";
    size_t i, words_len = sizeof words - 1;

    for (i = 0; i + words_len < len; i++)
        if (memcmp(line + i, words, words_len) == 0)
            return true;
    return false;
}

/* What a line means; LSSB_OK when that is not known. */
static lssb_status told_meaning(const char *line, size_t len)
{
    size_t i, words_len;

    for (i = 0; i < sizeof told_words / sizeof told_words[0]; i++) {
        words_len = strlen(told_words[i].words);
        if (len >= words_len && memcmp(line + len - words_len,
                                       told_words[i].words, words_len) == 0)
            return told_words[i].status;
    }
    return told_is_short(line, len) ? LSSB_E_NO_SPACE : LSSB_OK;
}

/* A line is complete. That something was not there counts least: it may have
 * gone while its directory was being read. */
static void told_line(struct lssb_tools_state *told)
{
    lssb_status status = told_meaning(told->line, told->line_len);

    if (status != LSSB_OK && (told->failure == LSSB_OK ||
                              told->failure == LSSB_E_NOT_FOUND))
        told->failure = status;
    told->line_len = 0;
}

void lssb_told_complaint(struct lssb_tools_state *told, const char *text,
                         size_t len)
{
    size_t i;

    for (i = 0; i < len; i++) {
        if (text[i] == '\n') {
            told_line(told);
        } else {
            if (told->line_len == sizeof told->line) {
                memmove(told->line, told->line + sizeof told->line / 2,
                        sizeof told->line / 2);
                told->line_len = sizeof told->line / 2;
            }
            told->line[told->line_len++] = text[i];
        }
        if (told->said_len + 1u < sizeof told->said)
            told->said[told->said_len++] =
                (uint8_t)text[i] < ' ' || text[i] == 0x7F ? ' ' : text[i];
    }
}

void lssb_told_last(struct lssb_tools_state *told)
{
    size_t len = told->said_len;

    if (told->line_len > 0)
        told_line(told);
    while (len > 0 && told->said[len - 1] == ' ')
        len--;
    told->said_len = (uint16_t)lssb_utf8_valid(told->said, len);
    told->said[told->said_len] = '\0';
}
