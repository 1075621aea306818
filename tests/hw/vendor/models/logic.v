// Flip-flops and LUTs as hw/vendor uses them. ECP5: FPGA-TN-02032; iCE40 technology library; Gowin: UG288.
module TRELLIS_FF (input CLK, LSR, DI, output reg Q);
    parameter GSR = "ENABLED";
    parameter CEMUX = "CE";
    parameter CLKMUX = "CLK";
    parameter LSRMUX = "LSR";
    parameter REGSET = "RESET";
    // With CEMUX "1" the register always moves. GSR must be off: it would add a reset that the twin lacks.
    always @(posedge CLK) Q <= LSR || CEMUX != "1" || CLKMUX != "CLK" || GSR != "DISABLED" ? 1'bx : DI;
endmodule

module SB_DFF (input C, D, output reg Q);
    always @(posedge C) Q <= D;
endmodule

module DFF (input CLK, D, output reg Q);
    always @(posedge CLK) Q <= D;
endmodule

module LUT4 (input A, B, C, D, output Z);
    parameter [15:0] INIT = 16'h0000;
    assign Z = INIT[{D, C, B, A}];
endmodule

module PFUMX (input ALUT, BLUT, C0, output Z);
    assign Z = C0 ? ALUT : BLUT;
endmodule
