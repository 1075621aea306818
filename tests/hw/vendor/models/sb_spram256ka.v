// Lattice iCE40 UltraPlus single-port RAM, after FPGA-TN-02022. What is read in the cycle of a write is unknown.
module SB_SPRAM256KA (
    input CLOCK, CHIPSELECT, WREN, STANDBY, SLEEP, POWEROFF,
    input [3:0] MASKWREN,
    input [13:0] ADDRESS,
    input [15:0] DATAIN,
    output reg [15:0] DATAOUT
);
    reg [15:0] rows [0:16383];
    integer k;
    initial for (k = 0; k < 16384; k = k + 1) rows[k] = $urandom;

    always @(posedge CLOCK) begin
        if (STANDBY | SLEEP | ~POWEROFF) $fatal(1, "SB_SPRAM256KA: low-power modes are not modelled");
        if (CHIPSELECT) begin
            if (WREN) begin
                for (k = 0; k < 4; k = k + 1) if (MASKWREN[k]) rows[ADDRESS][4*k +: 4] <= DATAIN[4*k +: 4];
                DATAOUT <= $urandom;
            end else DATAOUT <= rows[ADDRESS];
        end
    end
endmodule
