// Lattice ECP5 multiplier, after FPGA-TN-02205, with input, pipeline and output registers on CLK0;
// those of the inputs enabled by CE1, the others by CE0.
module MULT18X18D (
    input CLK0, CE0, CE1, RST0, SIGNEDA, SIGNEDB, SOURCEA, SOURCEB,
    input A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0,
    input B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0,
    output P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18, P17, P16, P15,
        P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0
);
    parameter REG_INPUTA_CLK = "NONE";
    parameter REG_INPUTB_CLK = "NONE";
    parameter REG_INPUTA_CE = "CE0";
    parameter REG_INPUTB_CE = "CE0";
    parameter REG_PIPELINE_CLK = "NONE";
    parameter REG_OUTPUT_CLK = "NONE";
    parameter GSR = "ENABLED";
    parameter RESETMODE = "SYNC";

    initial
        if (REG_INPUTA_CLK != "CLK0" || REG_INPUTB_CLK != "CLK0" || REG_PIPELINE_CLK != "CLK0" ||
            REG_OUTPUT_CLK != "CLK0" || REG_INPUTA_CE != "CE1" || REG_INPUTB_CE != "CE1")
            $fatal(1, "MULT18X18D: a register is off, or not enabled as modelled");

    wire [17:0] a = {A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0};
    wire [17:0] b = {B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0};
    reg signed [18:0] a_input, b_input;
    reg signed [37:0] pipeline, out;
    always @(posedge CLK0) if (RST0) begin
        a_input <= 0;
        b_input <= 0;
        pipeline <= 0;
        out <= 0;
    end else begin
        if (SOURCEA | SOURCEB) $fatal(1, "MULT18X18D: shift inputs are not modelled");
        if (CE1) begin
            a_input <= {SIGNEDA & a[17], a};
            b_input <= {SIGNEDB & b[17], b};
        end
        if (CE0) begin
            pipeline <= a_input * b_input;
            out <= pipeline;
        end
    end
    assign {P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18, P17, P16,
        P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0} = out[35:0];
endmodule
