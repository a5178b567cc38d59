# lssb: `make help` lists the targets.

# What to build with, and where its dependencies are. A path may be given for
# each of them: BEARSSL=DIR with inc/ and build/ as its own Makefile leaves
# them, JSMN=DIR with jsmn.h. Otherwise the system's are used.
CC = cc
AR = ar
CFLAGS = -O2 -g
WARNINGS = -std=c99 -pedantic -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes
TLS = bearssl
BEARSSL =
JSMN =
BUILD = build
PARTS =# 1: compile the parts of src/ one by one

ALL_CFLAGS = $(WARNINGS) -ffunction-sections -fdata-sections $(CFLAGS)
CPPFLAGS += -D_POSIX_C_SOURCE=200809L
LIBS = -lpthread
ifneq ($(JSMN),)
CPPFLAGS += -I$(JSMN)
endif
ifeq ($(TLS),bearssl)
ifneq ($(BEARSSL),)
CPPFLAGS += -isystem $(BEARSSL)/inc
LIBS += $(BEARSSL)/build/libbearssl.a
else
CPPFLAGS += -isystem /usr/include/bearssl
LIBS += -lbearssl
endif
else
SANDBOXD_FLAGS = -DSANDBOXD_NO_TLS
endif

HTTP_PARTS = text url http1 conn
LSSB_PARTS = json error request call client sandbox provision file
ifeq ($(PARTS),)
UNITS = http lssb
else
UNITS = $(HTTP_PARTS:%=src/%) $(LSSB_PARTS:%=src/%)
endif
OBJECTS = $(UNITS:%=$(BUILD)/%.o) $(BUILD)/port/posix.o $(BUILD)/port/tls_$(TLS).o
LIBRARY = $(BUILD)/liblssb.a

all: $(LIBRARY) ## the library

# Every object depends on every header and part: a full build takes seconds.
SOURCES = $(wildcard *.h src/*.h src/*.c port/*.h)

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

$(BUILD)/examples/%: examples/%.c $(LIBRARY)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -I. $(ALL_CFLAGS) -o $@ $< $(LIBRARY) $(LDFLAGS) $(LIBS)

demo: $(BUILD)/sandboxd $(BUILD)/examples/quickstart ## a sandbox, live
	@sh examples/demo.sh $(BUILD)

# A test program is one source; unit tests of a part include internal.h.
UNIT_TESTS = $(patsubst tests/%.c,%,$(wildcard tests/unit_*.c))

$(BUILD)/tests/%: tests/%.c tests/test.h $(LIBRARY)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -I. $(ALL_CFLAGS) -o $@ $< $(LIBRARY) $(LDFLAGS) $(LIBS)

unit: $(UNIT_TESTS:%=$(BUILD)/tests/%) ## unit tests
	@for t in $^; do echo "== $$t"; $$t || exit 1; done

clean: ## remove what was built
	rm -rf $(BUILD)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1	\2/p' Makefile | expand -t 18

.PHONY: all demo unit clean help
