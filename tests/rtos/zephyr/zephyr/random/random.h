/* SPDX-License-Identifier: MIT */
#ifndef STAND_IN_RANDOM_H
#define STAND_IN_RANDOM_H

int sys_csrand_get(void *bytes, size_t len);

#endif
