/* SPDX-License-Identifier: MIT */
#ifndef CKPT_OBJECTS_H
#define CKPT_OBJECTS_H

#include <stdbool.h>

/* The function of that name in another object than this, the first in the order in which they are searched; null without one. */
void *ckpt_next(const char *name);
/* Whether another object than the C library takes a function from elsewhere whose name is accepted. */
bool ckpt_anybody_uses(bool (*name)(const char *name));

#endif
