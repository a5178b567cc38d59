/* file.c: files in a box.
 *
 * SPDX-License-Identifier: MIT
 *
 * Protocol 4. Bytes go from the caller's source straight into the send buffer,
 * and from the receive buffer straight to the caller; no size is too large.
 */
#include "internal.h"

static struct lssb_op_state *file_of(lssb_op *op)
{
    return &op->reserved.state;
}

/* "/upload?path=…" and "/download?path=…". */
static void file_path(const lssb_op *op, struct lssb_writer *to,
                      const char *endpoint)
{
    lssb_put_text(to, endpoint);
    lssb_put_text(to, "?path=");
    lssb_put_query(to, op->reserved.state.text);
}

/* What is missing names the path and the box. */
static lssb_status file_failed(lssb_op *op, lssb_error *error)
{
    const lssb_sandbox *box = file_of(op)->box;

    if (error->status == LSSB_E_NOT_FOUND)
        lssb_error_prefix(error, "file ", file_of(op)->text, " in sandbox ",
                          box->name[0] != '\0' ? box->name : box->id, ": ",
                          NULL);
    return error->status;
}

/* Begins a call about a path; every one needs both. */
static lssb_op *file_begin(const lssb_sandbox *box, const char *path,
                           const void *third, lssb_op *op, lssb_op *own,
                           lssb_status *status)
{
    lssb_op *call = lssb_sandbox_begin(box, op, own, status);

    if (call == NULL)
        return NULL;
    if (path == NULL || path[0] == '\0' || third == NULL) {
        *status = lssb_refuse(box->client, call, "file: the path is empty, or "
                              "another argument is NULL", NULL);
        return NULL;
    }
    file_of(call)->text = path;
    return call;
}

/* --------------------------------------------------------------- writing -- */

static void file_upload_path(const lssb_op *op, struct lssb_writer *to)
{
    file_path(op, to, "/upload");
}

/* The part of the form before the content, or behind it. */
static void file_form(const lssb_op *op, struct lssb_writer *to, bool end)
{
    lssb_put_text(to, end ? "\r\n--" : "--");
    lssb_put_boundary(op, to);
    lssb_put_text(to, end ? "--\r\n"
                          : "\r\nContent-Disposition: form-data; "
                            "name=\"file\"; filename=\"file\"\r\n"
                            "Content-Type: application/octet-stream\r\n\r\n");
}

/* The content from memory: `out` is where it is, `size` how much. */
static void file_write_body(const lssb_op *op, struct lssb_writer *to)
{
    file_form(op, to, false);
    lssb_put(to, op->reserved.state.out, (size_t)op->reserved.state.size);
    file_form(op, to, true);
}

void lssb_put_source(const lssb_source *source, struct lssb_writer *to)
{
    uint64_t start = to->total, end = start + source->size;
    uint64_t from = to->skip + to->len;
    size_t room = to->room - to->len;
    ptrdiff_t n;

    to->total = end;
    if (room == 0 || from < start || from >= end)
        return;
    if (room > end - from)
        room = (size_t)(end - from);
    n = source->read_at(source->ctx, from - start, to->out + to->len, room);
    if (n == LSSB_SOURCE_LATER && to->may_wait) {
        to->later = true;
        to->room = to->len;
        return;
    }
    if (n <= 0 || (size_t)n > room) {
        to->wrong = n == 0 ? "the source ended before its size"
                           : "the source could not be read";
        return;
    }
    to->len += (size_t)n;
    if ((size_t)n < room)
        to->room = to->len;         /* what follows does not join on yet */
}

#define FILE_MAY_WAIT 1             /* an upload's `step`: its source may have
                                       nothing yet */

static void file_upload_body(const lssb_op *op, struct lssb_writer *to)
{
    const lssb_transfer *how = op->reserved.state.extra;
    const lssb_source *source = op->reserved.state.options;
    uint64_t moved;

    file_form(op, to, false);
    to->may_wait = op->reserved.state.step == FILE_MAY_WAIT;
    lssb_put_source(source, to);
    file_form(op, to, true);
    if (how == NULL || how->progress == NULL || to->len == 0)
        return;
    moved = to->skip + to->len;     /* of the form; near enough, and exact at */
    if (moved > source->size)       /* the end */
        moved = source->size;
    how->progress(how->user, moved, source->size);
}

/* What the reply of an upload says is of no use. */
static lssb_status file_ignore(lssb_op *op, const uint8_t *bytes, size_t len)
{
    (void)op;
    (void)bytes;
    (void)len;
    return LSSB_OK;
}

static lssb_status file_done(lssb_op *op, const char *text, size_t len)
{
    (void)op;
    (void)text;
    (void)len;
    return LSSB_OK;
}

static const struct lssb_exchange file_write = {
    .name = "write file",
    .method = "POST",
    .meaning = LSSB_MEANING_DATAPLANE,
    .resource = LSSB_RESOURCE_FILE,
    .dataplane = true,
    .transfer = true,
    .multipart = true,
    .path = file_upload_path,
    .body = file_write_body,
    .raw = file_ignore,
    .done = file_done,
    .failed = file_failed
};

lssb_status lssb_file_write(const lssb_sandbox *box, const char *path,
                            const void *bytes, size_t len, lssb_op *op)
{
    lssb_status status;
    lssb_op own, *call = file_begin(box, path, len == 0 ? "" : bytes, op, &own,
                                    &status);

    if (call == NULL)
        return status;
    memcpy(&file_of(call)->out, &bytes, sizeof bytes);
    file_of(call)->size = len;
    return lssb_call_go(call, op == NULL, &file_write, 0);
}

static const struct lssb_exchange file_upload = {
    .name = "upload file",
    .method = "POST",
    .meaning = LSSB_MEANING_DATAPLANE,
    .resource = LSSB_RESOURCE_FILE,
    .dataplane = true,
    .transfer = true,
    .multipart = true,
    .path = file_upload_path,
    .body = file_upload_body,
    .raw = file_ignore,
    .done = file_done,
    .failed = file_failed
};

/* Begins to upload; `step` is 0 or FILE_MAY_WAIT. */
static lssb_status file_send(const lssb_sandbox *box, const char *path,
                             const lssb_source *source,
                             const lssb_transfer *how, lssb_op *op,
                             uint8_t step)
{
    lssb_status status;
    lssb_op own, *call = file_begin(box, path, source, op, &own, &status);

    if (call == NULL)
        return status;
    if (source->read_at == NULL && source->size > 0)
        return lssb_refuse(box->client, call, "upload file: the source has no "
                           "read_at", NULL);
    if (source->size > INT64_MAX)
        return lssb_refuse(box->client, call, "upload file: the source's size "
                           "is larger than 2^63-1", NULL);
    file_of(call)->options = source;
    memcpy(&file_of(call)->extra, &how, sizeof how);
    file_of(call)->step = step;
    return lssb_call_go(call, op == NULL, &file_upload, 0);
}

lssb_status lssb_file_upload(const lssb_sandbox *box, const char *path,
                             const lssb_source *source,
                             const lssb_transfer *how, lssb_op *op)
{
    return file_send(box, path, source, how, op, 0);
}

lssb_status lssb_file_archive(const lssb_sandbox *box, const char *path,
                              const lssb_source *source,
                              const lssb_transfer *how, lssb_op *op)
{
    return file_send(box, path, source, how, op, FILE_MAY_WAIT);
}

/* --------------------------------------------------------------- reading -- */

/* What a read is made of: from memory's point of view, or a download's. */
static lssb_file *file_info(lssb_op *op)
{
    return file_of(op)->out;
}

static void file_download_path(const lssb_op *op, struct lssb_writer *to)
{
    file_path(op, to, "/download");
}

/* "A-B", "A-" or "-N". */
static void file_put_range(struct lssb_writer *to, const lssb_range *range,
                           uint64_t delivered)
{
    uint64_t start = range->start + delivered;

    lssb_put_text(to, "Range: bytes=");
    if (range->last > 0) {
        lssb_put_text(to, "-");
        lssb_put_u64(to, range->last);
    } else {
        lssb_put_u64(to, start);
        lssb_put_text(to, "-");
        if (range->length > 0)
            lssb_put_u64(to, range->start + range->length - 1);
    }
    lssb_put_text(to, "\r\n");
}

/* Whether a part is asked for. */
static bool file_wants_part(const lssb_range *range)
{
    return range->start > 0 || range->length > 0 || range->last > 0;
}

#define FILE_DATE_S 60              /* between a change and a reply: then the
                                       file cannot have changed once more within
                                       the same second (RFC 9110 8.8.2.2) */

/* What a part that is gone on with is of, if that can be known: a strong ETag;
 * behind a link also the time of the last change, well before that of the
 * reply, which `wait_end_at` is. "": nothing. */
static const char *file_validator(const lssb_op *op)
{
    const lssb_file *file = op->reserved.state.out;
    int64_t seconds;

    if (file->etag[0] == '"')
        return file->etag;
    if (file->etag[0] == '\0' && lssb_call_exchange(op)->url != NULL &&
        lssb_parse_http_date(file->last_modified, strlen(file->last_modified),
                             &seconds) &&
        seconds >= 0 && op->reserved.state.wait_end_at >= FILE_DATE_S &&
        (uint64_t)seconds <= op->reserved.state.wait_end_at - FILE_DATE_S)
        return file->last_modified;
    return "";
}

/* The conditions of a download; of one that goes on, that it is the same. */
static void file_download_headers(const lssb_op *op, struct lssb_writer *to)
{
    const lssb_download *download = op->reserved.state.options;
    const lssb_range *range = &download->range;
    const lssb_file *file = op->reserved.state.out;
    uint64_t delivered = op->reserved.state.progress;

    if (delivered > 0) {
        lssb_range rest = *range;

        rest.last = 0;              /* its beginning is known by now */
        rest.start = file->start;
        rest.length = 0;            /* a whole file is wanted to its end */
        if (file->partial && (range->length > 0 || range->last > 0))
            rest.length = op->reserved.state.size;
        file_put_range(to, &rest, delivered);
        lssb_put_header(to, "If-Range", file_validator(op));
    } else {
        if (file_wants_part(range))
            file_put_range(to, range, 0);
        if (range->if_range != NULL && range->if_range[0] != '\0')
            lssb_put_header(to, "If-Range", range->if_range);
        if (range->if_none_match != NULL && range->if_none_match[0] != '\0')
            lssb_put_header(to, "If-None-Match", range->if_none_match);
    }
    lssb_put_text(to, "Accept-Encoding: identity\r\n");
}

static void file_identity_header(const lssb_op *op, struct lssb_writer *to)
{
    (void)op;
    lssb_put_text(to, "Accept-Encoding: identity\r\n");
}

/* 304 is an answer to a condition, 416 to a range. */
static bool file_accepts(const lssb_op *op, int status)
{
    const lssb_download *download = op->reserved.state.options;

    if (op->reserved.state.progress > 0)
        return false;
    return (status == 304 && download->range.if_none_match != NULL) ||
           (status == 416 && file_wants_part(&download->range));
}

/* "bytes A-B/TOTAL"; false when it is none. */
static bool file_content_range(const char *value, size_t len, uint64_t *start,
                               uint64_t *end, uint64_t *total)
{
    const char *dash, *slash;

    if (len < 6 || !lssb_same_name(value, 6, "bytes ", 6))
        return false;
    value += 6;
    len -= 6;
    dash = memchr(value, '-', len);
    slash = memchr(value, '/', len);
    if (dash == NULL || slash == NULL || slash < dash ||
        !lssb_parse_u64(value, (size_t)(dash - value), start) ||
        !lssb_parse_u64(dash + 1, (size_t)(slash - dash - 1), end) ||
        *end < *start)
        return false;
    len -= (size_t)(slash + 1 - value);
    *total = LSSB_SIZE_UNKNOWN;
    if (len == 1 && slash[1] == '*')
        return true;
    return lssb_parse_u64(slash + 1, len, total) && *total > *end;
}

/* In `step`: what was seen of a reply. */
#define FILE_RANGE_SEEN 1           /* a Content-Range that makes sense */
#define FILE_PAST_END 4             /* 416: the range begins past the end */
#define FILE_OTHER 16               /* of a part: it is of another file */

/* The size in the Content-Range of a range that begins past the end. */
static void file_past_end(lssb_op *op, const char *value, size_t len)
{
    static const char unit[] = "bytes */";
    const size_t unit_len = sizeof unit - 1;
    lssb_file *file = file_info(op);

    if (len <= unit_len || memcmp(value, unit, unit_len) != 0 ||
        !lssb_parse_u64(value + unit_len, len - unit_len, &file->size))
        file->size = LSSB_SIZE_UNKNOWN;
}

/* Whether a header of a part that goes on says that the file is another. */
static bool file_is_other(const lssb_file *file, const char *name,
                          const char *value, size_t len)
{
    const char *known = "";

    if (lssb_same_name(name, strlen(name), "ETag", 4))
        known = file->etag;
    else if (lssb_same_name(name, strlen(name), "Last-Modified", 13) &&
             file->etag[0] == '\0')
        known = file->last_modified;
    return known[0] != '\0' &&
           (strlen(known) != len || memcmp(known, value, len) != 0);
}

/* Whether a part is of a file of another size. */
static bool file_is_resized(const lssb_file *file, uint64_t total)
{
    return total != file->size && total != LSSB_SIZE_UNKNOWN &&
           file->size != LSSB_SIZE_UNKNOWN;
}

/* Remembers when a reply was made. */
static void file_date(lssb_op *op, const char *value, size_t len)
{
    int64_t seconds;

    file_of(op)->wait_end_at = 0;
    if (lssb_parse_http_date(value, len, &seconds) && seconds > 0)
        file_of(op)->wait_end_at = (uint64_t)seconds;
}

/* The headers of a reply that say what the file is. */
static lssb_status file_header(lssb_op *op, int status, const char *name,
                               const char *value, size_t len)
{
    lssb_file *file = file_info(op);
    size_t name_len = strlen(name);
    uint64_t start, end, total;

    if (file_of(op)->progress > 0 && status == 206) {
        if (lssb_same_name(name, name_len, "Content-Range", 13) &&
            file_content_range(value, len, &start, &end, &total) &&
            start == file->start + file_of(op)->progress)
            file_of(op)->step |= file_is_resized(file, total)
                                     ? FILE_RANGE_SEEN | FILE_OTHER
                                     : FILE_RANGE_SEEN;
        if (file_is_other(file, name, value, len))
            file_of(op)->step |= FILE_OTHER;
        return LSSB_OK;
    }
    if (lssb_same_name(name, name_len, "Date", 4))
        file_date(op, value, len);
    else if (lssb_same_name(name, name_len, "ETag", 4))
        lssb_copy(file->etag, sizeof file->etag, value, len);
    else if (lssb_same_name(name, name_len, "Last-Modified", 13))
        lssb_copy(file->last_modified, sizeof file->last_modified, value, len);
    else if (lssb_same_name(name, name_len, "Content-Type", 12)) {
        struct lssb_text text;

        lssb_text_start(&text, file->content_type, sizeof file->content_type);
        lssb_text_add_n(&text, value, len);
    } else if (status == 416 &&
               lssb_same_name(name, name_len, "Content-Range", 13)) {
        file_past_end(op, value, len);
    } else if (status == 206 &&
               lssb_same_name(name, name_len, "Content-Range", 13) &&
               file_content_range(value, len, &start, &end, &total)) {
        file_of(op)->step |= FILE_RANGE_SEEN;
        file->start = start;
        file->size = total;
        file_of(op)->size = end - start + 1;
    }
    return LSSB_OK;
}

/* A broken reply. */
static lssb_status file_broken(lssb_op *op, const char *reason)
{
    return lssb_fail(&lssb_call_client(op)->error, LSSB_E_CONNECTION,
                     LSSB_LAYER_HTTP, lssb_call_exchange(op)->name, ": ",
                     reason, NULL);
}

/* Whether a 206 is the part that was asked for. */
static bool file_is_part(lssb_op *op)
{
    const lssb_download *download = file_of(op)->options;

    if ((file_of(op)->step & FILE_RANGE_SEEN) == 0)
        return false;
    if (file_of(op)->progress > 0)
        return true;
    if (!file_wants_part(&download->range))
        return false;
    if (download->range.last > 0)
        return file_of(op)->size <= download->range.last;
    return file_info(op)->start == download->range.start &&
           (download->range.length == 0 ||
            file_of(op)->size <= download->range.length);
}

/* All headers are there: what comes is known, and told. */
static lssb_status file_head(lssb_op *op, int status,
                             const struct lssb_http *http)
{
    const lssb_download *download = file_of(op)->options;
    lssb_file *file = file_info(op);

    if (status == 206 && !file_is_part(op))
        return file_broken(op, "the server sent another part than was asked "
                               "for, or did not say which");
    if (file_of(op)->progress > 0 &&
        (status != 206 || (file_of(op)->step & FILE_OTHER) != 0))
        return file_broken(op, "the connection was lost, and the file has "
                               "changed since");
    if (file_of(op)->progress > 0)
        return LSSB_OK;
    if (status == 416) {
        file_of(op)->step |= FILE_PAST_END;
        return LSSB_OK;
    }
    file->partial = status == 206;
    file->unchanged = status == 304;
    if (status != 206 && status != 304) {
        file->start = 0;
        file->size = http->has_length ? http->length : LSSB_SIZE_UNKNOWN;
        file_of(op)->size = file->size;
    }
    if (download->begin == NULL)
        return LSSB_OK;
    return lssb_call_heard(op, download->begin(download->user, file));
}

/* A piece of the file for the caller. */
static lssb_status file_take(lssb_op *op, const uint8_t *bytes, size_t len)
{
    const lssb_download *download = file_of(op)->options;
    lssb_file *file = file_info(op);
    lssb_status status;

    if ((file_of(op)->step & FILE_PAST_END) != 0)
        return LSSB_OK;             /* a sentence about the range */
    if (file_of(op)->size != LSSB_SIZE_UNKNOWN &&
        len > file_of(op)->size - file_of(op)->progress)
        return file_broken(op, "more came than the reply said");
    status = lssb_call_stopped(
        op, download->take(download->user, bytes, len));
    if (status != LSSB_OK)
        return status;
    file_of(op)->progress += len;
    file->length += len;
    if (download->how.progress != NULL)
        download->how.progress(download->how.user, file->length,
                               file_of(op)->size);
    return LSSB_OK;
}

/* Nothing is known of a file yet. */
static void file_forget(lssb_file *file)
{
    memset(file, 0, sizeof *file);
    file->size = LSSB_SIZE_UNKNOWN;
}

/* Another attempt goes on where this one stopped, if one can know that the file
 * is the same. Of one that brought nothing, nothing counts. */
static bool file_again(lssb_op *op)
{
    file_of(op)->step &= (uint8_t)~(FILE_RANGE_SEEN | FILE_OTHER);
    if (file_of(op)->progress > 0)
        return file_validator(op)[0] != '\0';
    file_forget(file_info(op));
    file_of(op)->wait_end_at = 0;
    return true;
}

/* The range began past the end: of an empty file that was asked for from its
 * beginning that is all of it, else a failure with the size in its message. */
static lssb_status file_nothing(lssb_op *op)
{
    const lssb_download *download = file_of(op)->options;
    const lssb_file *file = file_info(op);
    lssb_error *error = &lssb_call_client(op)->error;
    struct lssb_text text;

    if (file->size == 0 && download->range.start == 0)
        return LSSB_OK;
    lssb_fail(error, LSSB_E_OPERATION, LSSB_LAYER_SERVICE, "file ",
              file_of(op)->text, ": the range begins past the end; "
              "Content-Range: bytes */", NULL);
    error->http_status = 416;
    lssb_copy(error->operation, sizeof error->operation, "read", 4);
    lssb_text_start(&text, error->message + strlen(error->message),
                    sizeof error->message - strlen(error->message));
    if (file->size == LSSB_SIZE_UNKNOWN)
        lssb_text_add(&text, "?");
    else
        lssb_text_add_u64(&text, file->size);
    return LSSB_E_OPERATION;
}

static lssb_status file_downloaded(lssb_op *op, const char *text, size_t len)
{
    lssb_file *file = file_info(op);

    (void)text;
    (void)len;
    if ((file_of(op)->step & FILE_PAST_END) != 0)
        return file_nothing(op);
    if (file->partial && file_of(op)->progress != file_of(op)->size)
        return file_broken(op, "less came than the reply said");
    if (!file->partial && !file->unchanged)
        file->size = file->length;
    return LSSB_OK;
}

static const struct lssb_exchange file_download = {
    .name = "download file",
    .method = "GET",
    .meaning = LSSB_MEANING_DATAPLANE,
    .resource = LSSB_RESOURCE_FILE,
    .dataplane = true,
    .transfer = true,
    .path = file_download_path,
    .headers = file_download_headers,
    .accepts = file_accepts,
    .header = file_header,
    .head = file_head,
    .raw = file_take,
    .done = file_downloaded,
    .failed = file_failed,
    .again = file_again
};

/* NULL, or what is wrong with a range. */
static const char *file_range_wrong(const lssb_range *range)
{
    if (range->last > 0 && (range->start > 0 || range->length > 0))
        return "range: either `last`, or `start` and `length`";
    if (range->length > 0 && range->start > UINT64_MAX - range->length)
        return "range: start and length together are larger than 2^64-1";
    return NULL;
}

lssb_status lssb_file_download(const lssb_sandbox *box, const char *path,
                               const lssb_download *download, lssb_file *file,
                               lssb_op *op)
{
    lssb_status status;
    lssb_op own, *call = file_begin(box, path,
                                    download != NULL ? (void *)file : NULL, op,
                                    &own, &status);
    const char *wrong;

    if (call == NULL)
        return status;
    wrong = download->take == NULL ? "take: NULL"
                                   : file_range_wrong(&download->range);
    if (wrong != NULL)
        return lssb_refuse(box->client, call, "download file: ", wrong, NULL);
    file_forget(file);
    file_of(call)->options = download;
    file_of(call)->out = file;
    return lssb_call_go(call, op == NULL, &file_download, 0);
}

/* The reply to a request without a range is about a part. */
static lssb_status file_unasked(lssb_op *op)
{
    return file_broken(op, "the server sent a part of the file, which was not "
                           "asked for");
}

/* The size is what a GET would have. */
static lssb_status file_stat_head(lssb_op *op, int status,
                                  const struct lssb_http *http)
{
    if (status == 206)
        return file_unasked(op);
    file_info(op)->size = http->has_length ? http->length : LSSB_SIZE_UNKNOWN;
    return LSSB_OK;
}

static const struct lssb_exchange file_stat = {
    .name = "stat file",
    .method = "HEAD",
    .meaning = LSSB_MEANING_DATAPLANE,
    .resource = LSSB_RESOURCE_FILE,
    .dataplane = true,
    .path = file_download_path,
    .headers = file_identity_header,
    .header = file_header,
    .head = file_stat_head,
    .raw = file_ignore,
    .done = file_done,
    .failed = file_failed,
    .again = file_again
};

lssb_status lssb_file_stat(const lssb_sandbox *box, const char *path,
                           lssb_file *file, lssb_op *op)
{
    lssb_status status;
    lssb_op own, *call = file_begin(box, path, file, op, &own, &status);

    if (call == NULL)
        return status;
    file_forget(file);
    file_of(call)->out = file;
    return lssb_call_go(call, op == NULL, &file_stat,
                        box->client->transfer_timeout_ms);
}

/* ---------------------------------------------------------- behind links -- */

/* `box` is the link's URL. */
static const char *file_link_url(const lssb_op *op)
{
    return op->reserved.state.box;
}

/* The caller's headers: nothing of ours belongs there. */
static bool file_link_pair(const lssb_op *op, size_t index, lssb_pair *pair)
{
    if (index >= op->header_count)
        return false;
    *pair = op->headers[index];
    return true;
}

/* All of the URL behind its authority, but for a fragment. */
static void file_link_path(const lssb_op *op, struct lssb_writer *to)
{
    const char *text = file_link_url(op), *end;
    struct lssb_url url;

    if (lssb_url_parse(&url, text, strlen(text), false) != NULL)
        return;                     /* its target says so */
    end = strchr(url.path, '#');
    if (url.path[0] != '/')
        lssb_put_text(to, "/");
    lssb_put(to, url.path,
             end != NULL ? (size_t)(end - url.path) : strlen(url.path));
}

/* What is missing is named, without the URL. */
static lssb_status file_link_failed(lssb_op *op, lssb_error *error)
{
    (void)op;
    if (error->status == LSSB_E_NOT_FOUND || error->status == LSSB_E_AUTH)
        lssb_error_prefix(error, "the file behind the link: ", NULL);
    return error->status;
}

static const struct lssb_exchange file_link_download = {
    .name = "download link",
    .method = "GET",
    .resource = LSSB_RESOURCE_FILE,
    .transfer = true,
    .sealed = true,
    .url = file_link_url,
    .pairs = file_link_pair,
    .path = file_link_path,
    .headers = file_download_headers,
    .accepts = file_accepts,
    .header = file_header,
    .head = file_head,
    .raw = file_take,
    .done = file_downloaded,
    .failed = file_link_failed,
    .again = file_again
};

static const struct lssb_exchange file_link_stat = {
    .name = "stat link",
    .method = "HEAD",
    .resource = LSSB_RESOURCE_FILE,
    .sealed = true,
    .url = file_link_url,
    .pairs = file_link_pair,
    .path = file_link_path,
    .headers = file_identity_header,
    .header = file_header,
    .head = file_stat_head,
    .raw = file_ignore,
    .done = file_done,
    .failed = file_link_failed,
    .again = file_again
};

/* NULL, or what is wrong with a call about a link. The key is for the API. */
static const char *file_link_wrong(const lssb_op *op, const char *url,
                                   const lssb_file *file)
{
    size_t i;

    if (url == NULL || url[0] == '\0')
        return "url: NULL, or empty";
    if (file == NULL)
        return "file: NULL";
    for (i = 0; op->headers != NULL && i < op->header_count; i++)
        if (lssb_link_shows_key(lssb_call_client(op), &op->headers[i]))
            return "headers: the API key, and X-Api-Key, are not for links";
    return NULL;
}

lssb_status lssb_link_download(lssb_client *client, const char *url,
                               const lssb_download *download, lssb_file *file,
                               lssb_op *op)
{
    lssb_status status;
    lssb_op own, *call = lssb_call_begin(client, op, &own, &status);
    const char *wrong;

    if (call == NULL)
        return status;
    wrong = file_link_wrong(call, url, file);
    if (wrong == NULL && (download == NULL || download->take == NULL))
        wrong = "download, or its take: NULL";
    if (wrong == NULL)
        wrong = file_range_wrong(&download->range);
    if (wrong != NULL)
        return lssb_refuse(client, call, "download link: ", wrong, NULL);
    file_forget(file);
    file_of(call)->box = url;
    file_of(call)->text = "behind the link";
    file_of(call)->options = download;
    file_of(call)->out = file;
    return lssb_call_go(call, op == NULL, &file_link_download, 0);
}

lssb_status lssb_link_stat(lssb_client *client, const char *url,
                           lssb_file *file, lssb_op *op)
{
    lssb_status status;
    lssb_op own, *call = lssb_call_begin(client, op, &own, &status);
    const char *wrong;

    if (call == NULL)
        return status;
    wrong = file_link_wrong(call, url, file);
    if (wrong != NULL)
        return lssb_refuse(client, call, "stat link: ", wrong, NULL);
    file_forget(file);
    file_of(call)->box = url;
    file_of(call)->out = file;
    return lssb_call_go(call, op == NULL, &file_link_stat,
                        client->transfer_timeout_ms);
}

/* ----------------------------------------------------- reading to memory -- */

/* `out` is the caller's memory, `size` its size, `extra` where the length
 * goes, `progress` how much is there. */
static lssb_status file_too_long(lssb_op *op, uint64_t length)
{
    size_t *len = file_of(op)->extra;

    *len = length < SIZE_MAX ? (size_t)length : SIZE_MAX;
    return lssb_fail(&lssb_call_client(op)->error, LSSB_E_TOO_LONG,
                     LSSB_LAYER_CALLER, "read file ", file_of(op)->text,
                     ": it is larger than the memory for it", NULL);
}

static lssb_status file_read_head(lssb_op *op, int status,
                                  const struct lssb_http *http)
{
    if (status == 206)
        return file_unasked(op);
    if (http->has_length && http->length > file_of(op)->size)
        return file_too_long(op, http->length);
    return LSSB_OK;
}

static lssb_status file_read_take(lssb_op *op, const uint8_t *bytes,
                                  size_t len)
{
    struct lssb_op_state *state = file_of(op);

    if (len > state->size - state->progress)
        return file_too_long(op, state->progress + len);
    memcpy((uint8_t *)state->out + state->progress, bytes, len);
    state->progress += len;
    return LSSB_OK;
}

static lssb_status file_read_done(lssb_op *op, const char *text, size_t len)
{
    size_t *out = file_of(op)->extra;

    (void)text;
    (void)len;
    *out = (size_t)file_of(op)->progress;
    return LSSB_OK;
}

static bool file_read_again(lssb_op *op)
{
    file_of(op)->progress = 0;
    return true;
}

static const struct lssb_exchange file_read = {
    .name = "read file",
    .method = "GET",
    .meaning = LSSB_MEANING_DATAPLANE,
    .resource = LSSB_RESOURCE_FILE,
    .dataplane = true,
    .transfer = true,
    .path = file_download_path,
    .head = file_read_head,
    .raw = file_read_take,
    .done = file_read_done,
    .failed = file_failed,
    .again = file_read_again
};

lssb_status lssb_file_read(const lssb_sandbox *box, const char *path,
                           void *bytes, size_t size, size_t *len, lssb_op *op)
{
    lssb_status status;
    lssb_op own, *call = file_begin(box, path, len, op, &own, &status);

    if (call == NULL)
        return status;
    if (bytes == NULL && size > 0)
        return lssb_refuse(box->client, call, "read file: bytes: NULL", NULL);
    *len = 0;
    file_of(call)->out = bytes;
    file_of(call)->size = size;
    file_of(call)->extra = len;
    return lssb_call_go(call, op == NULL, &file_read, 0);
}
