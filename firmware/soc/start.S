/* From the reset to main(): stack, cleared variables, a handler of traps. */
    .section .text.start, "ax"
    .global start
start:
    la      sp, stack_end
    la      t0, trapped
    csrw    mtvec, t0
    la      t0, cleared_start
    la      t1, cleared_end
1:  bgeu    t0, t1, 2f
    sw      zero, 0(t0)
    addi    t0, t0, 4
    j       1b
2:  call    main
3:  j       3b

    .balign 4
trapped:
    la      sp, stack_end
    csrr    a0, mcause
    csrr    a1, mepc
    csrr    a2, mtval
    call    trap
4:  j       4b

/* What the program works on, written by hw/soc/program.py. */
    .section .rodata
    .global network, network_end, images
    .balign 4
network:
    .incbin "network.bin"
network_end:
    .balign 4
images:
    .incbin "images.bin"
