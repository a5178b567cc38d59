/* fuzz_url.c: URLs, addresses, NO_PROXY, dates and UTF-8 from any bytes.
 *
 * SPDX-License-Identifier: MIT
 *
 * A libFuzzer target. What is accepted must hold together: slices lie within
 * the input, a host written again as an authority is read the same, a segment
 * decodes to what was encoded.
 */
#include <stdlib.h>

#include "src/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int condition)
{
    if (!condition)
        abort();
}

/* Whether a slice lies within the text. */
static void must_lie_in(const char *slice, size_t len, const char *text,
                        size_t text_len)
{
    must(slice >= text && slice <= text + text_len);
    must(len <= (size_t)(text + text_len - slice));
}

/* A host, written and read again, is the same. */
static void check_authority(const struct lssb_url *url)
{
    char host[256], out[300];
    struct lssb_writer writer;
    struct lssb_url again;

    must(url->host_len > 0 && url->host_len <= 253 && url->port > 0);
    must(lssb_copy(host, sizeof host, url->host, url->host_len));
    must((strchr(host, ':') != NULL) == url->host_is_v6);
    lssb_writer_start(&writer, out, sizeof out, 0);
    lssb_put_authority(&writer, host, url->tls, url->port, true);
    memset(&again, 0, sizeof again);
    must(lssb_url_authority(&again, out, writer.len) == NULL);
    must(again.host_len == url->host_len && again.port == url->port);
    must(memcmp(again.host, host, url->host_len) == 0);
    (void)lssb_is_loopback(host, url->host_len);
    must(lssb_no_proxy("x, *", host, url->host_len, url->port));
}

static void check_url(const char *text, size_t len, bool proxy)
{
    struct lssb_url url;

    if (lssb_url_parse(&url, text, len, proxy) != NULL)
        return;
    must_lie_in(url.host, url.host_len, text, len);
    must_lie_in(url.path, url.path_len, text, len);
    must(url.path_len == 0 || url.path[0] == '/');
    must(url.path_len == 0 || url.path[url.path_len - 1] != '/');
    if (url.query != NULL)
        must_lie_in(url.query, url.query_len, text, len);
    must(proxy || url.userinfo == NULL);
    if (url.userinfo != NULL)
        must_lie_in(url.userinfo, url.userinfo_len, text, len);
    check_authority(&url);
}

static void check_text(const char *string, size_t len)
{
    char coded[1200], plain[400];
    struct lssb_writer writer;
    lssb_address address;
    int64_t seconds;

    must(lssb_utf8_valid(string, len) <= len);
    (void)lssb_parse_http_date(string, len, &seconds);
    (void)lssb_parse_address(string, len, &address);
    (void)lssb_no_proxy(string, "10.1.2.3", 8, 80);
    (void)lssb_no_proxy(string, "fd00::1", 7, 443);
    (void)lssb_no_proxy(string, "a.example.", 10, 443);
    lssb_writer_start(&writer, coded, sizeof coded, 0);
    lssb_put_query(&writer, string);
    if (strlen(string) >= sizeof plain)
        return;
    must(lssb_percent_decode(plain, sizeof plain, coded, writer.len));
    must(strcmp(plain, string) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);

    if (text == NULL)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    check_text(text, size);
    free(text);
    text = malloc(size > 0 ? size : 1);
    if (text == NULL)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    check_url(text, size, false);
    check_url(text, size, true);
    free(text);
    return 0;
}
