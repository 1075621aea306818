// Lattice iCE40 UltraPlus multiplier, after FPGA-TN-02007: O = C:D + A * B, or O + A * B, of 16 by 16 bits, with input,
// pipeline and output registers.
module SB_MAC16 (
    input CLK, CE,
    input [15:0] A, B, C, D,
    input AHOLD, BHOLD, CHOLD, DHOLD, OHOLDTOP, OHOLDBOT, IRSTTOP, IRSTBOT, ORSTTOP, ORSTBOT, OLOADTOP, OLOADBOT,
    input ADDSUBTOP, ADDSUBBOT, CI, ACCUMCI, SIGNEXTIN,
    output [31:0] O,
    output CO, ACCUMCO, SIGNEXTOUT
);
    parameter A_REG = 0;
    parameter B_REG = 0;
    parameter C_REG = 0;
    parameter D_REG = 0;
    parameter TOP_8x8_MULT_REG = 0;
    parameter BOT_8x8_MULT_REG = 0;
    parameter PIPELINE_16x16_MULT_REG1 = 0;
    parameter PIPELINE_16x16_MULT_REG2 = 0;
    parameter TOPOUTPUT_SELECT = 0;
    parameter TOPADDSUB_LOWERINPUT = 0;
    parameter TOPADDSUB_UPPERINPUT = 0;
    parameter TOPADDSUB_CARRYSELECT = 0;
    parameter BOTOUTPUT_SELECT = 0;
    parameter BOTADDSUB_LOWERINPUT = 0;
    parameter BOTADDSUB_UPPERINPUT = 0;
    parameter BOTADDSUB_CARRYSELECT = 0;
    parameter MODE_8x8 = 0;
    parameter A_SIGNED = 0;
    parameter B_SIGNED = 0;

    initial begin
        if (!(A_REG && B_REG && TOP_8x8_MULT_REG && BOT_8x8_MULT_REG && PIPELINE_16x16_MULT_REG1))
            $fatal(1, "SB_MAC16: a register is off");
        if (PIPELINE_16x16_MULT_REG2 || MODE_8x8) $fatal(1, "SB_MAC16: this mode is not modelled");
        // 1: the registered sum; 2: the product.
        if (TOPOUTPUT_SELECT != 1 || BOTOUTPUT_SELECT != 1 || TOPADDSUB_LOWERINPUT != 2 || BOTADDSUB_LOWERINPUT != 2
            || TOPADDSUB_UPPERINPUT != BOTADDSUB_UPPERINPUT || BOTADDSUB_CARRYSELECT != 0)
            $fatal(1, "SB_MAC16: this path is not modelled");
        if (TOPADDSUB_CARRYSELECT > 2) $fatal(1, "SB_MAC16: this carry is not modelled");
    end

    reg [15:0] a_input, b_input, c_input, d_input;
    wire signed [16:0] a = {A_SIGNED != 0 && a_input[15], a_input};
    wire signed [16:0] b = {B_SIGNED != 0 && b_input[15], b_input};
    reg signed [33:0] product;
    reg [31:0] out;

    // The upper input of the adder: C and D, or the output. To subtract, it is inverted, and so is the result.
    wire [15:0] c = C_REG ? c_input : C, d = D_REG ? d_input : D;
    wire [31:0] upper = TOPADDSUB_UPPERINPUT ? {c, d} : out;
    wire [16:0] low = {1'b0, product[15:0]} + {1'b0, upper[15:0] ^ {16{ADDSUBBOT}}};
    // The carry into the high half: 0, 1, or that out of the low half as it comes.
    wire carry = TOPADDSUB_CARRYSELECT == 0 ? 1'b0 : TOPADDSUB_CARRYSELECT == 1 ? 1'b1 : low[16];
    wire [15:0] high = product[31:16] + (upper[31:16] ^ {16{ADDSUBTOP}}) + {15'd0, carry};

    always @(posedge CLK) if (CE) begin
        if (CHOLD | DHOLD | IRSTTOP | IRSTBOT) $fatal(1, "SB_MAC16: these holds and resets are not modelled");
        if (!AHOLD) a_input <= A;
        if (!BHOLD) b_input <= B;
        c_input <= C;
        d_input <= D;
        product <= a * b;
    end
    always @(posedge CLK or posedge ORSTTOP)
        if (ORSTTOP) out[31:16] <= 0;
        else if (CE && !OHOLDTOP) out[31:16] <= OLOADTOP ? c : high ^ {16{ADDSUBTOP}};
    always @(posedge CLK or posedge ORSTBOT)
        if (ORSTBOT) out[15:0] <= 0;
        else if (CE && !OHOLDBOT) out[15:0] <= OLOADBOT ? d : low[15:0] ^ {16{ADDSUBBOT}};
    assign O = out;
    assign {CO, ACCUMCO, SIGNEXTOUT} = 3'b000;
endmodule
