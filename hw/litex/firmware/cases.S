/* The networks to run, written by hw/litex/cases.py. */
    .section .rodata
    .global cases
    .balign 4
cases:
    .incbin "cases.bin"
