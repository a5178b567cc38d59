/* files.c: files of a box, up and down (PROTOCOL 4.2, 4.3, 4.5, 4.6).
 *
 * SPDX-License-Identifier: MIT
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "control.h"

#define FILES_PIECE 65536

/* ---------------------------------------------------------------- files -- */

/* Replies to what a file call's errno says. */
static void file_error(struct exchange *exchange, const char *type, int why)
{
    if (why == EACCES || why == EPERM || why == EROFS)
        reply_error(exchange, 403, "PermissionDenied", "%s", strerror(why));
    else
        reply_error(exchange, 500, type, "%s",
                    why == EISDIR ? "is a directory" : strerror(why));
}

/* The query's path, taken; NULL, and a reply, without one. */
static char *file_path(struct exchange *exchange)
{
    char *path;

    if (form_value(exchange->query, "path", &path) && path != NULL &&
        *path != '\0')
        return path;
    free(path);
    reply_error(exchange, 400, "InvalidRequest",
                "the query needs a path, percent-encoded");
    return NULL;
}

/* --------------------------------------------------------------- upload -- */

/* One upload under way. */
struct upload {
    struct multipart parts;
    struct exchange *exchange;
    struct place place;
    char *path;
    char box_id[37];
    char temporary[40];             /* beside the target, until it is whole */
    int fd;
    bool in_file;
    bool seen;
    uint64_t written;
};

/* The exchange is over: what is not whole goes away. */
static void upload_over(struct exchange *exchange)
{
    struct upload *upload = exchange->state;

    if (upload->fd >= 0) {
        close(upload->fd);
        unlinkat(upload->place.dir, upload->temporary, 0);
    }
    place_close(&upload->place);
    multipart_free(&upload->parts);
    free(upload->path);
    free(upload);
}

/* A part begins. */
static void upload_part(struct multipart *parts, const char *name)
{
    struct upload *upload = parts->owner;

    upload->in_file = strcmp(name, "file") == 0;
    if (upload->in_file && upload->seen)
        parts->wrong = "there are two parts named file";
    upload->seen = upload->seen || upload->in_file;
}

/* A piece of a part. */
static void upload_data(struct multipart *parts, const uint8_t *bytes,
                        size_t len)
{
    struct upload *upload = parts->owner;
    uint64_t most = upload->exchange->d->settings.max_upload;

    if (!upload->in_file || upload->exchange->replying)
        return;
    upload->written += len;
    if (most > 0 && upload->written > most) {
        reply_error(upload->exchange, 413, "InvalidRequest",
                    "the file is longer than %llu bytes",
                    (unsigned long long)most);
        return;
    }
    while (len > 0) {
        ssize_t put = write(upload->fd, bytes, len);

        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0) {
            file_error(upload->exchange, "WriteError", errno);
            return;
        }
        bytes += put;
        len -= (size_t)put;
    }
}

/* A piece of the body. */
static void upload_body(struct exchange *exchange, const uint8_t *bytes,
                        size_t len)
{
    struct upload *upload = exchange->state;
    struct box *box = box_find(exchange->d, upload->box_id);

    if (box != NULL)
        box_touch(box);
    if (!multipart_feed(&upload->parts, bytes, len))
        reply_error(exchange, 400, "InvalidRequest", "%s",
                    upload->parts.wrong);
}

/* {"path":…,"written":…} */
static void upload_write(struct lssb_json_writer *json, const void *ctx)
{
    const struct upload *upload = ctx;
    struct bytes path = {0};

    clean_utf8(&path, upload->path, strlen(upload->path));
    lssb_json_object(json, NULL);
    lssb_json_string(json, "path", path.at);
    lssb_json_number(json, "written", (int64_t)upload->written);
    lssb_json_close(json);
    bytes_free(&path);
}

/* Puts the whole file in its place, with the mode of the one before. */
static bool upload_finish(struct upload *upload)
{
    struct stat before;
    mode_t mode = 0644;

    if (fstatat(upload->place.dir, upload->place.name, &before,
                AT_SYMLINK_NOFOLLOW) == 0) {
        if (S_ISDIR(before.st_mode)) {
            errno = EISDIR;
            return false;
        }
        mode = before.st_mode & 0777;
    }
    if (fchmod(upload->fd, mode) != 0 ||
        renameat(upload->place.dir, upload->temporary, upload->place.dir,
                 upload->place.name) != 0)
        return false;
    close(upload->fd);
    upload->fd = -1;
    return true;
}

/* The body is complete. */
static void upload_end(struct exchange *exchange)
{
    struct upload *upload = exchange->state;

    if (!upload->parts.complete || !upload->seen)
        reply_error(exchange, 400, "InvalidRequest",
                    upload->parts.complete
                        ? "there is no part named file"
                        : "the multipart body is incomplete");
    else if (!upload_finish(upload))
        file_error(exchange, "WriteError", errno);
    else
        reply_json(exchange, 200, upload_write, upload);
}

/* Opens the temporary file beside the target; errno says why not. */
static bool upload_open(struct upload *upload, const struct box *box)
{
    char digits[17];

    upload->fd = -1;
    upload->place.dir = -1;
    if (!path_find(box, upload->path, true, &upload->place))
        return false;
    errno = upload->place.host ? EROFS : EISDIR;
    if (upload->place.host || strcmp(upload->place.name, ".") == 0)
        return false;
    random_hex(digits, 16);
    snprintf(upload->temporary, sizeof upload->temporary, ".upload-%s",
             digits);
    upload->fd = openat(upload->place.dir, upload->temporary,
                        O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                        0600);
    return upload->fd >= 0;
}

/* POST /upload */
void upload_start(struct exchange *exchange, struct box *box)
{
    char *path = file_path(exchange);
    struct upload *upload;

    if (path == NULL)
        return;
    upload = take(sizeof *upload);
    upload->path = path;
    upload->exchange = exchange;
    memcpy(upload->box_id, box->id, sizeof upload->box_id);
    exchange->state = upload;
    exchange->on_over = upload_over;
    exchange->on_body = upload_body;
    exchange->on_end = upload_end;
    if (!upload_open(upload, box)) {
        file_error(exchange, "WriteError", errno);
        return;
    }
    if (!multipart_start(&upload->parts,
                         exchange_header(exchange, "Content-Type")))
        reply_error(exchange, 400, "InvalidRequest",
                    "the body must be multipart/form-data with a boundary");
    upload->parts.owner = upload;
    upload->parts.on_part = upload_part;
    upload->parts.on_data = upload_data;
}

/* ------------------------------------------------------------- download -- */

/* One download under way. */
struct download {
    int fd;
    uint64_t at;
    uint64_t end;
    char box_id[37];
};

/* What a request's Range comes to. */
enum range_kind { RANGE_WHOLE, RANGE_PART, RANGE_NONE };

/* The exchange is over. */
static void download_over(struct exchange *exchange)
{
    struct download *download = exchange->state;

    close(download->fd);
    free(download);
}

/* There is room for more. A file that has shrunk breaks the connection. */
static void download_room(struct exchange *exchange)
{
    struct download *download = exchange->state;
    struct box *box = box_find(exchange->d, download->box_id);
    char *piece = take(FILES_PIECE);
    size_t room;

    if (box != NULL)
        box_touch(box);
    while (!exchange->replied && (room = reply_room(exchange)) > 0) {
        uint64_t left = download->end - download->at;
        ssize_t got;

        room = room < FILES_PIECE ? room : FILES_PIECE;
        room = room < left ? room : (size_t)left;
        got = pread(download->fd, piece, room, (off_t)download->at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            reply_cut(exchange);
            break;
        }
        download->at += (uint64_t)got;
        reply_body(exchange, piece, (size_t)got);
    }
    free(piece);
}

/* Decimal digits; too many of them are a very large number. */
static bool range_number(const char *text, size_t len, uint64_t *number)
{
    size_t i;

    if (lssb_parse_u64(text, len, number))
        return true;
    for (i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
    }
    *number = UINT64_MAX;
    return len > 0;
}

/* Reads "bytes=A-B", "bytes=A-", "bytes=-N"; what is neither is ignored. */
static enum range_kind range_read(const char *text, uint64_t size,
                                  uint64_t *from, uint64_t *end)
{
    const char *dash;
    uint64_t first = 0, last = UINT64_MAX;

    if (text == NULL || !lssb_same_name(text, strlen(text) < 6
                                                  ? strlen(text)
                                                  : 6,
                                        "bytes=", 6))
        return RANGE_WHOLE;
    text += 6;
    dash = strchr(text, '-');
    if (dash == NULL || (dash[1] != '\0' &&
                         !range_number(dash + 1, strlen(dash + 1), &last)))
        return RANGE_WHOLE;
    if (dash == text) {
        if (dash[1] == '\0')
            return RANGE_WHOLE;
        *from = last < size ? size - last : 0;
        *end = size;
        return last == 0 || size == 0 ? RANGE_NONE : RANGE_PART;
    }
    if (!range_number(text, (size_t)(dash - text), &first) || last < first)
        return RANGE_WHOLE;
    *from = first;
    *end = last < size ? last + 1 : size;
    return first < size ? RANGE_PART : RANGE_NONE;
}

/* Whether a list of validators names this one (RFC 9110 13.1.2: weakly). */
static bool etag_listed(const char *list, const char *etag)
{
    while (list != NULL && *list != '\0') {
        size_t len;

        list += strspn(list, ", \t");
        if (*list == '*')
            return true;
        if (strncmp(list, "W/", 2) == 0)
            list += 2;
        len = *list == '"' ? strcspn(list + 1, "\"") + 2 : strcspn(list, ",");
        if (len == strlen(etag) && strncmp(list, etag, len) == 0)
            return true;
        list += len < strlen(list) ? len : strlen(list);
    }
    return false;
}

/* Nanoseconds of the last change. */
static unsigned long long file_nanoseconds(const struct stat *info)
{
    return (unsigned long long)info->st_mtim.tv_sec * 1000000000u +
           (unsigned long long)info->st_mtim.tv_nsec;
}

/* A download, as it is looked at. */
struct file_view {
    struct stat info;
    char etag[64];
    const struct file_look *look;   /* NULL: the API's own */
    const char *path;
};

/* Puts what a link says about its file; what is served to strangers' browsers
 * must not act in the name of its host. */
static void download_look(struct exchange *exchange,
                          const struct file_view *view)
{
    const struct file_look *look = view->look;
    const char *type = look != NULL ? look->type : NULL;
    const char *slash = strrchr(view->path, '/');
    struct lssb_writer writer;
    char name[800];

    reply_header(exchange, "Content-Type",
                 type != NULL ? type : "application/octet-stream");
    if (look == NULL)
        return;
    reply_header(exchange, "X-Content-Type-Options", "nosniff");
    reply_header(exchange, "Content-Security-Policy", "sandbox");
    if (look->disposition == NULL)
        return;
    lssb_writer_start(&writer, name, sizeof name - 1, 0);
    lssb_put_text(&writer, look->disposition);
    lssb_put_text(&writer, "; filename*=UTF-8''");
    lssb_put_query(&writer, slash != NULL ? slash + 1 : view->path);
    name[writer.len] = '\0';
    reply_header(exchange, "Content-Disposition", name);
}

/* Puts the validators into a reply. */
static void download_headers(struct exchange *exchange,
                             const struct stat *info, const char *etag)
{
    char date[32];

    format_http_date(date, (int64_t)info->st_mtime);
    reply_header(exchange, "ETag", etag);
    reply_header(exchange, "Last-Modified", date);
    reply_header(exchange, "Accept-Ranges", "bytes");
}

/* 416: its body is plain text. */
static void download_no_range(struct exchange *exchange,
                              const struct stat *info, const char *etag)
{
    static const char body[] = "invalid range";
    char range[48];

    snprintf(range, sizeof range, "bytes */%llu",
             (unsigned long long)info->st_size);
    reply_begin(exchange, 416);
    reply_header(exchange, "Content-Range", range);
    reply_header(exchange, "Content-Type", "text/plain; charset=utf-8");
    download_headers(exchange, info, etag);
    reply_length(exchange, sizeof body - 1);
    reply_body(exchange, body, sizeof body - 1);
}

/* Replies with a part of a file, or with the whole. */
static void download_reply(struct exchange *exchange, struct box *box, int fd,
                           const struct file_view *view)
{
    const struct stat *info = &view->info;
    const char *etag = view->etag;
    struct download *download = take(sizeof *download);
    const char *if_range = exchange_header(exchange, "If-Range");
    uint64_t size = (uint64_t)info->st_size, from = 0, end = size;
    enum range_kind kind = RANGE_WHOLE;
    char range[80];

    if (!exchange->is_head &&
        (if_range == NULL || strcmp(if_range, etag) == 0))
        kind = range_read(exchange_header(exchange, "Range"), size, &from,
                          &end);
    download->fd = fd;
    download->at = from;
    download->end = end;
    memcpy(download->box_id, box->id, sizeof download->box_id);
    exchange->state = download;
    exchange->on_over = download_over;
    exchange->on_room = download_room;
    if (kind == RANGE_NONE) {
        download_no_range(exchange, info, etag);
        return;
    }
    reply_begin(exchange, kind == RANGE_PART ? 206 : 200);
    if (kind == RANGE_PART) {
        snprintf(range, sizeof range, "bytes %llu-%llu/%llu",
                 (unsigned long long)from, (unsigned long long)end - 1,
                 (unsigned long long)size);
        reply_header(exchange, "Content-Range", range);
    }
    download_look(exchange, view);
    download_headers(exchange, info, etag);
    reply_length(exchange, end - from);
}

/* 404 in the form of file calls: without "detail". */
static void download_missing(struct exchange *exchange)
{
    static const char body[] =
        "{\"error\":\"NotFound\",\"message\":\"file not found\"}";

    reply_whole(exchange, 404, "application/json", body, sizeof body - 1);
}

/* Opens the file of a path: a descriptor, or -1 and errno. */
static int download_open(const struct box *box, const char *path,
                         struct stat *info)
{
    struct place place;
    int fd, why;

    if (!path_find(box, path, false, &place))
        return -1;
    fd = openat(place.dir, place.name,
                O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    why = errno;
    place_close(&place);
    errno = why;
    if (fd < 0)
        return -1;
    why = fstat(fd, info) != 0           ? errno
          : S_ISDIR(info->st_mode)       ? EISDIR
          : S_ISREG(info->st_mode) ? 0 : EINVAL;
    if (why == 0)
        return fd;
    close(fd);
    errno = why;
    return -1;
}

/* Makes what a file is known by. */
static void download_etag(struct file_view *view)
{
    snprintf(view->etag, sizeof view->etag, "\"%llx-%llx-%llx\"",
             (unsigned long long)view->info.st_ino,
             file_nanoseconds(&view->info),
             (unsigned long long)view->info.st_size);
}

/* Serves a file to a GET or a HEAD. */
void file_serve(struct exchange *exchange, struct box *box, const char *path,
                const struct file_look *look)
{
    struct file_view view;
    int fd;

    memset(&view, 0, sizeof view);
    view.look = look;
    view.path = path;
    fd = download_open(box, path, &view.info);
    if (fd < 0) {
        if (errno == ENOENT || errno == ENOTDIR)
            download_missing(exchange);
        else
            file_error(exchange, "ReadError", errno);
        return;
    }
    download_etag(&view);
    if (etag_listed(exchange_header(exchange, "If-None-Match"), view.etag)) {
        close(fd);
        reply_begin(exchange, 304);
        download_headers(exchange, &view.info, view.etag);
        reply_no_body(exchange);
        return;
    }
    download_reply(exchange, box, fd, &view);
}

/* GET and HEAD /download */
void download_start(struct exchange *exchange, struct box *box)
{
    char *path = file_path(exchange);

    if (path != NULL)
        file_serve(exchange, box, path, NULL);
    free(path);
}
