/* ignore.c: what a .dockerignore file leaves out.
 *
 * SPDX-License-Identifier: MIT
 *
 * The rules are those of Docker's builder, whose own matcher is what they were
 * compared with. A pattern is a small machine that is in many states at once,
 * so no pattern takes long.
 */
#include "internal.h"

/* -------------------------------------------------------------- patterns -- */

/* The states of a pattern: before the part that begins at a byte, or at its
 * end; and inside of the "**" that begins there. All of them are between two
 * bytes. */
struct ignore_states {
    size_t from;
    size_t to;                      /* behind the last one; 0: there is none */
    uint32_t before[LSSB_IGNORE_LINE / 32];
    uint32_t inside[LSSB_IGNORE_LINE / 32];
};

static void ignore_no_states(struct ignore_states *states)
{
    memset(states, 0, sizeof *states);
    states->from = LSSB_IGNORE_LINE;
}

static void ignore_set(struct ignore_states *states, uint32_t *bits, size_t at)
{
    bits[at / 32] |= UINT32_C(1) << at % 32;
    if (states->from > at)
        states->from = at;
    if (states->to <= at)
        states->to = at + 1;
}

static bool ignore_has(const uint32_t *bits, size_t at)
{
    return (bits[at / 32] >> at % 32 & 1) != 0;
}

/* The character at the front of `len` bytes, 1 to 4 of them: a byte that
 * belongs to none is one by itself. */
static size_t ignore_char(const char *bytes, size_t len, uint32_t *point)
{
    const uint8_t *from = (const uint8_t *)bytes;
    size_t n = lssb_json_utf8_len(from, from + len), i;

    if (n < 2) {
        *point = from[0] < 0x80 ? from[0] : 0x110000u + from[0];
        return 1;
    }
    *point = from[0] & (0x7fu >> n);
    for (i = 1; i < n; i++)
        *point = *point << 6 | (from[i] & 0x3fu);
    return n;
}

/* One end of a range in a class; 0: it is malformed, else its length. */
static size_t ignore_class_char(const char *pattern, size_t len,
                                uint32_t *point)
{
    size_t escape = 0;

    if (len == 0 || pattern[0] == '-' || pattern[0] == ']')
        return 0;
    if (pattern[0] == '\\')
        escape = 1;
    if (escape == len)
        return 0;
    return escape + ignore_char(pattern + escape, len - escape, point);
}

/* A class, "[...]": its length, 0 if it is malformed; whether it holds a
 * character. */
static size_t ignore_class(const char *pattern, size_t len, uint32_t point,
                           bool *holds)
{
    size_t at = 1, n;
    bool negated = len > 1 && pattern[1] == '^';
    bool empty = true;

    *holds = negated;
    at += negated;
    while (at < len && (empty || pattern[at] != ']')) {
        uint32_t low, high;

        n = ignore_class_char(pattern + at, len - at, &low);
        if (n == 0)
            return 0;
        at += n;
        high = low;
        if (at < len && pattern[at] == '-') {
            n = ignore_class_char(pattern + at + 1, len - at - 1, &high);
            if (n == 0)
                return 0;
            at += n + 1;
        }
        if (low <= point && point <= high)
            *holds = !negated;
        empty = false;
    }
    return at < len && !empty ? at + 1 : 0;
}

/* One part of a pattern. */
struct ignore_part {
    char kind;                      /* '*', 'g': "**", '?', '[', 'c': a
                                       character */
    size_t len;
    bool holds;                     /* it takes the character asked about */
};

/* The part at the front of a pattern; false: it is malformed. */
static bool ignore_part(struct ignore_part *part, const char *pattern,
                        size_t len, uint32_t point)
{
    uint32_t own;

    part->len = 1;
    part->holds = point != '/';
    switch (pattern[0]) {
    case '*':
        part->kind = '*';
        if (len < 2 || pattern[1] != '*')
            return true;
        part->kind = 'g';
        part->holds = true;
        part->len = len > 2 && pattern[2] == '/' ? 3 : 2;
        return true;
    case '?':
        part->kind = '?';
        return true;
    case '[':
        part->kind = '[';
        part->len = ignore_class(pattern, len, point, &part->holds);
        return part->len > 0;
    case '\\':
        if (len < 2)
            return false;
        part->kind = 'c';
        part->len = 1 + ignore_char(pattern + 1, len - 1, &own);
        break;
    default:
        part->kind = 'c';
        part->len = ignore_char(pattern, len, &own);
        break;
    }
    part->holds = own == point;
    return true;
}

/* Enters a state, and those behind it that need no character. */
static void ignore_enter(struct ignore_states *states, const char *pattern,
                         size_t len, size_t at)
{
    struct ignore_part part;

    for (;;) {
        ignore_set(states, states->before, at);
        if (at >= len || pattern[at] != '*')
            return;
        ignore_part(&part, pattern + at, len - at, 0);
        if (part.kind == 'g')
            ignore_set(states, states->inside, at);
        at += part.len;
    }
}

/* Whether a pattern is more than a path. */
static bool ignore_is_special(const char *pattern, size_t len)
{
    size_t i;

    for (i = 0; i < len; i++)
        if (strchr("*?[\\", pattern[i]) != NULL)
            return true;
    return false;
}

/* Whether a leading "**" may end anywhere, not only behind a slash: Docker's
 * matcher takes "**text", without anything special in the text, for the end of
 * a path. */
static bool ignore_is_suffix(const char *pattern, size_t len)
{
    size_t i;

    if (len < 3 || pattern[0] != '*' || pattern[1] != '*' ||
        pattern[2] == '/')
        return false;
    for (i = 2; i < len; i++)
        if (strchr("*?[]\\", pattern[i]) != NULL)
            return false;
    return true;
}

/* What follows when the "**" at `at` takes a character. */
static void ignore_go_on(struct ignore_states *next, const char *pattern,
                         size_t len, size_t at, uint32_t point)
{
    struct ignore_part part;
    size_t end;

    ignore_part(&part, pattern + at, len - at, point);
    end = at + part.len;
    ignore_set(next, next->inside, at);
    if (point == '/' || end == len || ignore_is_suffix(pattern, len))
        ignore_enter(next, pattern, len, end);
}

/* What follows when the part at `at` takes a character. */
static void ignore_take(struct ignore_states *next, const char *pattern,
                        size_t len, size_t at, uint32_t point)
{
    struct ignore_part part;

    if (!ignore_part(&part, pattern + at, len - at, point) || !part.holds ||
        part.kind == 'g')
        return;
    ignore_enter(next, pattern, len, part.kind == '*' ? at : at + part.len);
}

/* Whether a pattern has no mistake. */
static bool ignore_is_pattern(const char *pattern, size_t len)
{
    struct ignore_part part;
    size_t at;

    for (at = 0; at < len; at += part.len)
        if (!ignore_part(&part, pattern + at, len - at, 0))
            return false;
    return len < LSSB_IGNORE_LINE;
}

/* The states behind a character, and how many there were before it. */
static size_t ignore_step(struct ignore_states *now, const char *pattern,
                          size_t len, uint32_t point)
{
    struct ignore_states next;
    size_t at, count = now->to - now->from;

    ignore_no_states(&next);
    for (at = now->from; at < now->to && at < len; at++) {
        if (ignore_has(now->before, at))
            ignore_take(&next, pattern, len, at, point);
        if (ignore_has(now->inside, at))
            ignore_go_on(&next, pattern, len, at, point);
    }
    *now = next;
    return count;
}

/* Which directories that a path is in the pattern matches, and whether all of
 * it: a bit for each, the first one for the first; they are at most 64. The
 * work that it took is added to *work. */
static uint64_t ignore_matches(const char *pattern, size_t len,
                               const char *path, size_t path_len,
                               size_t *work)
{
    struct ignore_states now;
    uint64_t bit = 1, matches = 0;
    size_t i = 0;
    bool special = ignore_is_special(pattern, len);
    uint32_t point;

    ignore_no_states(&now);
    if (special)
        ignore_enter(&now, pattern, len, 0);
    while (bit != 0) {
        bool ends = i == path_len || path[i] == '/';

        if (ends && (special ? ignore_has(now.before, len)
                             : i == len && memcmp(pattern, path, i) == 0))
            matches |= bit;
        if (i == path_len || (special ? now.to == 0 : i > len))
            break;
        bit <<= ends;
        if (special) {
            i += ignore_char(path + i, path_len - i, &point);
            *work += ignore_step(&now, pattern, len, point) + 8;
        } else {
            i++;
        }
    }
    return matches;
}

/* ----------------------------------------------------------------- lines -- */

void lssb_ignore_start(struct lssb_ignore *ignore, const lssb_files *files,
                       const intptr_t *file, const char *dockerfile)
{
    memset(ignore, 0, sizeof *ignore);
    ignore->own.files = files;
    ignore->own.dockerfile = dockerfile;
    ignore->own.open = file != NULL;
    if (file != NULL)
        ignore->own.file = *file;
}

void lssb_ignore_end(struct lssb_ignore *ignore)
{
    if (ignore->own.open)
        ignore->own.files->close(ignore->own.files->context,
                                 ignore->own.file);
    ignore->own.open = false;
}

/* Fills the window with what the file has from `at` on; false: it cannot. */
static bool ignore_fill(struct lssb_ignore *ignore, uint64_t at)
{
    const lssb_files *files = ignore->own.files;
    ptrdiff_t n = 1;

    ignore->own.window_at = at;
    ignore->own.window_len = 0;
    while (n > 0 && ignore->own.window_len < LSSB_IGNORE_WINDOW) {
        size_t have = ignore->own.window_len;

        n = files->read_at(files->context, ignore->own.file, at + have,
                           ignore->own.window + have,
                           LSSB_IGNORE_WINDOW - have, &ignore->code);
        if (n > 0)
            ignore->own.window_len += (size_t)n;
    }
    if (n < 0)
        ignore->wrong = "the file cannot be read";
    return n >= 0;
}

/* The line that begins at line_at, if all of it, or all that counts, is in the
 * window; NULL: it is not. `last`: the window holds the end of the file. */
static const char *ignore_seen(const struct lssb_ignore *ignore, bool last,
                               size_t *len)
{
    uint64_t at = ignore->own.line_at - ignore->own.window_at;
    const char *line, *end;
    size_t left;

    if (ignore->own.line_at < ignore->own.window_at ||
        at > ignore->own.window_len)
        return NULL;
    line = ignore->own.window + at;
    left = ignore->own.window_len - (size_t)at;
    end = memchr(line, '\n', left);
    if (end == NULL && !last && left < LSSB_IGNORE_LINE)
        return NULL;
    *len = end != NULL ? (size_t)(end - line) : left;
    return line;
}

/* A line without the byte order mark that the first one may begin with. */
static const char *ignore_marked(const struct lssb_ignore *ignore,
                                 const char *line, size_t *len)
{
    if (ignore->line != 1 || *len < 3 || memcmp(line, "\xef\xbb\xbf", 3) != 0)
        return line;
    *len -= 3;
    return line + 3;
}

/* Goes to the end of a line that does not fit; how long it is. False: the file
 * cannot be read. */
static bool ignore_pass(struct lssb_ignore *ignore, size_t *len)
{
    uint64_t at = ignore->own.line_at;
    const char *end = NULL;

    do {
        if (!ignore_fill(ignore, at))
            return false;
        end = memchr(ignore->own.window, '\n', ignore->own.window_len);
        at += end != NULL ? (size_t)(end - ignore->own.window)
                          : ignore->own.window_len;
        ignore->own.work += ignore->own.window_len;
    } while (end == NULL && ignore->own.window_len == LSSB_IGNORE_WINDOW &&
             at <= LSSB_IGNORE_MOST);
    *len = (size_t)(at - ignore->own.line_at);
    return true;
}

/* What stands for a line that does not fit: a comment, or nothing, and `wrong`
 * says why. `size`: how long it is. */
static const char *ignore_long(struct lssb_ignore *ignore, const char *line,
                               size_t *len, size_t *size)
{
    if (*ignore_marked(ignore, line, len) != '#') {
        ignore->wrong = "a line is longer than 1,023 bytes";
        return NULL;
    }
    *len = 1;
    return ignore_pass(ignore, size) ? "#" : NULL;
}

/* The next line; NULL: there is none, or `wrong` says why. */
static const char *ignore_line(struct lssb_ignore *ignore, size_t *len)
{
    bool last = ignore->own.window_len < LSSB_IGNORE_WINDOW;
    const char *line = NULL;
    size_t size;

    *len = 0;
    if (ignore->own.window_len > 0)
        line = ignore_seen(ignore, last, len);
    if (line == NULL) {
        if (!ignore_fill(ignore, ignore->own.line_at))
            return NULL;
        line = ignore_seen(ignore, ignore->own.window_len < LSSB_IGNORE_WINDOW,
                           len);
    }
    ignore->line++;
    size = *len;
    if (size >= LSSB_IGNORE_LINE)
        line = ignore_long(ignore, line, len, &size);
    else if (size == 0 &&
             line == ignore->own.window + ignore->own.window_len)
        return NULL;                /* the end of the file */
    if (line == NULL)
        return NULL;
    if (ignore->own.line_at + size > LSSB_IGNORE_MOST) {
        ignore->wrong = "the file is larger than 64 KiB";
        return NULL;
    }
    ignore->own.line_at += size + 1;
    return line;
}

/* One segment of a path that is being cleaned: "." and what ".." takes back
 * are dropped. */
static size_t ignore_segment(char *to, size_t len, const char *segment,
                             size_t n, bool rooted)
{
    size_t at = len;

    if (n == 0 || (n == 1 && segment[0] == '.'))
        return len;
    while (at > 0 && to[at - 1] != '/')
        at--;
    if (n == 2 && segment[0] == '.' && segment[1] == '.') {
        if (len > 0 && !(len - at == 2 && memcmp(to + at, "..", 2) == 0))
            return at > 0 ? at - 1 : 0;
        if (rooted)
            return len;
    }
    if (len > 0)
        to[len++] = '/';
    memcpy(to + len, segment, n);
    return len + n;
}

/* Makes the pattern at hand of a line's text, cleaned as a path, relative. */
static void ignore_clean(struct lssb_ignore *ignore, const char *text,
                         size_t len)
{
    bool rooted = len > 0 && text[0] == '/';
    size_t from = 0, to = 0;

    while (from < len) {
        const char *slash = memchr(text + from, '/', len - from);
        size_t n = slash != NULL ? (size_t)(slash - text) - from : len - from;

        to = ignore_segment(ignore->own.pattern, to, text + from, n, rooted);
        from += n + 1;
    }
    ignore->own.pattern_len = to;
}

/* Takes in a line: true if it holds a pattern that means something. */
static bool ignore_parse(struct lssb_ignore *ignore, const char *line,
                         size_t len)
{
    line = ignore_marked(ignore, line, &len);
    if (len > 0 && line[0] == '#')
        return false;
    line = lssb_trim(line, &len);
    ignore->own.negated = len > 0 && line[0] == '!';
    if (ignore->own.negated) {
        len--;
        line = lssb_trim(line + 1, &len);
        if (len == 0)
            ignore->wrong = "\"!\" stands alone";
    }
    if (len == 0)
        return false;
    ignore_clean(ignore, line, len);
    if (!ignore_is_pattern(ignore->own.pattern, ignore->own.pattern_len))
        ignore->wrong = "a pattern is malformed";
    return ignore->wrong == NULL && ignore->own.pattern_len > 0;
}

/* ------------------------------------------------------------- decisions -- */

/* Whether a directory's path and a slash begin another path. */
static bool ignore_is_above(const char *directory, const char *path,
                            size_t path_len)
{
    size_t len = strlen(directory);

    return len < path_len && memcmp(directory, path, len) == 0 &&
           path[len] == '/';
}

/* Which bit says of a path whether it is left out. */
static uint64_t ignore_last(const char *path)
{
    uint64_t bit = 1;

    while ((path = strchr(path, '/')) != NULL) {
        bit <<= 1;
        path++;
    }
    return bit;
}

/* Lets the pattern at hand say what it has to, of the path and of every
 * directory that it is in: what one of those matches, all in it does. But where
 * a line could not change anything it is not asked, and then does not speak for
 * what is inside, either: as Docker has it. */
static void ignore_ask(struct lssb_ignore *ignore, const char *path)
{
    const char *pattern = ignore->own.pattern;
    size_t len = ignore->own.pattern_len;
    uint64_t bit, last = ignore_last(path), *out = &ignore->own.left_out;
    uint64_t matches = ignore_matches(pattern, len, path, strlen(path),
                                      &ignore->own.work);
    bool match = false;

    for (bit = 1; bit != 0 && matches != 0; bit <<= 1) {
        if (((*out & bit) != 0) == ignore->own.negated)
            match = match || (matches & bit) != 0;
        if (match && ignore->own.negated)
            *out &= ~bit;
        else if (match)
            *out |= bit;
        if (bit == last)
            break;
    }
    if (ignore->own.negated && (ignore_is_special(pattern, len) ||
                                ignore_is_above(path, pattern, len)))
        ignore->own.below = true;
}

/* Whether the builder needs a file whatever the lines say, or a directory for
 * the sake of such a one. */
static bool ignore_is_needed(const struct lssb_ignore *ignore,
                             const char *path, bool is_directory)
{
    const char *dockerfile = ignore->own.dockerfile;
    size_t len = strlen(dockerfile);

    if (is_directory)
        return ignore_is_above(path, dockerfile, len);
    if (strcmp(path, ".dockerignore") == 0)
        return true;
    return strncmp(path, dockerfile, len) == 0 &&
           (path[len] == '\0' || strcmp(path + len, ".dockerignore") == 0);
}

/* Begins with a path. */
static void ignore_begin(struct lssb_ignore *ignore, const char *path,
                         bool needed)
{
    ignore->line = 0;
    ignore->own.line_at = 0;
    ignore->own.left_out = 0;
    ignore->own.below = needed;
    ignore->own.negated = false;
    ignore_clean(ignore, ".git", 4);
    ignore_ask(ignore, path);
}

enum lssb_pack_choice lssb_ignore_choose(struct lssb_ignore *ignore,
                                         const char *path, bool is_directory)
{
    bool needed = ignore_is_needed(ignore, path, is_directory);
    const char *line;
    size_t len;

    if (needed && !is_directory)
        return LSSB_PACK_KEEP;
    if (!ignore->own.asked)
        ignore_begin(ignore, path, needed);
    ignore->own.asked = false;
    while (ignore->own.open && ignore->wrong == NULL &&
           (line = ignore_line(ignore, &len)) != NULL) {
        ignore->own.work += len + 8;
        if (ignore_parse(ignore, line, len))
            ignore_ask(ignore, path);
        if (ignore->own.work > LSSB_IGNORE_WORK && ignore->wrong == NULL) {
            ignore->own.work = 0;
            ignore->own.asked = true;
            return LSSB_PACK_LATER;
        }
    }
    if (ignore->wrong != NULL)
        return LSSB_PACK_STOP;
    if ((ignore->own.left_out & ignore_last(path)) == 0)
        return LSSB_PACK_KEEP;
    return is_directory && ignore->own.below ? LSSB_PACK_LOOK : LSSB_PACK_DROP;
}
