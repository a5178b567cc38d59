/* kernel.h: the names that port/zephyr.c uses, with the types that Zephyr
 * documents for them, to compile it where there is no Zephyr.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef STAND_IN_KERNEL_H
#define STAND_IN_KERNEL_H

#include <stddef.h>
#include <stdint.h>

struct k_spinlock {
    int lock;
};
typedef struct {
    int key;
} k_spinlock_key_t;

k_spinlock_key_t k_spin_lock(struct k_spinlock *lock);
void k_spin_unlock(struct k_spinlock *lock, k_spinlock_key_t key);
int64_t k_uptime_get(void);

#endif
