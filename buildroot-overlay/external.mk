# What the packages share: the checkout that they are built from, and how its crates are compiled.
# Must never name a version of a crate: Cargo.lock does.

HOLM_CHECKOUT = $(abspath $(BR2_EXTERNAL_HOLM_PATH)/..)

# What a build leaves in a checkout is no source; the leading slash keeps image/src/build.
HOLM_RSYNC_EXCLUSIONS = --exclude=/target --exclude=/build

# A local source is not vendored by Buildroot, so the locked crates are brought to the folder that
# all of Buildroot's cargo packages share. Only this step uses the network.
define HOLM_FETCH_CRATES
	cd $(@D) && $(HOST_MAKE_ENV) CARGO_HOME=$(BR_CARGO_HOME) cargo fetch --locked
endef

# The profile of the repository, in place of the one that Buildroot derives from its own options.
HOLM_PROFILE = \
	CARGO_PROFILE_RELEASE_OPT_LEVEL=s \
	CARGO_PROFILE_RELEASE_LTO=thin \
	CARGO_PROFILE_RELEASE_CODEGEN_UNITS=4

# A node has no dynamic loader. Paths are mapped to names that all machines share.
HOLM_RUST_FLAGS = \
	-C target-feature=+crt-static \
	-C relocation-model=static \
	--remap-path-prefix=$(@D)=/holm \
	--remap-path-prefix=$(BR_CARGO_HOME)=/cargo

HOLM_TARGET_ENV = $(HOLM_PROFILE) \
	CARGO_TARGET_$(call UPPERCASE,$(RUSTC_TARGET_NAME))_RUSTFLAGS="$(HOLM_RUST_FLAGS)" \
	LIBSECCOMP_LINK_TYPE=static \
	LIBSECCOMP_LIB_PATH=$(STAGING_DIR)/usr/lib

HOLM_TARGET_PROFILE = $(if $(BR2_ENABLE_DEBUG),debug,release)

include $(sort $(wildcard $(BR2_EXTERNAL_HOLM_PATH)/package/*/*.mk))

# The first stage repairs file systems before anything that could load a library is mounted.
ifeq ($(BR2_PACKAGE_HOLM_INIT),y)
define HOLM_BUILD_STATIC_E2FSCK
	$(TARGET_MAKE_ENV) $(MAKE) -C $(@D)/e2fsck e2fsck.static
endef
E2FSPROGS_POST_BUILD_HOOKS += HOLM_BUILD_STATIC_E2FSCK

define HOLM_INSTALL_STATIC_E2FSCK
	$(INSTALL) -D -m 0755 $(@D)/e2fsck/e2fsck.static $(TARGET_DIR)/usr/sbin/e2fsck.static
endef
E2FSPROGS_POST_INSTALL_TARGET_HOOKS += HOLM_INSTALL_STATIC_E2FSCK
endif
