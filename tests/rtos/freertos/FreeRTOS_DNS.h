/* SPDX-License-Identifier: MIT */
#ifndef STAND_IN_FREERTOS_DNS_H
#define STAND_IN_FREERTOS_DNS_H

uint32_t FreeRTOS_gethostbyname(const char *name);

#endif
