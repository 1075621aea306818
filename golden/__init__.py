"""Train, prune, quantise and compile event-based recurrent networks; the integer oracle of the hardware."""
