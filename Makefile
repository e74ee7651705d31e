# script/test runs every check, on a private server and with nothing installed.
EXTENSION = webhook_bridge
MODULE_big = webhook_bridge

version := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" $(EXTENSION).control)
sources := $(wildcard src/*.c)
headers := $(wildcard src/*.h)
# Modules without PostgreSQL's headers; unit tests and fuzz targets are made of them.
pure    := $(shell grep -L 'postgres\.h' $(sources) </dev/null)

OBJS = $(sources:.c=.o)
SHLIB_LINK = -lcurl -lssl -lcrypto

# CREATE EXTENSION runs the numbered files in order, the providers after 3*.
install_scripts := $(sort $(wildcard extension/[0-3]*.sql)) \
	$(sort $(wildcard extension/providers/*.sql)) $(sort $(wildcard extension/[4-9]*.sql))
DATA = $(wildcard extension/$(EXTENSION)--*--*.sql)
DATA_built = $(EXTENSION)--$(version).sql

regress_tests := $(sort $(patsubst sql/%.sql,%,$(wildcard sql/*.sql)))
REGRESS := $(strip $(filter install,$(regress_tests)) $(filter-out install,$(regress_tests)))
ISOLATION := $(sort $(patsubst test/specs/%.spec,%,$(wildcard test/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test
EXTRA_CLEAN = build

# On top of the warnings PostgreSQL is built with; its headers have unused parameters.
STRICT = -Wextra -Werror -Wno-unused-parameter

# PostgreSQL built with gcc has recorded options that clang does not know.
ifneq (,$(findstring clang,$(CC)))
PG_CFLAGS = -Wno-unknown-warning-option -Wno-ignored-optimization-argument -Wno-ignored-attributes
endif

PG_CONFIG = pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

$(OBJS) $(OBJS:.o=.bc): $(headers)

$(DATA_built): $(EXTENSION).control $(install_scripts)
	cat $(install_scripts) > $@

TEST_CFLAGS = -g -O1 -D_GNU_SOURCE -Isrc -Itest/unit -Wall -Wextra -Wno-unused-parameter
ASAN = -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
FUZZ_SECONDS = 20
FUZZ_JOBS = 2
unit_dir = build/unit
unit_tests := $(sort $(patsubst test/unit/%.c,%,$(wildcard test/unit/test_*.c)))
fuzz_targets := $(sort $(patsubst test/fuzz/%.c,%,$(wildcard test/fuzz/fuzz_*.c)))
CLANG_FORMAT = $(firstword $(shell command -v clang-format-14) clang-format)
formatted = $(wildcard src/*.[ch] test/unit/*.[ch] test/fuzz/*.[ch] test/bench/*.[ch] test/sanitizer/*.[ch])
.PHONY: test unit asan sanitized fuzz fuzz-targets format format-check strict lint dist

$(unit_dir)/%: test/unit/%.c $(wildcard test/unit/unit.[ch]) $(pure) $(headers)
	@mkdir -p $(@D)
	$(CC) $(TEST_CFLAGS) $(SANITIZE) -o $@ $(filter %.c,$^) -lcrypto

build/fuzz/%: test/fuzz/%.c $(pure) $(headers)
	@mkdir -p $(@D)
	$(CLANG) $(TEST_CFLAGS) $(ASAN) -fsanitize=fuzzer -o $@ $(filter %.c,$^) $(FUZZ_LIBS) -lcrypto

# The receiver's own modules, with what test/fuzz/backend.c has in place of a backend.
fuzz_backend = $(addprefix build/fuzz/,fuzz_conn fuzz_delivery fuzz_json_scan)
$(fuzz_backend): test/fuzz/backend.c test/fuzz/backend.h
$(fuzz_backend): FUZZ_LIBS = -isystem $(includedir_server) -L$(pkglibdir) -L$(libdir) -lpgcommon -lpgport
build/fuzz/fuzz_conn: $(addprefix src/,conn.c phase.c input.c output.c client.c answer.c)
build/fuzz/fuzz_delivery: src/delivery.c

# As it is in the receivers: optimised as PostgreSQL asks, by its compiler.
build/bench/%: test/bench/%.c $(pure) $(headers)
	@mkdir -p $(@D)
	$(CC) $(filter -O% -g,$(CFLAGS)) -D_GNU_SOURCE -Isrc -Wall -Wextra -Wno-unused-parameter $(BENCH_FLAGS) -o $@ $(filter %.c,$^) -lcrypto $(BENCH_LIBS)
build/bench/wake build/bench/listen: BENCH_FLAGS = -I$(includedir)
build/bench/wake build/bench/listen: BENCH_LIBS = -L$(libdir) -lpq

# Preloaded into wrk, see there.
build/bench/%.so: test/bench/%.c
	@mkdir -p $(@D)
	$(CC) -shared -fPIC -D_GNU_SOURCE -Wall -Wextra -o $@ $< -lssl

test:
	PG_CONFIG='$(PG_CONFIG)' script/test

unit: $(addprefix $(unit_dir)/,$(unit_tests))
	test/run-tap $^

asan:
	$(MAKE) unit unit_dir=build/asan SANITIZE='$(ASAN)'
	PG_CONFIG='$(PG_CONFIG)' script/test asan

sanitized: clean
	$(MAKE) COPT='-O1 -g $(ASAN) -shared-libasan' all

# Preloaded together with the sanitizer, see there.
build/sanitizer/early.so: test/sanitizer/early.c
	@mkdir -p $(@D)
	$(CC) -shared -fPIC -Wl,-z,initfirst -o $@ $<

fuzz-targets: $(addprefix build/fuzz/,$(fuzz_targets))

fuzz: fuzz-targets
	test/run-fuzz $(FUZZ_SECONDS) $(FUZZ_JOBS) $(addprefix build/fuzz/,$(fuzz_targets))

format:
	$(CLANG_FORMAT) -i $(formatted)

format-check:
	$(CLANG_FORMAT) --dry-run --Werror $(formatted)

strict: clean
	$(MAKE) COPT='$(STRICT)' all

lint: strict
	cppcheck --quiet --std=c11 --enable=warning,performance,portability --error-exitcode=1 --inline-suppr \
	    $(foreach loop,dlist_foreach dlist_foreach_modify slist_foreach_modify,-D'$(loop)(i,l)=while(i.cur)') -Isrc $(sources)

dist:
	git archive --format=zip --prefix=$(EXTENSION)-$(version)/ -o $(EXTENSION)-$(version).zip HEAD
