/* board.c: Arm's MPS2 boards (AN385: Cortex-M3, AN386: M4F, AN500: M7), as qemu
 * has them: startup, two UARTs, a tick, and what a debugger does for it.
 *
 * SPDX-License-Identifier: MIT
 *
 * UART0 is the console, UART1 the line to the network. This board has no random
 * number generator and no clock: both are asked of the host by semihosting, as
 * under a debugger. A product has its own: board_random is its TRNG,
 * board_wall_s its RTC, board_setting its flash.
 */
#include "board.h"

/* ------------------------------------------------------------- registers -- */

struct uart {
    volatile uint32_t data;
    volatile uint32_t state;
    volatile uint32_t control;
    volatile uint32_t interrupt;    /* write a one to clear */
    volatile uint32_t divisor;
};

#define UART0 ((struct uart *)0x40004000)
#define UART1 ((struct uart *)0x40005000)
#define UART_SEND_FULL 1u
#define UART_RECEIVE_FULL 2u
#define UART_SEND_ON 1u
#define UART_RECEIVE_ON 2u
#define UART_RECEIVE_INTERRUPT 8u
#define UART1_RECEIVE_IRQ 2

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define SYSTICK_CONTROL REGISTER(0xE000E010)
#define SYSTICK_RELOAD REGISTER(0xE000E014)
#define SYSTICK_VALUE REGISTER(0xE000E018)
#define NVIC_ENABLE REGISTER(0xE000E100)
#define FPU_ACCESS REGISTER(0xE000ED88)

#define CLOCK_HZ 25000000u

/* ----------------------------------------------------------- semihosting -- */

#define HOST_OPEN 0x01
#define HOST_CLOSE 0x02
#define HOST_READ 0x06
#define HOST_TIME 0x11
#define HOST_COMMAND_LINE 0x15
#define HOST_EXIT 0x18
#define HOST_EXIT_WELL 0x20026
#define HOST_EXIT_FAILED 0x20023

/* Asks the debugger, which here is qemu. */
static uintptr_t host_call(uintptr_t what, uintptr_t argument)
{
    register uintptr_t r0 __asm__("r0") = what;
    register uintptr_t r1 __asm__("r1") = argument;

    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

bool board_random(void *bytes, size_t len)
{
    static const char name[] = "/dev/urandom";
    uintptr_t file[3], read[3];

    file[0] = (uintptr_t)name;
    file[1] = 1;                    /* "rb" */
    file[2] = sizeof name - 1;
    read[0] = host_call(HOST_OPEN, (uintptr_t)file);
    if (read[0] == (uintptr_t)-1)
        return false;
    read[1] = (uintptr_t)bytes;
    read[2] = len;
    len = host_call(HOST_READ, (uintptr_t)read);    /* what was not read */
    host_call(HOST_CLOSE, (uintptr_t)read);
    return len == 0;
}

int64_t board_wall_s(void)
{
    return (int64_t)host_call(HOST_TIME, 0);
}

void board_exit(bool well)
{
    host_call(HOST_EXIT, well ? HOST_EXIT_WELL : HOST_EXIT_FAILED);
    for (;;)
        continue;
}

/* The words of the command line that follow the program's name. */
bool board_setting(unsigned which, char *to, size_t size)
{
    static char line[256];
    uintptr_t block[2];
    const char *word = line;
    size_t len = 0;

    block[0] = (uintptr_t)line;
    block[1] = sizeof line;
    if (host_call(HOST_COMMAND_LINE, (uintptr_t)block) != 0)
        return false;
    for (which++; which > 0 && *word != '\0'; word++)
        which -= *word == ' ';
    while (word[len] != '\0' && word[len] != ' ' && len + 1 < size) {
        to[len] = word[len];
        len++;
    }
    to[len] = '\0';
    return len > 0;
}

/* -------------------------------------------------------------- the tick -- */

static volatile uint32_t ticks;

static void tick_interrupt(void)
{
    ticks++;
}

uint32_t board_ticks_ms(void)
{
    return ticks;
}

/* ------------------------------------------------------------- the UARTs -- */

/* What has come on the line. The interrupt writes `end`, the program `begin`;
 * while it is full the UART keeps its byte, and the other end waits (RTS). */
#define LINE_SIZE 512u
static volatile uint8_t line_bytes[LINE_SIZE];
static volatile uint32_t line_begin, line_end;

/* Takes what the UART has, as far as there is room. */
static void line_take(void)
{
    while ((UART1->state & UART_RECEIVE_FULL) != 0 &&
           line_end - line_begin < LINE_SIZE)
        line_bytes[line_end++ % LINE_SIZE] = (uint8_t)UART1->data;
}

static void line_interrupt(void)
{
    UART1->interrupt = UART_RECEIVE_FULL;
    line_take();
}

size_t board_line_receive(void *bytes, size_t len)
{
    uint8_t *to = bytes;
    size_t n = 0;

    while (n < len && line_begin != line_end)
        to[n++] = line_bytes[line_begin++ % LINE_SIZE];
    __asm__ volatile("cpsid i" : : : "memory");
    line_take();
    __asm__ volatile("cpsie i" : : : "memory");
    return n;
}

size_t board_line_send(const void *bytes, size_t len)
{
    const uint8_t *from = bytes;
    size_t n = 0;

    while (n < len && (UART1->state & UART_SEND_FULL) == 0)
        UART1->data = from[n++];
    return n;
}

/* Looks and sleeps with interrupts masked, so that none is missed in between:
 * WFI ends for those, too. The tick bounds it. */
void board_sleep(void)
{
    __asm__ volatile("cpsid i" : : : "memory");
    if (line_begin == line_end)
        __asm__ volatile("wfi" : : : "memory");
    __asm__ volatile("cpsie i" : : : "memory");
}

void board_print(const char *text)
{
    for (; *text != '\0'; text++) {
        while ((UART0->state & UART_SEND_FULL) != 0)
            continue;
        UART0->data = (uint8_t)*text;
    }
}

/* --------------------------------------------------------------- startup -- */

extern uint32_t ram_begin[], ram_end[], stack_begin[], stack_end[];
extern uint32_t data_begin[], data_end[], bss_begin[], bss_end[];
extern const uint32_t data_image[];

#define STACK_PAINT 0x5AFEC0DEu

/* Paints what is below this function's own frame. */
static void stack_paint(void)
{
    uint32_t *at = stack_begin, *here = __builtin_frame_address(0);

    while (at < here - 16)
        *at++ = STACK_PAINT;
}

size_t board_stack_used(void)
{
    const uint32_t *at = stack_begin;

    while (at < stack_end && *at == STACK_PAINT)
        at++;
    return (size_t)(stack_end - at) * sizeof *at;
}

size_t board_stack_size(void)
{
    return (size_t)(stack_end - stack_begin) * sizeof *stack_begin;
}

size_t board_ram_size(void)
{
    return (size_t)(ram_end - ram_begin) * sizeof *ram_begin;
}

/* Switches everything on. */
static void board_start(void)
{
    UART0->divisor = CLOCK_HZ / 115200;
    UART0->control = UART_SEND_ON;
    UART1->divisor = CLOCK_HZ / 921600;
    UART1->control = UART_SEND_ON | UART_RECEIVE_ON | UART_RECEIVE_INTERRUPT;
    NVIC_ENABLE = 1u << UART1_RECEIVE_IRQ;
    SYSTICK_RELOAD = CLOCK_HZ / 1000 - 1;
    SYSTICK_VALUE = 0;
    SYSTICK_CONTROL = 7;            /* the CPU's clock, an interrupt, on */
}

/* Where the CPU begins; the linker script names it. */
void reset(void);

void reset(void)
{
    const uint32_t *from = data_image;
    uint32_t *to;

#ifdef __ARM_FP
    FPU_ACCESS |= 0xFu << 20;
    __asm__ volatile("dsb\n\tisb" : : : "memory");
#endif
    for (to = data_begin; to < data_end; to++)
        *to = *from++;
    for (to = bss_begin; to < bss_end; to++)
        *to = 0;
    stack_paint();
    board_start();
    board_exit(main() == 0);
}

/* What must not happen. */
static void fault(void)
{
    board_print("\nfault\n");
    board_exit(false);
}

__attribute__((section(".vectors"), used))
static const struct {
    uint32_t *stack;
    void (*handlers[15 + UART1_RECEIVE_IRQ + 1])(void);
} vectors = {
    stack_end,
    { reset, fault, fault, fault, fault, fault, 0, 0, 0, 0, fault, fault, 0,
      fault, tick_interrupt, fault, fault, line_interrupt }
};
