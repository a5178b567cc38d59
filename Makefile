# lssb: `make help` lists the targets.

# What to build with, and where its dependencies are. A path may be given for
# each of them: BEARSSL=DIR with inc/ and build/ as its own Makefile leaves
# them, MBEDTLS=DIR with include/ and library/ likewise, or with lib/, installed; JSMN=DIR with jsmn.h.
# Otherwise the system's are used. TLS is bearssl, mbedtls or none. PORT names a
# file of port/: posix; windows, where programs end in EXE; pipe, lwip, zephyr or
# freertos_tcp for firmware, with the system's headers in CPPFLAGS: `make` makes
# the library then, and nothing else can be made; or one of your own. RUN is what
# runs programs that this machine cannot: wine, or qemu's emulation of one
# process.
CC = cc
AR = ar
CFLAGS = -O2 -g
WARNINGS = -std=c99 -pedantic -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes
TLS = bearssl
BEARSSL =
MBEDTLS =
JSMN =
BUILD = build
PORT = posix
EXE = $(if $(filter windows,$(PORT)),.exe)
RUN =
PARTS =# 1: compile the parts of src/ one by one

ALL_CFLAGS = $(WARNINGS) $(WERROR) -ffunction-sections -fdata-sections $(CFLAGS)
override CPPFLAGS += -D_POSIX_C_SOURCE=200809L
LIBS = $(if $(filter windows,$(PORT)),-lws2_32 -lbcrypt -lcrypt32 -ladvapi32 -lntdll,-lpthread)
ifneq ($(JSMN),)
override CPPFLAGS += -I$(JSMN)
endif
ifeq ($(TLS),bearssl)
ifneq ($(BEARSSL),)
override CPPFLAGS += -isystem $(BEARSSL)/inc
LIBS += $(BEARSSL)/build/libbearssl.a
else
override CPPFLAGS += -isystem /usr/include/bearssl
LIBS += -lbearssl
endif
else
SANDBOXD_FLAGS = -DSANDBOXD_NO_TLS
endif
ifeq ($(TLS),mbedtls)
ifneq ($(MBEDTLS),)
override CPPFLAGS += -isystem $(MBEDTLS)/include
MBEDTLS_FOLDER = $(or $(patsubst %/libmbedtls.a,%,$(wildcard $(MBEDTLS)/lib/libmbedtls.a)),$(MBEDTLS)/library)
MBEDTLS_ARCHIVES = $(addprefix $(MBEDTLS_FOLDER)/,libmbedtls.a libmbedx509.a libmbedcrypto.a)
LIBS += $(MBEDTLS_ARCHIVES)
else
MBEDTLS_ARCHIVES = -Wl,-Bstatic -lmbedtls -lmbedx509 -lmbedcrypto -Wl,-Bdynamic
LIBS += -lmbedtls -lmbedx509 -lmbedcrypto
endif
endif

HTTP_PARTS = text url http1 conn dial
WS_PARTS = websocket channel yamux
LSSB_PARTS = json_char json json_read json_write tar_write tar pack ignore error request slot reply call client kind list spec sandbox provision snapshot legacy link search file service run upgrade socket command_talk command_hear command_link command command_held tunnel_bridge tunnel_flow tunnel_link tunnel tunnel_none stream bridge execute build_script build_begin build told tools path process tree_place tree
ifeq ($(PARTS),)
UNITS = http ws lssb
else
UNITS = $(HTTP_PARTS:%=src/%) $(WS_PARTS:%=src/%) $(LSSB_PARTS:%=src/%)
endif
FILES = $(wildcard port/files_$(PORT).c)
OBJECTS = $(UNITS:%=$(BUILD)/%.o) $(BUILD)/port/$(PORT).o $(FILES:%.c=$(BUILD)/%.o) $(BUILD)/port/tls_$(TLS).o
LIBRARY = $(BUILD)/liblssb.a

all: $(LIBRARY) ## the library

# Every object depends on every header and part: a full build takes seconds.
SOURCES = $(wildcard *.h src/*.h src/*.c port/*.[ch])

$(BUILD)/%.o: %.c $(SOURCES)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -c -o $@ $<

$(LIBRARY): $(OBJECTS)
	@rm -f $@
	$(AR) rcs $@ $(OBJECTS)

# Programs.
$(BUILD)/sandboxd: $(wildcard examples/sandboxd/*.[ch]) $(LIBRARY)
	$(CC) $(CPPFLAGS) -D_GNU_SOURCE -I. $(ALL_CFLAGS) $(SANDBOXD_FLAGS) -o $@ \
	    $(wildcard examples/sandboxd/*.c) $(LIBRARY) $(LDFLAGS) $(LIBS)

$(BUILD)/examples/%$(EXE): examples/%.c $(LIBRARY)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -I. $(ALL_CFLAGS) $(EXAMPLE_FLAGS) -o $@ $< $(LIBRARY) $(LDFLAGS) $(LIBS) $(EXAMPLE_LIBS)

# Its third loop is libuv's, where that is installed.
UV = $(wildcard /usr/include/uv.h)
$(BUILD)/examples/eventloop: EXAMPLE_FLAGS = $(if $(UV),-DWITH_UV)
$(BUILD)/examples/eventloop: EXAMPLE_LIBS = $(if $(UV),-luv)

demo: $(BUILD)/sandboxd $(BUILD)/examples/quickstart ## a sandbox, live
	@sh examples/demo.sh $(BUILD)

# A test program is one source. Those that look inside include internal.h.
PROGRAMS = $(patsubst tests/%.c,%,$(wildcard tests/unit_*.c) \
    $(wildcard tests/client.c tests/protocol.c tests/command.c tests/tunnel.c tests/control.c tests/build.c tests/service.c tests/torture.c tests/interleave.c tests/tree.c))
PROGRAMS := $(filter-out $(if $(filter windows,$(PORT)),unit_posix unit_tls unit_tar unit_pack build,unit_windows),$(PROGRAMS))
ifeq ($(FILES),)
PROGRAMS := $(filter-out unit_files unit_pack build tree,$(PROGRAMS))
endif
ifeq ($(TLS),none)
PROGRAMS := $(filter-out unit_tls,$(PROGRAMS))
endif

$(BUILD)/tests/%$(EXE): tests/%.c $(wildcard tests/*.h) $(LIBRARY)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -I. $(ALL_CFLAGS) -o $@ $< $(LIBRARY) $(LDFLAGS) $(LIBS)

$(BUILD)/tests/badnet: tests/badnet.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -o $@ $< $(LDFLAGS)

# The server in this one is BearSSL's. The linker counts mbedTLS's memory.
ifeq ($(TLS),mbedtls)
$(BUILD)/tests/unit_tls: private override CPPFLAGS += -DLSSB_TEST_MBEDTLS \
    -isystem $(if $(BEARSSL),$(BEARSSL)/inc,/usr/include/bearssl)
$(BUILD)/tests/unit_tls: private LIBS := -Wl,--wrap=calloc,--wrap=free $(MBEDTLS_ARCHIVES) \
    $(if $(BEARSSL),$(BEARSSL)/build/libbearssl.a,-lbearssl) -lpthread
endif

programs: $(PROGRAMS:%=$(BUILD)/tests/%$(EXE))

list:
	@echo $(PROGRAMS)

unit: programs ## every test program of this build
	@sh tests/run.sh $(foreach p,$(PROGRAMS),$(p) '$(RUN) $(BUILD)/tests/$(p)$(EXE)')

symbols: $(OBJECTS) ## what the objects ask for and hold
	@sh tests/symbols.sh $(filter-out %posix.o,$(OBJECTS))

# Other builds of the same, each in a folder of its own.
AGAIN = $(MAKE) -s --no-print-directory
CLANG = CC=clang BUILD=build/clang
SANITIZED = CC=clang BUILD=build/asan CFLAGS='-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all'
NO_TLS = TLS=none BUILD=build/notls
NO_WEBSOCKET = BUILD=build/nows CPPFLAGS='-DLSSB_WEBSOCKET=0 -DLSSB_TUNNEL=0'
MBED = TLS=mbedtls BUILD=build/mbedtls
MBED_SANITIZED = TLS=mbedtls $(subst build/asan,build/mbedtls-asan,$(SANITIZED))
ONE_BY_ONE = PARTS=1 BUILD=build/parts
SMALL = BUILD=build/small CPPFLAGS='-DLSSB_RECEIVE_BUFFER=1024 -DLSSB_SEND_BUFFER=640 -DLSSB_ELEMENT=2048'

test: ## everything that CI runs
	@sh tests/run.sh \
	    'headers as C99 and C++98' 'sh tests/header.sh' \
	    'what the README leads to' 'sh tests/matrix.sh' \
	    'gcc' '$(AGAIN) programs WERROR=-Werror && $(AGAIN) unit' \
	    'symbols' '$(AGAIN) symbols' \
	    'clang, AddressSanitizer, UndefinedBehaviorSanitizer' "$(AGAIN) unit WERROR=-Werror $(SANITIZED)" \
	    'small buffers' "$(AGAIN) unit WERROR=-Werror $(SMALL)" \
	    'without TLS' '$(AGAIN) unit WERROR=-Werror $(NO_TLS)' \
	    'without WebSocket' "$(AGAIN) unit WERROR=-Werror $(NO_WEBSOCKET)" \
	    'the parts one by one' '$(AGAIN) unit WERROR=-Werror $(ONE_BY_ONE)' \
	    'the flattened sources' '$(AGAIN) test-dist' \
	    'sandboxd' '$(AGAIN) test-sandboxd' \
	    'the control plane, live' '$(AGAIN) test-live' \
	    'a Dockerfile, live' '$(AGAIN) test-build' \
	    'files, processes, trees, live' '$(AGAIN) test-tree' \
	    'WebSocket, python3-websockets' '$(AGAIN) test-websocket' \
	    'yamux, the reference implementation' '$(AGAIN) test-yamux' \
	    'demo' '$(AGAIN) test-demo' \
	    'nginx, squid, tinyproxy, openssl' '$(AGAIN) test-servers' \
	    'mbedTLS' '$(AGAIN) unit WERROR=-Werror $(MBED)' \
	    'mbedTLS: symbols' '$(AGAIN) symbols $(MBED)' \
	    'mbedTLS: sanitizers' "$(AGAIN) build/mbedtls-asan/tests/unit_tls WERROR=-Werror $(MBED_SANITIZED) && build/mbedtls-asan/tests/unit_tls" \
	    'mbedTLS: nginx, squid, tinyproxy, openssl' 'BIG=16 $(AGAIN) test-servers $(MBED)' \
	    'the official JS SDK' '$(AGAIN) test-interop' \
	    'a long output through the same memory' '$(AGAIN) test-flat' \
	    'a network that misbehaves' '$(AGAIN) test-peers' \
	    'services: python3, nginx, ws' '$(AGAIN) test-services' \
	    'redis, PostgreSQL, curl, ssh through a tunnel' 'SHORT=1 $(AGAIN) test-tunnels' \
	    'a POSIX system that is not Linux' '$(AGAIN) test-plain' \
	    'other machines: big-endian, Windows' '$(AGAIN) test-cross' \
	    'lwIP, over a tap device' '$(AGAIN) test-lwip'

test-sandboxd: $(BUILD)/sandboxd ## sandboxd: files, commands, control plane, tunnels
	@sh tests/run.sh 'by curl' 'sh tests/sandboxd.sh $(BUILD)/sandboxd' \
	    'commands' 'python3 tests/sandboxd_exec.py $(BUILD)/sandboxd' \
	    'control plane' 'python3 tests/sandboxd_control.py $(BUILD)/sandboxd' \
	    'tunnels' 'sh tests/sandboxd_tunnel.sh $(BUILD)/sandboxd'

test-websocket: $(BUILD)/tests/ws_echo ## our WebSocket engine, python3-websockets
	@/usr/bin/python3 tests/ws_echo.py $(BUILD)/tests/ws_echo

EXAMPLES = quickstart hello snapshots stream interactive reattach eventloop service tree

test-live: $(BUILD)/sandboxd $(BUILD)/tests/live ## our control plane, our server
	@sh tests/live.sh $(BUILD)

test-build: $(BUILD)/sandboxd $(BUILD)/examples/build ## snapshots from a Dockerfile
	@sh tests/build.sh $(BUILD)

test-demo: $(BUILD)/sandboxd $(EXAMPLES:%=$(BUILD)/examples/%) ## every example
	@UV=$(UV) sh tests/examples.sh $(BUILD)

test-tree: $(BUILD)/sandboxd $(BUILD)/tests/live_tree ## files, processes, trees: coreutils, busybox
	@sh tests/tree.sh $(BUILD)

test-servers: $(BUILD)/sandboxd $(BUILD)/tests/probe $(BUILD)/examples/quickstart ## our client, others' servers
	@sh tests/servers.sh $(BUILD)

test-mbedtls3: ## mbedTLS 3.x, fetched: test programs, servers with TLS 1.3
	@MAKE='$(AGAIN)' sh tests/mbedtls3.sh build/mbedtls3

test-interop: $(BUILD)/sandboxd $(BUILD)/tests/badnet $(LIBRARY) ## the official JS SDK, our server
	@sh tests/interop/run.sh $(BUILD)

MEBIBYTES = 64

test-flat: $(BUILD)/sandboxd $(BUILD)/tests/flat ## MEBIBYTES of output, no allocation
	@sh tests/flat.sh $(BUILD) $(MEBIBYTES)

test-peers: $(BUILD)/sandboxd $(BUILD)/tests/badnet $(BUILD)/tests/cuts $(BUILD)/tests/interop/commands ## others' servers, a bad network
	@sh tests/interop/peers.sh $(BUILD)

$(BUILD)/tests/yamux: tests/yamux/ours.c src/yamux.c $(SOURCES)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -I. $(ALL_CFLAGS) -o $@ tests/yamux/ours.c src/yamux.c $(LDFLAGS)

test-yamux: $(BUILD)/tests/yamux ## our streams, the reference implementation's
	@sh tests/yamux.sh $(BUILD)

test-services: $(BUILD)/sandboxd $(BUILD)/tests/live_service $(BUILD)/tests/badnet ## requests, links, WebSockets to real services
	@sh tests/services.sh $(BUILD)

test-tunnels: $(BUILD)/sandboxd $(BUILD)/examples/tunnel $(BUILD)/examples/proxycommand $(BUILD)/tests/badnet ## redis, psql, curl, ssh through a tunnel
	@sh tests/tunnels.sh $(BUILD)

# lwIP in a process, over a tap device.
LWIP_TESTS = $(BUILD)/tests/lwip $(BUILD)/tests/lwip_events
$(LWIP_TESTS): private override CPPFLAGS += -D_DEFAULT_SOURCE -DLWIP_DNS=1 -isystem /usr/include/lwip
$(BUILD)/tests/lwip_events: private override CPPFLAGS += -DLSSB_IN_INTERRUPT=0

$(LWIP_TESTS): tests/lwip.c $(SOURCES) $(OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -I. $(ALL_CFLAGS) -o $@ $< port/lwip.c $(filter-out %/posix.o,$(OBJECTS)) $(LDFLAGS) -llwip $(LIBS)

test-lwip: $(BUILD)/sandboxd $(LWIP_TESTS) ## the port for lwIP, over a tap device
	@sh tests/lwip.sh $(BUILD)

# Images for Cortex-M4F and M7, as the emulator's boards want them; README.md in
# examples/firmware. CA: whom the device trusts, PEM or DER. FIRMWARE_BEARSSL: a
# libbearssl.a for the core; Debian's for armhf runs on cores with an FPU.
FIRMWARE = $(BUILD)/firmware
CA = $(FIRMWARE)/ca/ca.der
FIRMWARE_BEARSSL = $(FIRMWARE)/libbearssl.a
CORES = m4 m7
FLAGS_m3 = -mcpu=cortex-m3 -mthumb
FLAGS_m4 = -mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16
FLAGS_m7 = -mcpu=cortex-m7 -mthumb -mfloat-abi=hard -mfpu=fpv5-d16
DEVICE_SIZES = -DLSSB_ELEMENT=2048 -DLSSB_HOLD=1024 -DCLIENT_MEMORY=38912
ON_DEVICE = $(AGAIN) CC=arm-none-eabi-gcc FIRMWARE='$(FIRMWARE)' JSMN='$(FIRMWARE)/include' FIRMWARE_BEARSSL='$(FIRMWARE_BEARSSL)'

firmware: $(CORES:%=$(FIRMWARE)/%.elf) ## images for Cortex-M4F and M7

$(FIRMWARE)/%.elf: $(wildcard examples/firmware/*) $(SOURCES) $(FIRMWARE)/anchor.c $(FIRMWARE_BEARSSL) $(FIRMWARE)/include/jsmn.h
	@$(ON_DEVICE) BUILD='$(FIRMWARE)/$*' CFLAGS='-Os -g $(FLAGS_$*)' \
	    CPPFLAGS='-I. -Iexamples/firmware $(DEVICE_SIZES)' '$(FIRMWARE)/$*/firmware.elf'
	@cp $(FIRMWARE)/$*/firmware.elf $@

FIRMWARE_OBJECTS = $(UNITS:%=$(BUILD)/%.o) $(BUILD)/port/pipe.o $(BUILD)/port/tls_$(TLS).o \
    $(patsubst %.c,$(BUILD)/%.o,$(wildcard examples/firmware/*.c))

$(BUILD)/firmware.elf: $(FIRMWARE_OBJECTS) examples/firmware/mps2.ld
	$(CC) $(CFLAGS) -nostartfiles --specs=nano.specs -T examples/firmware/mps2.ld -Wl,-z,noexecstack \
	    -Wl,--gc-sections,-Map=$(BUILD)/firmware.map -o $@ $(FIRMWARE_OBJECTS) $(FIRMWARE)/anchor.c $(FIRMWARE_BEARSSL)

$(FIRMWARE)/include/jsmn.h:
	@mkdir -p $(@D) && cp $(or $(JSMN),/usr/include)/jsmn.h $@

$(FIRMWARE)/ca/ca.der:
	@sh tests/device_certs.sh $(@D) DNS:localhost,IP:127.0.0.1

$(FIRMWARE)/anchor.c: $(CA)
	@mkdir -p $(@D)
	@openssl x509 -in $(CA) -outform DER -out $(FIRMWARE)/anchor.der
	@{ echo 'const unsigned char anchor[] = {'; od -An -v -tu1 $(FIRMWARE)/anchor.der | sed 's/[0-9][0-9]*/&,/g'; \
	    echo '};'; echo 'const unsigned anchor_len = sizeof anchor;'; } >$@

ARMHF_BEARSSL = build/sysroot/armhf/usr/lib/arm-linux-gnueabihf/libbearssl.a

$(FIRMWARE)/libbearssl.a: $(ARMHF_BEARSSL)
	@mkdir -p $(@D)
	@arm-none-eabi-objcopy -R .ARM.attributes $< $@

$(ARMHF_BEARSSL):
	@sh tests/sysroot.sh armhf build/sysroot/armhf libbearssl-dev

test-rtos: ## the ports of small systems, compiled
	@sh tests/rtos.sh

# The test programs that need nothing of a system, on a Cortex-M3 without one.
BARE_TESTS = $(filter-out unit_posix unit_windows unit_files unit_tls unit_tar unit_pack,$(patsubst tests/%.c,%,$(wildcard tests/unit_*.c))) \
    protocol tunnel control service interleave
BARE_OBJECTS = $(UNITS:%=$(BUILD)/%.o) $(BUILD)/port/tls_none.o $(BUILD)/tests/bare/start.o
EMULATED_M3 = qemu-system-arm -M mps2-an385 -nographic -monitor none -semihosting-config enable=on,target=native -kernel

test-bare: $(FIRMWARE)/include/jsmn.h ## the test programs on a Cortex-M3, emulated
	@$(ON_DEVICE) TLS=none BUILD='$(BUILD)/bare' CFLAGS='-Os -g $(FLAGS_m3)' $(BARE_TESTS:%=$(BUILD)/bare/tests/%.elf)
	@sh tests/run.sh $(foreach t,$(BARE_TESTS),$(t) '$(EMULATED_M3) $(BUILD)/bare/tests/$(t).elf </dev/null')

$(BUILD)/tests/%.elf: tests/%.c tests/bare/start.ld $(wildcard tests/*.h tests/bare/*.h) $(BARE_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -I. -isystem tests/bare $(ALL_CFLAGS) -nostartfiles --specs=rdimon.specs -T tests/bare/start.ld \
	    -Wl,-z,noexecstack -Wl,--gc-sections -o $@ $< $(BARE_OBJECTS)

test-firmware: $(BUILD)/sandboxd firmware ## the same, run in an emulator
	@sh tests/firmware.sh $(BUILD) $(FIRMWARE)

# The POSIX port without what only Linux has, as for macOS and the BSDs.
PLAIN = $(CC) $(CPPFLAGS) $(ALL_CFLAGS) -Werror

test-plain: ## the POSIX port without what only Linux has
	@mkdir -p $(BUILD)/plain
	@$(PLAIN) -include tests/plain.h -DPLAIN_SOCKET_OPTION -fsyntax-only port/posix.c
	@$(PLAIN) -include tests/plain.h -DLSSB_NO_THREADS -fsyntax-only port/posix.c
	@for port in posix files_posix; do \
	    $(PLAIN) -include tests/plain.h -c -o $(BUILD)/plain/$$port.o port/$$port.c || exit 1; done
	@$(PLAIN) -include tests/plain.h -DPLAIN_UNKNOWN -c -o $(BUILD)/plain/unknown.o port/posix.c
	@for system in posix unknown; do \
	    $(PLAIN) -I. -o $(BUILD)/plain/unit_$$system tests/unit_posix.c $(BUILD)/plain/$$system.o $(LDFLAGS) -lpthread || exit 1; done
	@sh tests/run.sh 'one with a call for entropy' $(BUILD)/plain/unit_posix 'one without' $(BUILD)/plain/unit_unknown

# For other machines: tests/cross.sh says which. TARGETS=… for some of them.
TARGETS =

cross: ## every test program for other machines (TARGETS=...)
	@sh tests/cross.sh build build/cross $(TARGETS)

check-cross: $(BUILD)/sandboxd ## the same, run by qemu and wine
	@SANDBOXD=$(BUILD)/sandboxd sh tests/cross.sh check build/cross $(TARGETS)

test-cross: $(BUILD)/sandboxd ## a big-endian machine and Windows, in a minute
	@SANDBOXD=$(BUILD)/sandboxd sh tests/cross.sh quick build/cross

# The flattened sources, as somebody builds them who has nothing else.
DIST = build/dist

dist: ## three self-contained sources, a header, the port
	@rm -rf $(DIST) && mkdir -p $(DIST)/port
	@cp lssb.h LICENSE $(DIST) && cp port/port.h port/tls.h $(DIST)/port
	@cp port/posix.c port/files_posix.c port/windows.c port/files_windows.c port/device.h port/small_sockets.c port/lwip.c \
	    port/freertos_tcp.c port/zephyr.c port/pipe.h port/pipe.c $(DIST)/port
	@for unit in lssb http ws; do awk -f src/flatten.awk $$unit.c >$(DIST)/$$unit.c || exit 1; done
	@for tls in bearssl mbedtls none; do \
	    awk -v up=../ -f src/flatten.awk port/tls_$$tls.c >$(DIST)/port/tls_$$tls.c || exit 1; done

test-dist: dist $(BUILD)/sandboxd
	@cd $(DIST) && for file in lssb http ws port/posix port/files_posix port/tls_bearssl; do \
	    $(CC) $(CPPFLAGS) $(ALL_CFLAGS) -c -o $$file.o $$file.c || exit 1; done
	@$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -fsyntax-only $(DIST)/port/tls_mbedtls.c
	@$(CC) $(CPPFLAGS) -I$(DIST) $(ALL_CFLAGS) -o $(DIST)/quickstart examples/quickstart.c \
	    $(DIST)/*.o $(DIST)/port/*.o $(LDFLAGS) $(LIBS)
	@QUICKSTART=$(DIST)/quickstart sh examples/demo.sh $(BUILD) >/dev/null && echo '1 passed, 0 failed'

size: $(BUILD)/sandboxd ## what it costs on each machine: flash, memory, stack
	@SANDBOXD=$(BUILD)/sandboxd CROSS=build/cross sh tests/size.sh build/size

size-readme: $(BUILD)/sandboxd ## the same, into the README
	@SANDBOXD=$(BUILD)/sandboxd CROSS=build/cross sh tests/size.sh build/size README.md

bench: $(BUILD)/sandboxd $(BUILD)/tests/once ## beside the official JS SDK and curl
	@python3 tests/bench.py $(BUILD)

$(BUILD)/tests/bench_ws: LIBS += -lwslay

bench-ws: $(BUILD)/tests/bench_ws ## WebSocket frames beside wslay
	@$<

# What takes longer than a push should: a minute of fuzzing for each engine,
# valgrind over every test program, certificates with each check taken out.
FUZZERS = $(patsubst tests/%.c,%,$(wildcard tests/fuzz_*.c))
FUZZ_SECONDS = 60

check: test test-mbedtls3 test-tunnels test-rtos test-firmware test-bare fuzz valgrind mutants ## test, fuzz, valgrind, mutants

fuzz: $(FUZZERS:%=build/fuzz/%) ## each engine's fuzzer, FUZZ_SECONDS each
	@for f in $^; do mkdir -p $$f.corpus; \
	    $$f -max_total_time=$(FUZZ_SECONDS) -print_final_stats=0 -verbosity=0 $$f.corpus || exit 1; \
	    echo "$$f: $(FUZZ_SECONDS) s, nothing found"; done

FUZZED = $(HTTP_PARTS:%=src/%.c) $(WS_PARTS:%=src/%.c) $(filter src/json% src/spec% src/tar% src/ignore% src/told%,$(LSSB_PARTS:%=src/%.c)) port/posix.c

build/fuzz/fuzz_command: private FUZZED = $(wildcard src/*.c) port/posix.c port/tls_none.c
build/fuzz/fuzz_command: private override CPPFLAGS += -DLSSB_HOLD=1024

build/fuzz/%: tests/%.c $(SOURCES)
	@mkdir -p $(@D)
	clang $(CPPFLAGS) -I. -std=c99 -g -O1 -fsanitize=fuzzer,address,undefined -o $@ $< \
	    $(FUZZED) $(LIBS)

valgrind: programs ## every test program under valgrind
	@for p in $(PROGRAMS); do echo "== $$p"; \
	    valgrind -q --error-exitcode=9 --leak-check=full $(BUILD)/tests/$$p || exit 1; done

mutants: ## each certificate check removed: its test must turn red
	@sh tests/mutants.sh build/mutants bearssl
	@sh tests/mutants.sh build/mutants mbedtls

# `make deps test` installs for the tests, too; `make deps demo` only to build.
PACKAGES = cc=gcc libc6-dev make=make libbearssl-dev libjsmn-dev openssl=openssl
ifneq ($(filter test test-% check fuzz valgrind mutants unit bench,$(MAKECMDGOALS)),)
PACKAGES += g++=g++ clang=clang libclang-rt-dev curl=curl python3 python3-websockets node=nodejs npm=npm libuv1-dev \
    busybox=busybox-static nginx=nginx-light squid=squid tinyproxy=tinyproxy valgrind=valgrind time libmbedtls-dev \
    go=golang-go golang-github-hashicorp-yamux-dev golang-github-gorilla-websocket-dev \
    liblwip-dev ip=iproute2
endif
ifneq ($(filter test test-tunnels check,$(MAKECMDGOALS)),)
PACKAGES += redis-server=redis-server redis-cli=redis-tools psql=postgresql \
    /usr/sbin/sshd=openssh-server ssh=openssh-client nc=netcat-openbsd
endif
ifneq ($(filter firmware test-firmware test-bare check,$(MAKECMDGOALS)),)
PACKAGES += arm-none-eabi-gcc=gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm=qemu-system-arm python3=python3
endif
CROSS_PACKAGES = powerpc-linux-gnu-gcc=gcc-powerpc-linux-gnu libc6-dev-powerpc-cross qemu-ppc-static=qemu-user-static \
    x86_64-w64-mingw32-gcc=gcc-mingw-w64-x86-64 wine64
ifneq ($(filter cross check-cross size size-readme,$(MAKECMDGOALS)),)
CROSS_PACKAGES += musl-tools wine64-tools libwine-dev gcc-arm-none-eabi libnewlib-arm-none-eabi \
    gcc-arm-linux-gnueabihf gcc-aarch64-linux-gnu gcc-s390x-linux-gnu gcc-mips-linux-gnu gcc-riscv64-linux-gnu gcc-i686-linux-gnu \
    libc6-dev-armhf-cross libc6-dev-arm64-cross libc6-dev-s390x-cross libc6-dev-mips-cross libc6-dev-riscv64-cross libc6-dev-i386-cross
endif
ifneq ($(filter test test-cross cross check-cross size size-readme,$(MAKECMDGOALS)),)
PACKAGES += $(CROSS_PACKAGES)
endif
ifneq ($(filter bench-ws,$(MAKECMDGOALS)),)
PACKAGES += libwslay-dev
endif

deps: ## install what is missing (Debian, Ubuntu)
	@sh tests/deps.sh $(PACKAGES)

clean: ## remove what was built
	rm -rf build

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  \1	\2/p' Makefile | expand -t 18

.PHONY: all demo programs unit symbols test test-sandboxd test-live test-build test-tree test-websocket test-demo test-servers test-mbedtls3 \
    test-interop test-peers test-flat test-yamux test-tunnels test-services test-lwip test-rtos firmware test-firmware test-bare cross check-cross test-cross test-plain list dist test-dist size size-readme bench bench-ws check fuzz valgrind mutants deps clean help
.SECONDARY:
