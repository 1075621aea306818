/* What LiteX's code for DRAM wants of a C library: console.c has it. */
#ifndef EGRET_STDIO_H
#define EGRET_STDIO_H

#include <stddef.h>

int printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
int putchar(int character);

#endif
