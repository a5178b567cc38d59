/* unit_windows.c: the Windows port against the system itself, on loopback.
 *
 * SPDX-License-Identifier: MIT
 *
 * What unit_port.h asks of every port, and what Windows has of its own. The
 * port's source is part of this program, so that its inner parts can be tried
 * by themselves.
 */
#include "../port/windows.c"

#include "unit_port.h"

/* Whether a program that is started would inherit a handle. */
static bool is_inherited(lssb_handle handle)
{
    DWORD flags = HANDLE_FLAG_INHERIT;

    EXPECT(GetHandleInformation((HANDLE)handle, &flags));
    return (flags & HANDLE_FLAG_INHERIT) != 0;
}

/* -------------------------------------------------------------- sockets -- */

static void a_failed_connect_is_told_even_if_the_poll_says_nothing(void)
{
    lssb_address address;
    lssb_handle handle;
    lssb_poll one = { LSSB_NO_HANDLE, false, true, false, 0 };
    int32_t code = 0;

    begin();
    closesocket(listens(&address, 4));
    EXPECT_INT(port->connect(context, &address, &handle, &code), LSSB_IO_OK);
    one.handle = handle;
    EXPECT(windows_connects(&one));
    while (windows_outcome((SOCKET)handle) == 0)
        port->wait(context, NULL, 0, 5, &code);
    EXPECT_INT(windows_outcome((SOCKET)handle), -1);
    EXPECT_INT(windows_outcome((SOCKET)handle), -1);    /* still there */
    EXPECT_INT(port->connected(context, handle, &code), LSSB_IO_REFUSED);
    port->close_handle(context, handle, false);
    end();
}

static void a_wait_for_a_connect_looks_at_it_now_and_then(void)
{
    lssb_address address;
    lssb_handle handle;
    lssb_poll one = { LSSB_NO_HANDLE, false, true, false, 0 };
    peer other, listener;

    begin();
    listener = listens(&address, 4);
    handle = connects(listener, &address, &other);
    one.handle = handle;
    EXPECT(!windows_connects(&one));
    port->close_handle(context, handle, false);
    closesocket(other);
    one.handle = (lssb_handle)windows_socket(AF_INET);
    EXPECT(windows_connects(&one));
    one.write = false;
    EXPECT(!windows_connects(&one));
    port->close_handle(context, one.handle, false);
    closesocket(listener);
    end();
}

static void the_end_of_what_is_read_keeps_no_writer_awake(void)
{
    static char bytes[65536];
    lssb_address address;
    lssb_poll one = { LSSB_NO_HANDLE, false, true, false, 0 };
    peer other, listener;
    lssb_handle handle;
    uint64_t start;
    int32_t code;
    int i, loops = 0;

    begin();
    listener = listens(&address, 4);
    handle = connects(listener, &address, &other);
    shutdown(other, SD_SEND);
    EXPECT(waits(handle, true, false));
    EXPECT_INT(port->receive(context, handle, bytes, 8, &code), 0);
    for (i = 0; i < 100000; i++)
        if (port->send(context, handle, bytes, sizeof bytes, &code) < 0)
            break;
    one.handle = handle;
    start = port->now_ms(context);
    while (port->now_ms(context) - start < 200) {
        EXPECT_INT(port->wait(context, &one, 1, PATIENCE, &code), LSSB_IO_OK);
        EXPECT(one.handle == handle && one.write && !one.read);
        if (one.ready && port->send(context, handle, bytes, sizeof bytes,
                                    &code) == LSSB_IO_AGAIN)
            loops++;
    }
    EXPECT(loops < 100);
    port->close_handle(context, handle, true);
    closesocket(other);
    closesocket(listener);
    end();
}

/* -------------------------------------------------------------- waiting -- */

static void a_wake_never_waits_and_keeps_the_errors_of_its_thread(void)
{
    int i;

    begin();
    for (i = 0; i < 20000; i++)
        port->wake(context);
    WSASetLastError(WSAEINTR);
    port->wake(context);
    EXPECT_INT(WSAGetLastError(), WSAEINTR);
    end();
}

static void a_stranger_does_not_get_into_a_pair(void)
{
    struct sockaddr_in at, own;
    SOCKET listener, strangers[3], ours, theirs;
    char byte;
    int i;

    begin();
    listener = windows_pair_listener(&at);
    for (i = 0; i < 3; i++) {
        strangers[i] = socket(AF_INET, SOCK_STREAM, 0);
        EXPECT_INT(connect(strangers[i], (struct sockaddr *)&at, sizeof at),
                   0);
    }
    ours = socket(AF_INET, SOCK_STREAM, 0);
    EXPECT_INT(connect(ours, (struct sockaddr *)&at, sizeof at), 0);
    EXPECT(windows_local(ours, &own));
    theirs = windows_accept_own(listener, &own);
    EXPECT_INT(send(ours, "x", 1, 0), 1);
    EXPECT_INT(recv(theirs, &byte, 1, 0), 1);
    for (i = 0; i < 3; i++)
        closesocket(strangers[i]);
    closesocket(ours);
    closesocket(theirs);
    closesocket(listener);
    end();
}

/* ---------------------------------------------------------------- names -- */

/* -------------------------------------------------------------- handles -- */

static void no_handle_is_inherited(void)
{
    lssb_address at = loopback(4, 0);
    lssb_handle listener, client, server, job;
    SOCKET pair[2];
    int32_t code = 0;
    uint16_t number = 0;

    begin();
    EXPECT_INT(listening->listen(context, &at, &listener, &number, &code),
               LSSB_IO_OK);
    at.port = number;
    EXPECT_INT(port->connect(context, &at, &client, &code), LSSB_IO_OK);
    server = accepts(listener);
    EXPECT_INT(port->resolve(context, "localhost", &job, &code), LSSB_IO_OK);
    EXPECT(windows_pair(pair));
    EXPECT(!is_inherited(listener));
    EXPECT(!is_inherited(client));
    EXPECT(!is_inherited(server));
    EXPECT(!is_inherited(job));
    EXPECT(!is_inherited((lssb_handle)pair[0]));
    EXPECT(!is_inherited((lssb_handle)pair[1]));
    EXPECT(!is_inherited(port->wake_handle(context)));
    closesocket(pair[0]);
    closesocket(pair[1]);
    port->close_handle(context, job, false);
    port->close_handle(context, client, false);
    port->close_handle(context, server, false);
    port->close_handle(context, listener, false);
    end();
}

/* Handles of this process; asked for by name, since some headers lack it. */
static DWORD handles(void)
{
    typedef BOOL(WINAPI *count_fn)(HANDLE, DWORD *);
    count_fn count = (count_fn)(void (*)(void))GetProcAddress(
        GetModuleHandleA("kernel32.dll"), "GetProcessHandleCount");
    DWORD n = 0;

    EXPECT(count != NULL && count(GetCurrentProcess(), &n));
    return n;
}

static void no_handle_is_left(void)
{
    DWORD before, after;
    lssb_handle job;
    uint64_t until;
    int32_t code;
    int i;

    bytes_pass_both_ways_over_both_families();
    localhost_is_this_machine();
    begin();
    before = handles();
    for (i = 0; i < 20; i++) {
        EXPECT_INT(port->resolve(context, "localhost", &job, &code),
                   LSSB_IO_OK);
        port->close_handle(context, job, i % 3 == 0);
    }
    until = port->now_ms(context) + PATIENCE;
    do {
        port->wait(context, NULL, 0, 5, &code);
        after = handles();
    } while (after > before && port->now_ms(context) < until);
    EXPECT(after <= before);
    end();
}

/* ------------------------------------------------- files, certificates -- */

/* A path in the folder for such things, with a name that is no ASCII. */
static void temporary(WCHAR *wide, char *path, int size)
{
    static const WCHAR name[] = { 'l', 's', 's', 'b', 0xE4, 0x3B1, 0 };
    DWORD len = GetTempPathW(MAX_PATH, wide);

    memcpy(wide + len, name, sizeof name);
    WideCharToMultiByte(CP_UTF8, 0, wide, -1, path, size, NULL, NULL);
}

static void certificates_are_read_anywhere_in_a_file_of_any_name(void)
{
    static const char text[] = "-----BEGIN CERTIFICATE-----";
    WCHAR wide[MAX_PATH + 16];
    char path[3 * MAX_PATH + 48], bytes[64] = "";
    lssb_blob blob;
    HANDLE file;
    DWORD n;
    int32_t code = 0;

    begin();
    temporary(wide, path, (int)sizeof path);
    file = CreateFileW(wide, GENERIC_WRITE, 0, NULL, CREATE_ALWAYS, 0, NULL);
    EXPECT(WriteFile(file, text, sizeof text - 1, &n, NULL));
    CloseHandle(file);
    EXPECT_INT(port->certificates(context, path, &blob, &code), LSSB_IO_OK);
    EXPECT(!is_inherited((lssb_handle)blob.ctx));
    EXPECT_INT(blob.read_at(blob.ctx, 11, bytes, 11), 11);
    EXPECT_STR(bytes, "CERTIFICATE");
    EXPECT_INT(blob.read_at(blob.ctx, sizeof text - 1, bytes, 8), 0);
    EXPECT_INT(blob.read_at(blob.ctx, UINT64_MAX, bytes, 8), 0);
    blob.close(blob.ctx);
    DeleteFileW(wide);
    EXPECT_INT(port->certificates(context, path, &blob, &code),
               LSSB_IO_NOT_FOUND);
    EXPECT_INT(code, ERROR_FILE_NOT_FOUND);
    EXPECT_INT(port->certificates(context, "C:\\windows", &blob, &code),
               LSSB_IO_FAILED);
    EXPECT_INT(port->certificates(context, "NUL", &blob, &code),
               LSSB_IO_FAILED);
    EXPECT_INT(port->certificates(context, "\xff", &blob, &code),
               LSSB_IO_FAILED);
    end();
}

/* A certificate of its own: the names in it are one letter, at 28 and 76. */
static const uint8_t one_certificate[] = {
    0x30, 0x81, 0xc0, 0x30, 0x74, 0x02, 0x01, 0x01, 0x30, 0x05, 0x06, 0x03,
    0x2b, 0x65, 0x70, 0x30, 0x0c, 0x31, 0x0a, 0x30, 0x08, 0x06, 0x03, 0x55,
    0x04, 0x03, 0x0c, 0x01, 0x41, 0x30, 0x20, 0x17, 0x0d, 0x32, 0x36, 0x31,
    0x31, 0x32, 0x31, 0x30, 0x39, 0x35, 0x38, 0x34, 0x37, 0x5a, 0x18, 0x0f,
    0x32, 0x31, 0x32, 0x36, 0x31, 0x30, 0x32, 0x38, 0x30, 0x39, 0x35, 0x38,
    0x34, 0x37, 0x5a, 0x30, 0x0c, 0x31, 0x0a, 0x30, 0x08, 0x06, 0x03, 0x55,
    0x04, 0x03, 0x0c, 0x01, 0x41, 0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b,
    0x65, 0x70, 0x03, 0x21, 0x00, 0xb1, 0x20, 0xb6, 0x16, 0xed, 0xfc, 0x86,
    0xb0, 0xd0, 0x79, 0x05, 0x8a, 0xb0, 0xe1, 0xe1, 0xac, 0x39, 0x57, 0x9d,
    0x44, 0x02, 0xd4, 0x0b, 0x3b, 0x7f, 0xb2, 0xd8, 0x11, 0xf9, 0xe8, 0x64,
    0x81, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x41, 0x00, 0xac,
    0xc1, 0x11, 0xe5, 0x81, 0x2d, 0x93, 0xad, 0xa4, 0x26, 0x17, 0x6e, 0xc2,
    0xab, 0x4a, 0xc0, 0x22, 0xa1, 0x84, 0x4c, 0x99, 0x62, 0xcb, 0x09, 0x85,
    0x34, 0x67, 0x52, 0x4c, 0xb8, 0xb8, 0x24, 0xd8, 0xbf, 0x02, 0x47, 0x07,
    0x0a, 0x6b, 0x9c, 0x83, 0x4d, 0x01, 0x96, 0x7c, 0x43, 0xf2, 0x87, 0xf9,
    0xa4, 0x09, 0xfb, 0x13, 0x04, 0x12, 0x0c, 0xbe, 0xdd, 0xbe, 0x5c, 0x75,
    0x56, 0xf7, 0x09
};

#define ONE ((DWORD)sizeof one_certificate)

/* Adds that certificate under another name to a store. */
static PCCERT_CONTEXT adds(HCERTSTORE store, char letter)
{
    uint8_t der[sizeof one_certificate];
    PCCERT_CONTEXT added = NULL;

    memcpy(der, one_certificate, sizeof der);
    der[28] = der[76] = (uint8_t)letter;
    EXPECT(CertAddEncodedCertificateToStore(store, X509_ASN_ENCODING, der,
                                            ONE, CERT_STORE_ADD_ALWAYS,
                                            &added));
    return added;
}

/* An empty store. */
static HCERTSTORE a_store(void)
{
    HCERTSTORE store = CertOpenStore(CERT_STORE_PROV_MEMORY, 0, 0,
                                     CERT_STORE_CREATE_NEW_FLAG, NULL);

    EXPECT(store != NULL);
    return store;
}

/* Reads all of a store in pieces of a size. */
static size_t reads_store(struct windows_store *store, char *to, size_t size,
                          size_t piece)
{
    size_t len = 0;
    ptrdiff_t n;

    do {
        n = windows_store_read(store, len, to + len,
                               piece < size - len ? piece : size - len);
        len += (size_t)n;
    } while (n > 0);
    return len;
}

static void windows_reads_our_base64(void)
{
    static uint8_t bytes[300], back[300];
    char text[512];
    size_t i;
    DWORD len, size;

    for (i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 151 + 7);
    for (len = 1; len < sizeof bytes; len++) {
        uint64_t n = windows_base64_len(len);

        for (i = 0; i < n; i++) {
            text[i] = windows_base64_at(bytes, len, i);
            EXPECT((text[i] == '\n') == (i % 65 == 64));
        }
        size = (DWORD)sizeof back;
        EXPECT(CryptStringToBinaryA(text, (DWORD)n, CRYPT_STRING_BASE64, back,
                                    &size, NULL, NULL));
        EXPECT_INT(size, len);
        EXPECT(memcmp(back, bytes, len) == 0);
    }
}

static void the_store_is_read_the_same_in_pieces_of_any_size(void)
{
    static const size_t pieces[] = { 1, 2, 3, 63, 64, 65, 300, 511, 512 };
    static char whole[4096], parts[4096];
    struct windows_store store;
    uint8_t der[512];
    size_t i, len;
    DWORD size = (DWORD)sizeof der;
    char byte;

    memset(&store, 0, sizeof store);
    store.roots = a_store();
    EXPECT_INT(reads_store(&store, whole, sizeof whole, 100), 0);
    CertFreeCertificateContext(adds(store.roots, 'A'));
    CertFreeCertificateContext(adds(store.roots, 'B'));
    CertFreeCertificateContext(adds(store.roots, 'C'));
    len = reads_store(&store, whole, sizeof whole - 1, 4096);
    EXPECT(len > 3 * ONE);
    EXPECT(CryptStringToBinaryA(whole, (DWORD)(len / 3),
                                CRYPT_STRING_BASE64HEADER, der, &size, NULL,
                                NULL));
    EXPECT_INT(size, ONE);
    der[28] = der[76] = 'A';
    EXPECT(memcmp(der, one_certificate, ONE) == 0);
    for (i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        memset(parts, 0, sizeof parts);
        EXPECT_INT(reads_store(&store, parts, sizeof parts, pieces[i]), len);
        EXPECT(memcmp(parts, whole, len) == 0);
    }
    for (i = len; i-- > 0;) {
        EXPECT_INT(windows_store_read(&store, i, &byte, 1), 1);
        EXPECT(byte == whole[i]);
    }
    EXPECT_INT(windows_store_read(&store, len, &byte, 1), 0);
    EXPECT_INT(windows_store_read(&store, UINT64_MAX, &byte, 1), 0);
    windows_store_rewind(&store);
    CertCloseStore(store.roots, 0);
}

/* Sets the purposes that Windows allows a root for. */
static void allows(PCCERT_CONTEXT certificate, const char *purpose)
{
    static char oid[64];
    LPSTR list[1];
    CERT_ENHKEY_USAGE usage;

    strcpy(oid, purpose);
    list[0] = oid;
    usage.cUsageIdentifier = *purpose != '\0';
    usage.rgpszUsageIdentifier = list;
    EXPECT(CertSetEnhancedKeyUsage(certificate, &usage));
}

/* Sets a date of a root, days from now; false: this system has no such property
 * (Wine). */
static bool dates(PCCERT_CONTEXT certificate, DWORD property, int days)
{
    FILETIME date;
    CRYPT_DATA_BLOB blob;
    uint64_t steps;

    GetSystemTimeAsFileTime(&date);
    steps = (uint64_t)date.dwHighDateTime << 32 | date.dwLowDateTime;
    steps += (uint64_t)(days * INT64_C(864000000000));
    date.dwHighDateTime = (DWORD)(steps >> 32);
    date.dwLowDateTime = (DWORD)(steps & 0xFFFFFFFF);
    blob.cbData = (DWORD)sizeof date;
    blob.pbData = (BYTE *)&date;
    return CertSetCertificateContextProperty(certificate, property, 0, &blob);
}

static void roots_that_windows_does_not_trust_for_servers_are_left_out(void)
{
    static const struct {
        const char *name;
        const char *purpose;        /* NULL: no such property */
        DWORD property;             /* 0: none */
        int days;
        bool distrusted;
        bool trusted;
    } rows[] = {
        { "plain", NULL, 0, 0, false, true },
        { "for servers", szOID_PKIX_KP_SERVER_AUTH, 0, 0, false, true },
        { "for code", szOID_PKIX_KP_CODE_SIGNING, 0, 0, false, false },
        { "disallowed since yesterday", NULL,
          CERT_DISALLOWED_FILETIME_PROP_ID, -1, false, false },
        { "disallowed from tomorrow on", NULL,
          CERT_DISALLOWED_FILETIME_PROP_ID, 1, false, true },
        { "for nothing that is new since yesterday", NULL,
          CERT_NOT_BEFORE_FILETIME_PROP_ID, -1, false, false },
        { "for nothing that is new from tomorrow on", NULL,
          CERT_NOT_BEFORE_FILETIME_PROP_ID, 1, false, true },
        { "in the store of what is not trusted", NULL, 0, 0, true, false }
    };
    struct windows_store store;
    PCCERT_CONTEXT one;
    size_t i;
    bool dated;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        test_row = rows[i].name;
        memset(&store, 0, sizeof store);
        store.roots = a_store();
        store.distrusted = a_store();
        one = adds(store.roots, 'A');
        if (rows[i].purpose != NULL)
            allows(one, rows[i].purpose);
        dated = rows[i].property == 0 ||
                dates(one, rows[i].property, rows[i].days);
        CertFreeCertificateContext(adds(store.distrusted, 'X'));
        if (rows[i].distrusted)
            CertFreeCertificateContext(adds(store.distrusted, 'A'));
        CertFreeCertificateContext(one);
        EXPECT(dated || says_goodbye());
        EXPECT_INT(windows_store_next(&store), rows[i].trusted || !dated);
        windows_store_rewind(&store);
        CertCloseStore(store.roots, 0);
        CertCloseStore(store.distrusted, 0);
    }
}

static void the_systems_roots_are_there(void)
{
    static char piece[512], first[32];
    lssb_blob blob;
    uint64_t len = 0;
    ptrdiff_t n;
    int32_t code = 0;

    begin();
    EXPECT_INT(port->certificates(context, NULL, &blob, &code), LSSB_IO_OK);
    while ((n = blob.read_at(blob.ctx, len, piece, sizeof piece)) > 0) {
        if (len == 0)
            memcpy(first, piece, 27);
        len += (uint64_t)n;
    }
    EXPECT_INT(n, 0);
    blob.close(blob.ctx);
    if (len == 0)
        SKIP("no roots here");
    else
        EXPECT_STR(first, "-----BEGIN CERTIFICATE-----");
    end();
}

/* ------------------------------------------------------------- the rest -- */

/* Sets a variable; value NULL: removes it. */
static void sets(const WCHAR *value)
{
    static const WCHAR name[] = { 'L', 'S', 'S', 'B', '_', 'U', 'N', 'I', 'T',
                                  0 };

    EXPECT(SetEnvironmentVariableW(name, value) || value == NULL);
}

static void the_environment_is_read_as_utf8(void)
{
    static const WCHAR accents[] = { 'h', 0xE9, 0x20AC, 0xD83D, 0xDE00, 0 };
    static const WCHAR other[] = { 'o', 't', 'h', 'e', 'r', 0 };
    static const WCHAR empty[] = { 0 };
    const char *value, *path;

    sets(accents);
    value = port->environment(NULL, "LSSB_UNIT");
    EXPECT_STR(value, "h\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80");
    path = port->environment(NULL, "PATH");
    EXPECT(path != NULL && path != value);
    EXPECT(port->environment(NULL, "LSSB_UNIT") == value);
    sets(other);
    EXPECT_STR(port->environment(NULL, "LSSB_UNIT"), "other");
    EXPECT_STR(value, "h\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80");
    sets(empty);
    value = port->environment(NULL, "LSSB_UNIT");
    EXPECT(value == NULL || *value == '\0');
    sets(NULL);
    EXPECT(port->environment(NULL, "LSSB_UNIT") == NULL);
    EXPECT(port->environment(NULL, "LSSB_UNIT_THAT_NOBODY_HAS_SET_AT_ALL")
           == NULL);
}

static DWORD WINAPI reads_another(void *value)
{
    *(const char **)value = port->environment(NULL, "LSSB_UNIT");
    return 0;
}

/* A key is nowhere but in the client, and in what Windows itself keeps. */
static void what_was_read_is_wiped_when_the_thread_has_asked_for_all(void)
{
    static const WCHAR key[] = { 'k', 'e', 'y', 0 };
    const char *value = NULL;
    HANDLE thread;

    sets(key);
    thread = CreateThread(NULL, 0, reads_another, (void *)&value, 0, NULL);
    WaitForSingleObject(thread, INFINITE);
    CloseHandle(thread);
    EXPECT_STR(port->environment(NULL, "LSSB_UNIT"), "key");
    EXPECT(port->environment(NULL, "PATH") != NULL);
    EXPECT(port->environment(NULL, "") == NULL);
    EXPECT_STR(value, "key");       /* another thread's */
    EXPECT(windows_variables != NULL && windows_variables->value == value &&
           windows_variables->next == NULL);
    windows_variables->thread = GetCurrentThreadId();
    EXPECT(port->environment(NULL, "") == NULL);
    EXPECT(windows_variables == NULL);
    sets(NULL);
}

/* ------------------------------------------------------------ listening -- */

static void a_port_that_is_listened_on_is_in_use(void)
{
    lssb_address at = loopback(4, 0), nowhere = loopback(4, 0);
    lssb_address everywhere;
    lssb_handle listener, client, server, second;
    int32_t code = 0;
    uint16_t number = 0;

    begin();
    memset(&everywhere, 0, sizeof everywhere);
    everywhere.family = 4;
    EXPECT_INT(listening->listen(context, &everywhere, &listener, &number,
                                 &code), LSSB_IO_OK);
    at.port = number;
    EXPECT_INT(listening->listen(context, &at, &second, &number, &code),
               LSSB_IO_IN_USE);
    port->close_handle(context, listener, false);
    at.port = 0;
    EXPECT_INT(listening->listen(context, &at, &listener, &number, &code),
               LSSB_IO_OK);
    at.port = number;
    EXPECT_INT(listening->listen(context, &at, &second, &number, &code),
               LSSB_IO_IN_USE);
    EXPECT_INT(port->connect(context, &at, &client, &code), LSSB_IO_OK);
    server = accepts(listener);
    port->close_handle(context, server, false);
    port->close_handle(context, client, false);
    port->close_handle(context, listener, false);
    EXPECT_INT(listening->listen(context, &at, &listener, &number, &code),
               LSSB_IO_OK);
    EXPECT_INT(number, at.port);
    port->close_handle(context, listener, false);
    memcpy(nowhere.bytes, "\xC0\0\2\1", 4);
    EXPECT_INT(listening->listen(context, &nowhere, &second, &number, &code),
               LSSB_IO_UNREACHABLE);
    end();
}

static void a_port_of_ours_is_nobody_elses(void)
{
    lssb_address at = loopback(4, 0);
    struct sockaddr_storage name;
    lssb_handle listener;
    SOCKET thief;
    int32_t code = 0;
    uint16_t number = 0;
    int on = 1, len;

    begin();
    EXPECT_INT(listening->listen(context, &at, &listener, &number, &code),
               LSSB_IO_OK);
    at.port = number;
    len = windows_sockaddr(&name, &at);
    thief = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(thief, SOL_SOCKET, SO_REUSEADDR, (const char *)&on, sizeof on);
    EXPECT(bind(thief, (struct sockaddr *)&name, len) != 0 ||
           listen(thief, 1) != 0);
    closesocket(thief);
    port->close_handle(context, listener, false);
    end();
}

static void a_path_is_listened_on_and_removed_or_refused_in_words(void)
{
    WCHAR wide[MAX_PATH + 16];
    char path[3 * MAX_PATH + 48], longer[200];
    struct windows_unix name;
    lssb_handle listener = LSSB_NO_HANDLE, second;
    SOCKET client;
    int32_t code = 0;
    lssb_io io;

    begin();
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    EXPECT_INT(listening->listen_path(context, longer, &second, &code),
               LSSB_IO_UNREACHABLE);
    temporary(wide, path, (int)sizeof path);
    DeleteFileW(wide);
    io = listening->listen_path(context, path, &listener, &code);
    if (io == LSSB_IO_UNSUPPORTED) {
        EXPECT_INT(code, WSAEAFNOSUPPORT);
        SKIP("this Windows has no Unix sockets");
        end();
        return;
    }
    EXPECT_INT(io, LSSB_IO_OK);
    EXPECT_INT(listening->listen_path(context, path, &second, &code),
               LSSB_IO_IN_USE);
    memset(&name, 0, sizeof name);
    name.family = AF_UNIX;
    strcpy(name.path, path);
    client = windows_new_socket(AF_UNIX, 0);
    connect(client, (const struct sockaddr *)(const void *)&name,
            (int)sizeof name);
    second = accepts(listener);
    half_closes((lssb_handle)client, second);
    closesocket(client);
    port->close_handle(context, second, false);
    port->close_handle(context, listener, false);
    listening->remove_path(context, path);
    EXPECT(GetFileAttributesW(wide) == INVALID_FILE_ATTRIBUTES);
    end();
}

static void a_file_of_ours_is_nobody_elses_and_stays(void)
{
    WCHAR wide[MAX_PATH + 16];
    char path[3 * MAX_PATH + 48];
    uint64_t age = 0;
    HANDLE file;

    begin();
    temporary(wide, path, (int)sizeof path);
    file = CreateFileW(wide, GENERIC_WRITE, 0, NULL, CREATE_ALWAYS, 0, NULL);
    EXPECT(file != INVALID_HANDLE_VALUE);
    CloseHandle(file);
    EXPECT(windows_own(wide));
    EXPECT(!windows_is_unix(wide, &age));
    EXPECT(age < PATIENCE);
    listening->remove_path(context, path);      /* it is no socket */
    EXPECT(GetFileAttributesW(wide) != INVALID_FILE_ATTRIBUTES);
    EXPECT(DeleteFileW(wide));
    EXPECT(!windows_own(wide));
    end();
}

static const struct test tests[] = {
    PORT_TESTS,
    TEST(a_failed_connect_is_told_even_if_the_poll_says_nothing),
    TEST(a_wait_for_a_connect_looks_at_it_now_and_then),
    TEST(the_end_of_what_is_read_keeps_no_writer_awake),
    TEST(a_wake_never_waits_and_keeps_the_errors_of_its_thread),
    TEST(a_stranger_does_not_get_into_a_pair),
    TEST(no_handle_is_inherited),
    TEST(no_handle_is_left),
    TEST(certificates_are_read_anywhere_in_a_file_of_any_name),
    TEST(windows_reads_our_base64),
    TEST(the_store_is_read_the_same_in_pieces_of_any_size),
    TEST(roots_that_windows_does_not_trust_for_servers_are_left_out),
    TEST(the_systems_roots_are_there),
    TEST(the_environment_is_read_as_utf8),
    TEST(what_was_read_is_wiped_when_the_thread_has_asked_for_all),
    TEST(a_port_that_is_listened_on_is_in_use),
    TEST(a_port_of_ours_is_nobody_elses),
    TEST(a_path_is_listened_on_and_removed_or_refused_in_words),
    TEST(a_file_of_ours_is_nobody_elses_and_stays),
};

int main(void)
{
    return TEST_MAIN(tests);
}
