# Read before Buildroot's own packages (BR2_PACKAGE_OVERRIDE_FILE).
# The Rust of this long-term release is older than Holm's edition. The pre-built one is lifted to
# this version, whose checksums are in patches/rust-bin; nothing else is changed.
override RUST_BIN_VERSION := 1.96.1

# The place where a person's own overrides are looked for by default.
-include $(CONFIG_DIR)/local.mk
