"""Train, prune, quantise and compile event-based recurrent networks; the integer oracle every design is checked against."""
