/* tls_x509.c: a walk over one certificate, for the backends, which include
 * this.
 *
 * SPDX-License-Identifier: MIT
 *
 * A TLS library checks signatures, names and dates but tells little of what it
 * saw. This reads the same bytes (RFC 5280 4.1) as they arrive, whatever their
 * size, and keeps what the rules of SECURITY.md and an error's words need. It
 * refuses what is not DER rather than guess, so that it never reads a
 * certificate in another way than the library does.
 *
 * The backend brings SHA-256: the type x509_hash, and x509_hash_start,
 * x509_hash_add and x509_hash_end.
 */

/* ------------------------------------------------------ DER in one piece */

struct x509_slice {
    const uint8_t *at;
    size_t len;
};

/* Takes the first element of `from`, which must have that tag; `out` is its
 * content. */
static bool x509_take(struct x509_slice *from, uint8_t tag,
                      struct x509_slice *out)
{
    size_t at = 2, len, more;

    if (from->len < 2 || from->at[0] != tag)
        return false;
    len = from->at[1];
    if (len >= 0x80) {
        more = len & 0x7F;
        if (more < 1 || more > 2 || from->len < 2 + more)
            return false;
        for (len = 0; more > 0; more--)
            len = len << 8 | from->at[at++];
    }
    if (len > from->len - at)
        return false;
    out->at = from->at + at;
    out->len = len;
    from->at += at + len;
    from->len -= at + len;
    return true;
}

/* A positive INTEGER without the zeros in front of it. */
static bool x509_take_number(struct x509_slice *from, struct x509_slice *out)
{
    if (!x509_take(from, 0x02, out) || out->len == 0 || out->at[0] >= 0x80)
        return false;
    while (out->len > 0 && out->at[0] == 0) {
        out->at++;
        out->len--;
    }
    return out->len > 0;
}

/* Whether a slice is exactly these bytes. */
static bool x509_is(const struct x509_slice *slice, const char *bytes,
                    size_t len)
{
    return slice->len == len && memcmp(slice->at, bytes, len) == 0;
}

/* A public key. It points into what was read. */
enum x509_curve { X509_NO_CURVE = 0, X509_P256, X509_P384, X509_P521 };
struct x509_public {
    enum x509_curve curve;          /* X509_NO_CURVE: it is RSA */
    struct x509_slice point;
    struct x509_slice n;
    struct x509_slice e;
};

static bool x509_rsa_key(struct x509_slice bits, struct x509_public *key)
{
    struct x509_slice pair;

    return x509_take(&bits, 0x30, &pair) && bits.len == 0 &&
           x509_take_number(&pair, &key->n) &&
           x509_take_number(&pair, &key->e) && pair.len == 0;
}

/* A point is written whole (SEC 1, 2.3.3): BearSSL knows no other form. */
static bool x509_ec_key(struct x509_slice curve, struct x509_slice point,
                        struct x509_public *key)
{
    static const uint8_t sizes[] = { 0, 65, 97, 133 };

    if (x509_is(&curve, "\x2A\x86\x48\xCE\x3D\x03\x01\x07", 8))
        key->curve = X509_P256;
    else if (x509_is(&curve, "\x2B\x81\x04\x00\x22", 5))
        key->curve = X509_P384;
    else if (x509_is(&curve, "\x2B\x81\x04\x00\x23", 5))
        key->curve = X509_P521;
    else
        return false;
    key->point = point;
    return point.len == sizes[key->curve] && point.at[0] == 0x04;
}

/* Reads a SubjectPublicKeyInfo (RFC 3279 2.3). */
static bool x509_key(struct x509_slice info, struct x509_public *key)
{
    struct x509_slice body, algorithm, oid, curve, bits;

    memset(key, 0, sizeof *key);
    if (!x509_take(&info, 0x30, &body) || !x509_take(&body, 0x30, &algorithm) ||
        !x509_take(&algorithm, 0x06, &oid) || !x509_take(&body, 0x03, &bits) ||
        bits.len < 2 || bits.at[0] != 0)
        return false;
    bits.at++;
    bits.len--;
    if (x509_is(&oid, "\x2A\x86\x48\x86\xF7\x0D\x01\x01\x01", 9))
        return x509_rsa_key(bits, key);
    if (x509_is(&oid, "\x2A\x86\x48\xCE\x3D\x02\x01", 7))
        return x509_take(&algorithm, 0x06, &curve) &&
               x509_ec_key(curve, bits, key);
    return false;
}

/* Whether two slices are the same bytes. */
static bool x509_same(const struct x509_slice *a, const struct x509_slice *b)
{
    return a->len == b->len && memcmp(a->at, b->at, a->len) == 0;
}

/* Whether two keys are the same. */
static bool x509_same_key(const struct x509_public *a,
                          const struct x509_public *b)
{
    if (a->curve != b->curve)
        return false;
    if (a->curve != X509_NO_CURVE)
        return x509_same(&a->point, &b->point);
    return x509_same(&a->n, &b->n) && x509_same(&a->e, &b->e);
}

/* ---------------------------------------------------------------- words */

/* Adds foreign text: what is no plain character becomes a question mark, so
 * that a certificate cannot write to a terminal. */
static void x509_say_foreign(struct lssb_text *text, const uint8_t *bytes,
                             size_t len)
{
    size_t i, run;
    char c;

    for (i = 0; i < len && !text->cut; i++) {
        run = 0;
        if (bytes[i] >= 0xC3)
            for (run = 4; run > 1; run--)
                if (run <= len - i && lssb_utf8_valid((const char *)bytes + i,
                                                      run) == run)
                    break;
        if (run > 1) {
            lssb_text_add_n(text, (const char *)bytes + i, run);
            i += run - 1;
            continue;
        }
        c = bytes[i] < 0x20 || bytes[i] >= 0x7F ? '?' : (char)bytes[i];
        lssb_text_add_n(text, &c, 1);
    }
}

/* Finds the attribute 2.5.4.`type` of a distinguished name (RFC 5280 4.1.2.4),
 * the last of that type. */
static bool x509_attribute(struct x509_slice name, uint8_t type,
                           struct x509_slice *value)
{
    struct x509_slice list, set, pair, oid;
    bool found = false;

    if (!x509_take(&name, 0x30, &list))
        return false;
    while (list.len > 0) {
        if (!x509_take(&list, 0x31, &set))
            return found;
        if (!x509_take(&set, 0x30, &pair) || !x509_take(&pair, 0x06, &oid) ||
            oid.len != 3 || oid.at[0] != 0x55 || oid.at[1] != 0x04 ||
            oid.at[2] != type)
            continue;
        if (pair.len > 0 && x509_take(&pair, pair.at[0], value))
            found = true;
    }
    return found;
}

/* Adds what tells a distinguished name from others: CN=…, O=…. */
static void x509_say_name(struct lssb_text *text, struct x509_slice name)
{
    static const struct {
        uint8_t type;
        const char *label;
    } rows[] = {
        { 3, "CN=" }, { 11, "OU=" }, { 10, "O=" }
    };
    struct x509_slice value;
    size_t i, said = 0;

    for (i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (said > 0 && rows[i].type == 11)
            continue;
        if (!x509_attribute(name, rows[i].type, &value))
            continue;
        lssb_text_add(text, said++ > 0 ? ", " : "\"");
        lssb_text_add(text, rows[i].label);
        x509_say_foreign(text, value.at, value.len > 64 ? 64 : value.len);
    }
    lssb_text_add(text, said > 0 ? "\"" : "(an issuer without a name)");
}

/* Days since 1970-01-01 of a date of the Gregorian calendar. */
static int32_t x509_days(int32_t year, int32_t month, int32_t day)
{
    int32_t y = month <= 2 ? year - 1 : year;
    int32_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 +
                          day - 1;

    return y * 365 + y / 4 - y / 100 + y / 400 + day_of_year - 719468;
}

/* Adds a number of two digits behind a dash. */
static void x509_say_two(struct lssb_text *text, int32_t number)
{
    lssb_text_add(text, number < 10 ? "-0" : "-");
    lssb_text_add_i64(text, number);
}

/* Adds a time as a date, "2026-11-01"; one that no calendar of four digits has
 * becomes the nearest that it has. */
static void x509_say_date(struct lssb_text *text, int64_t seconds)
{
    const int64_t first = INT64_C(-62135596800), last = INT64_C(253402300799);
    int32_t days, year, month = 1;

    seconds = seconds < first ? first : seconds > last ? last : seconds;
    days = (int32_t)(seconds / 86400) - (seconds % 86400 < 0);
    year = 1970 + days / 366;
    while (x509_days(year + 1, 1, 1) <= days)
        year++;
    while (days < x509_days(year, 1, 1))
        year--;
    while (month < 12 && x509_days(year, month + 1, 1) <= days)
        month++;
    lssb_text_add_i64(text, year);
    x509_say_two(text, month);
    x509_say_two(text, days - x509_days(year, month, 1) + 1);
}

/* ------------------------------------------------------ the walk over one */

#define X509_DEPTH 8
#define X509_VALUE 256              /* a distinguished name, a host's name */

/* What a walk found. */
enum x509_event {
    X509_MORE = 0,                  /* all consumed; more bytes, please */
    X509_SUBJECT,                   /* issuer, dates and subject are known */
    X509_KEY,                       /* the key too, and its hash */
    X509_NAME,                      /* value, value_len: a host's name or, with
                                       is_address, an address */
    X509_DONE,                      /* the certificate is complete */
    X509_WRONG                      /* it is none; final */
};

/* Parts of a certificate, in their order, and the extensions told apart. */
enum x509_field {
    X509_VERSION, X509_SERIAL, X509_ALGORITHM, X509_ISSUER, X509_VALIDITY,
    X509_OWNER, X509_OWNER_KEY, X509_ISSUER_ID, X509_OWNER_ID, X509_EXTENSIONS
};
enum x509_extension {
    X509_OTHER, X509_HOSTS, X509_PURPOSES, X509_CONSTRAINTS, X509_AUTHORITY,
    X509_USAGE
};

/* What becomes of an element's content. */
enum x509_role {
    X509_SKIP, X509_ENTER, X509_COPY, X509_IS_ALGORITHM, X509_IS_SAME,
    X509_IS_TIME, X509_IS_EXTENSION, X509_IS_CRITICAL, X509_IS_HOST,
    X509_IS_ADDRESS, X509_IS_PURPOSE, X509_IS_AUTHORITY, X509_IS_PATH,
    X509_IS_USAGE, X509_IS_BAD
};

/* A copy of a field, header included; len > size: it did not fit. */
struct x509_copy {
    uint8_t *at;                    /* NULL: not wanted */
    size_t size;
    size_t len;
};

/* What was copied of a field. */
static struct x509_slice x509_copied(const struct x509_copy *copy)
{
    struct x509_slice slice;

    slice.at = copy->at;
    slice.len = copy->len < copy->size ? copy->len : copy->size;
    return slice;
}

struct x509_walk {
    /* Set by the caller after x509_start. */
    struct x509_copy issuer;
    struct x509_copy subject;
    struct x509_copy key;

    /* Found. */
    int64_t from;                   /* seconds since 1970 */
    int64_t until;
    uint8_t hash[32];               /* SHA-256 of the SubjectPublicKeyInfo */
    uint8_t algorithm[24];          /* the signature's, OID and parameters */
    uint8_t algorithm_len;
    bool constrained;               /* there are name constraints */
    bool purposes;                  /* there is an extended key usage … */
    bool for_servers;               /* … that allows servers */
    bool authority;                 /* CA */
    bool has_path;                  /* path: its pathLenConstraint */
    bool usage;                     /* there is a key usage … */
    bool may_sign;                  /* … that allows signing certificates */
    bool for_tls;                   /* … that allows signing anything else */
    bool critical_purposes;
    bool critical_other;            /* a critical extension of another kind
                                       than those that are read here */
    uint32_t path;
    size_t value_len;
    bool is_address;

    /* The walk's own. */
    uint32_t left[X509_DEPTH + 1];  /* of each open element */
    uint8_t count[X509_DEPTH + 1];  /* elements met in it, up to 255 */
    uint8_t depth;
    uint8_t head[5];
    uint8_t head_len;
    uint8_t field;                  /* that was met last */
    uint8_t next;                   /* the first that may come */
    uint8_t role;
    uint8_t extension;
    uint8_t seen;                   /* a bit per extension */
    bool critical;
    bool octets;                    /* the extension's value was met */
    uint32_t content;               /* left of the element that is not open */
    struct x509_copy *copy;
    x509_hash hasher;
    uint8_t value[X509_VALUE];
};

/* Prepares for one certificate. */
static void x509_start(struct x509_walk *walk)
{
    memset(walk, 0, offsetof(struct x509_walk, value));
}

/* What a field of the certificate is for; the version and the unique ids may
 * be missing, and so may the extensions. */
static enum x509_role x509_open_field(struct x509_walk *walk, uint8_t tag)
{
    static const struct {
        uint8_t tag;
        uint8_t role;
    } rows[] = {
        { 0xA0, X509_SKIP }, { 0x02, X509_SKIP }, { 0x30, X509_IS_ALGORITHM },
        { 0x30, X509_COPY }, { 0x30, X509_ENTER }, { 0x30, X509_COPY },
        { 0x30, X509_COPY }, { 0x81, X509_SKIP }, { 0x82, X509_SKIP },
        { 0xA3, X509_ENTER }
    };
    unsigned field = walk->next;

    if (field == X509_VERSION && tag != rows[field].tag)
        field++;
    while (field > X509_OWNER_KEY && field < X509_EXTENSIONS &&
           tag != rows[field].tag)
        field++;
    if (field > X509_EXTENSIONS || tag != rows[field].tag)
        return X509_IS_BAD;
    walk->copy = field == X509_ISSUER  ? &walk->issuer
                 : field == X509_OWNER ? &walk->subject
                                       : &walk->key;
    walk->field = (uint8_t)field;
    walk->next = (uint8_t)(field + 1);
    return (enum x509_role)rows[field].role;
}

/* What is inside a field that was entered. */
static enum x509_role x509_open_inside(struct x509_walk *walk, uint8_t tag)
{
    uint8_t count = walk->count[3];

    switch ((enum x509_field)walk->field) {
    case X509_VALIDITY:
        return count <= 2 && (tag == 0x17 || tag == 0x18) ? X509_IS_TIME
                                                          : X509_IS_BAD;
    case X509_EXTENSIONS:
        return count == 1 && tag == 0x30 ? X509_ENTER : X509_IS_BAD;
    case X509_VERSION:
    case X509_SERIAL:
    case X509_ALGORITHM:
    case X509_ISSUER:
    case X509_OWNER:
    case X509_OWNER_KEY:
    case X509_ISSUER_ID:
    case X509_OWNER_ID:
        break;
    }
    return X509_IS_BAD;
}

/* Extension ::= SEQUENCE { OID, critical BOOLEAN DEFAULT FALSE, OCTETS }. */
static enum x509_role x509_open_extension(struct x509_walk *walk, uint8_t tag)
{
    uint8_t count = walk->count[5];

    if (count == 1)
        return tag == 0x06 ? X509_IS_EXTENSION : X509_IS_BAD;
    if (count == 2 && tag == 0x01)
        return X509_IS_CRITICAL;
    if (walk->octets || tag != 0x04)
        return X509_IS_BAD;
    walk->octets = true;
    return walk->extension == X509_OTHER ||
           walk->extension == X509_CONSTRAINTS ? X509_SKIP : X509_ENTER;
}

/* What is inside the value of an extension. */
static enum x509_role x509_open_value(struct x509_walk *walk, uint8_t tag)
{
    uint8_t count = walk->count[7];

    switch ((enum x509_extension)walk->extension) {
    case X509_HOSTS:
        if (tag == 0xA1 || tag == 0xA2 || tag == 0xA6)
            return X509_IS_BAD;     /* text in pieces: BER, not DER */
        return tag == 0x82 ? X509_IS_HOST : tag == 0x87 ? X509_IS_ADDRESS
                                                        : X509_SKIP;
    case X509_PURPOSES:
        return tag == 0x06 ? X509_IS_PURPOSE : X509_IS_BAD;
    case X509_AUTHORITY:
        if (count == 1 && tag == 0x01)
            return X509_IS_AUTHORITY;
        return count <= 2 && tag == 0x02 ? X509_IS_PATH : X509_IS_BAD;
    case X509_OTHER:
    case X509_CONSTRAINTS:
    case X509_USAGE:
        break;
    }
    return X509_IS_BAD;
}

/* What an element is for, by where it stands. */
static enum x509_role x509_open(struct x509_walk *walk, uint8_t tag)
{
    switch (walk->depth) {
    case 0:
        return tag == 0x30 ? X509_ENTER : X509_IS_BAD;
    case 1:
        if (walk->count[1] == 3)
            return tag == 0x03 ? X509_SKIP : X509_IS_BAD;
        if (walk->count[1] > 3 || tag != 0x30)
            return X509_IS_BAD;
        return walk->count[1] == 1 ? X509_ENTER : X509_IS_SAME;
    case 2:
        return x509_open_field(walk, tag);
    case 3:
        return x509_open_inside(walk, tag);
    case 4:
        walk->extension = X509_OTHER;
        walk->critical = walk->octets = false;
        return tag == 0x30 ? X509_ENTER : X509_IS_BAD;
    case 5:
        return x509_open_extension(walk, tag);
    case 6:
        if (walk->count[6] != 1)
            return X509_IS_BAD;
        if (walk->extension == X509_USAGE)
            return tag == 0x03 ? X509_IS_USAGE : X509_IS_BAD;
        return tag == 0x30 ? X509_ENTER : X509_IS_BAD;
    default:
        return x509_open_value(walk, tag);
    }
}

/* Whether an element that was entered may end here. */
static bool x509_may_close(const struct x509_walk *walk)
{
    switch (walk->depth) {
    case 1:
        return walk->count[1] == 3;
    case 2:
        return walk->next > X509_OWNER_KEY;
    case 3:
        return walk->field != X509_VALIDITY || walk->count[3] == 2;
    case 5:
        return walk->octets;
    case 6:
        return walk->count[6] == 1;
    default:
        return true;
    }
}

/* Two decimal digits; far less than 0 when they are none. */
static int32_t x509_two(const uint8_t *at)
{
    if (at[0] < '0' || at[0] > '9' || at[1] < '0' || at[1] > '9')
        return -1000000;
    return (at[0] - '0') * 10 + (at[1] - '0');
}

/* Reads YYMMDDhhmmssZ or YYYYMMDDhhmmssZ (RFC 5280 4.1.2.5). */
static bool x509_time(const uint8_t *at, size_t len, int64_t *seconds)
{
    int32_t year, month, day, hour, minute, second;

    if ((len != 13 && len != 15) || at[len - 1] != 'Z')
        return false;
    year = x509_two(at);
    if (len == 15)
        year = year * 100 + x509_two(at += 2);
    else
        year += year < 50 ? 2000 : 1900;
    month = x509_two(at + 2);
    day = x509_two(at + 4);
    hour = x509_two(at + 6);
    minute = x509_two(at + 8);
    second = x509_two(at + 10);
    if (year < 1 || month < 1 || month > 12 || day < 1 || day > 31 ||
        hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 ||
        second > 59)
        return false;
    *seconds = (int64_t)x509_days(year, month, day) * 86400 + hour * 3600 +
               minute * 60 + second;
    return true;
}

/* Tells an extension by its OID. False: it occurs twice. */
static bool x509_extension(struct x509_walk *walk)
{
    static const struct {
        uint8_t last;               /* of 2.5.29.x */
        uint8_t extension;
    } rows[] = {
        { 17, X509_HOSTS }, { 37, X509_PURPOSES }, { 30, X509_CONSTRAINTS },
        { 19, X509_AUTHORITY }, { 15, X509_USAGE }
    };
    size_t i;
    uint8_t bit;

    if (walk->value_len != 3 || walk->value[0] != 0x55 ||
        walk->value[1] != 0x1D)
        return true;
    for (i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].last == walk->value[2])
            walk->extension = rows[i].extension;
    bit = (uint8_t)(1 << walk->extension);
    if (walk->extension != X509_OTHER && (walk->seen & bit) != 0)
        return false;
    walk->seen |= bit;
    walk->purposes |= walk->extension == X509_PURPOSES;
    walk->constrained |= walk->extension == X509_CONSTRAINTS;
    walk->usage |= walk->extension == X509_USAGE;
    return true;
}

/* The key usage's bits: is keyCertSign among them, digitalSignature or
 * nonRepudiation? The first byte counts the bits of the last one that do not
 * count. */
static bool x509_usage(struct x509_walk *walk)
{
    if (walk->value_len < 2 || walk->value[0] > 7)
        return false;
    walk->may_sign = (walk->value[1] & 0x04) != 0 &&
                     (walk->value_len > 2 || walk->value[0] <= 2);
    walk->for_tls = (walk->value[1] & 0xC0) != 0;
    return true;
}

/* serverAuth and anyExtendedKeyUsage (RFC 5280 4.2.1.12). */
static void x509_purpose(struct x509_walk *walk)
{
    struct x509_slice oid;

    oid.at = walk->value;
    oid.len = walk->value_len;
    if (x509_is(&oid, "\x2B\x06\x01\x05\x05\x07\x03\x01", 8) ||
        x509_is(&oid, "\x55\x1D\x25\x00", 4))
        walk->for_servers = true;
}

/* A pathLenConstraint. */
static bool x509_path(struct x509_walk *walk)
{
    if (walk->value_len != 1 || walk->value[0] > 0x7F)
        return false;               /* absurd: nothing is that long */
    walk->has_path = true;
    walk->path = walk->value[0];
    return true;
}

/* The algorithm of the signature, which is there twice and the same (RFC 5280
 * 4.1.1.2); the second is not signed. */
static bool x509_algorithm(struct x509_walk *walk, bool second)
{
    size_t kept = walk->value_len < sizeof walk->algorithm
                      ? walk->value_len : sizeof walk->algorithm;

    if (second)
        return walk->value_len == walk->algorithm_len &&
               memcmp(walk->algorithm, walk->value, kept) == 0;
    walk->algorithm_len = (uint8_t)walk->value_len;
    memcpy(walk->algorithm, walk->value, kept);
    return walk->value_len <= UINT8_MAX;
}

/* Takes in a value that is complete. */
static enum x509_event x509_value(struct x509_walk *walk)
{
    bool ok = walk->value_len <= sizeof walk->value;

    switch ((enum x509_role)walk->role) {
    case X509_IS_ALGORITHM:
    case X509_IS_SAME:
        ok = ok && x509_algorithm(walk, walk->role == X509_IS_SAME);
        break;
    case X509_IS_TIME:
        ok = ok && x509_time(walk->value, walk->value_len,
                             walk->count[3] == 1 ? &walk->from : &walk->until);
        break;
    case X509_IS_EXTENSION:
        ok = ok && x509_extension(walk);
        break;
    case X509_IS_CRITICAL:
    case X509_IS_AUTHORITY:
        ok = walk->value_len == 1;
        if (walk->role == X509_IS_AUTHORITY)
            walk->authority = walk->value[0] != 0;
        else
            walk->critical = walk->value[0] != 0;
        walk->critical_purposes |=
            walk->critical && walk->extension == X509_PURPOSES;
        walk->critical_other |=
            walk->critical && walk->extension == X509_OTHER;
        break;
    case X509_IS_HOST:
    case X509_IS_ADDRESS:
        walk->is_address = walk->role == X509_IS_ADDRESS;
        return ok ? X509_NAME : X509_MORE;
    case X509_IS_PURPOSE:
        x509_purpose(walk);
        return X509_MORE;
    case X509_IS_PATH:
        ok = ok && x509_path(walk);
        break;
    case X509_IS_USAGE:
        ok = ok && x509_usage(walk);
        break;
    case X509_COPY:
        if (walk->copy != &walk->key)
            return walk->copy == &walk->subject ? X509_SUBJECT : X509_MORE;
        x509_hash_end(&walk->hasher, walk->hash);
        return X509_KEY;
    case X509_SKIP:
    case X509_ENTER:
    case X509_IS_BAD:
        break;
    }
    return ok ? X509_MORE : X509_WRONG;
}

/* Takes in a piece of an element's content (or of a copied one's header). */
static void x509_content(struct x509_walk *walk, const uint8_t *bytes,
                         size_t len)
{
    struct x509_copy value;
    struct x509_copy *to = walk->copy;
    size_t room;

    if (walk->role == X509_SKIP)
        return;
    if (walk->role == X509_COPY && to == &walk->key)
        x509_hash_add(&walk->hasher, bytes, len);
    if (walk->role != X509_COPY) {
        value.at = walk->value;
        value.size = sizeof walk->value;
        value.len = walk->value_len;
        to = &value;
        walk->value_len += len;
    }
    room = to->len < to->size ? to->size - to->len : 0;
    if (to->at != NULL && room > 0)
        memcpy(to->at + to->len, bytes, len < room ? len : room);
    to->len += len;
}

/* Closes what is complete, from the inside out. */
static enum x509_event x509_close(struct x509_walk *walk)
{
    while (walk->depth > 0 && walk->left[walk->depth] == 0) {
        if (!x509_may_close(walk))
            return X509_WRONG;
        if (--walk->depth == 0)
            return X509_DONE;
    }
    return X509_MORE;
}

/* The bytes of the header so far: 0, they are too few; 1, it is complete, and
 * *len is the content's length; -1, it is no DER. */
static int x509_header(const struct x509_walk *walk, uint32_t *len)
{
    uint8_t more;
    size_t i;

    if (walk->head_len < 2)
        return (walk->head[0] & 0x1F) == 0x1F ? -1 : 0;
    *len = walk->head[1];
    if (*len < 0x80)
        return 1;
    more = walk->head[1] & 0x7F;
    if (more < 1 || more > 3)
        return -1;
    if (walk->head_len < 2 + more)
        return 0;
    for (*len = 0, i = 2; i < walk->head_len; i++)
        *len = *len << 8 | walk->head[i];
    return *len < 0x80 || *len >> 8 * (more - 1) == 0 ? -1 : 1;
}

/* Begins an element whose header is complete. */
static enum x509_event x509_begin(struct x509_walk *walk, uint32_t len)
{
    uint32_t whole = walk->head_len + len;
    uint32_t *left = &walk->left[walk->depth];

    if (walk->depth > 0) {
        if (*left < whole)
            return X509_WRONG;
        *left -= whole;
    }
    if (walk->count[walk->depth] < 255)
        walk->count[walk->depth]++;
    walk->role = (uint8_t)x509_open(walk, walk->head[0]);
    if (walk->role == X509_IS_BAD)
        return X509_WRONG;
    walk->value_len = 0;
    if (walk->role == X509_ENTER) {
        walk->depth++;
        walk->left[walk->depth] = len;
        walk->count[walk->depth] = 0;
    } else {
        walk->content = len;
        if (walk->role == X509_COPY && walk->copy == &walk->key)
            x509_hash_start(&walk->hasher);
        if (walk->role == X509_COPY)
            x509_content(walk, walk->head, walk->head_len);
    }
    walk->head_len = 0;
    return X509_MORE;
}

/* Takes in a byte of a header; *begun when that begins an element. */
static enum x509_event x509_head(struct x509_walk *walk, uint8_t byte,
                                 bool *begun)
{
    uint32_t len = 0;
    int whole;

    walk->head[walk->head_len++] = byte;
    whole = x509_header(walk, &len);
    *begun = whole > 0;
    if (whole == 0)
        return X509_MORE;
    return whole < 0 ? X509_WRONG : x509_begin(walk, len);
}

/* Ends an element: its value, then what it completes. */
static enum x509_event x509_ended(struct x509_walk *walk)
{
    enum x509_event event = X509_MORE, closed;

    if (walk->role != X509_ENTER)
        event = x509_value(walk);
    if (event == X509_WRONG)
        return event;
    closed = x509_close(walk);
    return closed != X509_MORE && event == X509_MORE ? closed
           : closed == X509_WRONG                    ? closed
                                                     : event;
}

/* Looks at `len` bytes, consumes *used of them, says what it found. The events
 * are the same wherever the input is split. */
static enum x509_event x509_next(struct x509_walk *walk, const uint8_t *bytes,
                                 size_t len, size_t *used)
{
    enum x509_event event = X509_MORE;
    size_t at = 0, n;
    bool ended;

    while (at < len && event == X509_MORE) {
        if (walk->content > 0) {
            n = len - at < walk->content ? len - at : walk->content;
            x509_content(walk, bytes + at, n);
            walk->content -= (uint32_t)n;
            at += n;
            ended = walk->content == 0;
        } else {
            event = x509_head(walk, bytes[at++], &ended);
            ended = ended && walk->content == 0;
        }
        if (event == X509_MORE && ended)
            event = x509_ended(walk);
    }
    *used = at;
    return event;
}
