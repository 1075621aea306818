// Gowin block RAM in semi dual port mode, after UG285, with the output register: written through port A, read through
// port B, both of one width.
module gowin_sdp (
    input CLKA, CEA, RESETA, CLKB, CEB, OCE, RESETB,
    input [2:0] BLKSELA, BLKSELB,
    input [13:0] ADA, ADB,
    input [PINS-1:0] DI,
    output reg [PINS-1:0] DO
);
    parameter UNIT = 8;  // bits that share an address of 8
    parameter PINS = 32;
    parameter WIDTH = 32;
    parameter [2048*UNIT-1:0] LINES = 0;
    localparam UNITS = WIDTH < UNIT ? 1 : WIDTH / UNIT;

    reg [UNIT-1:0] units [0:2047];
    reg [PINS-1:0] word;
    integer k;
    initial for (k = 0; k < 2048; k = k + 1) units[k] = LINES[UNIT*k +: UNIT];

    // Addresses count bits. Port A's lowest ones enable the bytes of words of two or four.
    always @(posedge CLKA) if (CEA & BLKSELA == 0) begin
        if (WIDTH < UNIT) begin
            for (k = 0; k < WIDTH; k = k + 1) units[ADA[13:3]][ADA[2:0] / WIDTH * WIDTH + k] <= DI[k];
        end else begin
            for (k = 0; k < UNITS; k = k + 1)
                if (UNITS == 1 || ADA[k]) units[ADA[13:3] / UNITS * UNITS + k] <= DI[UNIT*k +: UNIT];
        end
    end

    always @(posedge CLKB) begin
        if (CEB & BLKSELB == 0) begin
            word <= 0;
            if (WIDTH < UNIT) begin
                for (k = 0; k < WIDTH; k = k + 1) word[k] <= units[ADB[13:3]][ADB[2:0] / WIDTH * WIDTH + k];
            end else begin
                for (k = 0; k < UNITS; k = k + 1) word[UNIT*k +: UNIT] <= units[ADB[13:3] / UNITS * UNITS + k];
            end
        end
        if (RESETB) DO <= 0;
        else if (OCE) DO <= word;
    end
endmodule

module SDPB (
    input CLKA, CEA, RESETA, CLKB, CEB, OCE, RESETB,
    input [2:0] BLKSELA, BLKSELB,
    input [13:0] ADA, ADB,
    input [31:0] DI,
    output [31:0] DO
);
    parameter READ_MODE = 0;
    parameter BIT_WIDTH_0 = 32;
    parameter BIT_WIDTH_1 = 32;
    parameter BLK_SEL_0 = 0;
    parameter BLK_SEL_1 = 0;
    parameter RESET_MODE = "SYNC";
    parameter [255:0] INIT_RAM_00 = 0;
    parameter [255:0] INIT_RAM_01 = 0;
    parameter [255:0] INIT_RAM_02 = 0;
    parameter [255:0] INIT_RAM_03 = 0;
    parameter [255:0] INIT_RAM_04 = 0;
    parameter [255:0] INIT_RAM_05 = 0;
    parameter [255:0] INIT_RAM_06 = 0;
    parameter [255:0] INIT_RAM_07 = 0;
    parameter [255:0] INIT_RAM_08 = 0;
    parameter [255:0] INIT_RAM_09 = 0;
    parameter [255:0] INIT_RAM_0A = 0;
    parameter [255:0] INIT_RAM_0B = 0;
    parameter [255:0] INIT_RAM_0C = 0;
    parameter [255:0] INIT_RAM_0D = 0;
    parameter [255:0] INIT_RAM_0E = 0;
    parameter [255:0] INIT_RAM_0F = 0;
    parameter [255:0] INIT_RAM_10 = 0;
    parameter [255:0] INIT_RAM_11 = 0;
    parameter [255:0] INIT_RAM_12 = 0;
    parameter [255:0] INIT_RAM_13 = 0;
    parameter [255:0] INIT_RAM_14 = 0;
    parameter [255:0] INIT_RAM_15 = 0;
    parameter [255:0] INIT_RAM_16 = 0;
    parameter [255:0] INIT_RAM_17 = 0;
    parameter [255:0] INIT_RAM_18 = 0;
    parameter [255:0] INIT_RAM_19 = 0;
    parameter [255:0] INIT_RAM_1A = 0;
    parameter [255:0] INIT_RAM_1B = 0;
    parameter [255:0] INIT_RAM_1C = 0;
    parameter [255:0] INIT_RAM_1D = 0;
    parameter [255:0] INIT_RAM_1E = 0;
    parameter [255:0] INIT_RAM_1F = 0;
    parameter [255:0] INIT_RAM_20 = 0;
    parameter [255:0] INIT_RAM_21 = 0;
    parameter [255:0] INIT_RAM_22 = 0;
    parameter [255:0] INIT_RAM_23 = 0;
    parameter [255:0] INIT_RAM_24 = 0;
    parameter [255:0] INIT_RAM_25 = 0;
    parameter [255:0] INIT_RAM_26 = 0;
    parameter [255:0] INIT_RAM_27 = 0;
    parameter [255:0] INIT_RAM_28 = 0;
    parameter [255:0] INIT_RAM_29 = 0;
    parameter [255:0] INIT_RAM_2A = 0;
    parameter [255:0] INIT_RAM_2B = 0;
    parameter [255:0] INIT_RAM_2C = 0;
    parameter [255:0] INIT_RAM_2D = 0;
    parameter [255:0] INIT_RAM_2E = 0;
    parameter [255:0] INIT_RAM_2F = 0;
    parameter [255:0] INIT_RAM_30 = 0;
    parameter [255:0] INIT_RAM_31 = 0;
    parameter [255:0] INIT_RAM_32 = 0;
    parameter [255:0] INIT_RAM_33 = 0;
    parameter [255:0] INIT_RAM_34 = 0;
    parameter [255:0] INIT_RAM_35 = 0;
    parameter [255:0] INIT_RAM_36 = 0;
    parameter [255:0] INIT_RAM_37 = 0;
    parameter [255:0] INIT_RAM_38 = 0;
    parameter [255:0] INIT_RAM_39 = 0;
    parameter [255:0] INIT_RAM_3A = 0;
    parameter [255:0] INIT_RAM_3B = 0;
    parameter [255:0] INIT_RAM_3C = 0;
    parameter [255:0] INIT_RAM_3D = 0;
    parameter [255:0] INIT_RAM_3E = 0;
    parameter [255:0] INIT_RAM_3F = 0;
    localparam [64*256-1:0] LINES =
        {INIT_RAM_3F, INIT_RAM_3E, INIT_RAM_3D, INIT_RAM_3C, INIT_RAM_3B, INIT_RAM_3A, INIT_RAM_39, INIT_RAM_38,
        INIT_RAM_37, INIT_RAM_36, INIT_RAM_35, INIT_RAM_34, INIT_RAM_33, INIT_RAM_32, INIT_RAM_31, INIT_RAM_30,
        INIT_RAM_2F, INIT_RAM_2E, INIT_RAM_2D, INIT_RAM_2C, INIT_RAM_2B, INIT_RAM_2A, INIT_RAM_29, INIT_RAM_28,
        INIT_RAM_27, INIT_RAM_26, INIT_RAM_25, INIT_RAM_24, INIT_RAM_23, INIT_RAM_22, INIT_RAM_21, INIT_RAM_20,
        INIT_RAM_1F, INIT_RAM_1E, INIT_RAM_1D, INIT_RAM_1C, INIT_RAM_1B, INIT_RAM_1A, INIT_RAM_19, INIT_RAM_18,
        INIT_RAM_17, INIT_RAM_16, INIT_RAM_15, INIT_RAM_14, INIT_RAM_13, INIT_RAM_12, INIT_RAM_11, INIT_RAM_10,
        INIT_RAM_0F, INIT_RAM_0E, INIT_RAM_0D, INIT_RAM_0C, INIT_RAM_0B, INIT_RAM_0A, INIT_RAM_09, INIT_RAM_08,
        INIT_RAM_07, INIT_RAM_06, INIT_RAM_05, INIT_RAM_04, INIT_RAM_03, INIT_RAM_02, INIT_RAM_01, INIT_RAM_00};

    gowin_sdp #(.UNIT(8), .PINS(32), .WIDTH(BIT_WIDTH_0), .LINES(LINES)) ram (.*);
    initial begin
        if (READ_MODE != 1) $fatal(1, "SDPB: no output register");
        if (BIT_WIDTH_0 != BIT_WIDTH_1) $fatal(1, "SDPB: both widths must be equal here");
        if (BLK_SEL_0 != 0 || BLK_SEL_1 != 0) $fatal(1, "SDPB: block select is not modelled");
    end
endmodule

module SDPX9B (
    input CLKA, CEA, RESETA, CLKB, CEB, OCE, RESETB,
    input [2:0] BLKSELA, BLKSELB,
    input [13:0] ADA, ADB,
    input [35:0] DI,
    output [35:0] DO
);
    parameter READ_MODE = 0;
    parameter BIT_WIDTH_0 = 36;
    parameter BIT_WIDTH_1 = 36;
    parameter BLK_SEL_0 = 0;
    parameter BLK_SEL_1 = 0;
    parameter RESET_MODE = "SYNC";
    parameter [287:0] INIT_RAM_00 = 0;
    parameter [287:0] INIT_RAM_01 = 0;
    parameter [287:0] INIT_RAM_02 = 0;
    parameter [287:0] INIT_RAM_03 = 0;
    parameter [287:0] INIT_RAM_04 = 0;
    parameter [287:0] INIT_RAM_05 = 0;
    parameter [287:0] INIT_RAM_06 = 0;
    parameter [287:0] INIT_RAM_07 = 0;
    parameter [287:0] INIT_RAM_08 = 0;
    parameter [287:0] INIT_RAM_09 = 0;
    parameter [287:0] INIT_RAM_0A = 0;
    parameter [287:0] INIT_RAM_0B = 0;
    parameter [287:0] INIT_RAM_0C = 0;
    parameter [287:0] INIT_RAM_0D = 0;
    parameter [287:0] INIT_RAM_0E = 0;
    parameter [287:0] INIT_RAM_0F = 0;
    parameter [287:0] INIT_RAM_10 = 0;
    parameter [287:0] INIT_RAM_11 = 0;
    parameter [287:0] INIT_RAM_12 = 0;
    parameter [287:0] INIT_RAM_13 = 0;
    parameter [287:0] INIT_RAM_14 = 0;
    parameter [287:0] INIT_RAM_15 = 0;
    parameter [287:0] INIT_RAM_16 = 0;
    parameter [287:0] INIT_RAM_17 = 0;
    parameter [287:0] INIT_RAM_18 = 0;
    parameter [287:0] INIT_RAM_19 = 0;
    parameter [287:0] INIT_RAM_1A = 0;
    parameter [287:0] INIT_RAM_1B = 0;
    parameter [287:0] INIT_RAM_1C = 0;
    parameter [287:0] INIT_RAM_1D = 0;
    parameter [287:0] INIT_RAM_1E = 0;
    parameter [287:0] INIT_RAM_1F = 0;
    parameter [287:0] INIT_RAM_20 = 0;
    parameter [287:0] INIT_RAM_21 = 0;
    parameter [287:0] INIT_RAM_22 = 0;
    parameter [287:0] INIT_RAM_23 = 0;
    parameter [287:0] INIT_RAM_24 = 0;
    parameter [287:0] INIT_RAM_25 = 0;
    parameter [287:0] INIT_RAM_26 = 0;
    parameter [287:0] INIT_RAM_27 = 0;
    parameter [287:0] INIT_RAM_28 = 0;
    parameter [287:0] INIT_RAM_29 = 0;
    parameter [287:0] INIT_RAM_2A = 0;
    parameter [287:0] INIT_RAM_2B = 0;
    parameter [287:0] INIT_RAM_2C = 0;
    parameter [287:0] INIT_RAM_2D = 0;
    parameter [287:0] INIT_RAM_2E = 0;
    parameter [287:0] INIT_RAM_2F = 0;
    parameter [287:0] INIT_RAM_30 = 0;
    parameter [287:0] INIT_RAM_31 = 0;
    parameter [287:0] INIT_RAM_32 = 0;
    parameter [287:0] INIT_RAM_33 = 0;
    parameter [287:0] INIT_RAM_34 = 0;
    parameter [287:0] INIT_RAM_35 = 0;
    parameter [287:0] INIT_RAM_36 = 0;
    parameter [287:0] INIT_RAM_37 = 0;
    parameter [287:0] INIT_RAM_38 = 0;
    parameter [287:0] INIT_RAM_39 = 0;
    parameter [287:0] INIT_RAM_3A = 0;
    parameter [287:0] INIT_RAM_3B = 0;
    parameter [287:0] INIT_RAM_3C = 0;
    parameter [287:0] INIT_RAM_3D = 0;
    parameter [287:0] INIT_RAM_3E = 0;
    parameter [287:0] INIT_RAM_3F = 0;
    localparam [64*288-1:0] LINES =
        {INIT_RAM_3F, INIT_RAM_3E, INIT_RAM_3D, INIT_RAM_3C, INIT_RAM_3B, INIT_RAM_3A, INIT_RAM_39, INIT_RAM_38,
        INIT_RAM_37, INIT_RAM_36, INIT_RAM_35, INIT_RAM_34, INIT_RAM_33, INIT_RAM_32, INIT_RAM_31, INIT_RAM_30,
        INIT_RAM_2F, INIT_RAM_2E, INIT_RAM_2D, INIT_RAM_2C, INIT_RAM_2B, INIT_RAM_2A, INIT_RAM_29, INIT_RAM_28,
        INIT_RAM_27, INIT_RAM_26, INIT_RAM_25, INIT_RAM_24, INIT_RAM_23, INIT_RAM_22, INIT_RAM_21, INIT_RAM_20,
        INIT_RAM_1F, INIT_RAM_1E, INIT_RAM_1D, INIT_RAM_1C, INIT_RAM_1B, INIT_RAM_1A, INIT_RAM_19, INIT_RAM_18,
        INIT_RAM_17, INIT_RAM_16, INIT_RAM_15, INIT_RAM_14, INIT_RAM_13, INIT_RAM_12, INIT_RAM_11, INIT_RAM_10,
        INIT_RAM_0F, INIT_RAM_0E, INIT_RAM_0D, INIT_RAM_0C, INIT_RAM_0B, INIT_RAM_0A, INIT_RAM_09, INIT_RAM_08,
        INIT_RAM_07, INIT_RAM_06, INIT_RAM_05, INIT_RAM_04, INIT_RAM_03, INIT_RAM_02, INIT_RAM_01, INIT_RAM_00};

    gowin_sdp #(.UNIT(9), .PINS(36), .WIDTH(BIT_WIDTH_0), .LINES(LINES)) ram (.*);
    initial begin
        if (READ_MODE != 1) $fatal(1, "SDPX9B: no output register");
        if (BIT_WIDTH_0 != BIT_WIDTH_1) $fatal(1, "SDPX9B: both widths must be equal here");
        if (BLK_SEL_0 != 0 || BLK_SEL_1 != 0) $fatal(1, "SDPX9B: block select is not modelled");
    end
endmodule
