################################################################################
#
# holm
#
################################################################################

HOLM_VERSION = local
HOLM_SITE = $(HOLM_CHECKOUT)
HOLM_SITE_METHOD = local
HOLM_OVERRIDE_SRCDIR_RSYNC_EXCLUSIONS = $(HOLM_RSYNC_EXCLUSIONS)
HOLM_SUBDIR = agent
HOLM_LICENSE = Apache-2.0
HOLM_LICENSE_FILES = LICENSE
HOLM_DEPENDENCIES = libseccomp
HOLM_CARGO_ENV = $(HOLM_TARGET_ENV)
HOLM_PRE_BUILD_HOOKS += HOLM_FETCH_CRATES

define HOLM_INSTALL_TARGET_CMDS
	$(INSTALL) -D -m 0755 \
		$(@D)/target/$(RUSTC_TARGET_NAME)/$(HOLM_TARGET_PROFILE)/holm \
		$(TARGET_DIR)/usr/bin/holm
endef

$(eval $(cargo-package))
