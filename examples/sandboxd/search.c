/* search.c: files found by name and by what is in them (PROTOCOL 4.7).
 *
 * SPDX-License-Identifier: MIT
 *
 * A search goes through a directory in the lexical order of paths, a few
 * entries at a turn of the loop, so that nobody waits for it. It follows no
 * links. It ends early, and says so, at its limit or when its time is up.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "control.h"

#define SEARCH_CAP 1000             /* matches, at most */
#define SEARCH_MS 10000             /* in all */
#define SEARCH_TURN_MS 5            /* before others get their turn */
#define SEARCH_LEVELS 100
#define SEARCH_FILE (16 * 1024 * 1024)  /* longer ones are not looked into */
#define SEARCH_BINARY 8192          /* no NUL in so many bytes: it is text */
#define SEARCH_LINE 4096            /* bytes of a line that are told */

/* ------------------------------------------------------------- patterns -- */

/* The length of the character at the start of a text. */
static size_t glob_char(const char *text)
{
    size_t len = 1;

    while (((unsigned char)text[0] & 0xC0) == 0xC0 && len < 4 &&
           ((unsigned char)text[len] & 0xC0) == 0x80)
        len++;
    return len;
}

/* The code of a character, as far as ranges need it. */
static uint32_t glob_code(const char *text, size_t len)
{
    uint32_t code = 0;
    size_t i;

    for (i = 0; i < len; i++)
        code = code << 8 | (unsigned char)text[i];
    return code;
}

/* Matches one character against "[…]"; *used is the set's length, 0: it is
 * none, and stands for itself. */
static bool glob_set(const char *pattern, size_t end, const char *text,
                     size_t *used)
{
    uint32_t code = glob_code(text, glob_char(text));
    size_t i = 1;
    bool out = i < end && (pattern[i] == '!' || pattern[i] == '^');
    bool in = false, first = true;

    i += out;
    *used = 0;
    while (i < end && (first || pattern[i] != ']')) {
        size_t len = glob_char(pattern + i);
        uint32_t low = glob_code(pattern + i, len), high = low;

        i += len;
        if (i + 1 < end && pattern[i] == '-' && pattern[i + 1] != ']') {
            len = glob_char(pattern + i + 1);
            high = glob_code(pattern + i + 1, len);
            i += 1 + len;
        }
        in = in || (low <= code && code <= high);
        first = false;
    }
    if (i >= end)
        return false;
    *used = i + 1;
    return in != out;
}

/* Matches one step of a pattern, not '*', at a character; how much of the
 * pattern it took, 0: it does not match. */
static size_t glob_step(const char *pattern, size_t end, const char *text)
{
    size_t used, len;

    if (*pattern == '?')
        return 1;
    if (*pattern == '[') {
        bool in = glob_set(pattern, end, text, &used);

        if (used > 0)
            return in ? used : 0;
    }
    if (*pattern == '\\' && end > 1)
        return pattern[1] == *text ? 2 : 0;
    len = glob_char(pattern);
    return len <= end && strncmp(pattern, text, len) == 0 ? len : 0;
}

/* Whether a segment matches: '*', '?', "[…]", and a backslash before what is
 * meant as it is. Only the last '*' is ever tried again: that is enough. */
static bool glob_segment(const char *pattern, size_t p_end, const char *text,
                         size_t t_end)
{
    size_t p = 0, t = 0, star = SIZE_MAX, back = 0, step;

    while (t < t_end) {
        if (p < p_end && pattern[p] == '*') {
            star = ++p;
            back = t;
            continue;
        }
        step = p < p_end ? glob_step(pattern + p, p_end - p, text + t) : 0;
        if (step > 0) {
            p += step;
            t += glob_char(text + t);
        } else if (star != SIZE_MAX) {
            p = star;
            back += glob_char(text + back);
            t = back;
        } else {
            return false;
        }
    }
    while (p < p_end && pattern[p] == '*')
        p++;
    return p == p_end;
}

/* Whether a relative path matches: "**" is any number of segments. */
static bool glob_path(const char *pattern, const char *text)
{
    const char *star = NULL, *back = NULL;

    while (*text != '\0') {
        size_t p_len = strcspn(pattern, "/"), t_len = strcspn(text, "/");

        if (p_len == 2 && strncmp(pattern, "**", 2) == 0) {
            star = pattern += 2 + (pattern[2] == '/');
            back = text;
            if (*pattern == '\0')
                return true;
            continue;
        }
        if (p_len > 0 && glob_segment(pattern, p_len, text, t_len) &&
            (pattern[p_len] == '/') <= (text[t_len] == '/')) {
            pattern += p_len + (pattern[p_len] == '/');
            text += t_len + (text[t_len] == '/');
            if (*pattern != '\0' || *text == '\0')
                continue;
        }
        if (star == NULL || strchr(back, '/') == NULL)
            return false;
        back = strchr(back, '/') + 1;
        pattern = star;
        text = back;
    }
    return *pattern == '\0' || strcmp(pattern, "**") == 0;
}

/* How deep a pattern can match: its segments, or any depth. */
static size_t glob_depth(const char *pattern)
{
    size_t depth = 1;

    if (strstr(pattern, "**") != NULL)
        return SEARCH_LEVELS;
    for (; *pattern != '\0'; pattern++)
        depth += *pattern == '/';
    return depth;
}

/* -------------------------------------------------------------- results -- */

/* One match. */
struct match {
    char *path;
    bool is_dir;
    int64_t size;
    int64_t modified_us;
    int64_t line;                   /* of a text; 0: the file itself */
    char *text;
};

/* A directory under way: its names, in order; one with a slash behind it is
 * to be entered. */
struct level {
    char **names;
    size_t count;
    size_t at;
    size_t prefix;                  /* bytes of `path` that lead here */
    int fd;
};

struct search {
    struct exchange *exchange;
    struct timer timer;
    char box_id[37];
    char *pattern;
    char *glob;                     /* of /grep; NULL: all files */
    bool grep;
    size_t depth;                   /* of levels that are worth a look */
    size_t limit;
    uint64_t until;
    struct bytes path;              /* where it is: absolute */
    size_t base;                    /* bytes of it that were given */
    struct level levels[SEARCH_LEVELS];
    size_t level_count;
    struct match *matches;
    size_t count;
    bool truncated;
};

/* Puts a path or a line; what is no UTF-8 is replaced. */
static void match_text(struct lssb_json_writer *json, const char *name,
                       const char *text)
{
    struct bytes clean = {0};

    clean_utf8(&clean, text, strlen(text));
    lssb_json_string_n(json, name, clean.at, clean.len);
    bytes_free(&clean);
}

/* Puts one match. */
static void match_write(struct lssb_json_writer *json,
                        const struct match *match)
{
    lssb_json_object(json, NULL);
    match_text(json, "path", match->path);
    if (match->line > 0) {
        lssb_json_number(json, "line", match->line);
        match_text(json, "text", match->text);
    } else {
        lssb_json_bool(json, "is_dir", match->is_dir);
        lssb_json_number(json, "size_bytes", match->size);
        json_time(json, "modified_at", match->modified_us);
    }
    lssb_json_close(json);
}

/* {"matches":[…],"truncated":…} */
static void search_write(struct lssb_json_writer *json, const void *ctx)
{
    const struct search *search = ctx;
    size_t i;

    lssb_json_object(json, NULL);
    lssb_json_array(json, "matches");
    for (i = 0; i < search->count; i++)
        match_write(json, &search->matches[i]);
    lssb_json_close(json);
    lssb_json_bool(json, "truncated", search->truncated);
    lssb_json_close(json);
}

/* Adds a match, with the path at hand; NULL: there are enough. */
static struct match *search_add(struct search *search)
{
    struct match *match;

    if (search->count == search->limit) {
        search->truncated = true;
        return NULL;
    }
    search->matches = take_more(search->matches, (search->count + 1) *
                                                     sizeof *match);
    match = &search->matches[search->count++];
    memset(match, 0, sizeof *match);
    match->path = take_copy(search->path.at);
    return match;
}

/* -------------------------------------------------------------- walking -- */

/* Leaves a directory. */
static void search_leave(struct search *search)
{
    struct level *level = &search->levels[--search->level_count];
    size_t i;

    for (i = 0; i < level->count; i++)
        free(level->names[i]);
    free(level->names);
    close(level->fd);
}

/* The exchange is over, and the search with it. */
static void search_over(struct exchange *exchange)
{
    struct search *search = exchange->state;
    size_t i;

    loop_cancel(&exchange->d->loop, &search->timer);
    while (search->level_count > 0)
        search_leave(search);
    for (i = 0; i < search->count; i++) {
        free(search->matches[i].path);
        free(search->matches[i].text);
    }
    free(search->matches);
    free(search->pattern);
    free(search->glob);
    bytes_free(&search->path);
    free(search);
}

/* Orders names bytewise, for qsort. */
static int search_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Adds a name to a level. */
static void level_add(struct level *level, size_t *size, char *name)
{
    if (level->count == *size) {
        *size = *size * 2 + 32;
        level->names = take_more(level->names, *size * sizeof *level->names);
    }
    level->names[level->count++] = name;
}

/* Whether a name is a directory's, and no link. */
static bool search_is_dir(int dir, const struct dirent *item)
{
    struct stat info;

    if (item->d_type != DT_UNKNOWN)
        return item->d_type == DT_DIR;
    return fstatat(dir, item->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISDIR(info.st_mode);
}

/* Reads a directory into a level, in order. */
static void level_read(struct level *level, DIR *dir, bool descend)
{
    const struct dirent *item;
    size_t size = 0;

    while ((item = readdir(dir)) != NULL) {
        if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0)
            continue;
        level_add(level, &size, take_copy(item->d_name));
        if (descend && search_is_dir(dirfd(dir), item))
            level_add(level, &size, take_format("%s/", item->d_name));
    }
    if (level->count > 0)
        qsort(level->names, level->count, sizeof *level->names,
              search_compare);
}

/* Opens a directory, found from the box's root. -1: errno says why. */
static int search_open(const struct box *box, const char *path)
{
    char *inside = take_format("%s/.", path);
    struct place place;
    int fd = -1, why;

    if (path_find(box, inside, false, &place)) {
        fd = openat(place.dir, place.name, O_RDONLY | O_DIRECTORY |
                                               O_NOFOLLOW | O_CLOEXEC);
        why = errno;
        place_close(&place);
        errno = why;
    }
    free(inside);
    return fd;
}

/* Enters the directory at the path; false: it cannot be, and errno says why. */
static bool search_enter(struct search *search, const struct box *box)
{
    struct level *level = &search->levels[search->level_count];
    int fd = search_open(box, search->path.at);
    DIR *dir = fd < 0 ? NULL : fdopendir(dup(fd));

    if (dir == NULL) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    memset(level, 0, sizeof *level);
    level->prefix = search->path.len;
    level->fd = fd;
    search->level_count++;
    level_read(level, dir, search->level_count < search->depth);
    closedir(dir);
    return true;
}

/* -------------------------------------------------------------- looking -- */

/* Adds an entry of a directory. */
static void search_add_entry(struct search *search, int dir, const char *name)
{
    struct stat info;
    struct match *match;

    if (fstatat(dir, name, &info, AT_SYMLINK_NOFOLLOW) != 0)
        return;
    match = search_add(search);
    if (match == NULL)
        return;
    match->is_dir = S_ISDIR(info.st_mode);
    match->size = (int64_t)info.st_size;
    match->modified_us = (int64_t)info.st_mtim.tv_sec * 1000000 +
                         info.st_mtim.tv_nsec / 1000;
}

/* Reads a regular file whole; false when it is none, too long, or binary. */
static bool search_read(int dir, const char *name, struct bytes *content)
{
    struct stat info;
    char piece[16384];
    ssize_t got = -1;
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    size_t head;

    if (fd < 0)
        return false;
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) &&
        info.st_size <= SEARCH_FILE) {
        while ((got = read(fd, piece, sizeof piece)) > 0 &&
               content->len <= SEARCH_FILE)
            bytes_add(content, piece, (size_t)got);
    }
    close(fd);
    head = content->len < SEARCH_BINARY ? content->len : SEARCH_BINARY;
    return got == 0 && head > 0 && memchr(content->at, '\0', head) == NULL;
}

/* Adds the lines of a file that hold the text. */
static void search_lines(struct search *search, const struct bytes *content)
{
    const char *at = content->at, *end = at + content->len, *line = at, *hit;
    size_t len = strlen(search->pattern);
    int64_t number = 1;

    while (!search->truncated && at < end &&
           (hit = memmem(at, (size_t)(end - at), search->pattern, len)) !=
               NULL) {
        const char *newline;
        struct match *match;

        while ((newline = memchr(line, '\n', (size_t)(hit - line))) != NULL) {
            line = newline + 1;
            number++;
        }
        newline = memchr(hit, '\n', (size_t)(end - hit));
        at = newline != NULL ? newline : end;
        match = search_add(search);
        if (match != NULL) {
            match->line = number;
            match->text = take_copy_n(line, at - line < SEARCH_LINE
                                                ? (size_t)(at - line)
                                                : SEARCH_LINE);
        }
    }
}

/* Whether /grep looks into files of that name. */
static bool search_wants(const struct search *search, const char *name)
{
    if (search->glob == NULL)
        return true;
    if (strchr(search->glob, '/') == NULL &&
        strstr(search->glob, "**") == NULL)
        return glob_path(search->glob, name);
    return glob_path(search->glob, search->path.at + search->base + 1);
}

/* Looks at an entry. */
static void search_look(struct search *search, int dir, const char *name)
{
    struct bytes content = {0};

    if (!search->grep) {
        if (glob_path(search->pattern,
                      search->path.at + search->base + 1))
            search_add_entry(search, dir, name);
        return;
    }
    if (strchr(search->pattern, '\n') == NULL &&
        search_wants(search, name) && search_read(dir, name, &content))
        search_lines(search, &content);
    bytes_free(&content);
}

/* Takes one step; false: there is none left. */
static bool search_step(struct search *search, const struct box *box)
{
    struct level *level = &search->levels[search->level_count - 1];
    const char *name;

    if (search->truncated)
        return false;
    if (level->at == level->count) {
        search_leave(search);
        return search->level_count > 0;
    }
    name = level->names[level->at++];
    search->path.len = level->prefix;
    bytes_add_string(&search->path, "/");
    bytes_add_string(&search->path, name);
    if (search->path.at[search->path.len - 1] != '/') {
        search_look(search, level->fd, name);
        return true;
    }
    search->path.at[--search->path.len] = '\0';
    if (search->level_count == SEARCH_LEVELS)
        search->truncated = true;
    else
        search_enter(search, box);
    return true;
}

/* Goes on for a turn. */
static void search_turn(struct timer *timer)
{
    struct search *search = timer->owner;
    struct exchange *exchange = search->exchange;
    struct box *box = box_find(exchange->d, search->box_id);
    uint64_t begun = now_ms(), now = begun;
    bool more = true;

    if (box == NULL) {
        reply_error(exchange, 404, "NotFound", "the sandbox was deleted");
        return;
    }
    box_touch(box);
    while (more && now - begun < SEARCH_TURN_MS) {
        more = search_step(search, box);
        now = now_ms();
    }
    if (more && now > search->until)
        search->truncated = true;
    if (more && !search->truncated)
        loop_at(&exchange->d->loop, timer, now + 1);
    else
        reply_json(exchange, 200, search_write, search);
}

/* ------------------------------------------------------------- requests -- */

/* Reads what is asked for. */
static bool search_query(const struct object *body, struct search *search)
{
    char *path = NULL;
    int64_t limit = SEARCH_CAP;
    bool fine = object_text(body, "pattern", &search->pattern) &&
                object_text(body, "path", &path) &&
                object_integer(body, "limit", 1, INT64_MAX, &limit) &&
                (!search->grep || object_text(body, "glob", &search->glob));

    if (fine && search->pattern == NULL)
        fine = object_missing(body, "pattern");
    if (fine && path == NULL)
        fine = object_missing(body, "path");
    if (fine && path[0] != '/')
        fine = object_problem(body, "path", "must be absolute");
    search->limit = limit < SEARCH_CAP ? (size_t)limit : SEARCH_CAP;
    if (fine) {
        bytes_add_string(&search->path, path);
        while (search->path.len > 0 &&
               search->path.at[search->path.len - 1] == '/')
            search->path.at[--search->path.len] = '\0';
        search->base = search->path.len;
    }
    free(path);
    return fine;
}

/* Begins in the directory that was given. */
static void search_begin(struct search *search, const struct box *box)
{
    struct exchange *exchange = search->exchange;

    search->depth = search->grep ? SEARCH_LEVELS
                                 : glob_depth(search->pattern);
    search->until = now_ms() + SEARCH_MS;
    if (search_enter(search, box))
        loop_at(&exchange->d->loop, &search->timer, now_ms());
    else if (errno == EACCES || errno == EPERM)
        reply_error(exchange, 403, "PermissionDenied", "%s", strerror(errno));
    else
        reply_error(exchange, 404, "FileNotFound", "no such directory");
}

/* The body is there. */
static void search_body(struct exchange *exchange, struct value body,
                        bool grep)
{
    char *id = exchange->state;
    const struct box *box = box_find(exchange->d, id);
    struct search *search = take(sizeof *search);
    struct object top;

    snprintf(search->box_id, sizeof search->box_id, "%s", id);
    free(id);
    search->exchange = exchange;
    search->grep = grep;
    search->timer.owner = search;
    search->timer.fire = search_turn;
    exchange->state = search;
    exchange->on_over = search_over;
    object_top(&top, exchange, body);
    if (box == NULL)
        reply_error(exchange, 404, "NotFound", "the sandbox was deleted");
    else if (search_query(&top, search))
        search_begin(search, box);
}

/* The body of a /glob is there. */
static void search_glob_body(struct exchange *exchange, struct value body)
{
    search_body(exchange, body, false);
}

/* The body of a /grep is there. */
static void search_grep_body(struct exchange *exchange, struct value body)
{
    search_body(exchange, body, true);
}

/* POST /glob */
void search_glob(struct exchange *exchange, struct box *box)
{
    collect_named(exchange, box->id, search_glob_body);
}

/* POST /grep */
void search_grep(struct exchange *exchange, struct box *box)
{
    collect_named(exchange, box->id, search_grep_body);
}
