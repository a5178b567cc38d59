#!/bin/sh
# Compiles the ports of small systems for a Cortex-M4, without warnings: lwIP's
# against lwIP's own headers, FreeRTOS-Plus-TCP's and Zephyr's against
# stand-ins of the same shape (tests/rtos), in each configuration that
# changes them; and runs FreeRTOS-Plus-TCP's against a stand-in that has its
# states: sh tests/rtos.sh
# SPDX-License-Identifier: MIT
set -u
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
passed=0 failed=0
# FreeRTOS's and lwIP's macros are not for -Wconversion and -pedantic.
warnings='-Wall -Wextra -Wshadow -Wstrict-prototypes -Werror'
compiles() {
    name=$1
    shift
    if arm-none-eabi-gcc -std=c99 $warnings -mcpu=cortex-m4 -mthumb -Os -c -o "$work/port.o" "$@" 2>"$work/log"; then
        passed=$((passed + 1))
        arm-none-eabi-size "$work/port.o" |
            awk -v name="$name" 'NR == 2 { printf "  %-40s %6d bytes of code, %4d of memory\n", name, $1, $2 + $3 }'
    else
        failed=$((failed + 1))
        echo "FAILED $name"
        cat "$work/log"
    fi
}
if ! command -v arm-none-eabi-gcc >/dev/null; then
    echo '  skipped: there is no arm-none-eabi-gcc'
    echo '0 passed, 0 failed, 1 skipped'
    exit 0
fi
compiles 'byte pipe' port/pipe.c
if [ -d /usr/include/lwip ]; then
    for options in '' '-DLWIP_DNS=0' '-DLWIP_IPV6=0' '-DLWIP_TCPIP_CORE_LOCKING=0' '-DLWIP_DNS=0 -DLWIP_IPV6=0' \
        '-DLWIP_COMPAT_SOCKETS=1' '-DLWIP_COMPAT_SOCKETS=2' '-DLSSB_IN_INTERRUPT=lwip_is_interrupted()' \
        '-DLSSB_IN_INTERRUPT=0 -DLWIP_TCPIP_CORE_LOCKING=0 -DLWIP_DNS=0'; do
        compiles "lwIP $options" $options -Itests/rtos/lwip -isystem /usr/include/lwip port/lwip.c
    done
fi
for major in 3 4; do
    for options in '' '-DipconfigSUPPORT_SIGNALS=1 -DLSSB_IN_INTERRUPT=0'; do
        compiles "FreeRTOS-Plus-TCP $major $options" -DipFR_TCP_VERSION_MAJOR=$major $options \
            -Itests/rtos/freertos port/freertos_tcp.c
    done
done
# What it makes of FreeRTOS-Plus-TCP's states, with a stand-in for those: here.
for options in '' '-DLSSB_IN_INTERRUPT=0' '-DLSSB_IN_INTERRUPT=1'; do
    for rate in 100 1000; do
        if ${CC:-cc} -std=c99 $warnings -Wno-int-to-pointer-cast $options ${options:+-DipconfigSUPPORT_SIGNALS=1} \
            -DconfigTICK_RATE_HZ="((TickType_t)$rate)" -Itests/rtos/freertos -o "$work/states" \
            tests/rtos/freertos_states.c port/freertos_tcp.c 2>"$work/log" && "$work/states" >>"$work/log"; then
            passed=$((passed + 1))
            echo "  FreeRTOS-Plus-TCP's states, $rate Hz $options: $(tail -n 1 "$work/log")"
        else
            failed=$((failed + 1))
            echo "FAILED FreeRTOS-Plus-TCP's states, $rate Hz $options"
            cat "$work/log"
        fi
    done
done
for options in '' '-DCONFIG_NET_IPV4=1 -DCONFIG_DNS_RESOLVER=1' \
    '-DCONFIG_NET_IPV4=1 -DCONFIG_NET_IPV6=1 -DCONFIG_DNS_RESOLVER=1' \
    '-DCONFIG_NET_IPV6=1 -DCONFIG_DNS_RESOLVER=1' '-DCONFIG_NET_IPV4=1 -DCONFIG_ZVFS_EVENTFD=1' \
    '-DCONFIG_NET_IPV4=1 -DCONFIG_DNS_RESOLVER=1 -DCONFIG_ZVFS_EVENTFD=1'; do
    short=$(echo "$options" | sed 's/-DCONFIG_//g; s/=1//g; s/NET_//g; s/DNS_//g')
    compiles "Zephyr $short" $options -Itests/rtos/zephyr port/zephyr.c
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
