// RAM of 32-bit words with byte enables; it starts with what a file of hexadecimal words says.
// A read shows one cycle after `enable`; a write does not change what shows.
module soc_ram #(
    parameter WORDS = 32768,
    parameter ADDRESS_BITS = 15,
    parameter PROGRAM = "program.hex"
) (
    input clk,
    input enable,
    input [3:0] write,
    input [ADDRESS_BITS-1:0] address,
    input [31:0] write_data,
    output reg [31:0] read_data
);
  reg [31:0] words[0:WORDS-1];

  initial $readmemh(PROGRAM, words);

  integer lane;
  always @(posedge clk)
    if (enable) begin
      for (lane = 0; lane < 4; lane = lane + 1)
        if (write[lane]) words[address][8*lane+:8] <= write_data[8*lane+:8];
      if (write == 0) read_data <= words[address];
    end
endmodule
