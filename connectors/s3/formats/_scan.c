/* Finds where a field of a JSON text may hold one of many values, and reads nothing else.
 *
 * In: a field's name, the values that count there, bytes. Out: places of names behind which one of them
 * stands, or anything that is not simply another value: whoever asks parses what is told. The same verdict as
 * the automaton of field_needles.py, or more; native.py wraps it and says what the arguments mean.
 *
 * Nothing is read outside data[0..size); nothing is written but `places`. A scan does not change once it was
 * made, so that many threads may use one. Only for machines that store the lowest byte first. */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ONES 0x0101010101010101u
#define TOPS 0x8080808080808080u
#define CAPITALS 0x2020202020202020u
#define CHUNK 64
#define FILTER_BITS_A_VALUE 16

enum numbers { NO_NUMBERS, WHOLE, DECIMAL, ANY };

typedef struct {
    uint8_t *needle; /* the name and its closing quote */
    size_t length, rare, rarer; /* where its rarest signs stand in it */
    uint8_t *bytes;             /* all values, one behind the other */
    uint32_t *starts;           /* of each value, and the end of the last one */
    uint32_t *slots;            /* number of a value and one; 0: free */
    uint64_t *filter;           /* a bit for each hash */
    uint64_t mask, filter_mask, seed, fold;
    uint8_t *alike; /* signs that may stand for one of ASCII: a length, then the bytes; 0 ends them */
    int numbers, texts, folded, abroad;
} scan;

#ifndef SOURCE
#define SOURCE ""
#endif
const char *scan_source(void) { return SOURCE; }

/* ---- the set of values */

static uint64_t word_at(const uint8_t *at) {
    uint64_t word;
    memcpy(&word, at, 8);
    return word;
}

static uint64_t mixed(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * 0x9E3779B97F4A7C15u;
    return hash ^ (hash >> 29);
}

static uint64_t hash_of(const scan *s, const uint8_t *at, size_t length) {
    uint64_t hash = s->seed ^ length, word = 0;
    if (length < 8) {
        memcpy(&word, at, length);
        return mixed(mixed(hash, word | s->fold), 0);
    }
    for (size_t done = 0; done + 8 < length; done += 8) hash = mixed(hash, word_at(at + done) | s->fold);
    return mixed(mixed(hash, word_at(at + length - 8) | s->fold), 0);
}

static int is_same(const scan *s, const uint8_t *value, const uint8_t *at, size_t length) {
    uint8_t fold = (uint8_t)s->fold;
    for (size_t i = 0; i < length; i++)
        if ((value[i] | fold) != (at[i] | fold)) return 0;
    return 1;
}

static int is_wanted(const scan *s, const uint8_t *at, size_t length) {
    uint64_t hash = hash_of(s, at, length);
    uint64_t bit = (hash >> 32) & s->filter_mask;
    if (!(s->filter[bit >> 6] >> (bit & 63) & 1)) return 0;
    for (uint64_t slot = hash & s->mask; s->slots[slot]; slot = (slot + 1) & s->mask) {
        const uint32_t *start = s->starts + s->slots[slot] - 1;
        if (start[1] - start[0] == length && is_same(s, s->bytes + start[0], at, length)) return 1;
    }
    return 0;
}

static void insert(scan *s, uint32_t number) {
    const uint8_t *at = s->bytes + s->starts[number];
    uint64_t hash = hash_of(s, at, s->starts[number + 1] - s->starts[number]);
    uint64_t bit = (hash >> 32) & s->filter_mask, slot = hash & s->mask;
    s->filter[bit >> 6] |= (uint64_t)1 << (bit & 63);
    while (s->slots[slot]) slot = (slot + 1) & s->mask;
    s->slots[slot] = number + 1;
}

void scan_free(scan *s) {
    if (!s) return;
    free(s->needle), free(s->bytes), free(s->starts), free(s->slots), free(s->filter), free(s->alike);
    free(s);
}

static void *copied(const void *data, size_t size) {
    void *copy = malloc(size ? size : 1);
    if (copy && size) memcpy(copy, data, size);
    return copy;
}

/* `starts` has one more than `count`; `rarest` are two places in the needle. NULL: no memory. */
scan *scan_new(const uint8_t *needle, size_t length, const size_t *rarest, const uint8_t *bytes,
               const uint32_t *starts, uint32_t count, const uint8_t *alike, size_t alike_size,
               const int *how, uint64_t seed) {
    uint64_t slots = 4, bits = 64;
    scan *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    while (slots < (uint64_t)count * 2) slots *= 2;
    while (bits < (uint64_t)count * FILTER_BITS_A_VALUE) bits *= 2;
    s->needle = copied(needle, length), s->length = length, s->rare = rarest[0], s->rarer = rarest[1];
    s->bytes = copied(bytes, starts[count]), s->starts = copied(starts, ((size_t)count + 1) * sizeof *starts);
    s->alike = copied(alike, alike_size);
    s->slots = calloc(slots, sizeof *s->slots), s->filter = calloc(bits / 64, sizeof *s->filter);
    s->mask = slots - 1, s->filter_mask = bits - 1, s->seed = seed;
    s->numbers = how[0], s->texts = how[1], s->folded = how[2], s->abroad = how[3];
    s->fold = s->folded ? CAPITALS : 0;
    if (!s->needle || !s->bytes || !s->starts || !s->alike || !s->slots || !s->filter) {
        scan_free(s);
        return NULL;
    }
    for (uint32_t number = 0; number < count; number++) insert(s, number);
    return s;
}

/* ---- what stands behind a name: whether it has to be looked at */

static uint64_t zeros(uint64_t word) { return (word - ONES) & ~word & TOPS; }

static int stands_for_ascii(const scan *s, const uint8_t *at, const uint8_t *end) {
    for (const uint8_t *sign = s->alike; *sign; sign += *sign + 1)
        if ((size_t)(end - at) >= *sign && !memcmp(at, sign + 1, *sign)) return 1;
    return 0;
}

static int looks_text(const scan *s, const uint8_t *at, const uint8_t *end) {
    const uint8_t *start = at;
    for (; end - at >= 8; at += 8) { /* to the first sign that ends a text, or is outside ASCII */
        uint64_t word = word_at(at);
        uint64_t found = zeros(word ^ '"' * ONES) | zeros(word ^ '\\' * ONES) | zeros(word ^ '\n' * ONES);
        if (found |= word & TOPS) {
            at += __builtin_ctzll(found) >> 3;
            break;
        }
    }
    for (; at < end && *at != '"'; at++) {
        if (*at == '\\') return 1;
        if (*at == '\n') return 0; /* no text ends so */
        if (*at >= 0x80 && s->folded && (s->abroad || stands_for_ascii(s, at, end))) return 1;
    }
    if (at == end) return 0;
    if (s->folded) {
        while (start < at && *start == ' ') start++;
        while (start < at && at[-1] == ' ') at--;
    }
    return is_wanted(s, start, (size_t)(at - start));
}

static int looks_number(const scan *s, const uint8_t *at, const uint8_t *end) {
    const uint8_t *start = at, *whole = NULL; /* where what is whole ends, if more follows */
    for (; at < end; at++) {
        if (*at >= '0' && *at <= '9') continue;
        if (*at != '.' && *at != 'e' && *at != 'E' && *at != '+' && *at != '-') break;
        if (!whole && at > start) whole = at;
    }
    if (s->numbers == NO_NUMBERS || (whole && s->numbers == WHOLE)) return 0;
    if (whole && (s->numbers == ANY || at - whole != 2 || whole[0] != '.' || whole[1] != '0')) return 1;
    if (whole) at = whole; /* 7.0 */
    if (at - start == 2 && start[0] == '-' && start[1] == '0') start++;
    return is_wanted(s, start, (size_t)(at - start));
}

static int looks(const scan *s, const uint8_t *at, const uint8_t *end) {
    if (at == end) return 1;
    if (*at != ':') return *at != ',' && *at != '}' && *at != ']'; /* a text that only says the name */
    if (++at < end && *at == ' ') at++;
    if (at == end) return 1;
    switch (*at) {
    case '"':
        return s->texts && looks_text(s, at + 1, end);
    case 't': case 'f': case 'n': case '{': case '[':
        return 0;
    default:
        return *at == '-' || (*at >= '0' && *at <= '9') ? looks_number(s, at, end) : 1;
    }
}

/* ---- where names stand */

static int is_name(const scan *s, const uint8_t *at) {
    return at[s->rarer] == s->needle[s->rarer] && !memcmp(at, s->needle, s->length);
}

static size_t next_name(const scan *s, const uint8_t *data, size_t at, size_t size) {
    const uint8_t rare = s->needle[s->rare], rarer = s->needle[s->rarer];
    for (; size - at >= CHUNK + s->length; at += CHUNK) {
        const uint8_t *one = data + at + s->rare, *other = data + at + s->rarer;
        uint8_t any = 0;
        for (int i = 0; i < CHUNK; i++) any |= (one[i] == rare) & (other[i] == rarer);
        if (!any) continue;
        for (const uint8_t *found = one; (found = memchr(found, rare, one + CHUNK - found)); found++)
            if (is_name(s, found - s->rare)) return (size_t)(found - s->rare - data);
    }
    for (; size - at >= s->length; at++)
        if (data[at + s->rare] == rare && is_name(s, data + at)) return at;
    return size;
}

/* Tell at most `room` places from `from` on; how many there are. `next`: where to go on, `size` at the end. */
size_t scan_places(const scan *s, const uint8_t *data, size_t from, size_t size, size_t *places, size_t room,
                   size_t *next) {
    size_t count = 0, at = from;
    while (at < size && count < room) {
        at = next_name(s, data, at, size);
        if (at == size) break;
        if (looks(s, data + at + s->length, data + size)) places[count++] = at;
        at += s->length;
    }
    *next = at;
    return count;
}
