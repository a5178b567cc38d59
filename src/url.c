/* url.c: URLs (RFC 3986), literal addresses, and whom a proxy is not for.
 *
 * SPDX-License-Identifier: MIT
 *
 * An engine: slices of the caller's text, no memory, no I/O. It refuses what
 * two programs could read differently: a host that is no name and no address
 * in full ("127.1", "0x7f.1"), percent signs in a host, white space,
 * backslashes. The one dot that may end a host is dropped, since neither SNI
 * nor certificates know it.
 */
#include "internal.h"

/* -------------------------------------------------------------- characters */

static bool url_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool url_is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* RFC 3986 2.3. */
static bool url_is_unreserved(char c)
{
    return url_is_alpha(c) || url_is_digit(c) || c == '-' || c == '.' ||
           c == '_' || c == '~';
}

/* The value of a hexadecimal digit, or 16. */
static unsigned url_hex(char c)
{
    if (url_is_digit(c))
        return (unsigned)(c - '0');
    if (c >= 'a' && c <= 'f')
        return (unsigned)(c - 'a') + 10;
    if (c >= 'A' && c <= 'F')
        return (unsigned)(c - 'A') + 10;
    return 16;
}

/* What is wrong with a part of a URL: besides the unreserved and sub-delims it
 * may hold escapes and the characters of `more`. */
static const char *url_check(const char *text, size_t len, const char *more)
{
    size_t i;

    for (i = 0; i < len; i++) {
        char c = text[i];

        if (c == '%') {
            if (len - i < 3 || url_hex(text[i + 1]) > 15 ||
                url_hex(text[i + 2]) > 15)
                return "the URL has a percent sign that begins no escape";
            i += 2;
        } else if (c == '\0' || (!url_is_unreserved(c) &&
                                 strchr("!$&'()*+,;=", c) == NULL &&
                                 strchr(more, c) == NULL)) {
            return "the URL has a character that must be percent-encoded";
        }
    }
    return NULL;
}

/* --------------------------------------------------------------- addresses */

/* Reads "192.0.2.1": four numbers without leading zeros. */
static bool url_v4(const char *text, size_t len, uint8_t *bytes)
{
    size_t at = 0, part;

    for (part = 0; part < 4; part++) {
        size_t from;
        unsigned number = 0;

        if (part > 0 && (at == len || text[at++] != '.'))
            return false;
        for (from = at; at < len && at - from < 3 && url_is_digit(text[at]);)
            number = number * 10 + (unsigned)(text[at++] - '0');
        if (at == from || number > 255 || (text[from] == '0' && at - from > 1))
            return false;
        bytes[part] = (uint8_t)number;
    }
    return at == len;
}

/* Moves the groups behind "::" to the end of the address. */
static bool url_v6_spread(uint8_t *bytes, size_t count, size_t gap)
{
    if (gap > 16)
        return count == 16;
    if (count == 16)
        return false;
    memmove(bytes + 16 - (count - gap), bytes + gap, count - gap);
    memset(bytes + gap, 0, 16 - count);
    return true;
}

/* Reads an IPv6 address (RFC 4291 2.2, all three forms), without a scope. */
static bool url_v6(const char *text, size_t len, uint8_t *bytes)
{
    size_t at = 0, count = 0, gap = 17;

    if (len >= 2 && text[0] == ':' && text[1] == ':') {
        gap = 0;
        at = 2;
    }
    while (at < len) {
        size_t from = at;
        unsigned group = 0;

        while (at < len && at - from < 4 && url_hex(text[at]) < 16)
            group = group << 4 | url_hex(text[at++]);
        if (at < len && text[at] == '.') {
            if (count > 12 || !url_v4(text + from, len - from, bytes + count))
                return false;
            return url_v6_spread(bytes, count + 4, gap);
        }
        if (at == from || count == 16)
            return false;
        bytes[count++] = (uint8_t)(group >> 8);
        bytes[count++] = (uint8_t)(group & 0xFF);
        if (at == len)
            break;
        if (text[at++] != ':' || at == len)
            return false;
        if (text[at] != ':')
            continue;
        if (gap <= 16)
            return false;
        gap = count;
        at++;
    }
    return url_v6_spread(bytes, count, gap);
}

bool lssb_parse_address(const char *text, size_t len, lssb_address *address)
{
    const char *percent = len > 0 ? memchr(text, '%', len) : NULL;
    uint64_t scope = 0;

    memset(address, 0, sizeof *address);
    address->family = 4;
    if (url_v4(text, len, address->bytes))
        return true;
    memset(address, 0, sizeof *address);
    address->family = 6;
    if (percent != NULL) {
        const char *digits = percent + 1;

        if (!lssb_parse_u64(digits, (size_t)(text + len - digits), &scope) ||
            scope > UINT32_MAX)
            return false;
        len = (size_t)(percent - text);
    }
    address->scope = (uint32_t)scope;
    return url_v6(text, len, address->bytes);
}

/* Turns an IPv4 address in IPv6 clothes (::ffff:192.0.2.1) into itself. */
static void url_unmap(lssb_address *address)
{
    static const uint8_t mapped[12] = {
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF
    };

    if (address->family != 6 || memcmp(address->bytes, mapped, 12) != 0)
        return;
    address->family = 4;
    memmove(address->bytes, address->bytes + 12, 4);
    memset(address->bytes + 4, 0, 12);
}

/* The length of a host without the dot that may end it. */
static size_t url_undotted(const char *host, size_t len)
{
    return len > 1 && host[len - 1] == '.' ? len - 1 : len;
}

/* Whether a name is a domain, or below it. */
static bool url_below(const char *host, size_t len, const char *domain,
                      size_t domain_len)
{
    if (domain_len == 0 || len < domain_len)
        return false;
    if (len > domain_len && host[len - domain_len - 1] != '.')
        return false;
    return lssb_same_name(host + (len - domain_len), domain_len, domain,
                          domain_len);
}

bool lssb_is_loopback(const char *host, size_t len)
{
    static const uint8_t one[16] = {
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1
    };
    lssb_address address;

    if (!lssb_parse_address(host, len, &address))
        return url_below(host, url_undotted(host, len), "localhost", 9);
    url_unmap(&address);
    if (address.family == 4)
        return address.bytes[0] == 127;
    return memcmp(address.bytes, one, sizeof one) == 0;
}

/* ------------------------------------------------------------------ parsing */

/* Whether the last label of a host is a number, or looks like one to those
 * who read "0x7f.1" as an address. */
static bool url_ends_in_number(const char *host, size_t len)
{
    size_t from = len, i;
    bool hex;

    while (from > 0 && host[from - 1] != '.')
        from--;
    hex = len - from >= 2 && host[from] == '0' &&
          (host[from + 1] == 'x' || host[from + 1] == 'X');
    for (i = hex ? from + 2 : from; i < len; i++)
        if (hex ? url_hex(host[i]) > 15 : !url_is_digit(host[i]))
            return false;
    return true;
}

/* What is wrong with a host's name, or an IPv4 address (RFC 1123 2.1, and the
 * underscore that some names have). */
static const char *url_check_name(const char *host, size_t len)
{
    uint8_t bytes[4];
    size_t i, label = 0;

    if (len == 0)
        return "the URL has no host";
    if (len > 253)
        return "the URL's host is longer than 253 characters";
    for (i = 0; i < len; i++) {
        char c = host[i];

        if (!url_is_alpha(c) && !url_is_digit(c) && c != '-' && c != '_' &&
            c != '.')
            return "the URL's host has a character that no host has";
        label = c == '.' ? 0 : label + 1;
        if (label > 63)
            return "a label of the URL's host is longer than 63 characters";
        if (label == 0 && (i == 0 || i == len - 1 || host[i - 1] == '.'))
            return "the URL's host has an empty label";
    }
    if (url_ends_in_number(host, len) && !url_v4(host, len, bytes))
        return "the URL's host is neither a name nor an IPv4 address";
    return NULL;
}

/* Takes a port off the end of "host:port", from its colon on. */
static const char *url_port(struct lssb_url *url, const char *colon,
                            const char *end)
{
    uint64_t port;

    if (colon == end)
        return NULL;
    if (*colon != ':')
        return "the URL has something other than a port behind its host";
    if (colon + 1 == end)
        return NULL;                /* "host:" is the scheme's, too (3.2.3) */
    if (!lssb_parse_u64(colon + 1, (size_t)(end - colon - 1), &port) ||
        port == 0 || port > 65535)
        return "the URL's port is not a number from 1 to 65535";
    url->port = (uint16_t)port;
    url->port_given = true;
    return NULL;
}

const char *lssb_url_authority(struct lssb_url *url, const char *text,
                               size_t len)
{
    const char *end = text + len;
    const char *close;
    const char *wrong;
    uint8_t bytes[16];

    if (len > 0 && text[0] == '[') {
        close = memchr(text, ']', len);
        if (close == NULL ||
            !url_v6(text + 1, (size_t)(close - text - 1), bytes))
            return "the URL's host is no IPv6 address in its brackets";
        url->host = text + 1;
        url->host_len = (size_t)(close - text - 1);
        url->host_is_v6 = true;
        return url_port(url, close + 1, end);
    }
    close = len > 0 ? memchr(text, ':', len) : NULL;
    if (close == NULL)
        close = end;
    url->host = text;
    url->host_len = url_undotted(text, (size_t)(close - text));
    url->host_is_v6 = false;
    wrong = url_check_name(url->host, url->host_len);
    return wrong != NULL ? wrong : url_port(url, close, end);
}

/* Takes the userinfo off the front of an authority. */
static const char *url_userinfo(struct lssb_url *url, const char **text,
                                const char *end, bool allowed)
{
    const char *at = NULL;
    const char *scan;

    for (scan = *text; scan < end; scan++)
        if (*scan == '@')
            at = scan;
    if (at == NULL)
        return NULL;
    if (!allowed)
        return "the URL has a user name or a password in it";
    url->userinfo = *text;
    url->userinfo_len = (size_t)(at - *text);
    *text = at + 1;
    return url_check(url->userinfo, url->userinfo_len, ":");
}

/* Takes the scheme and its "://"; a proxy's may be missing, then it is http. */
static const char *url_scheme(struct lssb_url *url, const char **text,
                              const char *end, bool optional)
{
    static const struct {
        char name[6];
        bool tls;
    } schemes[] = {
        { "http", false }, { "https", true }, { "ws", false }, { "wss", true }
    };
    const char *scan = *text;
    size_t i, len;

    while (scan < end && *scan != ':' && *scan != '/' && *scan != '@' &&
           *scan != '[')
        scan++;
    len = (size_t)(scan - *text);
    url->port = 80;
    if (end - scan < 3 || memcmp(scan, "://", 3) != 0)
        return optional ? NULL : "the URL does not begin with a scheme and ://";
    for (i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        const char *name = schemes[i].name;

        if (!lssb_same_name(*text, len, name, strlen(name)))
            continue;
        url->tls = schemes[i].tls;
        url->port = url->tls ? 443 : 80;
        *text = scan + 3;
        return NULL;
    }
    return "the URL's scheme is none of http, https, ws, wss";
}

/* Takes apart what follows the authority: path, query, fragment. */
static const char *url_tail(struct lssb_url *url, const char *text,
                            const char *end)
{
    const char *hash = text < end ? memchr(text, '#', (size_t)(end - text))
                                  : NULL;
    const char *mark;
    const char *wrong = NULL;

    if (hash != NULL) {
        wrong = url_check(hash + 1, (size_t)(end - hash - 1), ":@/?");
        end = hash;
    }
    mark = text < end ? memchr(text, '?', (size_t)(end - text)) : NULL;
    if (wrong == NULL && mark != NULL) {
        url->query = mark + 1;
        url->query_len = (size_t)(end - mark - 1);
        wrong = url_check(url->query, url->query_len, ":@/?");
        end = mark;
    }
    if (wrong == NULL)
        wrong = url_check(text, (size_t)(end - text), ":@/");
    while (end > text && end[-1] == '/')
        end--;
    url->path = text;
    url->path_len = (size_t)(end - text);
    return wrong;
}

/* What is wrong with the text as a whole: what no part of a URL may have. */
static const char *url_check_all(const char *text, size_t len)
{
    size_t i;

    if (len == 0)
        return "the URL is empty";
    for (i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c <= 0x20 || c == 0x7F)
            return "the URL has white space or a control character in it";
        if (c > 0x7F)
            return "the URL has a character beyond ASCII in it";
    }
    return NULL;
}

const char *lssb_url_parse(struct lssb_url *url, const char *text, size_t len,
                           bool userinfo_allowed)
{
    const char *end, *stop, *wrong = url_check_all(text, len);

    memset(url, 0, sizeof *url);
    if (wrong != NULL)
        return wrong;
    end = text + len;
    wrong = url_scheme(url, &text, end, userinfo_allowed);
    if (wrong != NULL)
        return wrong;
    for (stop = text; stop < end; stop++)
        if (*stop == '/' || *stop == '?' || *stop == '#')
            break;
    wrong = url_userinfo(url, &text, stop, userinfo_allowed);
    if (wrong == NULL)
        wrong = lssb_url_authority(url, text, (size_t)(stop - text));
    if (wrong == NULL)
        wrong = url_tail(url, stop, end);
    return wrong;
}

bool lssb_percent_decode(char *to, size_t size, const char *text, size_t len)
{
    size_t i, put = 0;

    if (size == 0)
        return false;
    for (i = 0; i < len && put + 1 < size; i++) {
        char c = text[i];

        if (c == '%') {
            unsigned high = len - i > 2 ? url_hex(text[i + 1]) : 16;
            unsigned low = high < 16 ? url_hex(text[i + 2]) : 16;

            if (low > 15)
                break;
            c = (char)(unsigned char)(high << 4 | low);
            i += 2;
        }
        if (c == '\0')
            break;
        to[put++] = c;
    }
    to[i == len ? put : 0] = '\0';
    return i == len;
}

/* ------------------------------------------------------------------ writing */

void lssb_put_authority(struct lssb_writer *writer, const char *host, bool tls,
                        uint16_t port, bool always_port)
{
    bool v6 = strchr(host, ':') != NULL;

    if (v6)
        lssb_put(writer, "[", 1);
    lssb_put_text(writer, host);
    if (v6)
        lssb_put(writer, "]", 1);
    if (always_port || port != (tls ? 443 : 80)) {
        lssb_put(writer, ":", 1);
        lssb_put_u64(writer, port);
    }
}

void lssb_put_query(struct lssb_writer *writer, const char *string)
{
    static const char digits[] = "0123456789ABCDEF";
    char escape[3];

    while (*string != '\0') {
        const char *from = string;
        unsigned char c;

        while (url_is_unreserved(*string))
            string++;
        lssb_put(writer, from, (size_t)(string - from));
        if (*string == '\0')
            break;
        c = (unsigned char)*string++;
        escape[0] = '%';
        escape[1] = digits[c >> 4];
        escape[2] = digits[c & 15];
        lssb_put(writer, escape, sizeof escape);
    }
}

void lssb_put_segment(struct lssb_writer *writer, const char *string)
{
    if (writer->wrong == NULL && string[0] == '\0')
        writer->wrong = "a name in the URL's path is empty";
    if (writer->wrong == NULL &&
        (strcmp(string, ".") == 0 || strcmp(string, "..") == 0))
        writer->wrong = "a name in the URL's path is \".\" or \"..\"";
    lssb_put_query(writer, string);
}

/* ----------------------------------------------------------------- NO_PROXY */

/* One entry of the list, and the host that is asked for. */
struct url_entry {
    const char *text;
    size_t len;
    const char *host;
    size_t host_len;
    bool host_is_address;
    lssb_address address;
    uint16_t port;
};

/* Whether the first `bits` of two addresses are the same. */
static bool url_same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;

    if (memcmp(a, b, whole) != 0)
        return false;
    return rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

/* Whether an entry that is an address or a network has the host's address. */
static bool url_in_network(const struct url_entry *entry)
{
    const char *slash = entry->len > 0 ? memchr(entry->text, '/', entry->len)
                                       : NULL;
    const char *end = entry->text + entry->len;
    size_t len = slash != NULL ? (size_t)(slash - entry->text) : entry->len;
    lssb_address network;
    uint64_t bits, all;

    if (!entry->host_is_address ||
        !lssb_parse_address(entry->text, len, &network))
        return false;
    bits = all = network.family == 4 ? 32 : 128;
    if (slash != NULL && (!lssb_parse_u64(slash + 1, (size_t)(end - slash - 1),
                                          &bits) || bits > all))
        return false;
    if (network.family == 6 && bits >= 96) {
        url_unmap(&network);
        bits -= network.family == 4 ? 96 : 0;
    }
    return network.family == entry->address.family &&
           url_same_bits(network.bytes, entry->address.bytes, (unsigned)bits);
}

/* Takes ":port" off an entry: true if it is the one asked for, or none. An
 * IPv6 address has more than one colon; with a port it needs brackets. */
static bool url_entry_port(struct url_entry *entry)
{
    const char *end = entry->text + entry->len;
    const char *colon;
    uint64_t port;

    if (entry->len > 0 && entry->text[0] == '[') {
        const char *close = memchr(entry->text, ']', entry->len);

        if (close == NULL)
            return false;
        colon = memchr(close, ':', (size_t)(end - close));
        if (colon == NULL && close + 1 != end)
            return false;
        if (colon != NULL && colon != close + 1)
            return false;
        entry->text++;
        entry->len = (size_t)(close - entry->text);
    } else {
        colon = entry->len > 0 ? memchr(entry->text, ':', entry->len) : NULL;
        if (colon == NULL || memchr(colon + 1, ':', (size_t)(end - colon - 1)))
            return true;
        entry->len = (size_t)(colon - entry->text);
    }
    return colon == NULL ||
           (lssb_parse_u64(colon + 1, (size_t)(end - colon - 1), &port) &&
            port == entry->port);
}

/* Whether one entry names the host. */
static bool url_entry_matches(struct url_entry *entry)
{
    if (entry->len == 1 && entry->text[0] == '*')
        return true;
    if (!url_entry_port(entry))
        return false;
    if (entry->host_is_address)
        return url_in_network(entry);
    if (entry->len > 0 && entry->text[0] == '*') {      /* "*.domain" */
        entry->text++;
        entry->len--;
        if (entry->len == 0 || entry->text[0] != '.')
            return false;
    }
    if (entry->len > 0 && entry->text[0] == '.') {
        entry->text++;
        entry->len--;
    }
    return url_below(entry->host, entry->host_len, entry->text,
                     url_undotted(entry->text, entry->len));
}

static bool url_is_blank(char c)
{
    return c == ' ' || c == '\t';
}

bool lssb_no_proxy(const char *list, const char *host, size_t host_len,
                   uint16_t port)
{
    struct url_entry entry;

    entry.host = host;
    entry.host_len = url_undotted(host, host_len);
    entry.host_is_address = lssb_parse_address(host, host_len, &entry.address);
    if (entry.host_is_address)
        url_unmap(&entry.address);
    entry.port = port;
    while (*list != '\0') {
        while (url_is_blank(*list))
            list++;
        entry.text = list;
        while (*list != '\0' && *list != ',')
            list++;
        entry.len = (size_t)(list - entry.text);
        while (entry.len > 0 && url_is_blank(entry.text[entry.len - 1]))
            entry.len--;
        if (url_entry_matches(&entry))
            return true;
        if (*list == ',')
            list++;
    }
    return false;
}
