/* Characters to LiteX's UART. */
#include <generated/csr.h>
#include <stdio.h>

void isr(void);

/* LiteX's start-up code names it; no interrupt is ever enabled. */
void isr(void)
{
}

int putchar(int character)
{
    while (uart_txfull_read()) {
    }
    uart_rxtx_write((unsigned char)character);
    return character;
}
