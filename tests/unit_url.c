/* unit_url.c: URLs, literal addresses, NO_PROXY, percent-encoding.
 *
 * SPDX-License-Identifier: MIT
 */
#include "test.h"

#include "src/internal.h"

/* Compares a slice with a string. */
static bool is(const char *slice, size_t len, const char *expected)
{
    return slice != NULL && len == strlen(expected) &&
           memcmp(slice, expected, len) == 0;
}

static void a_url_comes_apart_into_its_parts(void)
{
    static const struct {
        const char *text;
        bool tls;
        const char *host;
        bool v6;
        int port;
        bool given;
        const char *path;
        const char *query;          /* NULL: none */
    } rows[] = {
        { "https://api.smith.langchain.com", true, "api.smith.langchain.com",
          false, 443, false, "", NULL },
        { "http://localhost:8080/v2/sandboxes", false, "localhost", false, 8080,
          true, "/v2/sandboxes", NULL },
        { "HTTPS://Host.Example/", true, "Host.Example", false, 443, false, "",
          NULL },
        { "ws://a/b", false, "a", false, 80, false, "/b", NULL },
        { "wss://a/b", true, "a", false, 443, false, "/b", NULL },
        { "WsS://a", true, "a", false, 443, false, "", NULL },
        { "http://127.0.0.1:1/x", false, "127.0.0.1", false, 1, true, "/x",
          NULL },
        { "http://[::1]:65535", false, "::1", true, 65535, true, "", NULL },
        { "https://[2001:DB8::192.0.2.1]/", true, "2001:DB8::192.0.2.1", true,
          443, false, "", NULL },
        { "http://a:/b", false, "a", false, 80, false, "/b", NULL },
        { "http://a:00080/", false, "a", false, 80, true, "", NULL },
        { "http://a.", false, "a", false, 80, false, "", NULL },
        { "http://a.b.:81/", false, "a.b", false, 81, true, "", NULL },
        { "http://a/b///", false, "a", false, 80, false, "/b", NULL },
        { "http://a//b/./../c/", false, "a", false, 80, false, "//b/./../c",
          NULL },
        { "http://a?q=1", false, "a", false, 80, false, "", "q=1" },
        { "http://a/b/?q=/?:@&x=%2f#f", false, "a", false, 80, false, "/b",
          "q=/?:@&x=%2f" },
        { "http://a/?", false, "a", false, 80, false, "", "" },
        { "http://a#f?x", false, "a", false, 80, false, "", NULL },
        { "http://a/b#", false, "a", false, 80, false, "/b", NULL },
        { "http://a/%41!$&'()*+,;=:@-._~", false, "a", false, 80, false,
          "/%41!$&'()*+,;=:@-._~", NULL },
        { "https://x--3000.sandbox.example/_svc/auth?token=a.b-c_d", true,
          "x--3000.sandbox.example", false, 443, false, "/_svc/auth",
          "token=a.b-c_d" },
        { "http://my_host-1/", false, "my_host-1", false, 80, false, "", NULL },
        { "http://1.example/", false, "1.example", false, 80, false, "",
          NULL },
        { "http://a1/", false, "a1", false, 80, false, "", NULL },
        { "http://255.255.255.255/", false, "255.255.255.255", false, 80, false,
          "", NULL }
    };
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct lssb_url url;

        test_row = rows[i].text;
        EXPECT(lssb_url_parse(&url, rows[i].text, strlen(rows[i].text), false)
               == NULL);
        EXPECT_INT(url.tls, rows[i].tls);
        EXPECT(is(url.host, url.host_len, rows[i].host));
        EXPECT_INT(url.host_is_v6, rows[i].v6);
        EXPECT_INT(url.port, rows[i].port);
        EXPECT_INT(url.port_given, rows[i].given);
        EXPECT(url.userinfo == NULL);
        EXPECT(is(url.path, url.path_len, rows[i].path));
        if (rows[i].query == NULL)
            EXPECT(url.query == NULL && url.query_len == 0);
        else
            EXPECT(is(url.query, url.query_len, rows[i].query));
    }
}

static void a_wrong_url_is_refused_in_words(void)
{
    static const struct {
        const char *text;
        const char *word;           /* of the sentence */
    } rows[] = {
        { "", "empty" },
        { "localhost:8080", "scheme" },
        { "//host/path", "scheme" },
        { "http:/host", "scheme" },
        { "http:host", "scheme" },
        { "ftp://host", "none of http" },
        { "httpx://host", "none of http" },
        { "://host", "none of http" },
        { "http://", "no host" },
        { "http:///path", "no host" },
        { "http://:80", "no host" },
        { "https://?q", "no host" },
        { "http://.", "empty label" },
        { "http://a..b", "empty label" },
        { "http://.a", "empty label" },
        { "http://a..", "empty label" },
        { "http://a:0", "port" },
        { "http://a:65536", "port" },
        { "http://a:99999999999999999999", "port" },
        { "http://a:8x", "port" },
        { "http://a:+80", "port" },
        { "http://a:-1", "port" },
        { "http://a:80:80", "port" },
        { "http://a b/", "white space" },
        { " http://a/", "white space" },
        { "http://a/\n", "white space" },
        { "http://a/\r\nX-Evil:1", "white space" },
        { "http://a/\t", "white space" },
        { "http://a/\x7F", "white space" },
        { "http://a/\xC3\xA9", "ASCII" },
        { "http://\xC3\xA9/", "ASCII" },
        { "http://a/%", "percent" },
        { "http://a/%4", "percent" },
        { "http://a/%4g", "percent" },
        { "http://a/%%41", "percent" },
        { "http://a/?%zz", "percent" },
        { "http://a/#%zz", "percent" },
        { "http://a/\\b", "percent-encoded" },
        { "http://a\\b/", "character" },
        { "http://a/<b>", "percent-encoded" },
        { "http://a/b|c", "percent-encoded" },
        { "http://a/{x}", "percent-encoded" },
        { "http://a/[x]", "percent-encoded" },
        { "http://a/?a^b", "percent-encoded" },
        { "http://a/?\"", "percent-encoded" },
        { "http://a/#b#c", "percent-encoded" },
        { "http://%61/", "character" },
        { "http://a%2eb/", "character" },
        { "http://a,b/", "character" },
        { "http://a*/", "character" },
        { "http://user@a/", "user name" },
        { "http://user:pass@a/", "user name" },
        { "http://@a/", "user name" },
        { "http://1.2.3/", "IPv4" },
        { "http://127.1/", "IPv4" },
        { "http://0x7f.1/", "IPv4" },
        { "http://0x7F000001/", "IPv4" },
        { "http://a.0x/", "IPv4" },
        { "http://2130706433/", "IPv4" },
        { "http://1.2.3.4.5/", "IPv4" },
        { "http://256.1.1.1/", "IPv4" },
        { "http://01.2.3.4/", "IPv4" },
        { "http://1.2.3.04/", "IPv4" },
        { "http://1.2.3.4444/", "IPv4" },
        { "http://a.1/", "IPv4" },
        { "http://[]/", "IPv6" },
        { "http://[::1/", "IPv6" },
        { "http://[::1]x/", "port" },
        { "http://[::1]:x/", "port" },
        { "http://[127.0.0.1]/", "IPv6" },
        { "http://[::g]/", "IPv6" },
        { "http://[fe80::1%25eth0]/", "IPv6" },
        { "http://[fe80::1%1]/", "IPv6" },
        { "http://[v1.x]/", "IPv6" },
        { "http://::1/", "no host" },
        { "http://a]/", "character" },
        { "http://a@b@c/", "user name" },
        { "http://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
          "aaaa/", "63" }
    };
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct lssb_url url;
        const char *wrong;

        test_row = rows[i].text;
        wrong = lssb_url_parse(&url, rows[i].text, strlen(rows[i].text),
                               false);
        EXPECT(wrong != NULL);
        if (wrong != NULL && strstr(wrong, rows[i].word) == NULL)
            EXPECT_STR(wrong, rows[i].word);
    }
}

static void a_nul_in_a_url_is_refused(void)
{
    struct lssb_url url;

    EXPECT(lssb_url_parse(&url, "http://a\0b/", 11, false) != NULL);
    EXPECT(lssb_url_parse(&url, "http://a/\0", 10, false) != NULL);
    EXPECT(lssb_url_parse(&url, NULL, 0, false) != NULL);
}

static void a_host_has_at_most_253_characters(void)
{
    char text[300];
    struct lssb_url url;
    size_t i;

    memcpy(text, "http://", 7);
    for (i = 0; i < 254; i++)
        text[7 + i] = i % 50 == 49 ? '.' : 'a';
    EXPECT(lssb_url_parse(&url, text, 7 + 253, false) == NULL);
    EXPECT_INT(url.host_len, 253);
    EXPECT(lssb_url_parse(&url, text, 7 + 254, false) != NULL);
    text[7 + 253] = '.';
    EXPECT(lssb_url_parse(&url, text, 7 + 254, false) == NULL);
    EXPECT_INT(url.host_len, 253);
}

static void a_proxy_may_have_userinfo_and_no_scheme(void)
{
    static const struct {
        const char *text;
        const char *userinfo;       /* NULL: none */
        const char *host;
        int port;
        bool good;
    } rows[] = {
        { "http://user:pass@proxy:3128", "user:pass", "proxy", 3128, true },
        { "http://us%40er:p%3Aass:x@proxy", "us%40er:p%3Aass:x", "proxy", 80,
          true },
        { "https://u@[::1]:8080/", "u", "::1", 8080, true },
        { "http://@proxy", "", "proxy", 80, true },
        { "proxy:3128", NULL, "proxy", 3128, true },
        { "proxy", NULL, "proxy", 80, true },
        { "127.0.0.1:8888/", NULL, "127.0.0.1", 8888, true },
        { "[::1]:8888", NULL, "::1", 8888, true },
        { "user:pass@proxy:1", "user:pass", "proxy", 1, true },
        { "socks5://proxy:1080", NULL, NULL, 0, false },
        { "http://u@v@proxy", NULL, NULL, 0, false },
        { "http://u:%zz@proxy", NULL, NULL, 0, false },
        { "http://u:p/w@proxy", NULL, NULL, 0, false },
        { "http://u[@proxy", NULL, NULL, 0, false },
        { "http://user:pass@", NULL, NULL, 0, false },
        { ":8080", NULL, NULL, 0, false }
    };
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct lssb_url url;
        const char *wrong;

        test_row = rows[i].text;
        wrong = lssb_url_parse(&url, rows[i].text, strlen(rows[i].text), true);
        EXPECT_INT(wrong == NULL, rows[i].good);
        if (wrong != NULL || !rows[i].good)
            continue;
        EXPECT(is(url.host, url.host_len, rows[i].host));
        EXPECT_INT(url.port, rows[i].port);
        if (rows[i].userinfo == NULL)
            EXPECT(url.userinfo == NULL);
        else
            EXPECT(is(url.userinfo, url.userinfo_len, rows[i].userinfo));
    }
}

static void addresses_are_read_in_every_form_and_nothing_else_is(void)
{
    static const struct {
        const char *text;
        int family;                 /* 0: none */
        const char *bytes;          /* hexadecimal */
        uint32_t scope;
    } rows[] = {
        { "127.0.0.1", 4, "7f000001", 0 },
        { "0.0.0.0", 4, "00000000", 0 },
        { "255.255.255.255", 4, "ffffffff", 0 },
        { "1.2.3", 0, "", 0 },
        { "1.2.3.4.5", 0, "", 0 },
        { "1.2.3.", 0, "", 0 },
        { ".1.2.3.4", 0, "", 0 },
        { "1..2.3", 0, "", 0 },
        { "1.2.3.256", 0, "", 0 },
        { "1.2.3.1000", 0, "", 0 },
        { "1.2.3.04", 0, "", 0 },
        { "1.2.3.4 ", 0, "", 0 },
        { " 1.2.3.4", 0, "", 0 },
        { "1.2.3.4%1", 0, "", 0 },
        { "::", 6, "00000000000000000000000000000000", 0 },
        { "::1", 6, "00000000000000000000000000000001", 0 },
        { "1::", 6, "00010000000000000000000000000000", 0 },
        { "1:2:3:4:5:6:7:8", 6, "00010002000300040005000600070008", 0 },
        { "1::8", 6, "00010000000000000000000000000008", 0 },
        { "1:2:3:4:5:6:7::", 6, "00010002000300040005000600070000", 0 },
        { "::2:3:4:5:6:7:8", 6, "00000002000300040005000600070008", 0 },
        { "1:2::4:5:6:7:8", 6, "00010002000000040005000600070008", 0 },
        { "2001:DB8::ABCD:ef01", 6, "20010db80000000000000000abcdef01", 0 },
        { "::ffff:192.0.2.1", 6, "00000000000000000000ffffc0000201", 0 },
        { "::192.0.2.1", 6, "000000000000000000000000c0000201", 0 },
        { "1:2:3:4:5:6:1.2.3.4", 6, "00010002000300040005000601020304", 0 },
        { "fe80::1%2", 6, "fe800000000000000000000000000001", 2 },
        { "fe80::1%4294967295", 6, "fe800000000000000000000000000001",
          UINT32_MAX },
        { "fe80::1%4294967296", 0, "", 0 },
        { "fe80::1%", 0, "", 0 },
        { "fe80::1%eth0", 0, "", 0 },
        { "%1", 0, "", 0 },
        { "", 0, "", 0 },
        { ":", 0, "", 0 },
        { ":::", 0, "", 0 },
        { "1", 0, "", 0 },
        { "1:", 0, "", 0 },
        { ":1", 0, "", 0 },
        { "::1:", 0, "", 0 },
        { ":1::", 0, "", 0 },
        { "1::2::3", 0, "", 0 },
        { "1:::2", 0, "", 0 },
        { "1:2:3:4:5:6:7", 0, "", 0 },
        { "1:2:3:4:5:6:7:8:9", 0, "", 0 },
        { "1:2:3:4::5:6:7:8", 0, "", 0 },
        { "::1:2:3:4:5:6:7:8", 0, "", 0 },
        { "1:2:3:4:5:6:7:8::", 0, "", 0 },
        { "12345::", 0, "", 0 },
        { "::g", 0, "", 0 },
        { "1:2:3:4:5:6:7:1.2.3.4", 0, "", 0 },
        { "1:2:3:4:5:1.2.3.4", 0, "", 0 },
        { "::1.2.3", 0, "", 0 },
        { "::1.2.3.4:5", 0, "", 0 },
        { "::01.2.3.4", 0, "", 0 },
        { "[::1]", 0, "", 0 },
        { "1:2:3:4:5:6::1.2.3.4", 0, "", 0 },
        { "localhost", 0, "", 0 }
    };
    size_t i, j;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        lssb_address address;
        char hex[33] = "";
        bool good;

        test_row = rows[i].text;
        good = lssb_parse_address(rows[i].text, strlen(rows[i].text),
                                  &address);
        EXPECT_INT(good, rows[i].family != 0);
        if (!good || rows[i].family == 0)
            continue;
        for (j = 0; j < (address.family == 4 ? 4u : 16u); j++)
            snprintf(hex + 2 * j, 3, "%02x", address.bytes[j]);
        EXPECT_INT(address.family, rows[i].family);
        EXPECT_STR(hex, rows[i].bytes);
        EXPECT_INT(address.scope, rows[i].scope);
        EXPECT_INT(address.port, 0);
    }
}

static void loopback_is_known_by_every_name_it_has(void)
{
    static const struct {
        const char *host;
        bool loopback;
    } rows[] = {
        { "127.0.0.1", true },          { "127.255.255.254", true },
        { "128.0.0.1", false },         { "126.255.255.255", false },
        { "::1", true },                { "0:0:0:0:0:0:0:1", true },
        { "::2", false },               { "::", false },
        { "0.0.0.0", false },           { "::ffff:127.0.0.1", true },
        { "::ffff:7f00:1", true },      { "::ffff:10.0.0.1", false },
        { "::127.0.0.1", false },       { "localhost", true },
        { "LocalHost", true },          { "localhost.", true },
        { "a.localhost", true },        { "a.b.LOCALHOST", true },
        { "alocalhost", false },        { "localhost.example", false },
        { "127.0.0.1.example", false }, { "", false },
        { ".", false },                 { "localhos", false }
    };
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        test_row = rows[i].host;
        EXPECT_INT(lssb_is_loopback(rows[i].host, strlen(rows[i].host)),
                   rows[i].loopback);
    }
}

static void no_proxy_names_hosts_domains_and_networks(void)
{
    static const struct {
        const char *list, *host;
        int port;
        bool named;
    } rows[] = {
        { "", "a.example", 80, false },
        { "*", "a.example", 80, true },
        { "x, * ,y", "::1", 80, true },
        { "example", "example", 80, true },
        { "example", "a.example", 80, true },
        { "example", "a.b.EXAMPLE", 80, true },
        { "example", "aexample", 80, false },
        { "example", "example.org", 80, false },
        { "a.example", "example", 80, false },
        { ".example", "a.example", 80, true },
        { ".example", "example", 80, true },
        { "*.example", "a.example", 80, true },
        { "*example", "a.example", 80, false },
        { "EXAMPLE", "a.example", 80, true },
        { "example.", "example", 80, true },
        { "example", "example.", 80, true },
        { ".", "a", 80, false },
        { "*.", "a", 80, false },
        { "one,two,three", "two", 80, true },
        { "one two", "two", 80, false },
        { " one ,\ttwo\t", "two", 80, true },
        { ",,,two,", "two", 80, true },
        { ",,,", "two", 80, false },
        { "two:8080", "two", 8080, true },
        { "two:8080", "a.two", 8080, true },
        { "two:8080", "two", 80, false },
        { "two:", "two", 80, false },
        { "two:x", "two", 80, false },
        { ".two:80", "a.two", 80, true },
        { "10.0.0.1", "10.0.0.1", 80, true },
        { "10.0.0.1", "10.0.0.10", 80, false },
        { "10.0.0.1:80", "10.0.0.1", 80, true },
        { "10.0.0.1:81", "10.0.0.1", 80, false },
        { "0.1", "10.0.0.1", 80, false },
        { "10.0.0.0/8", "10.255.1.2", 80, true },
        { "10.0.0.0/8", "11.0.0.0", 80, false },
        { "10.0.0.0/8:443", "10.1.1.1", 443, true },
        { "10.0.0.0/8:443", "10.1.1.1", 80, false },
        { "192.168.4.0/22", "192.168.7.255", 80, true },
        { "192.168.4.0/22", "192.168.8.0", 80, false },
        { "192.168.7.9/22", "192.168.4.1", 80, true },
        { "0.0.0.0/0", "1.2.3.4", 80, true },
        { "0.0.0.0/0", "::1", 80, false },
        { "0.0.0.0/0", "host", 80, false },
        { "1.2.3.4/32", "1.2.3.4", 80, true },
        { "1.2.3.4/33", "1.2.3.4", 80, false },
        { "1.2.3.4/", "1.2.3.4", 80, false },
        { "1.2.3/8", "1.2.3.4", 80, false },
        { "10/8", "10.0.0.1", 80, false },
        { "::1", "::1", 80, true },
        { "0:0::1", "::1", 80, true },
        { "[::1]", "::1", 80, true },
        { "[::1]:80", "::1", 80, true },
        { "[::1]:81", "::1", 80, false },
        { "[::1]x", "::1", 80, false },
        { "[::1", "::1", 80, false },
        { "fd00::/8", "fdff::1", 80, true },
        { "fd00::/8", "fe00::1", 80, false },
        { "[fd00::/8]:443", "fd01::1", 443, true },
        { "2001:db8::/33", "2001:db8:7fff::", 80, true },
        { "2001:db8::/33", "2001:db8:8000::", 80, false },
        { "::/0", "fe80::1", 80, true },
        { "::1/129", "::1", 80, false },
        { "10.0.0.0/8", "::ffff:10.1.2.3", 80, true },
        { "::ffff:10.0.0.0/104", "10.1.2.3", 80, true },
        { "::ffff:10.0.0.1", "10.0.0.1", 80, true },
        { "localhost,127.0.0.1", "127.0.0.1", 8080, true }
    };
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char row[80];

        snprintf(row, sizeof row, "%s for %s", rows[i].list, rows[i].host);
        test_row = row;
        EXPECT_INT(lssb_no_proxy(rows[i].list, rows[i].host,
                                 strlen(rows[i].host),
                                 (uint16_t)rows[i].port), rows[i].named);
        test_row = "";
    }
}

static void an_authority_has_brackets_and_a_port_where_needed(void)
{
    static const struct {
        const char *host;
        bool tls;
        uint16_t port;
        bool always;
        const char *out;
    } rows[] = {
        { "a.example", true, 443, false, "a.example" },
        { "a.example", true, 443, true, "a.example:443" },
        { "a.example", true, 80, false, "a.example:80" },
        { "a.example", false, 80, false, "a.example" },
        { "a.example", false, 443, false, "a.example:443" },
        { "::1", false, 80, false, "[::1]" },
        { "::1", true, 8443, false, "[::1]:8443" },
        { "127.0.0.1", false, 65535, true, "127.0.0.1:65535" }
    };
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char out[64] = "";
        struct lssb_writer writer;

        test_row = rows[i].out;
        lssb_writer_start(&writer, out, sizeof out - 1, 0);
        lssb_put_authority(&writer, rows[i].host, rows[i].tls, rows[i].port,
                           rows[i].always);
        EXPECT_STR(out, rows[i].out);
    }
}

static void all_but_the_unreserved_is_percent_encoded(void)
{
    static const struct {
        const char *plain, *coded;
        bool segment;               /* may be one */
    } rows[] = {
        { "box-1", "box-1", true },
        { "azAZ09-._~", "azAZ09-._~", true },
        { "a/b", "a%2Fb", true },
        { "../x", "..%2Fx", true },
        { "a b\t\r\n", "a%20b%09%0D%0A", true },
        { "?#%&+=;:@!$'()*,", "%3F%23%25%26%2B%3D%3B%3A%40%21%24%27%28%29%2A"
          "%2C", true },
        { "\xC3\xA9\x7F\xFF", "%C3%A9%7F%FF", true },
        { "...", "...", true },
        { "", "", false },
        { ".", ".", false },
        { "..", "..", false }
    };
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char out[64] = "";
        char back[64];
        struct lssb_writer writer;

        test_row = rows[i].coded;
        lssb_writer_start(&writer, out, sizeof out - 1, 0);
        lssb_put_query(&writer, rows[i].plain);
        EXPECT_STR(out, rows[i].coded);
        EXPECT(writer.wrong == NULL);
        EXPECT(lssb_percent_decode(back, sizeof back, out, strlen(out)));
        EXPECT_STR(back, rows[i].plain);
        lssb_writer_start(&writer, NULL, 0, 0);
        lssb_put_segment(&writer, rows[i].plain);
        EXPECT_INT(writer.wrong == NULL, rows[i].segment);
        EXPECT_INT(writer.total, strlen(rows[i].coded));
    }
}

static void percent_decoding_refuses_what_it_cannot_give_whole(void)
{
    static const struct {
        const char *coded, *plain;  /* NULL: refused */
        size_t size;
    } rows[] = {
        { "a%20b", "a b", 4 },  { "a%20b", NULL, 3 },
        { "%41", "A", 2 },      { "%41", NULL, 1 },
        { "%4", NULL, 8 },      { "%", NULL, 8 },
        { "%g1", NULL, 8 },     { "%1g", NULL, 8 },
        { "a%00b", NULL, 8 },   { "", "", 1 },
        { "%e2%82%AC", "\xE2\x82\xAC", 4 }
    };
    size_t i;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char place[9] = "########";
        bool good;

        test_row = rows[i].coded;
        good = lssb_percent_decode(place, rows[i].size, rows[i].coded,
                                   strlen(rows[i].coded));
        EXPECT_INT(good, rows[i].plain != NULL);
        EXPECT_STR(place, rows[i].plain != NULL ? rows[i].plain : "");
    }
}

int main(void)
{
    static const struct test tests[] = {
        TEST(a_url_comes_apart_into_its_parts),
        TEST(a_wrong_url_is_refused_in_words),
        TEST(a_nul_in_a_url_is_refused),
        TEST(a_host_has_at_most_253_characters),
        TEST(a_proxy_may_have_userinfo_and_no_scheme),
        TEST(addresses_are_read_in_every_form_and_nothing_else_is),
        TEST(loopback_is_known_by_every_name_it_has),
        TEST(no_proxy_names_hosts_domains_and_networks),
        TEST(an_authority_has_brackets_and_a_port_where_needed),
        TEST(all_but_the_unreserved_is_percent_encoded),
        TEST(percent_decoding_refuses_what_it_cannot_give_whole)
    };

    return TEST_MAIN(tests);
}
