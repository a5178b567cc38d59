/* multipart.c: a multipart/form-data body, as it arrives (RFC 2046, 7578).
 *
 * SPDX-License-Identifier: MIT
 *
 * The delimiter is CR LF "--" boundary. A boundary holds no CR, so a CR can
 * only begin it: after a mismatch what had matched is content, and only the
 * byte at hand is looked at again.
 */
#include <stdlib.h>

#include "sandboxd.h"

enum {
    PART_CONTENT,                   /* before the first delimiter, too */
    PART_BEHIND,                    /* behind a delimiter: "--" or a line end */
    PART_LAST_DASH,
    PART_LINE_END,
    PART_HEADERS,
    PART_EPILOGUE
};

/* Copies the boundary of a Content-Type; false if there is none. */
static bool multipart_boundary(const char *type, char *to, size_t *len)
{
    const char *at = type;
    size_t n;

    while ((at = strchr(at, ';')) != NULL) {
        at++;
        at += strspn(at, " \t");
        if (!lssb_same_name(at, strlen(at) < 9 ? strlen(at) : 9, "boundary=",
                            9))
            continue;
        at += 9;
        if (*at == '"')
            n = strcspn(++at, "\"");
        else
            n = strcspn(at, "; \t");
        if (n == 0 || n > MULTIPART_BOUNDARY)
            return false;
        memcpy(to, at, n);
        *len = n;
        return true;
    }
    return false;
}

/* Prepares for one body; false when the type is not multipart/form-data with
 * a boundary. The callbacks are set afterwards. */
bool multipart_start(struct multipart *m, const char *content_type)
{
    static const char kind[] = "multipart/form-data";
    size_t len = 0;

    memset(m, 0, sizeof *m);
    if (content_type == NULL || strlen(content_type) < sizeof kind - 1 ||
        !lssb_same_name(content_type, sizeof kind - 1, kind, sizeof kind - 1))
        return false;
    memcpy(m->delimiter, "\r\n--", 4);
    if (!multipart_boundary(content_type, m->delimiter + 4, &len))
        return false;
    m->delimiter_len = 4 + len;
    m->matched = 2;                 /* the body may begin with "--boundary" */
    m->headers = take(MULTIPART_HEADERS + 1);
    return true;
}

/* Frees what it holds. */
void multipart_free(struct multipart *m)
{
    free(m->headers);
    m->headers = NULL;
}

/* A parameter of a header line, as a string that is taken; NULL: none. */
static char *multipart_parameter(const char *line, const char *name)
{
    const char *at = line;
    size_t name_len = strlen(name), n;

    while ((at = strchr(at, ';')) != NULL) {
        at++;
        at += strspn(at, " \t");
        if (strlen(at) <= name_len || at[name_len] != '=' ||
            !lssb_same_name(at, name_len, name, name_len))
            continue;
        at += name_len + 1;
        if (*at == '"')
            n = strcspn(++at, "\"");
        else
            n = strcspn(at, "; \t");
        return take_copy_n(at, n);
    }
    return NULL;
}

/* Tells of a part whose headers are complete. */
static void multipart_tell_part(struct multipart *m)
{
    static const char field[] = "content-disposition:";
    char *line = m->headers, *name = NULL;

    while (line != NULL && *line != '\0') {
        char *end = strstr(line, "\r\n");

        if (end != NULL)
            *end = '\0';
        if (strlen(line) >= sizeof field - 1 && name == NULL &&
            lssb_same_name(line, sizeof field - 1, field, sizeof field - 1))
            name = multipart_parameter(line, "name");
        line = end == NULL ? NULL : end + 2;
    }
    m->on_part(m, name == NULL ? "" : name);
    free(name);
}

/* Takes one byte of a part's header block. */
static void multipart_header_byte(struct multipart *m, char byte)
{
    size_t n;

    if (m->header_len == MULTIPART_HEADERS) {
        m->wrong = "a part's headers are too long";
        return;
    }
    m->headers[m->header_len++] = byte;
    n = m->header_len;
    if ((n == 2 && memcmp(m->headers, "\r\n", 2) == 0) ||
        (n >= 4 && memcmp(m->headers + n - 4, "\r\n\r\n", 4) == 0)) {
        m->headers[n] = '\0';
        multipart_tell_part(m);
        m->header_len = 0;
        m->matched = 0;
        m->state = PART_CONTENT;
    }
}

/* Takes one byte between a delimiter and what follows it. */
static void multipart_between(struct multipart *m, char byte)
{
    if (m->state == PART_LAST_DASH) {
        if (byte != '-')
            m->wrong = "a delimiter is followed by something else";
        m->state = PART_EPILOGUE;
        m->complete = m->wrong == NULL;
    } else if (m->state == PART_LINE_END) {
        if (byte != '\n')
            m->wrong = "a delimiter's line does not end";
        m->state = PART_HEADERS;
    } else if (byte == '-') {
        m->state = PART_LAST_DASH;
    } else if (byte == '\r') {
        m->state = PART_LINE_END;
    } else if (byte != ' ' && byte != '\t') {
        m->wrong = "a delimiter is followed by something else";
    }
}

/* Content up to the next byte that matters; how many bytes were taken. */
static size_t multipart_content(struct multipart *m, const uint8_t *bytes,
                                size_t len)
{
    const uint8_t *cr;
    size_t n;

    if (m->matched > 0) {
        if (bytes[0] == (uint8_t)m->delimiter[m->matched]) {
            if (++m->matched == m->delimiter_len)
                m->state = PART_BEHIND;
            return 1;
        }
        n = m->matched;
        m->matched = 0;
        m->on_data(m, (const uint8_t *)m->delimiter, n);
        return 0;
    }
    cr = memchr(bytes, '\r', len);
    n = cr == NULL ? len : (size_t)(cr - bytes);
    if (n > 0)
        m->on_data(m, bytes, n);
    if (cr == NULL)
        return n;
    m->matched = 1;
    return n + 1;
}

/* Takes bytes of the body; false when it is wrong. What is before the first
 * delimiter is given to on_data before any on_part. */
bool multipart_feed(struct multipart *m, const uint8_t *bytes, size_t len)
{
    size_t i = 0;

    while (i < len && m->wrong == NULL && m->state != PART_EPILOGUE) {
        if (m->state == PART_CONTENT)
            i += multipart_content(m, bytes + i, len - i);
        else if (m->state == PART_HEADERS)
            multipart_header_byte(m, (char)bytes[i++]);
        else
            multipart_between(m, (char)bytes[i++]);
    }
    return m->wrong == NULL;
}
