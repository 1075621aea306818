/* Characters to the serial line, and what a trap says. */
#include <stdio.h>

#include "soc.h"

void trap(uint32_t cause, uint32_t at, uint32_t address);

int putchar(int character)
{
    while (!(load(CONSOLE + CONSOLE_SEND) & 1)) {
    }
    store(CONSOLE + CONSOLE_SEND, (unsigned char)character);
    return character;
}

/* An access that the bus refused, or an instruction that there is not: start.S comes here, and then waits for a reset. */
void trap(uint32_t cause, uint32_t at, uint32_t address)
{
    store(CONSOLE + CONSOLE_LIGHTS, LIGHT_ERROR);
    printf("error: trap %lu at 0x%08lx, address 0x%08lx\n", (unsigned long)cause, (unsigned long)at,
           (unsigned long)address);
    putchar(END_OF_RUN);
}
