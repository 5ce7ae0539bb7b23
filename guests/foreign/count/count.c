// Counts lines, words and bytes: an ordinary C program, which knows nothing of BoxAgnts.
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct counts {
    unsigned long lines, words, bytes;
};

static struct counts count(FILE *file) {
    struct counts counts = {0};
    bool in_word = false;
    for (int byte; (byte = getc(file)) != EOF; counts.bytes++) {
        bool is_space = isspace(byte);
        counts.lines += byte == '\n';
        counts.words += !is_space && !in_word;
        in_word = !is_space;
    }
    return counts;
}

static void report(const char *name, struct counts counts, bool only_lines) {
    if (only_lines)
        printf("%lu %s\n", counts.lines, name);
    else
        printf("%lu %lu %lu %s\n", counts.lines, counts.words, counts.bytes, name);
}

int main(int argc, char **argv) {
    bool only_lines = false, options = true;
    int files = 0;
    for (int at = 1; at < argc; at++) {
        const char *item = argv[at];
        if (options && strcmp(item, "--") == 0) {
            options = false;
        } else if (options && strcmp(item, "--lines") == 0) {
            only_lines = true;
        } else if (options && item[0] == '-') {
            fprintf(stderr, "count: there is no option %s\n", item);
            return 2;
        } else {
            FILE *file = fopen(item, "r");
            if (!file) {
                fprintf(stderr, "count: %s: %s\n", item, strerror(errno));
                return 1;
            }
            report(item, count(file), only_lines);
            fclose(file);
            files++;
        }
    }
    if (files == 0)
        report("-", count(stdin), only_lines);
    return 0;
}
