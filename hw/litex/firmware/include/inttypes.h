/* LiteX's code for DRAM includes it for the types. */
#ifndef EGRET_INTTYPES_H
#define EGRET_INTTYPES_H

#include <stdint.h>

#endif
