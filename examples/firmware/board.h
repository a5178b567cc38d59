/* board.h: what the example asks of a board. To run it on yours, write these
 * functions anew and leave the rest as it is.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef BOARD_H
#define BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The console. */
void board_print(const char *text);

/* The line to the network: how many bytes went, or came, 0 if none could. */
size_t board_line_send(const void *bytes, size_t len);
size_t board_line_receive(void *bytes, size_t len);

/* Sleeps until something came on the line, or an interrupt has ended. */
void board_sleep(void);

/* Milliseconds; wraps. */
uint32_t board_ticks_ms(void);

/* Seconds since 1970; 0: the clock is not set. */
int64_t board_wall_s(void);

/* Bytes that nobody can foretell; false: there are none. */
bool board_random(void *bytes, size_t len);

/* A word of the configuration: 0 is the endpoint, 1 the key. */
bool board_setting(unsigned which, char *to, size_t size);

/* How deep the stack has been, of how much; all of the RAM that is taken, the
 * stack included. */
size_t board_stack_used(void);
size_t board_stack_size(void);
size_t board_ram_size(void);

/* The end of the program. */
void board_exit(bool well);

/* The program. */
int main(void);

#endif
