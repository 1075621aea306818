// Gowin multiplier, after UG287, with pipeline and output registers.
module MULT18X18 (
    input CLK, CE, RESET, ASIGN, BSIGN, ASEL, BSEL,
    input [17:0] A, B, SIA, SIB,
    output [35:0] DOUT,
    output [17:0] SOA, SOB
);
    parameter AREG = 0;
    parameter BREG = 0;
    parameter ASIGN_REG = 0;
    parameter BSIGN_REG = 0;
    parameter PIPE_REG = 0;
    parameter OUT_REG = 0;
    parameter SOA_REG = 0;
    parameter MULT_RESET_MODE = "SYNC";

    initial
        if (AREG || BREG || ASIGN_REG || BSIGN_REG || !PIPE_REG || !OUT_REG) $fatal(1, "MULT18X18: not as modelled");

    wire signed [18:0] a_input = {ASIGN & A[17], A}, b_input = {BSIGN & B[17], B};
    reg signed [37:0] pipeline, out;
    always @(posedge CLK) if (RESET) begin
        pipeline <= 0;
        out <= 0;
    end else if (CE) begin
        if (ASEL | BSEL) $fatal(1, "MULT18X18: shift inputs are not modelled");
        pipeline <= a_input * b_input;
        out <= pipeline;
    end
    assign DOUT = out[35:0];
    assign SOA = a_input[17:0];
    assign SOB = b_input[17:0];
endmodule
