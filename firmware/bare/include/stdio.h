/* What a program without a C library prints with: text.c has printf, putchar is each program's own. */
#ifndef EGRET_STDIO_H
#define EGRET_STDIO_H

#include <stddef.h>

int printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
int putchar(int character);

#endif
