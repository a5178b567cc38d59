/* SPDX-License-Identifier: MIT */
#ifndef STAND_IN_TASK_H
#define STAND_IN_TASK_H

TickType_t xTaskGetTickCount(void);

#endif
