/* Text, and the few functions that a compiler takes for granted, for programs without a C library. */
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

void *memcpy(void *to, const void *from, size_t size);
void *memset(void *to, int value, size_t size);

void *memcpy(void *to, const void *from, size_t size)
{
    unsigned char *out = to;
    const unsigned char *in = from;
    while (size--)
        *out++ = *in++;
    return to;
}

void *memset(void *to, int value, size_t size)
{
    unsigned char *out = to;
    while (size--)
        *out++ = (unsigned char)value;
    return to;
}

static void put_number(unsigned long value, unsigned base, int width, char fill, bool negative)
{
    char digits[24];
    int count = 0;
    do {
        digits[count++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    if (negative)
        digits[count++] = '-';
    for (int blank = count; blank < width; blank++)
        putchar(fill);
    while (count)
        putchar(digits[--count]);
}

/* Knows %d %u %x %p %s %c and %%, a width, a leading 0, and takes l for what int is here. */
int printf(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    for (; *format; format++) {
        if (*format != '%') {
            if (*format == '\n')
                putchar('\r');
            putchar(*format);
            continue;
        }
        format++;
        char fill = ' ';
        int width = 0;
        if (*format == '0')
            fill = '0';
        for (; *format >= '0' && *format <= '9'; format++)
            width = 10 * width + (*format - '0');
        while (*format == 'l')
            format++;
        if (*format == 's') {
            for (const char *text = va_arg(arguments, const char *); *text; text++)
                putchar(*text);
        } else if (*format == 'c') {
            putchar(va_arg(arguments, int));
        } else if (*format == '%') {
            putchar('%');
        } else if (*format == 'd') {
            long value = va_arg(arguments, long);
            put_number(value < 0 ? 0UL - (unsigned long)value : (unsigned long)value, 10, width, fill, value < 0);
        } else {
            put_number(va_arg(arguments, unsigned long), *format == 'u' ? 10 : 16, width, fill, false);
        }
    }
    va_end(arguments);
    return 0;
}
