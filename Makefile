# pvc: one binary for every machine of a virtualization cluster.
# `make help` lists what can be asked for.

VERSION := 0.1.0
MODE    ?= release
WARN    ?= -Werror
PREFIX  ?= /usr
SEEDS   ?= 20000
SEEDS_VMS ?= 2000
B       := build/$(MODE)

CC_release := gcc
CC_asan    := clang
CC_tsan    := clang
CC_fuzz    := clang
CC_cover   := gcc
FLAGS_release := -O2
FLAGS_asan  := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
FLAGS_tsan  := -O1 -fsanitize=thread -fno-omit-frame-pointer
FLAGS_fuzz  := -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
FLAGS_cover := -O0 --coverage

CC       := $(CC_$(MODE))
CPPFLAGS := -I. -D_GNU_SOURCE -DPVC_VERSION='"$(VERSION)"' -I/usr/include/libnl3
CFLAGS   := -std=gnu11 -g -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
            -Wvla -Wno-unused-parameter -fno-strict-aliasing -fstack-protector-strong \
            $(FLAGS_$(MODE)) $(WARN)
LDFLAGS  := $(FLAGS_$(MODE)) -Wl,--gc-sections -Wl,-z,relro,-z,now
# Linked in from their archives; libvirt and librados are opened at run time.
LIBS     := -l:libraft.a -l:libuv_a.a -l:libyaml.a -l:liblz4.a -l:libnl-route-3.a -l:libnl-3.a \
            -l:libjansson.a -l:libexpat.a -l:libssl.a -l:libcrypto.a -lpthread -ldl -lm

rooms := fsm raft sriov storage node $(addprefix node/,api config control log member operation primary trust vm worker) \
         tools tools/raft tools/sim
src   := $(foreach r,$(rooms),$(wildcard $r/*.c))
obj   := $(src:%.c=$B/%.o)
lib   := $(filter-out $B/tools/main.o,$(obj))

.PHONY: all deps demo check sanitize layers tidy sim bench lab fuzz install format clean help
all: $B/pvc ## build build/release/pvc (MODE=asan|tsan|cover for the others)
	@:

$B/pvc: $(obj)
	@echo "  LINK $@"
	@$(CC) $(LDFLAGS) -o $@ $(obj) $(LIBS)
	@$(if $(filter release,$(MODE)),strip -o $@.stripped $@ && mv $@.stripped $@)

$B/libpvc.a: $(lib)
	@rm -f $@ && ar rcs $@ $(lib)

$B/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC   $<"
	@$(CC) $(CPPFLAGS) $(CFLAGS) -ffunction-sections -MMD -MP -c -o $@ $<

$B/tests/%: tests/%.c $B/libpvc.a
	@mkdir -p $(@D)
	@echo "  TEST $<"
	@$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -MT $@ -o $@ $< $B/libpvc.a $(LDFLAGS) -lcmocka $(LIBS)

# A fuzz target has no main(): MODE=fuzz gives it libFuzzer's, the others one that replays files.
fuzz_main := $(if $(filter fuzz,$(MODE)),-fsanitize=fuzzer,$B/tests/replay.o)
fuzzers   := $(patsubst %.c,$B/%,$(wildcard tests/fuzz/*.c))
$(fuzzers): $B/tests/fuzz/%: tests/fuzz/%.c $B/libpvc.a $B/tests/replay.o
	@mkdir -p $(@D)
	@echo "  TEST $<"
	@$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -MT $@ -o $@ $< $(fuzz_main) $B/libpvc.a $(LDFLAGS) $(LIBS)

unit  := $(patsubst %.c,$B/%,$(wildcard tests/unit/*_test.c))
units: $(unit)

deps: ## install what building, testing and demonstrating need (Debian 12)
	@debian/deps

# The load generators and bare libraft, for `make bench`.
bench_src := $(filter-out tests/bench/load.c tests/bench/stream.c,$(wildcard tests/bench/*.c))
bench_obj := $B/tests/bench/load.o $B/tests/bench/stream.o
benches   := $(patsubst %.c,$B/%,$(bench_src))
$(benches): $B/%: %.c $(bench_obj) $B/libpvc.a
	@echo "  TEST $<"
	@$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -MT $@ -o $@ $< $(bench_obj) $B/libpvc.a $(LDFLAGS) \
		$(if $(findstring etcd,$@),-lnghttp2) $(if $(findstring zk,$@),-lzookeeper_st) $(LIBS)
benches: $(benches)

demo: deps ## three nodes on loopback, a VM, a primary killed, a node lost (KEEP=1 leaves it running)
	@$(MAKE) --no-print-directory all
	@tests/demo

check: deps ## build, run all tests that CI runs; ends with "N passed, N failed, N skipped"
	@$(MAKE) --no-print-directory all
	@tests/check

sanitize: deps ## the unit tests and the simulator under ASan+UBSan and TSan
	@tests/sanitize

sim: deps ## the simulator: SEEDS=20000 seeds, and SEEDS_VMS=2000 of 40 VMs and 500 steps
	@$(MAKE) --no-print-directory all
	@$B/pvc simulate --seeds $(SEEDS)
	@$B/pvc simulate --vms 40 --steps 500 --seeds $(SEEDS_VMS)

lab: deps ## real libvirt, Ceph, SR-IOV, BMCs: T=core bootstrap ceph vm life sriov fence reload api
	@$(MAKE) --no-print-directory all
	@tests/lab/run $(T)

bench: ## the figures of README.md, beside etcd and ZooKeeper in the same run
	@debian/deps bench
	@$(MAKE) --no-print-directory all benches
	@tests/bench/run

fuzz: deps ## ten CPU-minutes for each fuzzer (T=name SECONDS=600)
	@tests/fuzz/run $(or $(SECONDS),600) $(T)

layers: ## an include above its station fails
	@tests/layers

tidy: ## over-long functions and lines, banned calls, a foreign library outside its file
	@tests/tidy

format: ## lay out every source file
	clang-format -i $$(git ls-files '*.[ch]')

install: all ## binary, names, units and examples into DESTDIR=, PREFIX=/usr
	install -D -m 755 $B/pvc $(DESTDIR)$(PREFIX)/sbin/pvc
	ln -sf pvc $(DESTDIR)$(PREFIX)/sbin/pvcnoded
	ln -sf pvc $(DESTDIR)$(PREFIX)/sbin/pvcapid
	install -D -m 644 debian/pvcnoded.yaml $(DESTDIR)/etc/pvc/pvcnoded.yaml.example
	sed 's,@PREFIX@,$(PREFIX),g' debian/pvcnoded.service | install -D -m 644 /dev/stdin $(DESTDIR)$(PREFIX)/lib/systemd/system/pvcnoded.service
	$B/pvc completion bash | install -D -m 644 /dev/stdin $(DESTDIR)$(PREFIX)/share/bash-completion/completions/pvc
	$B/pvc completion zsh | install -D -m 644 /dev/stdin $(DESTDIR)$(PREFIX)/share/zsh/vendor-completions/_pvc

clean: ## remove build/
	rm -rf build

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' Makefile
	@echo; echo "make lab T=AREA:"; tests/lab/run --list

-include $(shell find build -name '*.d' 2>/dev/null)
