/* pthread.h: a system without threads: what one would do is done at once, as
 * an interrupt would.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef BARE_PTHREAD_H
#define BARE_PTHREAD_H

#include <sys/types.h>              /* pthread_t */

#define pthread_create bare_thread_create
#define pthread_join bare_thread_join

static inline int pthread_create(pthread_t *thread, const void *attributes,
                                 void *(*run)(void *), void *argument)
{
    (void)attributes;
    *thread = 0;
    run(argument);
    return 0;
}

static inline int pthread_join(pthread_t thread, void **result)
{
    (void)thread;
    (void)result;
    return 0;
}

#endif
