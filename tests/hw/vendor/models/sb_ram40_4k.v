// Lattice iCE40 block RAM, after the iCE40 technology library: 256 rows of 16 bits, of which narrower words take bits
// at equal distances.
module SB_RAM40_4K (
    input RCLK, RCLKE, RE, WCLK, WCLKE, WE,
    input [10:0] RADDR, WADDR,
    input [15:0] MASK, WDATA,
    output [15:0] RDATA
);
    parameter READ_MODE = 0;
    parameter WRITE_MODE = 0;
    parameter [255:0] INIT_0 = 0;
    parameter [255:0] INIT_1 = 0;
    parameter [255:0] INIT_2 = 0;
    parameter [255:0] INIT_3 = 0;
    parameter [255:0] INIT_4 = 0;
    parameter [255:0] INIT_5 = 0;
    parameter [255:0] INIT_6 = 0;
    parameter [255:0] INIT_7 = 0;
    parameter [255:0] INIT_8 = 0;
    parameter [255:0] INIT_9 = 0;
    parameter [255:0] INIT_A = 0;
    parameter [255:0] INIT_B = 0;
    parameter [255:0] INIT_C = 0;
    parameter [255:0] INIT_D = 0;
    parameter [255:0] INIT_E = 0;
    parameter [255:0] INIT_F = 0;
    localparam PARTS = 1 << WRITE_MODE;  // words in a row
    localparam PIN = PARTS == 1 ? 0 : PARTS / 2 - 1;  // of a word's first bit; the next one is PARTS further
    localparam [16*256-1:0] LINES =
        {INIT_F, INIT_E, INIT_D, INIT_C, INIT_B, INIT_A, INIT_9, INIT_8, INIT_7, INIT_6, INIT_5, INIT_4, INIT_3,
        INIT_2, INIT_1, INIT_0};

    initial if (READ_MODE != WRITE_MODE) $fatal(1, "SB_RAM40_4K: both widths must be equal here");

    reg [15:0] rows [0:255];
    reg [15:0] out;
    integer k;
    initial for (k = 0; k < 256; k = k + 1) rows[k] = LINES[16*k +: 16];

    always @(posedge WCLK) if (WCLKE & WE)
        for (k = 0; k < 16; k = k + PARTS)
            if (PARTS > 1 || !MASK[k]) rows[WADDR[7:0]][k + WADDR[10:8] % PARTS] <= WDATA[k + PIN];

    always @(posedge RCLK) if (RCLKE & RE) begin
        out <= 0;
        for (k = 0; k < 16; k = k + PARTS) out[k + PIN] <= rows[RADDR[7:0]][k + RADDR[10:8] % PARTS];
    end
    assign RDATA = out;
endmodule
