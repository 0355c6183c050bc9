.PHONY: up down test help

help:
	@echo "make up     build, start a server in the background, wait until it is ready"
	@echo "make down   end it"
	@echo "make test   run all checks and tests"

up:
	@hack/up

down:
	@hack/down

test:
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo test --locked --workspace
