/* LiteX's code for DRAM includes it and calls nothing of it. */
#ifndef EGRET_STDLIB_H
#define EGRET_STDLIB_H

#include <stddef.h>

#endif
