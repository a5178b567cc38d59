/* sys_arch.h: the objects of an RTOS, as handles.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef ARCH_SYS_ARCH_H
#define ARCH_SYS_ARCH_H

typedef void *sys_sem_t;
typedef void *sys_mutex_t;
typedef void *sys_mbox_t;
typedef void *sys_thread_t;

#define SYS_SEM_NULL NULL
#define SYS_MBOX_NULL NULL

#endif
