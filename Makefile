# fanlight. `make` alone tells what there is.

PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
DESTDIR ?=
BINARY ?= target/release/fanlight
export PREFIX SYSCONFDIR DESTDIR BINARY

.PHONY: help run build check test soak fuzz bench-fanout bench-http install uninstall clean

help:
	@echo 'make run        install missing build dependencies, build, start (ARGS="--test-pattern …")'
	@echo 'make build      install missing build dependencies, build $(BINARY)'
	@echo 'make check      the quick checks: format, clippy, unit tests'
	@echo 'make test       every check there is, with what it needs installed first'
	@echo 'make soak       unplug each camera of the tests fifty times, where make test does so ten times'
	@echo 'make fuzz       fuzz what reads from strangers, ten minutes each (ARGS="offer 60")'
	@echo 'make bench-fanout  what each viewer costs, for 10 to 1000 of them (ARGS="50 200 --repeat 3")'
	@echo 'make bench-http  requests a second, and how long joining takes (ARGS="--seconds 5")'
	@echo 'make install    put binary, unit, user and sample configuration in place (DESTDIR, PREFIX, SYSCONFDIR)'
	@echo 'make uninstall  take them away again; an edited configuration stays'
	@echo 'make clean      remove everything that was built'

run: build
	@exec $(BINARY) $(ARGS)

build:
	@scripts/setup.sh build
	cargo build --locked --release

check:
	@scripts/check.sh quick

test:
	@scripts/setup.sh test
	@scripts/check.sh all

soak:
	@scripts/setup.sh test
	FANLIGHT_UNPLUG_CYCLES=50 cargo test --locked --test recovery -- --nocapture

fuzz:
	@scripts/fuzz.sh $(ARGS)

bench-fanout:
	@scripts/setup.sh build
	@scripts/bench-fanout.py $(ARGS)

bench-http:
	@scripts/setup.sh build
	@scripts/bench-http.sh $(ARGS)

# Installs what `make build` built: the user who installs is often root, who need not have Rust.
install uninstall:
	@scripts/install.sh $@

clean:
	cargo clean
